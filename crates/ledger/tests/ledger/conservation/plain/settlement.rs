//! Settlement in plain numbers.

use super::{Batch, CHALLENGE, EPOCH, Plain, Purse, Q_PPM, VESTING};
use alloy_primitives::{Address, B256};
use std::collections::BTreeSet;

impl Plain {
    pub fn buy(&mut self, buyer: Address, operator: Address, model: usize, units: u128) -> bool {
        self.take(buyer, units);
        *self.escrows.entry((operator, model)).or_default() += units;
        true
    }

    pub fn close(&mut self, operator: Address, model: usize) -> bool {
        let now = self.now;
        let offered = self.operators.get(&operator).is_some_and(|record| record.offers.contains(&model));
        let income = self.escrows.get(&(operator, model)).copied().unwrap_or_default();
        let epochs = self.epochs.entry((operator, model)).or_default();
        let long_enough = epochs.epoch == 0 || now >= epochs.closed_at + EPOCH;
        if !offered || epochs.unposted != 0 || !long_enough || income == 0 {
            return false;
        }
        epochs.epoch += 1;
        epochs.closed_at = now;
        epochs.unposted = income;
        self.escrows.insert((operator, model), 0);
        self.operators.get_mut(&operator).expect("offers").pending += income;
        self.put(Purse::Settlement, income);
        true
    }

    /// `batch` carries what the operator says; `first` and `count` are its sequence numbers.
    pub fn post(&mut self, id: B256, batch: Batch, epoch: u64, first: u64, count: u64, value: u128) -> bool {
        let (operator, model) = (batch.operator, batch.model);
        let Some(epochs) = self.epochs.get(&(operator, model)).cloned() else { return false };
        let Some(record) = self.operators.get(&operator).filter(|record| !record.leaving) else {
            return false;
        };
        let bond = (batch.fees * 1_000_000).div_ceil(Q_PPM);
        let stake = record.stake + value;
        let right = epochs.unposted > 0
            && epochs.unposted == batch.fees
            && epochs.epoch == epoch
            && epochs.next_sequence == first
            && count > 0
            && batch.payouts() <= batch.fees * 4_000 / 10_000;
        let carried = self.unsettled(operator) * 1_000_000 <= stake * Q_PPM;
        if !right || !carried || record.locked + bond > stake {
            return false;
        }
        self.take(operator, value);
        self.put(Purse::Stakes, value);
        let record = self.operators.get_mut(&operator).expect("known");
        record.stake = stake;
        record.locked += bond;
        let epochs = self.epochs.get_mut(&(operator, model)).expect("known");
        epochs.unposted = 0;
        epochs.next_sequence += count;
        self.batches.insert(id, Batch { bond, finalise_at: self.now + CHALLENGE, ..batch });
        true
    }

    pub fn finalise(&mut self, id: B256) -> bool {
        let now = self.now;
        let Some(batch) = self.batches.get_mut(&id) else { return false };
        if batch.finalised_at.is_some() || now < batch.finalise_at {
            return false;
        }
        batch.finalised_at = Some(now);
        let batch = batch.clone();
        let fees = batch.fees;
        let part = |bps: u128| fees * bps / 10_000;
        let (developer, operator, auditors, validators, burned) =
            (part(2_000), part(2_300), part(200), part(500), part(500));
        let treasury = fees - developer - operator - auditors - validators - burned - batch.payouts();
        // The second model is tuned from the first and owes its developer a quarter.
        let base = if batch.model == 1 { developer * 2_500 / 10_000 } else { 0 };
        let developers = self.developers.clone();
        self.pay(Purse::Settlement, developers[batch.model], developer - base);
        self.pay(Purse::Settlement, developers[0], base);
        self.pay(Purse::Settlement, batch.operator, operator);
        self.draw(Purse::Settlement, burned + treasury + validators + auditors);
        self.put(Purse::Treasury, treasury + validators + auditors);
        self.burned += burned;
        self.validators_pot += validators;
        self.auditors_pot += auditors;
        let record = self.operators.get_mut(&batch.operator).expect("posted");
        record.locked -= batch.bond;
        record.pending -= fees;
        true
    }

    /// `honest`: the proofs are the tree's.
    pub fn claim(&mut self, id: B256, indices: &[usize], honest: bool) -> bool {
        let now = self.now;
        let Some(batch) = self.batches.get_mut(&id) else { return false };
        let Some(finalised_at) = batch.finalised_at else { return false };
        let distinct: BTreeSet<_> = indices.iter().collect();
        let fresh = indices.iter().all(|index| !batch.leaves[*index].3);
        if !honest || distinct.len() != indices.len() || !fresh {
            return false;
        }
        let start = finalised_at.div_ceil(VESTING / 30) * (VESTING / 30);
        let mut due = Vec::new();
        for index in indices {
            let leaf = &mut batch.leaves[*index];
            leaf.3 = true;
            due.push((leaf.0, leaf.1, leaf.2));
        }
        for (account, vesting, units) in due {
            if vesting && now < start + VESTING {
                self.grants.entry((account, start)).or_default().0 += units;
            } else {
                self.pay(Purse::Settlement, account, units);
            }
        }
        true
    }

    pub fn release(&mut self, account: Address) -> bool {
        let now = self.now;
        let mut due = 0;
        for ((_, start), (granted, paid)) in
            self.grants.iter_mut().filter(|((owner, _), _)| *owner == account)
        {
            let vested = *granted * u128::from(now.saturating_sub(*start).min(VESTING)) / u128::from(VESTING);
            due += vested - *paid;
            *paid = vested;
        }
        self.pay(Purse::Settlement, account, due);
        true
    }
}
