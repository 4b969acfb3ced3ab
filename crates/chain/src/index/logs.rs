//! Which events a filter selects.

use super::{Entry, IndexError};
use crate::block::Digest;
use alloy_primitives::{Address, B256};
use ledger::Log;
use std::ops::RangeInclusive;

/// Selects events, as `eth_getLogs` does.
#[derive(Clone, Debug)]
pub struct LogFilter {
    /// Heights of blocks.
    pub heights: RangeInclusive<u64>,
    /// Emitting addresses; empty for any.
    pub addresses: Vec<Address>,
    /// For each topic position the values accepted; empty for any.
    pub topics: Vec<Vec<B256>>,
}

impl LogFilter {
    /// Whether `log` is selected, whatever its height.
    pub fn selects(&self, log: &Log) -> bool {
        let topics = &log.topics;
        (self.addresses.is_empty() || self.addresses.contains(&log.address))
            && self.topics.len() <= topics.len()
            && self.topics.iter().enumerate().all(|(position, wanted)| {
                wanted.is_empty() || topics.get(position).is_some_and(|topic| wanted.contains(topic))
            })
    }
}

/// An event and where it stands.
#[derive(Clone, Debug)]
pub struct StoredLog {
    /// The event.
    pub log: Log,
    /// Height of its block.
    pub height: u64,
    /// Hash of its block.
    pub digest: Digest,
    /// Time of its block in milliseconds.
    pub timestamp_ms: u64,
    /// Hash and index of its transaction; `None` for an event of the block itself.
    pub transaction: Option<(B256, u32)>,
    /// Index in the block.
    pub log_index: u32,
}

/// Why events cannot be listed.
#[derive(Debug, thiserror::Error)]
pub enum LogsError {
    /// Too many match.
    #[error("more than {0} events match: narrow the block range, the addresses or the topics")]
    TooMany(usize),
    /// The index failed.
    #[error(transparent)]
    Index(#[from] IndexError),
}

/// All events of a block, in order.
pub(crate) fn all(entry: &Entry) -> impl Iterator<Item = StoredLog> + '_ {
    let of_transactions = entry.outcome.receipts.iter().enumerate().flat_map(|(index, receipt)| {
        receipt.logs.iter().map(move |log| (Some((receipt.transaction, index as u32)), log))
    });
    let of_block = entry.outcome.block_logs.iter().map(|log| (None, log));
    of_transactions.chain(of_block).enumerate().map(|(log_index, (transaction, log))| StoredLog {
        log: log.clone(),
        height: entry.block.header.height,
        digest: entry.digest,
        timestamp_ms: entry.block.header.timestamp_ms,
        transaction,
        log_index: log_index as u32,
    })
}

/// Adds the events of `entry` that `filter` selects to `found`.
pub(super) fn collect(
    entry: &Entry,
    filter: &LogFilter,
    limit: usize,
    found: &mut Vec<StoredLog>,
) -> Result<(), LogsError> {
    for stored in all(entry).filter(|stored| filter.selects(&stored.log)) {
        if found.len() == limit {
            return Err(LogsError::TooMany(limit));
        }
        found.push(stored);
    }
    Ok(())
}
