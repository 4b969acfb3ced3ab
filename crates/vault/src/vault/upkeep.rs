//! Integrity scan and garbage collection.

use super::layout;
use super::log::Contribution;
use super::{Vault, VaultError};
use crate::crypt::CryptError;
use crate::crypt::keys::Keyring;
use crate::document::commitment;
use bao_tree::io::outboard::PreOrderMemOutboard;
use primitives::merkle;
use serde::Serialize;
use std::collections::BTreeSet;

/// What an integrity scan found.
#[derive(Clone, Debug, Default, Serialize)]
pub struct VerifyReport {
    /// Records of the log, all chained.
    pub records: u64,
    /// Contributions whose root and commitment were recomputed.
    pub contributions: u64,
    /// Items, erased ones included.
    pub items: u64,
    /// Items decrypted and compared with their leaf.
    pub decrypted: u64,
    /// Erased items, of which only the leaf is left.
    pub erased: u64,
    /// Items whose keys were not at hand.
    pub locked: u64,
    /// Training sets whose root was recomputed.
    pub sets: u64,
    /// Objects that no record names; [`Vault::collect_garbage`] removes them.
    pub garbage: u64,
    /// Everything that is wrong. Empty: the vault is sound.
    pub problems: Vec<String>,
}

/// What garbage collection did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct GarbageReport {
    /// Objects removed.
    pub removed: u64,
    /// Objects kept.
    pub kept: u64,
    /// Objects that nothing refers to but that are too young to be surely nobody's.
    pub waiting: u64,
}

impl Vault {
    /// Recomputes everything that can be recomputed. With the keepers' secrets in `ring` every item is decrypted
    /// and compared with its leaf; without, ciphertexts are checked against their hashes.
    ///
    /// # Errors
    /// Only when the store cannot be listed; damage stands in the report and the scan goes on.
    pub fn verify(&self, ring: &Keyring, progress: &mut dyn FnMut(u64)) -> Result<VerifyReport, VaultError> {
        let mut report = VerifyReport { records: self.log.records.len() as u64, ..VerifyReport::default() };
        for contribution in &self.contributions {
            report.contributions += 1;
            if let Err(error) = self.verify_contribution(contribution, ring, &mut report) {
                report.problems.push(format!("contribution {}: {error}", contribution.id));
            }
            progress(report.items);
        }
        for root in &self.sets {
            report.sets += 1;
            if let Err(error) = self.set(root) {
                report.problems.push(format!("training set {root}: {error}"));
            }
        }
        let live = self.live_objects()?;
        report.garbage = self.store.list("")?.iter().filter(|name| !live.contains(*name)).count() as u64;
        Ok(report)
    }

    fn verify_contribution(
        &self,
        contribution: &Contribution,
        ring: &Keyring,
        report: &mut VerifyReport,
    ) -> Result<(), VaultError> {
        let (mut leaves, mut live) = (Vec::new(), Vec::new());
        for segment in &contribution.segments {
            for row in self.rows(segment)? {
                live.push(row.live.is_some());
                leaves.push(row.leaf);
            }
            let pack = self.pack(segment)?;
            let name = layout::outboard_name(&segment.pack);
            if PreOrderMemOutboard::create(&pack, layout::BAO_BLOCK).data != self.store.read(&name)? {
                return Err(VaultError::Damaged { name, reason: "it is not its pack's outboard".into() });
            }
        }
        report.items += leaves.len() as u64;
        report.erased += live.iter().filter(|live| !**live).count() as u64;
        let name = contribution.id.to_string();
        let wrong = |reason: &str| VaultError::Damaged { name: name.clone(), reason: reason.into() };
        if merkle::root(&leaves) != contribution.root || leaves.len() as u64 != contribution.items {
            return Err(wrong("its items do not lead to its root"));
        }
        if commitment(&contribution.root, &contribution.salt, &contribution.owner) != contribution.id.0 {
            return Err(wrong("root, salt and owner do not lead to its commitment"));
        }
        let mut items = match self.items(&contribution.id, ring) {
            Ok(items) => items,
            Err(VaultError::Crypt(CryptError::NoKey { .. } | CryptError::TooFewKeepers { .. })) => {
                report.locked += live.iter().filter(|live| **live).count() as u64;
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        for (index, live) in live.into_iter().enumerate() {
            if live {
                match items.open(index as u64) {
                    Ok(_) => report.decrypted += 1,
                    Err(error) => report.problems.push(format!("{name}, item {index}: {error}")),
                }
            } else if items.item_key(index as u64)?.is_some() {
                report.problems.push(format!("{name}, item {index}: erased, but its key is still there"));
            }
        }
        Ok(())
    }

    /// Names of all objects that the log or an unfinished import refers to.
    pub(super) fn live_objects(&self) -> Result<BTreeSet<String>, VaultError> {
        let mut live: BTreeSet<String> = (0..self.log.records.len() as u64).map(layout::log_name).collect();
        let mut segments = Vec::new();
        for contribution in &self.contributions {
            live.insert(layout::keys_name(&contribution.id));
            segments.extend(contribution.segments.iter().cloned());
        }
        for name in self.store.list("pending/")? {
            let bytes = self.store.read(&name)?;
            segments.extend(layout::decode_pending(&bytes).map_err(VaultError::damaged(&name))?.0);
            live.insert(name);
        }
        for segment in segments {
            live.insert(layout::pack_name(&segment.pack));
            live.insert(layout::outboard_name(&segment.pack));
            live.insert(layout::rows_name(&segment.rows));
        }
        live.extend(self.sets.iter().map(layout::set_name));
        live.extend(self.grants().filter(|(_, revoked)| !revoked).map(|(g, _)| layout::grant_name(&g.id)));
        Ok(live)
    }

    /// Removes objects that nothing refers to: what a killed process wrote before its record.
    pub fn collect_garbage(&mut self) -> Result<GarbageReport, VaultError> {
        let live = self.live_objects()?;
        let mut report = GarbageReport::default();
        for name in self.store.list("")? {
            if live.contains(&name) {
                report.kept += 1;
            } else if self.store.is_settled(&name)? {
                self.store.remove(&name)?;
                report.removed += 1;
            } else {
                report.waiting += 1;
            }
        }
        Ok(report)
    }

    /// Gives up an interrupted import; its segments become garbage.
    pub fn abandon(&mut self, options: &super::import::ImportOptions) -> Result<(), VaultError> {
        Ok(self.store.remove(&options.pending_object())?)
    }
}
