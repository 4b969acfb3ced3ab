//! The rule book in plain numbers. Each rule tells whether the ledger must accept, and does what it then must do.

use alloy_primitives::{Address, B256};
use std::collections::{BTreeMap, BTreeSet};

/// Seconds, as the test's genesis has them.
pub const EPOCH: u64 = 60;
pub const CHALLENGE: u64 = 100;
pub const VESTING: u64 = 3_000;
pub const UNBONDING: u64 = 200;
pub const REVEAL_DELAY: u64 = 2;
pub const REVEAL_WINDOW: u64 = 100;
pub const OPEN: u128 = 1_000_000_000_000_000_000;
const LEAST_STAKE: u128 = 100 * OPEN;
const Q_PPM: u128 = 33_000;

/// Where money stands that is nobody's balance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purse {
    Bonds,
    Stakes,
    Settlement,
    Treasury,
    Channels,
}

#[derive(Clone, Debug)]
pub struct Commit {
    pub datanet: usize,
    pub sequence: u64,
    pub height: u64,
    pub time: u64,
    pub bond: u128,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    Pending,
    Accepted,
    Rejected,
    Withdrawn,
}

#[derive(Clone, Debug)]
pub struct Contribution {
    pub datanet: usize,
    pub owner: Address,
    pub sequence: u64,
    pub height: u64,
    pub bond: u128,
    pub free_at: u64,
    pub admission: Admission,
}

#[derive(Clone, Debug, Default)]
pub struct Operator {
    pub leaving: bool,
    pub stake: u128,
    pub locked: u128,
    pub pending: u128,
    /// Units and time of each; zero units once paid.
    pub unbondings: Vec<(u128, u64)>,
    pub offers: BTreeSet<usize>,
}

#[derive(Clone, Debug, Default)]
pub struct Epochs {
    pub next_sequence: u64,
    pub epoch: u64,
    pub closed_at: u64,
    pub unposted: u128,
}

#[derive(Clone, Debug)]
pub struct Batch {
    pub operator: Address,
    pub model: usize,
    pub fees: u128,
    pub bond: u128,
    pub finalise_at: u64,
    pub finalised_at: Option<u64>,
    /// Account, vesting or not, units, paid or not.
    pub leaves: Vec<(Address, bool, u128, bool)>,
}

impl Batch {
    pub fn payouts(&self) -> u128 {
        self.leaves.iter().map(|leaf| leaf.2).sum()
    }
}

/// One channel: what was deposited and what was claimed of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Channel {
    pub deposited: u128,
    pub claimed: u128,
}

/// A Datanet: its maker, whether curators decide, its bond per byte.
#[derive(Clone, Debug)]
pub struct Datanet {
    pub creator: Address,
    pub curated: bool,
    pub rate: u128,
}

#[derive(Clone, Debug, Default)]
pub struct Plain {
    pub now: u64,
    pub height: u64,
    pub balances: BTreeMap<Address, u128>,
    pub purses: BTreeMap<Purse, u128>,
    pub burned: u128,
    pub datanets: Vec<Datanet>,
    pub developers: Vec<Address>,
    pub commits: BTreeMap<(Address, B256), Commit>,
    pub sequence: u64,
    pub contributions: BTreeMap<B256, Contribution>,
    pub copies: BTreeMap<(B256, u64), (B256, u64)>,
    pub operators: BTreeMap<Address, Operator>,
    pub escrows: BTreeMap<(Address, usize), u128>,
    pub epochs: BTreeMap<(Address, usize), Epochs>,
    pub batches: BTreeMap<B256, Batch>,
    pub grants: BTreeMap<(Address, u64), (u128, u128)>,
    pub validators_pot: u128,
    pub auditors_pot: u128,
    pub proposer: Address,
    pub period_start: u64,
    pub channels: BTreeMap<(Address, usize), Channel>,
    pub claimed: BTreeMap<(Address, usize), u128>,
    pub settled: BTreeMap<(Address, usize), u128>,
}

impl Plain {
    pub fn give(&mut self, to: Address, units: u128) {
        *self.balances.entry(to).or_default() += units;
    }

    pub fn take(&mut self, from: Address, units: u128) {
        *self.balances.get_mut(&from).expect("known") -= units;
    }

    fn put(&mut self, purse: Purse, units: u128) {
        *self.purses.entry(purse).or_default() += units;
    }

    fn draw(&mut self, purse: Purse, units: u128) {
        *self.purses.entry(purse).or_default() -= units;
    }

    fn pay(&mut self, from: Purse, to: Address, units: u128) {
        self.draw(from, units);
        self.give(to, units);
    }

    // Datanets.

    pub fn commit(&mut self, owner: Address, commitment: B256, datanet: usize, bond: u128) -> bool {
        if self.commits.contains_key(&(owner, commitment)) || self.contributions.contains_key(&commitment) {
            return false;
        }
        self.take(owner, bond);
        self.put(Purse::Bonds, bond);
        let commit = Commit { datanet, sequence: self.sequence, height: self.height, time: self.now, bond };
        self.commits.insert((owner, commitment), commit);
        self.sequence += 1;
        true
    }

    pub fn reveal(&mut self, owner: Address, commitment: B256, mine: bool, size: u64, value: u128) -> bool {
        let Some(commit) = self.commits.get(&(owner, commitment)).cloned() else { return false };
        let open = commit.time + REVEAL_DELAY <= self.now && self.height > commit.height;
        let required = self.datanets[commit.datanet].rate * u128::from(size);
        if !mine || !open || self.now >= commit.time + REVEAL_WINDOW || commit.bond + value < required {
            return false;
        }
        self.commits.remove(&(owner, commitment));
        self.take(owner, value);
        self.put(Purse::Bonds, value);
        self.pay(Purse::Bonds, owner, commit.bond + value - required);
        let curated = self.datanets[commit.datanet].curated;
        let contribution = Contribution {
            datanet: commit.datanet,
            owner,
            sequence: commit.sequence,
            height: commit.height,
            bond: required,
            free_at: 0,
            admission: if curated { Admission::Pending } else { Admission::Accepted },
        };
        self.contributions.insert(commitment, contribution);
        true
    }

    pub fn expire(&mut self, owner: Address, commitment: B256) -> bool {
        let Some(commit) = self.commits.get(&(owner, commitment)).cloned() else { return false };
        if self.now < commit.time + REVEAL_WINDOW {
            return false;
        }
        self.commits.remove(&(owner, commitment));
        self.pay(Purse::Bonds, owner, commit.bond);
        true
    }

    pub fn decide(&mut self, curator: Address, id: B256, accept: bool) -> bool {
        let Some(contribution) = self.contributions.get_mut(&id) else { return false };
        let may = self.datanets[contribution.datanet].creator == curator;
        if !may || contribution.admission != Admission::Pending {
            return false;
        }
        if accept {
            contribution.admission = Admission::Accepted;
            return true;
        }
        contribution.admission = Admission::Rejected;
        let (owner, bond) = (contribution.owner, std::mem::take(&mut contribution.bond));
        self.pay(Purse::Bonds, owner, bond);
        true
    }

    pub fn withdraw(&mut self, owner: Address, id: B256) -> bool {
        let now = self.now;
        let Some(contribution) = self.contributions.get_mut(&id) else { return false };
        let stands = matches!(contribution.admission, Admission::Pending | Admission::Accepted);
        if contribution.owner != owner || !stands {
            return false;
        }
        contribution.admission = Admission::Withdrawn;
        contribution.free_at = now + UNBONDING;
        true
    }

    pub fn release_bond(&mut self, id: B256) -> bool {
        let now = self.now;
        let Some(contribution) = self.contributions.get_mut(&id) else { return false };
        let free = contribution.admission == Admission::Withdrawn && now >= contribution.free_at;
        if !free || contribution.bond == 0 {
            return false;
        }
        let (owner, bond) = (contribution.owner, std::mem::take(&mut contribution.bond));
        self.pay(Purse::Bonds, owner, bond);
        true
    }

    /// `same`: both leaves are in their contributions and open to one item.
    pub fn copy(
        &mut self,
        reporter: Address,
        first: (B256, u64),
        later: (B256, u64),
        size: u64,
        same: bool,
    ) -> bool {
        let place = |plain: &Plain, at: (B256, u64)| {
            let contribution = plain.contributions.get(&at.0)?;
            (contribution.admission != Admission::Rejected).then_some((contribution.sequence, at.1))
        };
        let (Some(a), Some(b)) = (place(self, first), place(self, later)) else { return false };
        if !same || a >= b {
            return false;
        }
        if let Some(known) = self.copies.get(&later) {
            if place(self, *known).is_some_and(|known| a >= known) {
                return false;
            }
            self.copies.insert(later, first);
            return true;
        }
        self.copies.insert(later, first);
        let rate = self.datanets[self.contributions[&later.0].datanet].rate;
        let contribution = self.contributions.get_mut(&later.0).expect("placed");
        let slashed = contribution.bond.min(rate * u128::from(size));
        contribution.bond -= slashed;
        let reward = slashed / 10;
        self.pay(Purse::Bonds, reporter, reward);
        self.draw(Purse::Bonds, slashed - reward);
        self.burned += slashed - reward;
        true
    }

    // Operators.

    pub fn unsettled(&self, operator: Address) -> u128 {
        let record = &self.operators[&operator];
        let held = |model: &usize| {
            let key = (operator, *model);
            let claimed = self.claimed.get(&key).copied().unwrap_or_default();
            let settled = self.settled.get(&key).copied().unwrap_or_default();
            self.escrows.get(&key).copied().unwrap_or_default() + claimed - settled
        };
        record.pending + record.offers.iter().map(held).sum::<u128>()
    }

    /// U <= q * S, in whole numbers.
    pub fn within_limit(&self, operator: Address) -> bool {
        self.unsettled(operator) * 1_000_000 <= self.operators[&operator].stake * Q_PPM
    }

    pub fn register(&mut self, operator: Address, stake: u128) -> bool {
        let known = self.operators.get(&operator).is_some_and(|record| !record.leaving);
        if known || stake < LEAST_STAKE {
            return false;
        }
        let record = self.operators.entry(operator).or_default();
        record.leaving = false;
        record.stake += stake;
        self.take(operator, stake);
        self.put(Purse::Stakes, stake);
        true
    }

    pub fn add_stake(&mut self, operator: Address, stake: u128) -> bool {
        let Some(record) = self.operators.get_mut(&operator).filter(|record| !record.leaving) else {
            return false;
        };
        record.stake += stake;
        self.take(operator, stake);
        self.put(Purse::Stakes, stake);
        true
    }

    pub fn offer(&mut self, operator: Address, model: usize) -> bool {
        let Some(record) = self.operators.get_mut(&operator).filter(|record| !record.leaving) else {
            return false;
        };
        record.offers.insert(model);
        true
    }

    pub fn unbond(&mut self, operator: Address, units: u128) -> bool {
        if !self.operators.contains_key(&operator) {
            return false;
        }
        let needed = (self.unsettled(operator) * 1_000_000).div_ceil(Q_PPM);
        let free_at = self.now + UNBONDING;
        let record = self.operators.get_mut(&operator).expect("known");
        let free = record.stake.saturating_sub(needed.max(record.locked));
        let rest = record.stake.saturating_sub(units);
        let open = record.unbondings.iter().skip_while(|unbonding| unbonding.0 == 0).count();
        if units == 0 || units > free || (rest != 0 && rest < LEAST_STAKE) || open >= 16 {
            return false;
        }
        record.stake = rest;
        record.leaving |= rest == 0;
        record.unbondings.push((units, free_at));
        true
    }

    pub fn complete_unbond(&mut self, operator: Address, id: usize) -> bool {
        let now = self.now;
        let Some(record) = self.operators.get_mut(&operator) else { return false };
        match record.unbondings.get_mut(id) {
            Some((units, free_at)) if *units > 0 && now >= *free_at => {
                let units = std::mem::take(units);
                self.pay(Purse::Stakes, operator, units);
                true
            }
            _ => false,
        }
    }

    // Settlement.

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

    // Channels.

    pub fn deposit(&mut self, payer: Address, key: (Address, usize), units: u128) -> bool {
        self.take(payer, units);
        self.put(Purse::Channels, units);
        self.channels.entry(key).or_default().deposited += units;
        true
    }

    pub fn channel_claim(&mut self, key: (Address, usize), total: u128) -> bool {
        let offers = self.operators.get(&key.0).is_some_and(|record| record.offers.contains(&key.1));
        let channel = self.channels.get(&key).cloned().unwrap_or_default();
        if !offers || total > channel.deposited.max(channel.claimed) {
            return false;
        }
        let more = total.saturating_sub(channel.claimed);
        *self.claimed.entry(key).or_default() += more;
        if !self.within_limit(key.0) {
            *self.claimed.get_mut(&key).expect("entered") -= more;
            return false;
        }
        self.channels.entry(key).or_default().claimed += more;
        true
    }

    pub fn channel_settle(&mut self, key: (Address, usize)) -> bool {
        let claimed = self.claimed.get(&key).copied().unwrap_or_default();
        let due = claimed - self.settled.insert(key, claimed).unwrap_or_default();
        if due > 0 {
            self.draw(Purse::Channels, due);
            *self.escrows.entry(key).or_default() += due;
        }
        true
    }

    /// The end of a block: the only proposer gets the whole pot once an epoch.
    pub fn end_block(&mut self) {
        if self.period_start == 0 {
            self.period_start = self.now;
        }
        if self.now >= self.period_start + EPOCH {
            self.period_start = self.now;
            let pot = std::mem::take(&mut self.validators_pot);
            let proposer = self.proposer;
            if pot > 0 {
                self.pay(Purse::Treasury, proposer, pot);
            }
        }
    }
}
