//! The index on disk.

use super::{
    IndexError, LogFilter, StoredLog, packed,
    tables::{BODIES, DIGESTS, HEADERS, LOG_ADDRESSES, LOG_TOPICS, META, OUTCOMES, TRANSACTIONS, VERSION},
};
use crate::{
    block::{Block, Digest, Header},
    receipt::{Outcome, TransactionReceipt, decode_block_logs},
};
use alloy_primitives::B256;
use bytes::Bytes;
use commonware_codec::{Copying, DecodeExt as _, Encode as _};
use redb::{Database, ReadableDatabase as _, ReadableTable as _, Table, TableDefinition, WriteTransaction};
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
};

/// A finalized block with its receipts.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Block hash.
    pub digest: Digest,
    /// The block.
    pub block: Arc<Block>,
    /// Its receipts and events.
    pub outcome: Arc<Outcome>,
}

/// A transaction with its receipt, and where it stands.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Hash of its block.
    pub digest: Digest,
    /// Header of its block.
    pub header: Header,
    /// Position in the block.
    pub index: u32,
    /// Raw bytes as signed.
    pub raw: Bytes,
    /// Receipt.
    pub receipt: TransactionReceipt,
    /// Gas of the block up to and including this transaction.
    pub cumulative_gas: u64,
    /// Index in the block of its first event.
    pub first_log: u32,
}

impl Entry {
    /// The transaction at `index`.
    ///
    /// # Panics
    /// Past the end.
    pub fn transaction(&self, index: usize) -> Stored {
        let before = &self.outcome.receipts[..=index];
        Stored {
            digest: self.digest,
            header: self.block.header.clone(),
            index: index as u32,
            raw: self.block.transactions[index].clone(),
            receipt: self.outcome.receipts[index].clone(),
            cumulative_gas: before.iter().map(|receipt| receipt.gas_used).sum(),
            first_log: before[..index].iter().map(|receipt| receipt.logs.len() as u32).sum(),
        }
    }

    /// All transactions in order.
    pub fn transactions(&self) -> impl Iterator<Item = Stored> + '_ {
        let (mut cumulative_gas, mut first_log) = (0, 0);
        self.outcome.receipts.iter().enumerate().map(move |(index, receipt)| {
            cumulative_gas += receipt.gas_used;
            let first = first_log;
            first_log += receipt.logs.len() as u32;
            Stored {
                digest: self.digest,
                header: self.block.header.clone(),
                index: index as u32,
                raw: self.block.transactions[index].clone(),
                receipt: receipt.clone(),
                cumulative_gas,
                first_log: first,
            }
        })
    }

    /// All events in order, those of the block itself last.
    pub fn logs(&self) -> impl Iterator<Item = StoredLog> + '_ {
        super::logs::all(self)
    }
}

/// Bytes before each packed receipt: cumulative gas and index of the first event.
const PREFIX_BYTES: usize = 12;
/// Memory for pages; history is mostly written and rarely read.
const CACHE_BYTES: usize = 16 << 20;

/// Everything a block adds to or takes from, open for writing.
struct Tables<'a> {
    headers: Table<'a, u64, &'static [u8]>,
    bodies: Table<'a, u64, &'static [u8]>,
    outcomes: Table<'a, u64, &'static [u8]>,
    digests: Table<'a, [u8; 32], u64>,
    transactions: Table<'a, [u8; 32], (u64, u32)>,
    addresses: Table<'a, ([u8; 20], u64), ()>,
    topics: Table<'a, (u8, [u8; 32], u64), ()>,
}

impl<'a> Tables<'a> {
    fn open(transaction: &'a WriteTransaction) -> Result<Self, redb::Error> {
        Ok(Self {
            headers: transaction.open_table(HEADERS)?,
            bodies: transaction.open_table(BODIES)?,
            outcomes: transaction.open_table(OUTCOMES)?,
            digests: transaction.open_table(DIGESTS)?,
            transactions: transaction.open_table(TRANSACTIONS)?,
            addresses: transaction.open_table(LOG_ADDRESSES)?,
            topics: transaction.open_table(LOG_TOPICS)?,
        })
    }
}

pub(super) struct Store {
    path: PathBuf,
    database: Database,
}

impl Store {
    pub(super) fn open(path: &Path, genesis_hash: B256) -> Result<Self, IndexError> {
        let unusable = |reason: String| IndexError::Unusable { path: path.to_owned(), reason };
        let database = Database::builder()
            .set_cache_size(CACHE_BYTES)
            .create(path)
            .map_err(|error| unusable(error.to_string()))?;
        let store = Self { path: path.to_owned(), database };
        store.check_identity(genesis_hash)?;
        Ok(store)
    }

    fn check_identity(&self, genesis_hash: B256) -> Result<(), IndexError> {
        let transaction = self.database.begin_write().map_err(|error| self.fault(error))?;
        {
            let mut meta = transaction.open_table(META).map_err(|error| self.fault(error))?;
            let version =
                meta.get("version").map_err(|error| self.fault(error))?.map(|value| value.value().to_vec());
            let genesis =
                meta.get("genesis").map_err(|error| self.fault(error))?.map(|value| value.value().to_vec());
            match (version, genesis) {
                (None, _) | (_, None) => {
                    let version = VERSION.to_le_bytes();
                    meta.insert("version", version.as_slice()).map_err(|error| self.fault(error))?;
                    meta.insert("genesis", genesis_hash.as_slice()).map_err(|error| self.fault(error))?;
                }
                (Some(version), _) if version != VERSION.to_le_bytes() => {
                    return Err(self.fault("it was written by another version"));
                }
                (_, Some(found)) if found != genesis_hash.as_slice() => {
                    let found = B256::try_from(found.as_slice()).unwrap_or_default();
                    return Err(IndexError::ForeignNetwork {
                        path: self.path.clone(),
                        found,
                        expected: genesis_hash,
                    });
                }
                _ => {}
            }
            // Readers expect them all, even before the first block.
            Tables::open(&transaction).map_err(|error| self.fault(error))?;
        }
        transaction.commit().map_err(|error| self.fault(error))
    }

    fn fault(&self, reason: impl std::fmt::Display) -> IndexError {
        IndexError::Unusable { path: self.path.clone(), reason: reason.to_string() }
    }

    /// Writes blocks for good.
    pub(super) fn write(&self, entries: &[Arc<Entry>]) -> Result<(), IndexError> {
        if entries.is_empty() {
            return Ok(());
        }
        self.try_write(entries).map_err(|error| self.write_fault(error))
    }

    /// A full or failing disk is the operator's to mend, anything else the file's.
    fn write_fault(&self, error: redb::Error) -> IndexError {
        match error {
            redb::Error::Io(source) => IndexError::Io { path: self.path.clone(), source },
            other => self.fault(other),
        }
    }

    fn try_write(&self, entries: &[Arc<Entry>]) -> Result<(), redb::Error> {
        let transaction = self.database.begin_write()?;
        {
            let mut tables = Tables::open(&transaction)?;
            for entry in entries {
                let height = entry.block.header.height;
                let header = [entry.digest.as_ref(), &entry.block.header.encode()].concat();
                tables.headers.insert(height, header.as_slice())?;
                tables.digests.insert(digest_bytes(&entry.digest), height)?;
                tables.bodies.insert(height, packed::pack(&entry.block.transactions).as_slice())?;
                tables.outcomes.insert(height, packed::pack(&prefixed_leaves(&entry.outcome)).as_slice())?;
                for (index, receipt) in entry.outcome.receipts.iter().enumerate() {
                    tables.transactions.insert(receipt.transaction.0, (height, index as u32))?;
                }
                let (seen_addresses, seen_topics) = keys_of_logs(&entry.outcome);
                for address in seen_addresses {
                    tables.addresses.insert((address, height), ())?;
                }
                for (position, topic) in seen_topics {
                    tables.topics.insert((position, topic, height), ())?;
                }
            }
        }
        transaction.commit()?;
        Ok(())
    }

    /// Removes up to `limit` of the blocks 1 to `end`, oldest first.
    pub(super) fn prune(&self, end: u64, limit: usize) -> Result<(), IndexError> {
        if end == 0 {
            return Ok(());
        }
        let heights: Vec<u64> = self.read(|transaction| {
            let headers = transaction.open_table(HEADERS)?;
            headers.range(1..=end)?.take(limit).map(|row| Ok(row?.0.value())).collect()
        })?;
        let mut entries = Vec::new();
        for height in heights {
            entries.extend(self.entry(height)?);
        }
        if entries.is_empty() {
            return Ok(());
        }
        self.try_remove(&entries).map_err(|error| self.write_fault(error))
    }

    fn try_remove(&self, entries: &[Arc<Entry>]) -> Result<(), redb::Error> {
        let transaction = self.database.begin_write()?;
        {
            let mut tables = Tables::open(&transaction)?;
            for entry in entries {
                let height = entry.block.header.height;
                tables.headers.remove(height)?;
                tables.bodies.remove(height)?;
                tables.outcomes.remove(height)?;
                tables.digests.remove(digest_bytes(&entry.digest))?;
                for receipt in &entry.outcome.receipts {
                    tables.transactions.remove(receipt.transaction.0)?;
                }
                let (seen_addresses, seen_topics) = keys_of_logs(&entry.outcome);
                for address in seen_addresses {
                    tables.addresses.remove((address, height))?;
                }
                for (position, topic) in seen_topics {
                    tables.topics.remove((position, topic, height))?;
                }
            }
        }
        transaction.commit()?;
        Ok(())
    }

    /// Height of the oldest block but block 0.
    pub(super) fn oldest(&self) -> Result<Option<u64>, IndexError> {
        self.read(|transaction| {
            let headers = transaction.open_table(HEADERS)?;
            let first = headers.range(1..)?.next().transpose()?;
            Ok(first.map(|(height, _)| height.value()))
        })
    }

    /// Height of the newest block, `None` in a new file.
    pub(super) fn head(&self) -> Result<Option<u64>, IndexError> {
        self.read(|transaction| {
            let headers = transaction.open_table(HEADERS)?;
            Ok(headers.last()?.map(|(height, _)| height.value()))
        })
    }

    pub(super) fn height_of(&self, digest: &Digest) -> Result<Option<u64>, IndexError> {
        self.read(|transaction| {
            Ok(transaction.open_table(DIGESTS)?.get(digest_bytes(digest))?.map(|height| height.value()))
        })
    }

    pub(super) fn entry(&self, height: u64) -> Result<Option<Arc<Entry>>, IndexError> {
        let rows = self.read(|transaction| {
            let row = |table: TableDefinition<u64, &'static [u8]>| -> Result<Option<Vec<u8>>, redb::Error> {
                Ok(transaction.open_table(table)?.get(height)?.map(|value| value.value().to_vec()))
            };
            Ok((row(HEADERS)?, row(BODIES)?, row(OUTCOMES)?))
        })?;
        let (Some(header), Some(body), Some(outcome)) = rows else { return Ok(None) };
        let entry = decode_entry(&header, body, &outcome);
        entry
            .map(|entry| Some(Arc::new(entry)))
            .ok_or_else(|| self.fault(format!("block {height} is damaged")))
    }

    pub(super) fn transaction(&self, hash: &B256) -> Result<Option<Stored>, IndexError> {
        let found = self.read(|transaction| {
            let Some(place) = transaction.open_table(TRANSACTIONS)?.get(hash.0)?.map(|place| place.value())
            else {
                return Ok(None);
            };
            let (headers, bodies, outcomes) = (
                transaction.open_table(HEADERS)?,
                transaction.open_table(BODIES)?,
                transaction.open_table(OUTCOMES)?,
            );
            let rows = (headers.get(place.0)?, bodies.get(place.0)?, outcomes.get(place.0)?);
            let (Some(header), Some(body), Some(outcome)) = rows else { return Ok(Some(None)) };
            Ok(Some(decode_stored(header.value(), body.value(), outcome.value(), place.1)))
        })?;
        match found {
            None => Ok(None),
            Some(Some(stored)) => Ok(Some(stored)),
            Some(None) => Err(self.fault(format!("transaction {hash} is damaged"))),
        }
    }

    /// Heights up to `end` that may hold a match, ascending.
    pub(super) fn candidates(&self, filter: &LogFilter, end: u64) -> Result<Vec<u64>, IndexError> {
        let (start, end) = (*filter.heights.start(), end.min(*filter.heights.end()));
        let mut sets: Vec<BTreeSet<u64>> = Vec::new();
        self.read(|transaction| {
            let addresses = transaction.open_table(LOG_ADDRESSES)?;
            let topics = transaction.open_table(LOG_TOPICS)?;
            if !filter.addresses.is_empty() {
                let mut set = BTreeSet::new();
                for address in &filter.addresses {
                    for row in addresses.range((address.0.0, start)..=(address.0.0, end))? {
                        set.insert(row?.0.value().1);
                    }
                }
                sets.push(set);
            }
            for (position, wanted) in
                filter.topics.iter().enumerate().filter(|(_, wanted)| !wanted.is_empty())
            {
                let (position, mut set) = (position as u8, BTreeSet::new());
                for topic in wanted {
                    for row in topics.range((position, topic.0, start)..=(position, topic.0, end))? {
                        set.insert(row?.0.value().2);
                    }
                }
                sets.push(set);
            }
            Ok(())
        })?;
        let Some(first) = sets.pop() else { return Ok((start..=end).collect()) };
        Ok(first.into_iter().filter(|height| sets.iter().all(|set| set.contains(height))).collect())
    }

    fn read<T>(
        &self,
        body: impl FnOnce(&redb::ReadTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, IndexError> {
        let transaction = self.database.begin_read().map_err(|error| self.fault(error))?;
        body(&transaction).map_err(|error| self.fault(error))
    }
}

fn digest_bytes(digest: &Digest) -> [u8; 32] {
    digest.as_ref().try_into().expect("a digest has 32 bytes")
}

/// The leaves, each receipt after its cumulative gas and first event index.
fn prefixed_leaves(outcome: &Outcome) -> Vec<Vec<u8>> {
    let (mut gas, mut logs) = (0u64, 0u32);
    let mut leaves = outcome.leaves();
    for (leaf, receipt) in leaves.iter_mut().zip(&outcome.receipts) {
        gas += receipt.gas_used;
        let prefix = [gas.to_le_bytes().as_slice(), &logs.to_le_bytes()].concat();
        leaf.splice(0..0, prefix);
        logs += receipt.logs.len() as u32;
    }
    leaves
}

fn keys_of_logs(outcome: &Outcome) -> (BTreeSet<[u8; 20]>, BTreeSet<(u8, [u8; 32])>) {
    let logs = outcome.receipts.iter().flat_map(|receipt| &receipt.logs).chain(&outcome.block_logs);
    let (mut addresses, mut topics) = (BTreeSet::new(), BTreeSet::new());
    for log in logs {
        addresses.insert(log.address.0.0);
        topics.extend(log.topics.iter().enumerate().map(|(position, topic)| (position as u8, topic.0)));
    }
    (addresses, topics)
}

fn decode_header(row: &[u8]) -> Option<(Digest, Header)> {
    let (digest, header) = row.split_at_checked(32)?;
    Some((Digest::decode(Copying(digest)).ok()?, Header::decode(Copying(header)).ok()?))
}

fn decode_entry(header: &[u8], body: Vec<u8>, outcome: &[u8]) -> Option<Entry> {
    let (digest, header) = decode_header(header)?;
    let body = Bytes::from(body);
    let transactions = (0..packed::count(&body))
        .map(|index| packed::get(&body, index).map(|raw| body.slice_ref(raw)))
        .collect::<Option<Vec<_>>>()?;
    let count = packed::count(outcome);
    let mut receipts = Vec::with_capacity(transactions.len());
    for index in 0..transactions.len() {
        let leaf = packed::get(outcome, index)?.get(PREFIX_BYTES..)?;
        receipts.push(TransactionReceipt::decode(leaf).ok()?);
    }
    let block_logs = decode_block_logs(packed::get(outcome, count.checked_sub(1)?)?).ok()?;
    Some(Entry {
        digest,
        block: Arc::new(Block { header, transactions }),
        outcome: Arc::new(Outcome { receipts, block_logs }),
    })
}

fn decode_stored(header: &[u8], body: &[u8], outcome: &[u8], index: u32) -> Option<Stored> {
    let (digest, header) = decode_header(header)?;
    let raw = Bytes::copy_from_slice(packed::get(body, index as usize)?);
    let (prefix, leaf) = packed::get(outcome, index as usize)?.split_at_checked(PREFIX_BYTES)?;
    Some(Stored {
        digest,
        header,
        index,
        raw,
        receipt: TransactionReceipt::decode(leaf).ok()?,
        cumulative_gas: u64::from_le_bytes(prefix[..8].try_into().ok()?),
        first_log: u32::from_le_bytes(prefix[8..].try_into().ok()?),
    })
}
