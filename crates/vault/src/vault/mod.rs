//! The vault itself: an append-only log of what happened, and the objects it refers to.
//!
//! Order of writing is the whole of crash safety: packs and rows first, keys next, the log's record last. Until the record
//! exists nothing happened, and what was written is garbage that [`Vault::collect_garbage`] removes; once it exists
//! everything it refers to does too. A killed import leaves its finished segments listed under `pending/`, and the same
//! import continues after them.

mod batch;
pub mod erase;
pub mod grants;
pub mod import;
pub mod items;
pub mod layout;
pub mod log;
pub mod report;
pub mod training;
pub mod upkeep;

use crate::access::Grant;
use crate::crypt::{CryptError, random};
use crate::datanet::{Datanet, MAX_DESCRIPTION_BYTES, MAX_NAME_BYTES};
use crate::similar::Index;
use crate::store::{Store, StoreError};
use layout::{ContributionId, VERSION};
use log::{Contribution, Event, Log, Record};
use primitives::encoding::DecodeError;
use primitives::{Address, B256, DatanetId, ItemId};
use std::collections::{BTreeMap, HashSet};

/// Why a vault did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Encryption or decryption failed.
    #[error(transparent)]
    Crypt(#[from] CryptError),
    /// There is a vault already.
    #[error("there is a vault here already; open it instead")]
    Exists,
    /// There is no vault.
    #[error("there is no vault here; create one first")]
    Absent,
    /// A vault of a later format.
    #[error("this vault has format {found}, this program reads up to {VERSION}; use a newer version")]
    Version {
        /// Its format.
        found: u32,
    },
    /// The log is not a chain.
    #[error("record {sequence} of the log: {reason}")]
    Log {
        /// Which record.
        sequence: u64,
        /// What is wrong.
        reason: String,
    },
    /// Another process appended to the log meanwhile.
    #[error("another process changed this vault meanwhile; run the command again")]
    Raced,
    /// An object that is not what the log says.
    #[error("`{name}` is damaged: {reason}; restore it from a copy")]
    Damaged {
        /// Which object.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// No such Datanet.
    #[error("no Datanet {0} in this vault; `show` lists them")]
    NoDatanet(DatanetId),
    /// A Datanet of this id exists.
    #[error("Datanet {0} exists already")]
    DatanetExists(DatanetId),
    /// A declaration outside its limits.
    #[error("{0}")]
    Declaration(String),
    /// No such contribution.
    #[error("no contribution {0} in this vault; `show` lists them")]
    NoContribution(ContributionId),
    /// No such item.
    #[error("contribution {contribution} has no item {item}")]
    NoItem {
        /// Where.
        contribution: ContributionId,
        /// Which.
        item: u64,
    },
    /// The item was erased.
    #[error("item {leaf} was erased; only its leaf is left")]
    Erased {
        /// Its leaf.
        leaf: B256,
    },
    /// A licence expression that is not SPDX.
    #[error(
        "`{expression}` is not an SPDX licence expression: {reason}. Use an id from spdx.org/licenses or `LicenseRef-Name`"
    )]
    Licence {
        /// As written.
        expression: String,
        /// What is wrong.
        reason: String,
    },
    /// No such grant.
    #[error("no grant {0} in this vault")]
    NoGrant(B256),
    /// A grant that does not hold any more.
    #[error("grant {grant} {why}; ask the keepers for a new one")]
    GrantEnded {
        /// Which.
        grant: B256,
        /// Expired or revoked.
        why: &'static str,
    },
    /// No such training set.
    #[error("no training set {0} in this vault")]
    NoSet(B256),
    /// No such leaf.
    #[error("no item with leaf {0} in this vault")]
    NoLeaf(B256),
    /// Erasure before a challenge or settlement window has closed.
    #[error("an open window needs these items until {until} (seconds since 1970); erase them then")]
    WindowOpen {
        /// When it closes.
        until: u64,
    },
    /// Nothing matches a query.
    #[error("no item matches the query: {0}")]
    NothingMatches(String),
}

impl VaultError {
    fn damaged(name: &str) -> impl FnOnce(DecodeError) -> VaultError + '_ {
        move |error| VaultError::Damaged { name: name.into(), reason: error.to_string() }
    }
}

/// A vault, open for reading and writing.
pub struct Vault {
    store: Box<dyn Store>,
    log: Log,
    datanets: BTreeMap<DatanetId, Datanet>,
    /// In commit order.
    contributions: Vec<Contribution>,
    grants: BTreeMap<B256, Grant>,
    revoked: HashSet<B256>,
    sets: Vec<B256>,
    erased: HashSet<B256>,
    novelty: Option<Novelty>,
}

/// The novelty index with what its numbers mean, built when first needed.
struct Novelty {
    index: Index,
    /// Leaf of each number.
    leaves: Vec<B256>,
    /// Items that each owner already has in each Datanet.
    present: HashSet<(DatanetId, Address, ItemId)>,
    /// Whether every earlier text could be opened.
    complete: bool,
}

impl Vault {
    /// Makes a vault in an empty store. `now` in seconds since 1970.
    pub fn create(store: Box<dyn Store>, now: u64) -> Result<Vault, VaultError> {
        if store.exists(&layout::log_name(0))? {
            return Err(VaultError::Exists);
        }
        let mut log = Log::default();
        let vault = B256::new(random()?);
        log.append(store.as_ref(), now, Event::Created { version: VERSION, vault })?;
        Vault::replay(store, log)
    }

    /// Opens a vault: reads and checks its log, and finishes what a crash interrupted.
    pub fn open(store: Box<dyn Store>) -> Result<Vault, VaultError> {
        let log = Log::read(store.as_ref())?;
        let vault = Vault::replay(store, log)?;
        vault.finish_interrupted()?;
        Ok(vault)
    }

    fn replay(store: Box<dyn Store>, log: Log) -> Result<Vault, VaultError> {
        let mut vault = Vault {
            store,
            log: Log::default(),
            datanets: BTreeMap::new(),
            contributions: Vec::new(),
            grants: BTreeMap::new(),
            revoked: HashSet::new(),
            sets: Vec::new(),
            erased: HashSet::new(),
            novelty: None,
        };
        match log.records.first().map(|r| &r.event) {
            None => return Err(VaultError::Absent),
            Some(Event::Created { version, .. }) if *version <= VERSION => {}
            Some(Event::Created { version, .. }) => return Err(VaultError::Version { found: *version }),
            Some(_) => {
                let reason = "the first record does not create a vault".into();
                return Err(VaultError::Log { sequence: 0, reason });
            }
        }
        for record in &log.records {
            vault.apply(&record.event);
        }
        vault.log = log;
        Ok(vault)
    }

    /// What an event changes in what is known.
    fn apply(&mut self, event: &Event) {
        match event {
            Event::Created { .. } | Event::Opened { .. } => {}
            Event::Datanet(datanet) => {
                self.datanets.insert(datanet.id, datanet.clone());
            }
            Event::Contributed(contribution) => self.contributions.push(contribution.clone()),
            Event::Granted(grant) => {
                self.grants.insert(grant.id, grant.clone());
            }
            Event::Revoked { grant, .. } => {
                self.revoked.insert(*grant);
            }
            Event::Frozen { root, .. } => {
                if !self.sets.contains(root) {
                    self.sets.push(*root);
                }
            }
            Event::Erased(tombstone) => {
                self.erased.extend(&tombstone.leaves);
                for rewritten in &tombstone.rewritten {
                    let found = self.contributions.iter_mut().find(|c| c.id == rewritten.contribution);
                    if let Some(segment) = found.and_then(|c| c.segments.get_mut(rewritten.segment as usize))
                    {
                        *segment = rewritten.after.clone();
                    }
                }
            }
        }
    }

    /// Records an event and applies it.
    fn record(&mut self, at: u64, event: Event) -> Result<(), VaultError> {
        self.log.append(self.store.as_ref(), at, event.clone())?;
        self.apply(&event);
        Ok(())
    }

    /// Declares a Datanet.
    pub fn create_datanet(&mut self, datanet: Datanet, now: u64) -> Result<DatanetId, VaultError> {
        datanet.keepers.check()?;
        if datanet.name.trim().is_empty() || datanet.name.len() > MAX_NAME_BYTES {
            let message = format!("a Datanet's name has 1 to {MAX_NAME_BYTES} bytes");
            return Err(VaultError::Declaration(message));
        }
        if datanet.description.len() > MAX_DESCRIPTION_BYTES {
            let message = format!("a Datanet's description has at most {MAX_DESCRIPTION_BYTES} bytes");
            return Err(VaultError::Declaration(message));
        }
        if self.datanets.contains_key(&datanet.id) {
            return Err(VaultError::DatanetExists(datanet.id));
        }
        for expression in &datanet.licences {
            crate::licence::normal(expression)?;
        }
        let id = datanet.id;
        self.record(now, Event::Datanet(datanet))?;
        Ok(id)
    }

    /// Hash of the last record of the log: anchor it to prove later that no access was left out.
    pub fn head(&self) -> B256 {
        self.log.head
    }

    /// The log.
    pub fn records(&self) -> &[Record] {
        &self.log.records
    }

    /// All Datanets by id.
    pub fn datanets(&self) -> impl Iterator<Item = &Datanet> {
        self.datanets.values()
    }

    /// One Datanet.
    pub fn datanet(&self, id: &DatanetId) -> Result<&Datanet, VaultError> {
        self.datanets.get(id).ok_or(VaultError::NoDatanet(*id))
    }

    /// All contributions in commit order.
    pub fn contributions(&self) -> &[Contribution] {
        &self.contributions
    }

    /// One contribution.
    pub fn contribution(&self, id: &ContributionId) -> Result<&Contribution, VaultError> {
        self.contributions.iter().find(|c| c.id == *id).ok_or(VaultError::NoContribution(*id))
    }

    /// Roots of the frozen training sets, in order.
    pub fn sets(&self) -> &[B256] {
        &self.sets
    }

    /// Leaves of erased items.
    pub fn erased(&self) -> &HashSet<B256> {
        &self.erased
    }

    /// The store, for what reads objects directly.
    pub fn store(&self) -> &dyn Store {
        self.store.as_ref()
    }
}
