//! Datanet versions, and training sets: queries over versions, frozen into a root.
//!
//! A version of a Datanet is the list of its items' leaves in commit order; its root is their Merkle root. A training set is a
//! query over versions. Which items it takes depends on the query and the versions alone, and so does its root:
//! `H(training set || query || (Datanet, version root)... || Merkle root over the chosen leaves)`, in canonical encoding.

use super::items::{Items, OpenItem};
use super::layout::{self, ContributionId, ItemMeta};
use super::log::Event;
use super::{Vault, VaultError};
use crate::crypt::keys::Keyring;
use crate::store::StoreError;
use primitives::encoding::Writer;
use primitives::hash::{Domain, hash};
use primitives::{Address, B256, DatanetId, merkle};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Which items to take. Empty lists mean no condition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Query {
    /// Datanets; all when empty.
    pub datanets: Vec<DatanetId>,
    /// Licences that the use is allowed to draw on, as SPDX ids; an item needs one choice made of them alone.
    pub licences: Vec<String>,
    /// ISO 639-3 codes.
    pub languages: Vec<String>,
    /// Owners.
    pub owners: Vec<Address>,
    /// Natural contributors (an item's `group`).
    pub groups: Vec<String>,
    /// Least novelty, in ppm. 1 leaves out every later near-duplicate (RULEBOOK R3), 0 keeps all.
    pub min_nu_ppm: u32,
    /// Least bytes of a text.
    pub min_bytes: u64,
    /// Most bytes in all, taken in commit order; 0 for no limit.
    pub max_bytes: u64,
    /// Leaves that are left out, ascending: paraphrases, or what its owner asked to spare.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub without: Vec<B256>,
}

/// Announces [`Query::without`] in a query's encoding, where a number of versions stands otherwise.
const WITHOUT: u32 = u32::MAX;

impl Query {
    /// Everything but near-duplicates.
    pub fn deduplicated() -> Query {
        Query { min_nu_ppm: 1, ..Query::default() }
    }

    fn encode(&self, w: &mut Writer) {
        let Query {
            datanets,
            licences,
            languages,
            owners,
            groups,
            min_nu_ppm,
            min_bytes,
            max_bytes,
            without,
        } = self;
        w.list(datanets, |w, d| {
            w.hash(&d.0);
        });
        for texts in [licences, languages, groups] {
            w.list(texts, |w, text| {
                w.text(text);
            });
        }
        w.list(owners, |w, owner| {
            w.address(owner);
        });
        w.u32(*min_nu_ppm).u64(*min_bytes).u64(*max_bytes);
        if !without.is_empty() {
            w.u32(WITHOUT).list(without, |w, leaf| {
                w.hash(leaf);
            });
        }
    }

    fn takes(&self, meta: &ItemMeta, leaf: &B256) -> bool {
        let allowed = |list: &[String], value: &str| list.is_empty() || list.iter().any(|l| l == value);
        crate::licence::accepted(&meta.facts.licence, &self.licences)
            && allowed(&self.languages, meta.language.as_deref().unwrap_or("und"))
            && (self.owners.is_empty() || self.owners.contains(&meta.facts.owner))
            && allowed(&self.groups, meta.group.as_deref().unwrap_or(""))
            && meta.nu_ppm >= self.min_nu_ppm
            && meta.facts.bytes >= self.min_bytes
            && self.without.binary_search(leaf).is_err()
    }
}

/// A Datanet at a moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// Which Datanet.
    pub datanet: DatanetId,
    /// Merkle root over its leaves in commit order.
    pub root: B256,
    /// Number of leaves, erased ones included.
    pub items: u64,
}

/// One item of a training set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its contribution.
    pub contribution: ContributionId,
    /// Its number there.
    pub index: u64,
    /// Its leaf.
    pub leaf: B256,
}

/// A frozen training set: public, since leaves are salted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrainingSet {
    /// Its root.
    pub root: B256,
    /// What was asked.
    pub query: Query,
    /// Of which versions.
    pub versions: Vec<Version>,
    /// Merkle root over the leaves of the entries.
    pub items_root: B256,
    /// Bytes of all texts.
    pub bytes: u64,
    /// Estimated tokens.
    pub tokens: u64,
    /// The items in order.
    pub entries: Vec<Entry>,
}

impl TrainingSet {
    /// The tree over the items' leaves, for membership proofs against [`TrainingSet::items_root`].
    pub fn tree(&self) -> merkle::Tree {
        merkle::Tree::new(self.entries.iter().map(|e| e.leaf).collect())
    }

    /// The root that query, versions and entries lead to.
    pub fn computed_root(&self) -> B256 {
        let items_root = self.tree().root();
        let mut w = Writer::new();
        self.query.encode(&mut w);
        w.list(&self.versions, |w, version| {
            w.hash(&version.datanet.0).hash(&version.root).u64(version.items);
        });
        w.hash(&items_root);
        hash(Domain::TrainingSet, w.as_bytes())
    }
}

impl Vault {
    /// The current version of a Datanet.
    pub fn version(&self, datanet: &DatanetId) -> Result<Version, VaultError> {
        self.datanet(datanet)?;
        let mut leaves = Vec::new();
        for contribution in self.contributions.iter().filter(|c| c.datanet == *datanet) {
            for segment in &contribution.segments {
                leaves.extend(self.rows(segment)?.into_iter().map(|row| row.leaf));
            }
        }
        Ok(Version { datanet: *datanet, root: merkle::root(&leaves), items: leaves.len() as u64 })
    }

    /// Freezes what a query takes from the current versions. The same query over the same versions gives the same root.
    ///
    /// # Errors
    /// [`VaultError::NothingMatches`] when no item does.
    pub fn freeze(&mut self, mut query: Query, ring: &Keyring, now: u64) -> Result<TrainingSet, VaultError> {
        for licence in &query.licences {
            crate::licence::normal(licence)?;
        }
        query.without.sort_unstable();
        query.without.dedup();
        let mut ids: Vec<DatanetId> = match query.datanets.as_slice() {
            [] => self.datanets.keys().copied().collect(),
            named => named.to_vec(),
        };
        ids.sort_unstable();
        ids.dedup();
        let versions = ids.iter().map(|id| self.version(id)).collect::<Result<Vec<_>, _>>()?;
        let mut set = TrainingSet {
            root: B256::ZERO,
            query,
            versions,
            items_root: B256::ZERO,
            bytes: 0,
            tokens: 0,
            entries: Vec::new(),
        };
        let mut looked_at = 0u64;
        for contribution in self.contributions.iter().filter(|c| ids.contains(&c.datanet)) {
            let mut items = self.items(&contribution.id, ring)?;
            for index in 0..contribution.items {
                let meta = match items.meta(index) {
                    Ok(meta) => meta,
                    Err(VaultError::Erased { .. }) => continue,
                    Err(error) => return Err(error),
                };
                looked_at += 1;
                let limit = set.query.max_bytes;
                let fits = limit == 0 || set.bytes + meta.facts.bytes <= limit;
                let leaf = meta.facts.leaf();
                if set.query.takes(&meta, &leaf) && fits {
                    set.bytes += meta.facts.bytes;
                    set.tokens += meta.tokens;
                    set.entries.push(Entry { contribution: contribution.id, index, leaf });
                }
            }
        }
        if set.entries.is_empty() {
            return Err(VaultError::NothingMatches(format!("{looked_at} items were looked at")));
        }
        set.items_root = set.tree().root();
        set.root = set.computed_root();
        let bytes = serde_json::to_vec(&set).expect("a training set has only string keys");
        match self.store.create(&layout::set_name(&set.root), &bytes) {
            Ok(()) | Err(StoreError::Exists(_)) => {}
            Err(error) => return Err(error.into()),
        }
        if !self.sets.contains(&set.root) {
            let items = set.entries.len() as u64;
            self.record(now, Event::Frozen { root: set.root, items })?;
        }
        Ok(set)
    }

    /// A frozen training set, checked against its root.
    pub fn set(&self, root: &B256) -> Result<TrainingSet, VaultError> {
        if !self.sets.contains(root) {
            return Err(VaultError::NoSet(*root));
        }
        let name = layout::set_name(root);
        let damaged = |reason: String| VaultError::Damaged { name: name.clone(), reason };
        let bytes = self.store.read(&name)?;
        let set: TrainingSet = serde_json::from_slice(&bytes).map_err(|e| damaged(e.to_string()))?;
        if set.root != *root || set.computed_root() != *root || set.tree().root() != set.items_root {
            return Err(damaged("its content does not lead to its root".into()));
        }
        Ok(set)
    }

    /// Decrypts a training set in order for its keepers; every item is checked against its leaf. Recorded in the log.
    pub fn open_set(
        &mut self,
        root: &B256,
        ring: &Keyring,
        purpose: &str,
        now: u64,
    ) -> Result<SetItems<'_>, VaultError> {
        let set = self.set(root)?;
        let by = ring.public_keys().next().copied().ok_or_else(|| {
            let keepers = Vec::new();
            crate::crypt::CryptError::NoKey { needed: 1, keepers }
        })?;
        let items = set.entries.len() as u64;
        let purpose = purpose.to_string();
        self.record(now, Event::Opened { by, grant: None, set: Some(*root), items, purpose })?;
        let mut readers = BTreeMap::new();
        for entry in &set.entries {
            if let std::collections::btree_map::Entry::Vacant(place) = readers.entry(entry.contribution) {
                place.insert(self.items(&entry.contribution, ring)?);
            }
        }
        Ok(SetItems { set, readers, next: 0 })
    }
}

/// The items of a training set, decrypted one by one.
pub struct SetItems<'v> {
    pub(super) set: TrainingSet,
    pub(super) readers: BTreeMap<ContributionId, Items<'v>>,
    pub(super) next: usize,
}

impl SetItems<'_> {
    /// The set they belong to.
    pub fn set(&self) -> &TrainingSet {
        &self.set
    }

    fn open(&mut self, entry: Entry) -> Result<OpenItem, VaultError> {
        let reader = self.readers.get_mut(&entry.contribution);
        let reader = reader.ok_or(VaultError::NoContribution(entry.contribution))?;
        let item = reader.open(entry.index)?;
        if item.meta.facts.leaf() != entry.leaf {
            let name = layout::set_name(&self.set.root);
            return Err(VaultError::Damaged { name, reason: "an entry names another item's leaf".into() });
        }
        Ok(item)
    }
}

impl Iterator for SetItems<'_> {
    /// The item's place in the set, and the item. An item erased since the set was frozen is
    /// [`VaultError::Erased`]: training on the rest is a new set, and the caller decides.
    type Item = Result<(Entry, OpenItem), VaultError>;

    fn next(&mut self) -> Option<Self::Item> {
        let entry = *self.set.entries.get(self.next)?;
        self.next += 1;
        Some(self.open(entry).map(|item| (entry, item)))
    }
}
