//! `openledger datanet erase`: from the vault, and from every model that was trained on the items.
//!
//! The vault goes first: from its tombstone on the items are erased, and whatever is cut off after it is finished by the same
//! command. Then every served model that holds units of erased items loses their features, texts and labels. Models are found where they
//! were named (`--model`), where the configuration serves them from, and around the vault's own folder, as the demo lays them out.

use super::windows;
use crate::{
    home::Home,
    output::Output,
    rpc::Client,
    serving::{self, Serving},
};
use alloy_primitives::B256;
use anyhow::{Context as _, bail};
use primitives::ModelId;
use serde::Serialize;
use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    path::{Path, PathBuf},
};
use vault::{
    Vault,
    access::{Scope, Tombstone},
    commands::{self, EraseScope},
    crypt::keys::Keyring,
    store::place::Place,
    vault::log::{Event, Record},
};

/// What to erase, and where else it stands.
pub(super) struct Request {
    /// Which items; none to finish what earlier erasures left in models.
    pub scope: Option<EraseScope>,
    /// Why.
    pub reason: String,
    /// Folders of models that were named.
    pub models: Vec<PathBuf>,
    /// The node to ask for open windows; none is asked offline.
    pub rpc: Option<String>,
    /// Seconds since 1970.
    pub now: u64,
}

/// What went.
#[derive(Debug, Serialize)]
struct Report {
    /// The vault's own record; none when everything asked for was erased before.
    tombstone: Option<Tombstone>,
    /// Models that held erased items.
    models: Vec<FromModel>,
    /// When the items were read out before, by the vault's log: copies made then are out of reach.
    read_before: Vec<Reading>,
}

/// One time that items were decrypted in bulk.
#[derive(Debug, Serialize)]
struct Reading {
    /// Seconds since 1970.
    at: u64,
    /// Key of whoever read.
    by: String,
    purpose: String,
}

/// What went from one model.
#[derive(Debug, Serialize)]
struct FromModel {
    folder: PathBuf,
    model: B256,
    name: String,
    #[serde(flatten)]
    erased: serving::Erasure,
}

/// A served model beside the vault, and the items it was trained on.
struct Trained {
    folder: PathBuf,
    serving: Serving,
    items: HashSet<B256>,
}

/// Erases.
pub(super) fn erase(
    vault: &mut Vault,
    place: &Place,
    request: Request,
    ring: &Keyring,
    home: &Home,
    output: &Output,
) -> anyhow::Result<()> {
    let Request { scope, reason, models, rpc, now } = request;
    let mut trained = Vec::new();
    for folder in folders(&models, place, home)? {
        let serving = Serving::open(&folder)?;
        let items = serving.units()?.iter().flat_map(|unit| &unit.parts).map(|part| part.item).collect();
        trained.push(Trained { folder, serving, items });
    }
    let leaves = match &scope {
        Some(scope) => commands::leaves(vault, scope, ring)?,
        None => Vec::new(),
    };
    let wanted: Vec<B256> = leaves.iter().copied().filter(|leaf| !vault.erased().contains(leaf)).collect();
    let windows_close_at = match rpc {
        Some(rpc) if !wanted.is_empty() => {
            let needed = trained.iter().filter(|t| wanted.iter().any(|leaf| t.items.contains(leaf)));
            let models: Vec<B256> = needed.map(|t| t.serving.description.model).collect();
            crate::command::runtime()?.block_on(windows::close_at(&Client::new(&rpc)?, &models))?
        }
        _ => now,
    };
    let tombstone = if wanted.is_empty() {
        None
    } else {
        let models = models_of_sets(vault, &trained)?;
        let models_of = |root: &B256| models.get(root).cloned().unwrap_or_default();
        let scope = EraseScope::Leaves(wanted);
        Some(commands::erase(vault, &scope, &reason, windows_close_at, &models_of, ring, now)?)
    };
    let models = from_models(vault, trained, home)?;
    let read_before = tombstone.as_ref().map(|tombstone| readings(vault, tombstone)).unwrap_or_default();
    let report = Report { tombstone, models, read_before };
    output.result(&report, || text(&report));
    if report.tombstone.is_none() && report.models.is_empty() {
        output.note("Nothing of it was left to erase.");
    }
    if !report.models.is_empty() {
        output.note("A running `openledger model serve` still holds what it read: start it again. Weights are not changed by an erasure.");
    }
    Ok(())
}

/// Removes everything the vault has ever erased from the models that still hold it.
fn from_models(vault: &Vault, trained: Vec<Trained>, home: &Home) -> anyhow::Result<Vec<FromModel>> {
    let again = "the vault has erased its part; run the command again to finish the rest";
    let mut done = Vec::new();
    for Trained { folder, mut serving, items } in trained {
        if items.is_disjoint(vault.erased()) {
            continue;
        }
        let erased = serving.erase(vault.erased()).context(again)?;
        let (model, name) = (serving.description.model, serving.description.name.clone());
        done.push(FromModel { folder, model, name, erased });
    }
    serving::remove_replays(&home.join("replay")).context(again)?;
    Ok(done)
}

/// Readings of training sets and grants that hold an erased item.
fn readings(vault: &Vault, tombstone: &Tombstone) -> Vec<Reading> {
    let contributions: BTreeSet<_> =
        tombstone.rewritten.iter().map(|rewritten| rewritten.contribution).collect();
    let in_scope = |scope: &Scope| match scope {
        Scope::Set { root } => tombstone.sets.contains(root),
        Scope::Contributions { ids } => ids.iter().any(|id| contributions.contains(id)),
    };
    let granted: BTreeSet<B256> =
        vault.grants().filter(|(grant, _)| in_scope(&grant.scope)).map(|(grant, _)| grant.id).collect();
    let reading = |record: &Record| match &record.event {
        Event::Opened { by, grant, set, purpose, .. }
            if set.is_some_and(|root| tombstone.sets.contains(&root))
                || grant.is_some_and(|id| granted.contains(&id)) =>
        {
            Some(Reading { at: record.at, by: by.to_string(), purpose: purpose.clone() })
        }
        _ => None,
    };
    vault.records().iter().filter_map(reading).collect()
}

/// Folders that may hold models trained on the vault's items, each once.
fn folders(named: &[PathBuf], place: &Place, home: &Home) -> anyhow::Result<BTreeSet<PathBuf>> {
    let mut found = BTreeSet::new();
    for folder in named {
        if !folder.join(serving::FILE).is_file() {
            bail!(
                "{} is no served model: it has no {}. A cache that `attribute cache` made from plain files knows no items of a vault: \
                 delete it and build it again without them",
                folder.display(),
                serving::FILE
            );
        }
        found.insert(whole(folder)?);
    }
    let around = match place {
        Place::Folder(folder) => whole(folder)?.parent().map(Path::to_path_buf),
        _ => None,
    };
    for folder in home.config.gateway.models.iter().chain(&around) {
        if folder.join(serving::FILE).is_file() {
            found.insert(whole(folder)?);
        }
    }
    Ok(found)
}

fn whole(folder: &Path) -> anyhow::Result<PathBuf> {
    folder.canonicalize().with_context(|| format!("cannot open {}", folder.display()))
}

/// Models by the training sets that their items come from.
fn models_of_sets(vault: &Vault, trained: &[Trained]) -> anyhow::Result<BTreeMap<B256, Vec<ModelId>>> {
    let mut models: BTreeMap<B256, Vec<ModelId>> = BTreeMap::new();
    for root in vault.sets() {
        let set = vault.set(root)?;
        for Trained { serving, items, .. } in trained {
            if set.entries.iter().any(|entry| items.contains(&entry.leaf)) {
                models.entry(*root).or_default().push(ModelId(serving.description.model));
            }
        }
    }
    Ok(models)
}

fn text(report: &Report) -> String {
    let mut lines = Vec::new();
    if let Some(tombstone) = &report.tombstone {
        lines.push(format!(
            "erased {} items: keys, ciphertext and metadata; their leaves stay in {} training sets",
            tombstone.leaves.len(),
            tombstone.sets.len()
        ));
        lines.extend(tombstone.leaves.iter().map(|leaf| format!("  {leaf}")));
    }
    for FromModel { folder, model: _, name, erased } in &report.models {
        let mut line = format!(
            "{name} ({}): features and text of {} parts of units; its replay is partial from now on",
            folder.display(),
            erased.parts
        );
        if erased.neighbours > 0 {
            line +=
                &format!("; {} parts of others stood in the same units and lost them too", erased.neighbours);
        }
        lines.push(line);
    }
    if !report.read_before.is_empty() {
        lines.push("read out before; copies made then are out of reach:".into());
        let line = |r: &Reading| format!("  {} by {}: {}", vault::export::date(r.at), r.by, r.purpose);
        lines.extend(report.read_before.iter().map(line));
    }
    lines.join("\n")
}
