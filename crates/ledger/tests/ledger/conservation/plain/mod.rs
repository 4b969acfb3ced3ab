//! The rule book in plain numbers. Each rule tells whether the ledger must accept, and does what it then must do.

mod datanets;
mod operators;
mod settlement;

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
    pub signer: Address,
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
        let more = total.saturating_sub(channel.claimed);
        if more == 0 {
            return true;
        }
        if !offers || total > channel.deposited {
            return false;
        }
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

    /// The end of a block: the only signer gets the whole pot once an epoch.
    pub fn end_block(&mut self) {
        if self.period_start == 0 {
            self.period_start = self.now;
        }
        if self.now >= self.period_start + EPOCH {
            self.period_start = self.now;
            let pot = std::mem::take(&mut self.validators_pot);
            let signer = self.signer;
            if pot > 0 {
                self.pay(Purse::Treasury, signer, pot);
            }
        }
    }
}
