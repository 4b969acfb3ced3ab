//! Taking a training set out: data with everything that a user, an auditor or a regulator asks of it.
//!
//! A folder gets `data/train.parquet` (the texts with their licence, source, authors, owner, novelty and leaf), `croissant.json`
//! (Croissant 1.1 with hashes, licences and the fields' columns), `README.md` (a data card that the Hugging Face hub reads),
//! `training-content-summary.md` (the categories of the European Commission's template for the public summary of
//! training content under article 53(1)(d) of the AI Act) and `lineage.json` (roots, versions and leaves, to verify items
//! against the ledger). All are made from the same facts. Reading is recorded in the vault's log.
//!
//! The export is plaintext: from then on nothing but the licences protects it.

mod card;
mod croissant;
mod summary;
mod table;

use crate::crypt::CryptError;
use crate::crypt::keys::Keyring;
use crate::vault::training::{SetItems, TrainingSet};
use crate::{Vault, VaultError};
use primitives::B256;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What to export, and how to describe it.
#[derive(Clone, Debug)]
pub struct ExportOptions {
    /// Root of the training set.
    pub set: B256,
    /// Folder to write to; made if absent, must be empty.
    pub folder: PathBuf,
    /// What it is called.
    pub name: String,
    /// What it is for, in a sentence or two.
    pub description: String,
    /// Who publishes it.
    pub publisher: String,
    /// Its version, such as `1.0.0`.
    pub version: String,
    /// Date of publication, `YYYY-MM-DD`.
    pub date: String,
    /// Seconds since 1970.
    pub now: u64,
}

/// Items, bytes and tokens under one heading.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amounts {
    /// Items.
    pub items: u64,
    /// Bytes of text.
    pub bytes: u64,
    /// Estimated tokens.
    pub tokens: u64,
}

/// The facts that all descriptions are made from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// In all.
    pub total: Amounts,
    /// By licence.
    pub licences: BTreeMap<String, Amounts>,
    /// By language (`und`: no reliable guess).
    pub languages: BTreeMap<String, Amounts>,
    /// By natural contributor.
    pub groups: BTreeMap<String, Amounts>,
    /// By owner on the ledger.
    pub owners: BTreeMap<String, Amounts>,
    /// Items with personal data found, by kind; redacted or reported as the Datanet's policy says.
    pub findings: BTreeMap<String, u64>,
    /// Items that were erased since the set was frozen and are not in the export.
    pub erased: u64,
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ExportReport {
    /// The set.
    pub set: B256,
    /// Files with their bytes and SHA-256.
    pub files: Vec<ExportedFile>,
    /// What is in it.
    pub facts: Facts,
}

/// A file of an export.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ExportedFile {
    /// Path inside the folder.
    pub path: String,
    /// Its length.
    pub bytes: u64,
    /// Its SHA-256, hexadecimal.
    pub sha256: String,
}

/// Exports a training set for its keepers.
///
/// # Errors
/// When the folder is not empty or cannot be written, a key is missing, or an item is damaged. Erased items are left out and counted.
pub fn export(
    vault: &mut Vault,
    options: &ExportOptions,
    ring: &Keyring,
    progress: &mut dyn FnMut(u64),
) -> Result<ExportReport, VaultError> {
    let table = prepare(&options.folder)?;
    let items = vault.open_set(&options.set, ring, "export", options.now)?;
    write(options, table, items, progress)
}

/// Exports what a grant for a training set opens, for its grantee.
///
/// # Errors
/// As [`export`]; [`VaultError::GrantEnded`] after its end, [`CryptError::NoKey`] when `ring` has not the grantee's key.
pub fn export_granted(
    vault: &mut Vault,
    options: &ExportOptions,
    grant: &B256,
    ring: &Keyring,
    progress: &mut dyn FnMut(u64),
) -> Result<ExportReport, VaultError> {
    let found = vault.grants().find(|(known, _)| known.id == *grant);
    let grantee = found.ok_or(VaultError::NoGrant(*grant))?.0.grantee;
    let secret = ring.get(&grantee).ok_or(CryptError::NoKey { needed: 1, keepers: vec![grantee] })?;
    let table = prepare(&options.folder)?;
    let items = vault.open_grant(grant, secret, options.now)?.into_set()?;
    let options = ExportOptions { set: items.set().root, ..options.clone() };
    write(&options, table, items, progress)
}

/// Makes the folder and the table in it.
fn prepare(folder: &Path) -> Result<table::Table, VaultError> {
    std::fs::create_dir_all(folder.join("data")).map_err(failed(folder))?;
    let occupied = std::fs::read_dir(folder).map_err(failed(folder))?.flatten().any(|entry| {
        entry.file_name() != "data" || entry.path().read_dir().is_ok_and(|mut d| d.next().is_some())
    });
    if occupied {
        let message = format!("{} is not empty; name a new folder", folder.display());
        return Err(VaultError::Declaration(message));
    }
    let path = folder.join("data/train.parquet");
    table::Table::new(std::fs::File::create_new(&path).map_err(failed(&path))?)
}

fn write(
    options: &ExportOptions,
    mut table: table::Table,
    items: SetItems<'_>,
    progress: &mut dyn FnMut(u64),
) -> Result<ExportReport, VaultError> {
    let folder = &options.folder;
    let mut facts = Facts::default();
    let set = items.set().clone();
    for item in items {
        match item {
            Ok((_, item)) => {
                facts.count(&item.meta);
                table.add(item)?;
                progress(facts.total.items);
            }
            Err(VaultError::Erased { .. }) => facts.erased += 1,
            Err(error) => return Err(error),
        }
    }
    table.finish()?;
    let mut files = vec![hashed(folder, "data/train.parquet")?];
    let descriptions = [
        ("croissant.json", croissant::describe(options, &facts, &files[0])),
        ("README.md", card::write(options, &set, &facts)),
        ("training-content-summary.md", summary::write(options, &set, &facts)),
        ("lineage.json", lineage(&set, &facts)),
    ];
    for (name, content) in descriptions {
        let path = folder.join(name);
        std::fs::write(&path, content).map_err(failed(&path))?;
        files.push(hashed(folder, name)?);
    }
    Ok(ExportReport { set: set.root, files, facts })
}

/// The day of a moment (seconds since 1970), `YYYY-MM-DD`, in universal time: days since 1970 to a date of the Gregorian calendar
/// (Hinnant, "chrono-compatible low-level date algorithms").
pub fn date(seconds: u64) -> String {
    let days = seconds / 86_400 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

/// Roots, versions and leaves, as JSON.
fn lineage(set: &TrainingSet, facts: &Facts) -> String {
    let value = serde_json::json!({ "set": set, "facts": facts });
    serde_json::to_string_pretty(&value).unwrap_or_default() + "\n"
}

fn failed(path: &Path) -> impl FnOnce(std::io::Error) -> VaultError + '_ {
    move |error| VaultError::Declaration(format!("{}: {error}", path.display()))
}

fn hashed(folder: &Path, name: &str) -> Result<ExportedFile, VaultError> {
    let path = folder.join(name);
    let mut file = std::fs::File::open(&path).map_err(failed(&path))?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    let mut bytes = 0;
    loop {
        match std::io::Read::read(&mut file, &mut buffer).map_err(failed(&path))? {
            0 => break,
            count => {
                hasher.update(&buffer[..count]);
                bytes += count as u64;
            }
        }
    }
    let sha256 = hasher.finalize().iter().map(|b| format!("{b:02x}")).collect();
    Ok(ExportedFile { path: name.into(), bytes, sha256 })
}

impl Facts {
    fn count(&mut self, meta: &crate::vault::layout::ItemMeta) {
        let add = |amounts: &mut Amounts| {
            amounts.items += 1;
            amounts.bytes += meta.facts.bytes;
            amounts.tokens += meta.tokens;
        };
        add(&mut self.total);
        add(self.licences.entry(meta.facts.licence.clone()).or_default());
        add(self.languages.entry(meta.language.clone().unwrap_or_else(|| "und".into())).or_default());
        add(self.groups.entry(meta.group.clone().unwrap_or_else(|| "unnamed".into())).or_default());
        add(self.owners.entry(meta.facts.owner.to_string()).or_default());
        let kinds: std::collections::BTreeSet<_> = meta.findings.iter().collect();
        for kind in kinds {
            let name = serde_json::to_string(kind).unwrap_or_default();
            *self.findings.entry(name.trim_matches('"').into()).or_insert(0) += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn dates_are_those_of_the_calendar() {
        let known = [
            (0, "1970-01-01"),
            (951_782_400, "2000-02-29"),
            (1_790_000_000, "2026-09-21"),
            (4_107_542_399, "2100-02-28"),
        ];
        for (seconds, day) in known {
            assert_eq!(super::date(seconds), day);
        }
    }
}
