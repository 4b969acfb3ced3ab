//! What `openledger datanet ...` does, as functions: a struct of options in, a report out that serialises to JSON.
//!
//! | subcommand | function | ledger's part, wired by the caller |
//! |---|---|---|
//! | `create` | [`create`] | pass the id that the ledger assigned as [`CreateOptions::id`] |
//! | `add` | [`add`] | commit and reveal each [`ImportReport::contribution`](crate::vault::report::ImportReport) with [`reveal`] |
//! | `show` | [`show`] | |
//! | `verify` | [`verify`] | compare [`ShowReport::head`] and the roots with what was anchored |
//! | `grant` | [`grant`] | check that [`GrantRequest::run`] is a registered descriptor |
//! | `revoke` | [`revoke`] | |
//! | `erase` | [`erase`] | supply the end of open windows and the models of a training set |
//! | `export` | [`crate::export::export`] | |
//! | `paraphrases` | [`paraphrases()`] | supply a model as [`crate::similar::Embedder`] |
//! | `train-set` | [`train_set`] | register the descriptor with its root |
//!
//! Everything works offline on a vault of its own. Time comes in as `now` (seconds since 1970), progress goes out through a
//! callback, keys come in a [`Keyring`].

mod paraphrases;
mod show;

pub use crate::export::{ExportOptions, ExportReport, export, export_granted};
pub use crate::vault::upkeep::VerifyReport;
pub use paraphrases::{Pair, ParaphraseError, ParaphraseReport, paraphrases};
pub use show::{ContributionView, DatanetView, GrantView, ShowReport, show};

use crate::access::{Grant, Scope, Tombstone};
use crate::crypt::keys::{Keyring, PublicKey};
use crate::crypt::threshold::Keepers;
use crate::datanet::{Datanet, local_id};
use crate::read::{self, Columns};
use crate::screen::Policy;
use crate::store::place::Place;
use crate::vault::erase::EraseOptions;
use crate::vault::grants::GrantOptions;
use crate::vault::import::ImportOptions;
use crate::vault::layout::ContributionId;
use crate::vault::report::{ImportReport, LeftOut, Progress};
use crate::vault::training::{Query, TrainingSet};
use crate::{Vault, VaultError};
use primitives::{Address, B256, DatanetId, ModelId};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// Opens the vault at a place.
pub fn open(place: &Place) -> Result<Vault, VaultError> {
    Vault::open(place.open()?)
}

/// Opens the vault at a place, or makes one there.
pub fn open_or_create(place: &Place, now: u64) -> Result<Vault, VaultError> {
    match Vault::open(place.open()?) {
        Err(VaultError::Absent) => Vault::create(place.open()?, now),
        other => other,
    }
}

/// The Datanet that a person means: its name, its id, or the beginning of its id.
///
/// # Errors
/// [`VaultError::Declaration`] when none or several are meant.
pub fn resolve(vault: &Vault, named: &str) -> Result<DatanetId, VaultError> {
    let matches = |d: &&Datanet| {
        d.name == named || named.len() >= 6 && d.id.to_string().starts_with(&named.to_ascii_lowercase())
    };
    let found: Vec<&Datanet> = vault.datanets().filter(matches).collect();
    match found.as_slice() {
        [one] => Ok(one.id),
        [] => {
            let names: Vec<&str> = vault.datanets().map(|d| d.name.as_str()).collect();
            let names = if names.is_empty() { "none yet".into() } else { names.join(", ") };
            Err(VaultError::Declaration(format!("no Datanet `{named}` in this vault (there is: {names})")))
        }
        _ => Err(VaultError::Declaration(format!("`{named}` means several Datanets; give the id"))),
    }
}

/// Options of [`create`].
#[derive(Clone, Debug)]
pub struct CreateOptions {
    /// What people call it.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Who makes it.
    pub owner: Address,
    /// Licences it accepts; empty: any.
    pub licences: Vec<String>,
    /// What happens to personal data, secrets and junk.
    pub screening: Policy,
    /// Who holds the keys.
    pub keepers: Keepers,
    /// The id that the ledger assigned, if it did.
    pub id: Option<DatanetId>,
    /// Seconds since 1970.
    pub now: u64,
}

/// Declares a Datanet.
pub fn create(vault: &mut Vault, options: CreateOptions) -> Result<Datanet, VaultError> {
    let CreateOptions { name, description, owner, licences, screening, keepers, id, now } = options;
    let id = id.unwrap_or_else(|| local_id(&owner, &name));
    let datanet = Datanet { id, name, description, owner, licences, screening, keepers };
    vault.create_datanet(datanet.clone(), now)?;
    Ok(datanet)
}

/// Options of [`add`].
#[derive(Clone, Debug)]
pub struct AddOptions {
    /// Files, folders or globs.
    pub sources: Vec<PathBuf>,
    /// Which columns hold the text.
    pub columns: Columns,
    /// Whether to make one contribution a licence, as the ledger wants them.
    pub split_by_licence: bool,
    /// Into which Datanet, for whom, under which licence where none is stated.
    pub import: ImportOptions,
}

/// Bytes of text that are held in memory while they are sorted by licence; more is read once a licence.
const MAX_HELD_BYTES: usize = 256 << 20;

/// What [`add`] did.
#[derive(Clone, Debug, Serialize)]
pub struct AddReport {
    /// One a contribution.
    pub imports: Vec<ImportReport>,
}

/// Imports files into a Datanet.
///
/// # Errors
/// When a source itself cannot be opened, or store or keys fail. Files and rows that cannot be read stand in the report.
pub fn add(
    vault: &mut Vault,
    options: &AddOptions,
    ring: &Keyring,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<AddReport, VaultError> {
    let documents = || {
        let each = options.sources.iter().map(|path| {
            read::all(path, &options.columns).map_err(|error| VaultError::Declaration(error.to_string()))
        });
        each.collect::<Result<Vec<_>, _>>().map(|all| all.into_iter().flatten())
    };
    let own = |document: &crate::document::Document| {
        let stated = document.licence.clone().or(options.import.licence.clone());
        stated.map(|licence| crate::licence::normal(&licence).unwrap_or(licence))
    };
    if !options.split_by_licence {
        let report = vault.import(documents()?, &options.import, ring, progress)?;
        return Ok(AddReport { imports: vec![report] });
    }
    // One reading where the texts fit in memory; else one a licence.
    let (mut held, mut bytes) = (BTreeMap::<Option<String>, Vec<_>>::new(), 0);
    let (mut unread, mut licences) = (Vec::new(), BTreeSet::new());
    for document in documents()? {
        match document {
            Ok(document) => {
                let licence = own(&document);
                licences.insert(licence.clone());
                bytes += document.text.len();
                if bytes <= MAX_HELD_BYTES {
                    held.entry(licence).or_default().push(Ok(document));
                } else {
                    held.clear();
                }
            }
            Err(error) => unread.push(error),
        }
    }
    let mut imports = Vec::new();
    for licence in &licences {
        // What cannot be read is reported once, with the first licence.
        let unread = std::mem::take(&mut unread).into_iter().map(Err);
        imports.push(if bytes <= MAX_HELD_BYTES {
            let of_this = held.remove(licence).unwrap_or_default();
            vault.import(unread.chain(of_this), &options.import, ring, progress)?
        } else {
            let of_this = documents()?.filter(|d| d.as_ref().is_ok_and(|document| own(document) == *licence));
            vault.import(unread.chain(of_this), &options.import, ring, progress)?
        });
    }
    if licences.is_empty() {
        let unread = unread.into_iter().map(Err);
        imports.push(vault.import(unread, &options.import, ring, progress)?);
    }
    Ok(AddReport { imports })
}

/// What the ledger is told when a contribution is committed and revealed (RULEBOOK R4).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reveal {
    /// The commitment: `H(domain || root || salt || owner)`.
    pub commitment: B256,
    /// Merkle root over the leaves.
    pub root: B256,
    /// Its salt.
    pub salt: B256,
    /// Whose.
    pub owner: Address,
    /// Number of items.
    pub items: u64,
    /// Bytes of text, on which the bond is linear.
    pub bytes: u64,
    /// Root of the published signatures.
    pub signatures: B256,
    /// Its licence; several are joined with `AND`.
    pub licence: String,
}

/// The commit and reveal of a contribution.
pub fn reveal(vault: &Vault, id: &ContributionId) -> Result<Reveal, VaultError> {
    let c = vault.contribution(id)?;
    let licence = match c.licences.as_slice() {
        [one] => one.clone(),
        several => several.iter().map(|l| format!("({l})")).collect::<Vec<_>>().join(" AND "),
    };
    Ok(Reveal {
        commitment: c.id.0,
        root: c.root,
        salt: c.salt,
        owner: c.owner,
        items: c.items,
        bytes: c.bytes,
        signatures: c.signatures,
        licence,
    })
}

/// Checks everything; see [`Vault::verify`].
pub fn verify(
    vault: &Vault,
    ring: &Keyring,
    progress: &mut dyn FnMut(u64),
) -> Result<VerifyReport, VaultError> {
    vault.verify(ring, progress)
}

/// Options of [`grant`].
#[derive(Clone, Debug)]
pub struct GrantRequest {
    /// To whom.
    pub grantee: PublicKey,
    /// Which items.
    pub scope: Scope,
    /// Hash of the registered training descriptor.
    pub run: Option<B256>,
    /// Seconds that it holds.
    pub lifetime_s: u64,
    /// For what, in words.
    pub purpose: String,
    /// Seconds since 1970.
    pub now: u64,
}

/// Gives a grantee the keys of a scope.
pub fn grant(vault: &mut Vault, request: GrantRequest, ring: &Keyring) -> Result<Grant, VaultError> {
    let GrantRequest { grantee, scope, run, lifetime_s, purpose, now } = request;
    let expires_at = now.saturating_add(lifetime_s);
    vault.grant(GrantOptions { grantee, scope, run, expires_at, purpose, now }, ring)
}

/// Ends a grant.
pub fn revoke(vault: &mut Vault, grant: &B256, reason: &str, now: u64) -> Result<(), VaultError> {
    vault.revoke(grant, reason, now)
}

/// What [`erase`] erases.
#[derive(Clone, Debug)]
pub enum EraseScope {
    /// Items by their leaves.
    Leaves(Vec<B256>),
    /// All items of a contribution.
    Contribution(ContributionId),
    /// All items whose source path is this one; needs the keepers.
    Source(DatanetId, String),
}

/// Erases items and lists the models affected.
///
/// # Errors
/// See [`Vault::erase`]; [`VaultError::NothingMatches`] when the scope has no item.
pub fn erase(
    vault: &mut Vault,
    scope: &EraseScope,
    reason: &str,
    windows_close_at: u64,
    models_of: &dyn Fn(&B256) -> Vec<ModelId>,
    ring: &Keyring,
    now: u64,
) -> Result<Tombstone, VaultError> {
    let leaves = leaves(vault, scope, ring)?;
    if leaves.is_empty() {
        return Err(VaultError::NothingMatches("nothing was erased".into()));
    }
    vault.erase(EraseOptions { leaves, reason: reason.into(), windows_close_at, models_of, now })
}

/// Leaves of the items that a scope means and that are not erased yet; leaves named one by one are taken as they are.
///
/// # Errors
/// [`VaultError::NoContribution`], or when the keepers that a search by source needs are missing.
pub fn leaves(vault: &Vault, scope: &EraseScope, ring: &Keyring) -> Result<Vec<B256>, VaultError> {
    let mut leaves = Vec::new();
    match scope {
        EraseScope::Leaves(named) => leaves.extend(named),
        EraseScope::Contribution(id) => {
            for segment in &vault.contribution(id)?.segments {
                let rows = vault.rows(segment)?;
                leaves.extend(rows.iter().filter(|row| row.live.is_some()).map(|row| row.leaf));
            }
        }
        EraseScope::Source(datanet, source) => {
            for contribution in vault.contributions().iter().filter(|c| c.datanet == *datanet) {
                let mut items = vault.items(&contribution.id, ring)?;
                for index in 0..contribution.items {
                    match items.meta(index) {
                        Ok(meta) if meta.source == *source => leaves.push(meta.facts.leaf()),
                        Ok(_) | Err(VaultError::Erased { .. }) => {}
                        Err(error) => return Err(error),
                    }
                }
            }
        }
    }
    Ok(leaves)
}

/// Options of [`train_set`].
#[derive(Clone, Debug)]
pub struct TrainSetOptions {
    /// Which items.
    pub query: Query,
    /// What the model will be used for ([`primitives`]' licence uses) and the licence it will carry; checked before anything
    /// is frozen.
    pub uses: Option<crate::licence::DeclaredUse>,
    /// Seconds since 1970.
    pub now: u64,
}

/// What [`train_set`] froze.
#[derive(Clone, Debug, Serialize)]
pub struct TrainSetReport {
    /// The set.
    pub set: TrainingSet,
    /// Items that the declared use rules out, with the reason; they are not in the set.
    pub ruled_out: Vec<LeftOut>,
    /// How many were ruled out in all.
    pub ruled_out_count: u64,
}

/// Freezes a training set: the items a query takes whose licences allow the declared use.
pub fn train_set(
    vault: &mut Vault,
    options: &TrainSetOptions,
    ring: &Keyring,
) -> Result<TrainSetReport, VaultError> {
    let mut query = options.query.clone();
    let (mut ruled_out, mut ruled_out_count) = (Vec::new(), 0);
    if let Some(uses) = &options.uses {
        let mut present: BTreeSet<String> = BTreeSet::new();
        for c in vault.contributions() {
            if query.datanets.is_empty() || query.datanets.contains(&c.datanet) {
                present.extend(c.licences.iter().cloned());
            }
        }
        let (mut allowed, before) = (Vec::new(), query.licences.clone());
        for licence in present {
            match uses.check(&licence) {
                Ok(()) if crate::licence::accepted(&licence, &before) => allowed.push(licence),
                Ok(()) => {}
                Err(reason) => {
                    ruled_out_count += 1;
                    ruled_out.push(LeftOut { source: licence, reason });
                }
            }
        }
        if allowed.is_empty() {
            let reasons: Vec<_> = ruled_out.iter().map(|r| format!("{}: {}", r.source, r.reason)).collect();
            return Err(VaultError::NothingMatches(format!("no licence allows it ({})", reasons.join("; "))));
        }
        query.licences = allowed;
    }
    let set = vault.freeze(query, ring, options.now)?;
    Ok(TrainSetReport { set, ruled_out, ruled_out_count })
}
