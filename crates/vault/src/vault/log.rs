//! The log: everything that happened to a vault, in order, hash-chained.
//!
//! Record n is the object `log/n`, JSON with `sequence`, `previous`, `at` and `event`. `previous` is the hash of the
//! preceding object's bytes under the domain of log links, zero for the first; the hash of the last record is the vault's
//! head. Whoever anchors the head elsewhere (on the ledger) can later prove that no access was left out: removing,
//! reordering or changing a record changes the head. Creating the record is the moment an operation becomes true.

use super::VaultError;
use super::layout::{ContributionId, SegmentRef, log_name};
use crate::access::{Grant, Tombstone};
use crate::datanet::Datanet;
use crate::store::{Store, StoreError};
use primitives::hash::{Domain, hash};
use primitives::{Address, B256, DatanetId};
use serde::{Deserialize, Serialize};

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Event {
    /// The vault was made.
    Created {
        /// Format version.
        version: u32,
        /// Random name of the vault.
        vault: B256,
    },
    /// A Datanet was declared.
    Datanet(Datanet),
    /// Items were committed.
    Contributed(Contribution),
    /// A grantee was given keys.
    Granted(Grant),
    /// A grant ended before its time.
    Revoked {
        /// Which.
        grant: B256,
        /// Why.
        reason: String,
    },
    /// A training set was frozen.
    Frozen {
        /// Its root.
        root: B256,
        /// Its items.
        items: u64,
    },
    /// Items were decrypted.
    Opened {
        /// By the holder of this key.
        by: crate::crypt::keys::PublicKey,
        /// Under this grant; none for keepers.
        grant: Option<B256>,
        /// Of this training set, or all items of the contributions named.
        set: Option<B256>,
        /// How many items at most.
        items: u64,
        /// For what.
        purpose: String,
    },
    /// Items were erased.
    Erased(Tombstone),
}

/// A contribution as it stands in the log: public, and what R4's commit and reveal need.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contribution {
    /// The commitment.
    pub id: ContributionId,
    /// To which Datanet.
    pub datanet: DatanetId,
    /// By whom.
    pub owner: Address,
    /// Merkle root over the salted leaves.
    pub root: B256,
    /// Salt of the commitment, to be revealed with the root.
    pub salt: B256,
    /// Merkle root over the items' published signatures (zero for an item without words), for the reveal (R3).
    pub signatures: B256,
    /// Number of items.
    pub items: u64,
    /// Bytes of their texts.
    pub bytes: u64,
    /// Estimated tokens.
    pub tokens: u64,
    /// The licences of its items, sorted.
    pub licences: Vec<String>,
    /// Where its items lie.
    pub segments: Vec<SegmentRef>,
}

/// A record as stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Its number.
    pub sequence: u64,
    /// Hash of the record before it.
    pub previous: B256,
    /// When, in seconds since 1970.
    pub at: u64,
    /// What.
    pub event: Event,
}

/// The records and the head of a log.
#[derive(Debug, Default)]
pub struct Log {
    /// All records.
    pub records: Vec<Record>,
    /// Hash of the last one; zero for an empty log.
    pub head: B256,
}

impl Log {
    /// Reads and checks the whole chain. A listing may be stale, so reading goes on by number past its end.
    ///
    /// # Errors
    /// [`VaultError::Log`] when a record is missing, out of place or does not name its predecessor's hash.
    pub fn read(store: &dyn Store) -> Result<Log, VaultError> {
        let mut log = Log::default();
        let listed = store.list("log/")?;
        for (sequence, name) in listed.iter().enumerate() {
            if *name != log_name(sequence as u64) {
                let reason = format!("`{name}` stands where it should be; a record was removed");
                return Err(VaultError::Log { sequence: sequence as u64, reason });
            }
        }
        for bytes in store.read_all(&listed)? {
            log.follow(&bytes)?;
        }
        loop {
            match store.read(&log_name(log.records.len() as u64)) {
                Ok(bytes) => log.follow(&bytes)?,
                Err(StoreError::NotFound(_)) => return Ok(log),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Takes up the next record from its bytes.
    fn follow(&mut self, bytes: &[u8]) -> Result<(), VaultError> {
        let sequence = self.records.len() as u64;
        let broken = |reason: String| VaultError::Log { sequence, reason };
        let record: Record = serde_json::from_slice(bytes).map_err(|e| broken(e.to_string()))?;
        if record.sequence != sequence || record.previous != self.head {
            return Err(broken("it does not follow its predecessor; the log was changed".into()));
        }
        self.head = hash(Domain::LogLink, bytes);
        self.records.push(record);
        Ok(())
    }

    /// Appends an event; it is true once this returns.
    pub fn append(&mut self, store: &dyn Store, at: u64, event: Event) -> Result<&Record, VaultError> {
        let sequence = self.records.len() as u64;
        let record = Record { sequence, previous: self.head, at, event };
        let bytes = serde_json::to_vec(&record).expect("a record has only string keys");
        store.create(&log_name(sequence), &bytes).map_err(|error| match error {
            StoreError::Exists(_) => VaultError::Raced,
            other => other.into(),
        })?;
        self.head = hash(Domain::LogLink, &bytes);
        self.records.push(record);
        Ok(self.records.last().expect("pushed just now"))
    }
}
