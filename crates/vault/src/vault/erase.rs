//! Erasure: key, ciphertext and metadata go, the leaf stays.
//!
//! Needs no key: new segments are written without the items' chunks and metadata, a tombstone is recorded, and then the
//! items' wrapped keys are emptied wherever they stand (the contribution's, unfinished imports', every grant's) and the
//! old segments are removed. A crash after the record is made good when the vault is next opened. The Merkle root still
//! verifies, since rows keep their leaves; training sets that hold an erased item, and the models trained on them, are
//! listed in the tombstone, and their replay is partial from then on (RULEBOOK R15). Features and spans lie outside
//! the vault: whoever keeps them erases by the tombstone's leaves.

use super::import::ImportOptions;
use super::layout::{self, ContributionId, SegmentRef};
use super::log::Event;
use super::{Vault, VaultError};
use crate::access::{Rewritten, Tombstone};
use crate::store::StoreError;
use primitives::{B256, ModelId};
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// What to erase.
pub struct EraseOptions<'a> {
    /// Leaves of the items.
    pub leaves: Vec<B256>,
    /// Why, in words.
    pub reason: String,
    /// End of the last challenge or settlement window that may still need the items; the ledger knows it.
    pub windows_close_at: u64,
    /// Models trained on a training set; the ledger knows them.
    pub models_of: &'a dyn Fn(&B256) -> Vec<ModelId>,
    /// Seconds since 1970.
    pub now: u64,
}

impl Vault {
    /// Erases items. Items erased before are no error.
    ///
    /// # Errors
    /// [`VaultError::WindowOpen`] while a window needs them, [`VaultError::NoLeaf`] for an unknown leaf.
    pub fn erase(&mut self, options: EraseOptions<'_>) -> Result<Tombstone, VaultError> {
        if options.now < options.windows_close_at {
            return Err(VaultError::WindowOpen { until: options.windows_close_at });
        }
        let wanted: BTreeSet<B256> =
            options.leaves.iter().copied().filter(|leaf| !self.erased.contains(leaf)).collect();
        let mut missing = wanted.clone();
        let mut rewritten = Vec::new();
        for contribution in &self.contributions {
            for (number, segment) in contribution.segments.iter().enumerate() {
                let mut rows = self.rows(segment)?;
                if !rows.iter().any(|row| wanted.contains(&row.leaf)) {
                    continue;
                }
                let old = self.pack(segment)?;
                let mut pack = Vec::with_capacity(old.len());
                for row in &mut rows {
                    if missing.remove(&row.leaf) || wanted.contains(&row.leaf) {
                        row.live = None;
                    } else if let Some(live) = &mut row.live {
                        let (start, length) = (live.offset as usize, live.sealed_bytes() as usize);
                        live.offset = pack.len() as u64;
                        let name = layout::pack_name(&segment.pack);
                        let chunk = old
                            .get(start..start + length)
                            .ok_or_else(|| VaultError::Damaged { name, reason: "it is too short".into() })?;
                        pack.extend_from_slice(chunk);
                    }
                }
                let (after, _) = super::batch::write_segment(self, &pack, &rows, segment.first)?;
                rewritten.push(Rewritten {
                    contribution: contribution.id,
                    segment: number as u32,
                    before: segment.clone(),
                    after,
                });
            }
        }
        if let Some(leaf) = missing.first() {
            return Err(VaultError::NoLeaf(*leaf));
        }
        let (sets, models) = self.affected(&wanted, options.models_of)?;
        let tombstone = Tombstone {
            leaves: wanted.into_iter().collect(),
            reason: options.reason,
            models,
            sets,
            rewritten,
        };
        if !tombstone.leaves.is_empty() {
            self.record(options.now, Event::Erased(tombstone.clone()))?;
            self.novelty = None;
            self.finish_erasure(&tombstone)?;
        }
        Ok(tombstone)
    }

    /// Training sets that hold any of the leaves, and the models trained on those.
    fn affected(
        &self,
        leaves: &BTreeSet<B256>,
        models_of: &dyn Fn(&B256) -> Vec<ModelId>,
    ) -> Result<(Vec<B256>, Vec<ModelId>), VaultError> {
        let (mut sets, mut models) = (Vec::new(), BTreeSet::new());
        for root in &self.sets {
            if self.set(root)?.entries.iter().any(|entry| leaves.contains(&entry.leaf)) {
                sets.push(*root);
                models.extend(models_of(root));
            }
        }
        Ok((sets, models.into_iter().collect()))
    }

    /// Removes what a recorded erasure leaves behind. Can be repeated: old packs go last, so their absence says it is done.
    pub(super) fn finish_erasure(&self, tombstone: &Tombstone) -> Result<(), VaultError> {
        let leaves: HashSet<&B256> = tombstone.leaves.iter().collect();
        let mut gone: BTreeMap<ContributionId, BTreeSet<u64>> = BTreeMap::new();
        for rewritten in &tombstone.rewritten {
            let rows = self.rows(&rewritten.after)?;
            let indices = rows.iter().enumerate().filter(|(_, row)| leaves.contains(&row.leaf));
            gone.entry(rewritten.contribution)
                .or_default()
                .extend(indices.map(|(place, _)| rewritten.after.first + place as u64));
        }
        for (contribution, indices) in &gone {
            let name = layout::keys_name(contribution);
            let mut keys =
                layout::decode_keys(&self.store.read(&name)?).map_err(VaultError::damaged(&name))?;
            for index in indices {
                if let Some(key) = keys.wrapped.get_mut(*index as usize) {
                    *key = None;
                }
            }
            self.store.replace(&name, &layout::encode_keys(&keys))?;
        }
        // By the log as well as by the listing: a stale one would leave keys behind.
        let granted =
            self.grants().filter(|(_, revoked)| !revoked).map(|(grant, _)| layout::grant_name(&grant.id));
        let names: BTreeSet<String> = granted.chain(self.store.list("grants/")?).collect();
        for name in names {
            let bytes = match self.store.read(&name) {
                Ok(bytes) => bytes,
                Err(StoreError::NotFound(_)) => continue,
                Err(error) => return Err(error.into()),
            };
            let mut grant = layout::decode_grant(&bytes).map_err(VaultError::damaged(&name))?;
            let mut changed = false;
            for (contribution, index, key) in &mut grant.entries {
                if key.is_some() && gone.get(contribution).is_some_and(|gone| gone.contains(index)) {
                    *key = None;
                    changed = true;
                }
            }
            if changed {
                self.store.replace(&name, &layout::encode_grant(&grant))?;
            }
        }
        // An unfinished import may still hold keys of a session whose segments are these.
        self.drop_committed_sessions()?;
        let live = self.live_objects()?;
        for Rewritten { before, .. } in &tombstone.rewritten {
            for name in [
                layout::rows_name(&before.rows),
                layout::outboard_name(&before.pack),
                layout::pack_name(&before.pack),
            ] {
                if !live.contains(&name) {
                    self.store.remove(&name)?;
                }
            }
        }
        Ok(())
    }

    /// Finishes what a crash cut off after its record was written: removals of erasures and revocations, and
    /// checkpoints of imports that were committed.
    pub(super) fn finish_interrupted(&self) -> Result<(), VaultError> {
        self.drop_committed_sessions()?;
        for record in &self.log.records {
            match &record.event {
                Event::Erased(tombstone) => {
                    // A segment may have been rewritten again since; only its last state must be there.
                    let mut left = false;
                    for Rewritten { before, .. } in &tombstone.rewritten {
                        left |= self.store.exists(&layout::pack_name(&before.pack))?
                            && !self.live_objects()?.contains(&layout::pack_name(&before.pack));
                    }
                    if left {
                        self.finish_erasure(tombstone)?;
                    }
                }
                Event::Revoked { grant, .. } => self.store.remove(&layout::grant_name(grant))?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Removes checkpoints whose segments belong to a contribution by now.
    fn drop_committed_sessions(&self) -> Result<(), VaultError> {
        for name in self.store.list("pending/")? {
            let bytes = self.store.read(&name)?;
            let (segments, _) = layout::decode_pending(&bytes).map_err(VaultError::damaged(&name))?;
            if self.were_committed(&segments) {
                self.store.remove(&name)?;
            }
        }
        Ok(())
    }

    /// Whether any of these segments is, or was before an erasure, part of a contribution.
    pub(super) fn were_committed(&self, segments: &[SegmentRef]) -> bool {
        let before: HashSet<B256> = self.rewritten_packs();
        let committed: HashSet<B256> =
            self.contributions.iter().flat_map(|c| c.segments.iter().map(|s| s.pack)).collect();
        segments.iter().any(|s| committed.contains(&s.pack) || before.contains(&s.pack))
    }

    /// Packs that erasures replaced.
    fn rewritten_packs(&self) -> HashSet<B256> {
        let tombstones = self.log.records.iter().filter_map(|record| match &record.event {
            Event::Erased(tombstone) => Some(tombstone),
            _ => None,
        });
        tombstones.flat_map(|t| t.rewritten.iter().map(|r| r.before.pack)).collect()
    }
}

impl ImportOptions {
    /// Name of the object in which an interrupted import of this kind waits to be continued.
    pub fn pending_object(&self) -> String {
        layout::pending_name(&self.session())
    }
}
