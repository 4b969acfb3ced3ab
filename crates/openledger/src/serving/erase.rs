//! Erasing items from a served model: features, copies of the text, places.
//!
//! The weights stay, and what is common to all items in the cache. From the first unit that goes the description says
//! `"replay": "partial"`: commitments, shares and payouts can still be checked, the cache's root is the ledger's, but cache, answers and
//! training cannot be computed again (RULEBOOK R15). Every part of a unit keeps item, owner, length and novelty, so that their
//! order and the receipts over it stay what they were. A unit that an erased item has a part in loses all its tokens, as it loses all its
//! features: they were of one stream. The erased part's label becomes `erased`.
//!
//! Also removed is what killed processes leave in the folder: files that were being written, and caches that `verify --replay` was
//! building again.

use super::{Replay, ServedPart, Serving};
use alloy_primitives::B256;
use anyhow::Context as _;
use attribution::influence::cache;
use serde::Serialize;
use std::{collections::HashSet, io, path::Path};

/// Stands where an erased unit said what it was cut from.
const ERASED: &str = "erased";
/// Folder in which `verify --replay` builds caches again.
const REPLAY_FOLDER: &str = "replay";
/// Beginning of the names of the folders in it.
const REPLAY_PREFIX: &str = "replay-";
/// Beginning of the names of files that are being written, and the characters after it.
const DRAFT: (&str, usize) = (".tmp", 6);

/// What went from a served model.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Erasure {
    /// Parts of units that were of the items.
    pub parts: usize,
    /// Parts of others in the same units, which lost those features too: they are paid nothing for them from here on.
    pub neighbours: usize,
}

impl Serving {
    /// Erases the items' features, texts and labels. Erasing again is no error, and finishes what was cut off.
    pub fn erase(&mut self, items: &HashSet<B256>) -> anyhow::Result<Erasure> {
        remove_drafts(&self.folder)?;
        remove_replays(&self.folder.join(REPLAY_FOLDER))?;
        let mut units = self.units()?;
        let erased = |part: &ServedPart| items.contains(&part.item);
        let count = units.iter().flat_map(|unit| &unit.parts).filter(|part| erased(part)).count();
        if count == 0 {
            return Ok(Erasure::default());
        }
        // Marked first: whatever is cut off after this is partial.
        self.description.replay = Replay::Partial;
        self.write_description()?;
        let mut changed = false;
        for unit in units.iter_mut().filter(|unit| unit.parts.iter().any(erased)) {
            changed |= unit.text.iter().any(|token| *token != 0);
            unit.text.fill(0);
            for part in unit.parts.iter_mut().filter(|part| erased(part) && part.label != ERASED) {
                part.label = ERASED.into();
                changed = true;
            }
        }
        if changed {
            self.write_units(&units)?;
        }
        let folder = self.folder.join(&self.description.cache);
        let erased = cache::erase(&folder, &|unit| items.contains(&unit.id))
            .with_context(|| format!("the features in {} were not erased", folder.display()))?;
        Ok(Erasure { parts: count, neighbours: erased.neighbours })
    }
}

/// Removes caches that replays were building in `folder`; one that runs now fails and can be run again.
pub fn remove_replays(folder: &Path) -> anyhow::Result<()> {
    for path in entries(folder)? {
        if name(&path).starts_with(REPLAY_PREFIX) && path.is_dir() {
            std::fs::remove_dir_all(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
    }
    Ok(())
}

/// Removes files that a killed process was writing.
fn remove_drafts(folder: &Path) -> anyhow::Result<()> {
    let (prefix, characters) = DRAFT;
    for path in entries(folder)? {
        let rest = name(&path).strip_prefix(prefix).unwrap_or_default();
        if rest.len() == characters && rest.bytes().all(|b| b.is_ascii_alphanumeric()) && path.is_file() {
            std::fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
    }
    Ok(())
}

fn name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

/// What stands in a folder; nothing where there is none.
fn entries(folder: &Path) -> anyhow::Result<Vec<std::path::PathBuf>> {
    match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        other => {
            let entries = other.with_context(|| format!("cannot read {}", folder.display()))?;
            Ok(entries.collect::<io::Result<Vec<_>>>()?.into_iter().map(|entry| entry.path()).collect())
        }
    }
}
