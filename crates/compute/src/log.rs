//! The log of receipts: append-only, on disk before an answer is acknowledged.
//!
//! # File
//! ```text
//! header   "OLRECEI2" ‖ operator (20) ‖ model (32) ‖ key (32) ‖ check (8)
//! group    marker (8) ‖ length (u32) ‖ check (8) ‖ payload
//! ```
//! The payload is the canonical list of [`Entry`]s that one sync made durable. `check` is BLAKE3 keyed with the header's random key
//! over length and payload, and `marker` is derived from that key, so that nobody who only sends prompts can make bytes that look like
//! a group.
//!
//! # What holds
//! 1. An entry that [`Log::append`] returned survives any crash: it was synced first.
//! 2. Sequence numbers are dense and each receipt names the one before, so a lost or doubled answer shows.
//! 3. A group is whole or absent. At most the last group can be torn, since one is synced before the next is written: on open
//!    a torn tail is cut off ([`Repair`]). Damage before a whole group is no torn tail, and refused ([`LogError::Damaged`]).
//! 4. A failed write or sync (a full disk) acknowledges nothing; the next append first restores the file.
//!
//! Whoever opens a log must hold it alone: `openledger` locks its data folder.

use crate::{
    account::Account,
    attributed::{Attributed, Contributor},
    receipt::{AnswerId, Kind, Output, Receipt, commit_output, commit_prompt, output_salt},
    request::{MAX_TOKENS, Prompt, Request, Sampling, Usage},
    worker::Answer,
};
use alloy_primitives::{Address, B256};
use primitives::{Amount, encoding::DecodeError};
use std::{collections::HashMap, io};

mod entry;
mod frame;
mod store;
#[cfg(test)]
mod tests;

pub use entry::{Entry, MAX_NOTE_BYTES, Scored};
pub use store::{FileStore, Store};

/// Most bytes of one group.
pub const MAX_GROUP_BYTES: usize = 1 << 24;
/// Most entries of one group.
pub const MAX_GROUP_ENTRIES: usize = 1024;

/// What is to be put into the log: it gets its sequence number there.
#[derive(Clone, Debug)]
pub struct Draft {
    /// An answer, or money that came without one.
    pub what: What,
    /// Who paid; zero for nobody.
    pub payer: Address,
    /// The caller's own record, such as how it was paid; at most [`MAX_NOTE_BYTES`].
    pub note: Vec<u8>,
    /// Unix time in milliseconds.
    pub time_ms: u64,
}

/// What a receipt is written for.
#[derive(Clone, Debug)]
pub enum What {
    /// An answer.
    Answer(Box<Answer>),
    /// This much more in the escrow than answers were charged.
    Unasked(Amount),
}

/// What opening had to mend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Repair {
    /// Bytes of a torn, never acknowledged group that were cut off.
    pub torn_bytes: u64,
}

/// Why the log cannot be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The disk refused. Nothing was acknowledged; the next append tries again.
    #[error("the receipt log could not be written: {0}; free disk space or check the disk, then ask again")]
    Disk(#[from] io::Error),
    /// Bytes that were acknowledged are not what was written.
    #[error("the receipt log is damaged at byte {at}: {why}; restore it from a backup")]
    Damaged { at: u64, why: String },
    /// Another operator's or model's log.
    #[error("this log belongs to operator {operator} and model {model}: open it under its own account")]
    NotOurs { operator: Address, model: B256 },
    /// The entries do not fit.
    #[error("{0} past its limit of {1}")]
    TooLarge(&'static str, usize),
}

/// Where an entry stands.
#[derive(Clone, Copy, Debug)]
struct Place {
    group: u64,
    index: u32,
    fee: Amount,
}

/// An open log.
pub struct Log {
    store: Box<dyn Store>,
    frames: frame::Frames,
    operator: Account,
    model: B256,
    places: Vec<Place>,
    by_id: HashMap<AnswerId, u64>,
    last: B256,
    /// Bytes that are whole and synced.
    good: u64,
    /// The file may hold bytes past `good`.
    dirty: bool,
}

impl Log {
    /// Opens or starts the log of `operator` for `model`, handing every entry to `each` in order.
    pub fn open(
        mut store: Box<dyn Store>,
        operator: Account,
        model: B256,
        mut each: impl FnMut(&Entry),
    ) -> Result<(Log, Repair), LogError> {
        let (frames, start) = frame::open(store.as_mut(), operator.address(), model)?;
        let mut log = Log {
            store,
            frames,
            operator,
            model,
            places: Vec::new(),
            by_id: HashMap::new(),
            last: B256::ZERO,
            good: start,
            dirty: false,
        };
        let length = log.store.len()?;
        while log.good < length {
            let Some((payload, end)) = log.frames.read(log.store.as_ref(), log.good, length)? else {
                log.frames.require_torn(log.store.as_ref(), log.good, length)?;
                break;
            };
            let damaged = |why: String| LogError::Damaged { at: log.good, why };
            let entries = entry::decode_group(&payload).map_err(|error| damaged(error.to_string()))?;
            for (index, entry) in (0u32..).zip(entries) {
                let receipt = &entry.signed.receipt;
                if receipt.sequence != log.places.len() as u64 || receipt.previous != log.last {
                    let why = format!("receipt {} does not follow the one before", receipt.sequence);
                    return Err(LogError::Damaged { at: log.good, why });
                }
                each(&entry);
                log.note(&entry, log.good, index);
            }
            log.good = end;
        }
        let repair = Repair { torn_bytes: length - log.good };
        if repair.torn_bytes > 0 {
            log.dirty = true;
            log.restore()?;
        }
        Ok((log, repair))
    }

    fn note(&mut self, entry: &Entry, group: u64, index: u32) {
        let receipt = &entry.signed.receipt;
        self.places.push(Place { group, index, fee: receipt.fee });
        self.by_id.insert(receipt.id, receipt.sequence);
        self.last = receipt.digest();
    }

    /// Cuts off what was not acknowledged.
    fn restore(&mut self) -> Result<(), LogError> {
        if self.dirty {
            self.store.truncate(self.good)?;
            self.store.sync()?;
            self.dirty = false;
        }
        Ok(())
    }

    /// Gives each draft its place, signs, writes and syncs: one sync for all. On an error none is in the log.
    pub fn append(&mut self, drafts: Vec<Draft>) -> Result<Vec<Entry>, LogError> {
        if drafts.is_empty() {
            return Ok(Vec::new());
        }
        if drafts.len() > MAX_GROUP_ENTRIES {
            return Err(LogError::TooLarge("entries of one group", MAX_GROUP_ENTRIES));
        }
        self.restore()?;
        let (mut entries, mut previous) = (Vec::with_capacity(drafts.len()), self.last);
        for draft in drafts {
            let sequence = (self.places.len() + entries.len()) as u64;
            let entry = self.entry_of(draft, sequence, previous)?;
            previous = entry.signed.receipt.digest();
            entries.push(entry);
        }
        let payload = entry::encode_group(&entries);
        if payload.len() > MAX_GROUP_BYTES {
            return Err(LogError::TooLarge("bytes of one group", MAX_GROUP_BYTES));
        }
        let frame = self.frames.frame(&payload);
        self.dirty = true;
        self.store.append(&frame)?;
        self.store.sync()?;
        self.dirty = false;
        let group = self.good;
        self.good += frame.len() as u64;
        for (index, entry) in (0u32..).zip(&entries) {
            self.note(entry, group, index);
        }
        Ok(entries)
    }

    fn entry_of(&self, draft: Draft, sequence: u64, previous: B256) -> Result<Entry, LogError> {
        let Draft { what, payer, note, time_ms } = draft;
        if note.len() > MAX_NOTE_BYTES {
            return Err(LogError::TooLarge("bytes of a note", MAX_NOTE_BYTES));
        }
        let (operator, model) = (self.operator.address(), self.model);
        let blank = |fee| Receipt {
            kind: Kind::Unasked,
            operator,
            model,
            sequence,
            previous,
            id: unasked_id(sequence),
            payer,
            prompt: B256::ZERO,
            output: B256::ZERO,
            usage: Usage::default(),
            fee,
            paid: Amount::ZERO,
            attribution: B256::ZERO,
            op_set: 0,
            time_ms,
        };
        Ok(match what {
            What::Unasked(fee) => Entry {
                signed: blank(fee).sign(&self.operator),
                salt: B256::ZERO,
                request: Request { prompt: Prompt::Tokens(Vec::new()), sampling: Sampling::default() },
                output: Output { tokens: Vec::new(), text: String::new(), finish: crate::Finish::Stop },
                data_share: Amount::ZERO,
                scores: Vec::new(),
                spans: Vec::new(),
                payouts: Vec::new(),
                note,
            },
            What::Answer(answer) => {
                let Answer { id, salt, request, output, usage, fee, attributed, op_set } = *answer;
                if output.tokens.len() > MAX_TOKENS {
                    return Err(LogError::TooLarge("tokens of an answer", MAX_TOKENS));
                }
                let receipt = Receipt {
                    kind: Kind::Answer,
                    id,
                    prompt: commit_prompt(&salt, &request),
                    output: commit_output(&output_salt(&salt), &output),
                    usage,
                    paid: attributed.paid(),
                    attribution: attributed.root(),
                    op_set,
                    ..blank(fee)
                };
                Entry {
                    signed: receipt.sign(&self.operator),
                    salt,
                    request,
                    output,
                    data_share: attributed.data_share,
                    scores: attributed.units.iter().map(|u| (u.unit, u.score)).collect(),
                    payouts: payouts(&attributed),
                    spans: attributed.spans,
                    note,
                }
            }
        })
    }

    /// The sequence number the next receipt gets.
    pub fn next_sequence(&self) -> u64 {
        self.places.len() as u64
    }

    /// Digest of the last receipt; zero when there is none.
    pub fn last_digest(&self) -> B256 {
        self.last
    }

    /// The account that signs.
    pub fn operator(&self) -> Address {
        self.operator.address()
    }

    /// The model whose answers stand here.
    pub fn model(&self) -> B256 {
        self.model
    }

    /// Sequence number of an answer.
    pub fn find(&self, id: &AnswerId) -> Option<u64> {
        self.by_id.get(id).copied()
    }

    /// Fees of the receipts of a range, which is cut to what exists.
    pub fn fees(&self, range: std::ops::Range<u64>) -> Amount {
        let end = range.end.min(self.next_sequence()) as usize;
        let start = (range.start as usize).min(end);
        Amount(self.places[start..end].iter().map(|place| place.fee.0).sum())
    }

    /// Reads the entries of a range, which is cut to what exists, handing each to `each`: every group is read once.
    pub fn entries(&self, range: std::ops::Range<u64>, mut each: impl FnMut(&Entry)) -> Result<(), LogError> {
        let end = range.end.min(self.next_sequence()) as usize;
        let mut at = (range.start as usize).min(end);
        while at < end {
            let group = self.places[at].group;
            let entries = self.group(group)?;
            for entry in entries.iter().skip(self.places[at].index as usize).take(end - at) {
                each(entry);
                at += 1;
            }
        }
        Ok(())
    }

    fn group(&self, group: u64) -> Result<Vec<Entry>, LogError> {
        let damaged = |why: &str| LogError::Damaged { at: group, why: why.into() };
        let read = self.frames.read(self.store.as_ref(), group, self.good)?;
        let (payload, _) = read.ok_or_else(|| damaged("its check fails"))?;
        let entries = entry::decode_group(&payload).map_err(|error| damaged(&error.to_string()))?;
        if entries.is_empty() {
            return Err(damaged("it is empty"));
        }
        Ok(entries)
    }

    /// Reads an entry back, checked against what was written.
    pub fn entry(&self, sequence: u64) -> Result<Option<Entry>, LogError> {
        let Some(place) = usize::try_from(sequence).ok().and_then(|at| self.places.get(at)) else {
            return Ok(None);
        };
        let entry = self.group(place.group)?.into_iter().nth(place.index as usize);
        let missing = || LogError::Damaged { at: place.group, why: "an entry is missing".into() };
        Ok(Some(entry.ok_or_else(missing)?))
    }
}

/// Pay by contributor, by account.
fn payouts(attributed: &Attributed) -> Vec<(Address, Amount)> {
    let mut list: Vec<_> = attributed
        .contributors()
        .into_iter()
        .filter(|c| c.pay > Amount::ZERO)
        .map(|Contributor { account, pay, share_ppm: _ }| (account, pay))
        .collect();
    list.sort();
    list
}

/// Ids of receipts without an answer count up, so that no two are alike.
fn unasked_id(sequence: u64) -> AnswerId {
    let mut id = [0xff; 16];
    id[8..].copy_from_slice(&sequence.to_be_bytes());
    AnswerId(id)
}

impl From<(u64, DecodeError)> for LogError {
    fn from((at, error): (u64, DecodeError)) -> LogError {
        LogError::Damaged { at, why: error.to_string() }
    }
}
