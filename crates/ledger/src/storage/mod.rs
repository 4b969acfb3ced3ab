//! State as a call sees it: words under hashed slots, over what the node has provided.
//!
//! [`State`] is an overlay. A word is looked up among this block's writes, then among the words the node provided; a
//! word in neither is a miss: it is noted, answered with zero, and the whole run is later thrown away and repeated
//! once the node has fetched it. Noting instead of stopping gathers most of a transaction's misses in one run.
//! A word of zero is an absent word.
//!
//! Checkpoints nest; undoing one restores words, events and nothing else (gas stays spent).

mod list;
mod range;
mod table;

pub use list::ListTable;
pub use range::RangeTable;
pub use table::{Flags, Key, MAX_TEXT_BYTES, Table, TableId, TextTable, WordTable, slot};

use crate::{
    env::Log,
    error::Result,
    gas::{self, Meter},
};
use alloy_primitives::{Address, B256, Bytes};
use alloy_sol_types::SolEvent;
use std::collections::{BTreeMap, BTreeSet};

/// Slots a run needed and the node had not provided; the state is as it was before the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misses(pub Vec<B256>);

/// The overlay.
#[derive(Clone, Debug, Default)]
pub struct State {
    known: BTreeMap<B256, B256>,
    writes: BTreeMap<B256, B256>,
    journal: Vec<(B256, Option<B256>)>,
    logs: Vec<Log>,
    missed: BTreeSet<B256>,
    warm: BTreeSet<B256>,
    meter: Option<Meter>,
}

/// A point to return to.
#[derive(Clone, Copy, Debug)]
pub struct Checkpoint {
    journal: usize,
    logs: usize,
}

impl State {
    /// Nothing known, nothing written.
    pub fn new() -> State {
        State::default()
    }

    /// Gives the word a slot holds in the database; zero when it holds none.
    pub fn provide(&mut self, slot: B256, word: B256) {
        self.known.insert(slot, word);
    }

    /// Whether a slot needs no fetching.
    pub fn knows(&self, slot: &B256) -> bool {
        self.writes.contains_key(slot) || self.known.contains_key(slot)
    }

    /// Every word written since the start, by slot; zero means removed. Words written back to what they were are
    /// included.
    pub fn writes(&self) -> impl Iterator<Item = (&B256, &B256)> {
        self.writes.iter()
    }

    /// Treats all writes as committed to the database: they become known and the overlay is clean. Used where one
    /// state serves a run of blocks.
    pub fn commit(&mut self) {
        self.known.append(&mut self.writes);
        self.journal.clear();
        self.logs.clear();
    }

    /// The word in `slot`, without gas.
    fn peek(&mut self, slot: B256) -> B256 {
        match self.writes.get(&slot).or_else(|| self.known.get(&slot)) {
            Some(word) => *word,
            None => {
                self.missed.insert(slot);
                B256::ZERO
            }
        }
    }

    /// The word in `slot`.
    pub fn load(&mut self, slot: B256) -> Result<B256> {
        self.charge_access(slot)?;
        Ok(self.peek(slot))
    }

    /// Puts `word` into `slot`; zero removes.
    pub fn store(&mut self, slot: B256, word: B256) -> Result<()> {
        self.charge_access(slot)?;
        let before = self.peek(slot);
        if before == word {
            return Ok(());
        }
        self.charge(if before.is_zero() { gas::NEW_WORD } else { gas::UPDATE_WORD })?;
        self.journal.push((slot, self.writes.get(&slot).copied()));
        self.writes.insert(slot, word);
        Ok(())
    }

    fn charge_access(&mut self, slot: B256) -> Result<()> {
        if self.meter.is_none() {
            return Ok(());
        }
        let cold = self.warm.insert(slot);
        self.charge(if cold { gas::COLD_WORD } else { gas::WARM_WORD })
    }

    /// Takes gas from the running call; free outside one.
    pub fn charge(&mut self, gas: u64) -> Result<()> {
        match &mut self.meter {
            Some(meter) => meter.charge(gas),
            None => Ok(()),
        }
    }

    /// Notes an event of the module at `address`.
    pub fn emit(&mut self, address: Address, event: impl SolEvent) -> Result<()> {
        let data = event.encode_log_data();
        let topics = data.topics().to_vec();
        let size = data.data.len() as u64;
        self.charge(gas::LOG + gas::LOG_TOPIC * topics.len() as u64 + gas::LOG_BYTE * size)?;
        self.logs.push(Log { address, topics, data: Bytes::copy_from_slice(&data.data) });
        Ok(())
    }

    /// A point to return to with [`State::revert`].
    pub fn checkpoint(&self) -> Checkpoint {
        Checkpoint { journal: self.journal.len(), logs: self.logs.len() }
    }

    /// Undoes all writes and events since `checkpoint`.
    pub fn revert(&mut self, checkpoint: Checkpoint) {
        for (slot, before) in self.journal.drain(checkpoint.journal..).rev() {
            match before {
                Some(word) => self.writes.insert(slot, word),
                None => self.writes.remove(&slot),
            };
        }
        self.logs.truncate(checkpoint.logs);
    }

    /// Whether some read since the last [`State::take_misses`] was answered without knowledge.
    pub fn missed(&self) -> bool {
        !self.missed.is_empty()
    }

    /// The misses so far, as an error if there are any.
    pub(crate) fn take_misses(&mut self) -> std::result::Result<(), Misses> {
        if self.missed.is_empty() {
            return Ok(());
        }
        Err(Misses(std::mem::take(&mut self.missed).into_iter().collect()))
    }

    pub(crate) fn take_logs(&mut self) -> Vec<Log> {
        std::mem::take(&mut self.logs)
    }

    /// Starts a metered run: words are cold, gas is counted up to `limit`.
    pub(crate) fn begin_meter(&mut self, limit: u64) {
        self.warm.clear();
        self.meter = Some(Meter::new(limit));
    }

    /// Ends a metered run and tells the gas it used.
    pub(crate) fn end_meter(&mut self) -> u64 {
        self.warm.clear();
        self.meter.take().map_or(0, |meter| meter.used())
    }

    /// Writes of a finished transaction need no undoing.
    pub(crate) fn seal(&mut self) {
        self.journal.clear();
    }
}
