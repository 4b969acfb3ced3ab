//! Use of settlement.

use super::World;
use crate::conservation::plain::{self, Batch, OPEN};
use alloy_primitives::{Address, B256, U256};
use alloy_sol_types::SolCall;
use interfaces::{
    addresses::{SETTLEMENT, escrow},
    settlement::{ISettlement, ISettlement::Kind, batch_id, payout_key},
};
use primitives::merkle_sum::{SumTree, leaf};

impl World {
    pub(super) fn some_served(&mut self) -> Option<(Address, usize)> {
        let serves = |(operator, record): (&Address, &plain::Operator)| {
            record.offers.iter().map(|model| (*operator, *model)).collect::<Vec<_>>()
        };
        let served: Vec<_> = self.plain.operators.iter().flat_map(serves).collect();
        (!served.is_empty()).then(|| self.random.pick(&served))
    }

    pub(super) fn buy(&mut self, buyer: Address) {
        let Some((operator, model)) = self.some_served() else { return };
        let whole = if self.random.once_in(10) { self.random.below(300) } else { self.random.below(3) };
        let units = u128::from(whole) * OPEN + u128::from(self.random.next() >> 8);
        let foretold = self.plain.buy(buyer, operator, model, units);
        let escrow = escrow(operator, self.models[model]);
        // A plain transfer costs its intrinsic gas and no more.
        self.send("buy", buyer, escrow, units, Vec::new(), foretold);
    }

    pub(super) fn close_or_post(&mut self) {
        let Some((operator, model)) = self.some_served() else { return };
        let epochs = self.plain.epochs.get(&(operator, model)).cloned().unwrap_or_default();
        if epochs.unposted > 0 && !self.random.once_in(10) {
            return self.post(operator, model, epochs);
        }
        let foretold = self.plain.close(operator, model);
        let call = ISettlement::closeCall { model: self.models[model] };
        self.send("close", operator, SETTLEMENT, 0, call.abi_encode(), foretold);
    }

    pub(super) fn post(&mut self, operator: Address, model: usize, epochs: plain::Epochs) {
        // One in eight says another income, one another sequence number, one promises more than the data share.
        let fees = epochs.unposted + u128::from(self.random.once_in(8));
        let first = epochs.next_sequence + u64::from(self.random.once_in(8));
        let count = 1 + self.random.below(5);
        let leaves = self.leaves(fees * 4_000 / 10_000);
        let nodes = leaves
            .iter()
            .map(|(account, vesting, units, _)| leaf(&payout_key(*account, kind(*vesting)), *units));
        let tree = SumTree::new(nodes.collect()).expect("fits");
        let value = if self.random.once_in(3) { u128::from(self.random.below(2_000)) * OPEN } else { 0 };
        let batch = Batch { operator, model, fees, bond: 0, finalise_at: 0, finalised_at: None, leaves };
        let id = batch_id(operator, self.models[model], epochs.epoch);
        let call = ISettlement::postCall {
            batch: ISettlement::Batch {
                model: self.models[model],
                epoch: epochs.epoch,
                firstSequence: first,
                count,
                receipts: B256::repeat_byte(1),
                folds: B256::repeat_byte(2),
                fees: U256::from(fees),
                payouts: if batch.leaves.is_empty() { B256::ZERO } else { tree.root() },
                payoutTotal: U256::from(tree.total()),
                payoutCount: tree.count(),
            },
        };
        let foretold = self.plain.post(id, batch, epochs.epoch, first, count, value);
        if foretold {
            self.trees.insert(id, tree);
        }
        self.send("post", operator, SETTLEMENT, value, call.abi_encode(), foretold);
    }

    /// Up to eight leaves that share `data`, all of it or nearly, now and then a unit more.
    pub(super) fn leaves(&mut self, data: u128) -> Vec<(Address, bool, u128, bool)> {
        let count = self.random.below(9);
        let mut rest = data + u128::from(self.random.once_in(8));
        let mut leaves = Vec::new();
        for index in 0..count {
            let last = index + 1 == count && self.random.once_in(2);
            let units = if last { rest } else { rest / u128::from(2 + self.random.below(3)) };
            rest -= units;
            leaves.push((self.random.pick(&self.people), self.random.once_in(2), units, false));
        }
        leaves
    }

    pub(super) fn some_batch(&mut self) -> Option<B256> {
        let known: Vec<B256> = self.plain.batches.keys().copied().collect();
        (!known.is_empty()).then(|| self.random.pick(&known))
    }

    pub(super) fn finalise(&mut self, anyone: Address) {
        let Some(id) = self.some_batch() else { return };
        let foretold = self.plain.finalise(id);
        let call = ISettlement::finaliseCall { id };
        self.send("finalise", anyone, SETTLEMENT, 0, call.abi_encode(), foretold);
    }

    pub(super) fn claim(&mut self, anyone: Address) {
        let Some(id) = self.some_batch() else { return };
        let entries = self.plain.batches[&id].leaves.clone();
        let mut indices: Vec<usize> = (0..entries.len()).filter(|_| self.random.once_in(2)).collect();
        if !indices.is_empty() && self.random.once_in(8) {
            indices.push(indices[0]);
        }
        let mut leaves: Vec<_> = indices.iter().map(|index| self.leaf(id, *index, entries[*index])).collect();
        let honest = leaves.is_empty() || !self.random.once_in(8);
        if !honest {
            leaves[0].amount += U256::from(1);
        }
        let foretold = self.plain.claim(id, &indices, honest);
        let call = ISettlement::claimCall { id, leaves };
        self.send("claim", anyone, SETTLEMENT, 0, call.abi_encode(), foretold);
    }

    pub(super) fn leaf(
        &self,
        id: B256,
        index: usize,
        entry: (Address, bool, u128, bool),
    ) -> ISettlement::Leaf {
        let proof = self.trees[&id].prove(index as u64).expect("in range");
        let step = |node: &primitives::merkle_sum::SumNode| ISettlement::SumNode {
            digest: node.digest,
            sum: U256::from(node.sum),
        };
        ISettlement::Leaf {
            index: index as u64,
            account: entry.0,
            kind: kind(entry.1),
            amount: U256::from(entry.2),
            path: proof.path.iter().map(step).collect(),
        }
    }

    pub(super) fn release(&mut self, account: Address) {
        let foretold = self.plain.release(account);
        let call = ISettlement::releaseCall { account };
        self.send("release", account, SETTLEMENT, 0, call.abi_encode(), foretold);
    }
}

fn kind(vesting: bool) -> Kind {
    if vesting { Kind::Vesting } else { Kind::Liquid }
}
