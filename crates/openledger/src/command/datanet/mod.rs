//! `openledger datanet`: licensed data, encrypted in a vault, offline.
//!
//! The vault is a folder, or a bucket of an S3-compatible server (`--vault s3://BUCKET/PREFIX`, credentials from the usual `AWS_...`
//! variables). Its keeper key stands in the user's folder (`HOME/keeper.key`, mode 0600); whoever has neither it nor a grant reads
//! nothing.

mod arguments;
pub(crate) mod embed;
mod erase;
mod keys;
mod log;
mod report;
mod windows;

pub use arguments::Arguments;

use crate::{
    command::uses,
    home::Home,
    output::{Output, table},
    wallet::Keystore,
};
use alloy_primitives::B256;
use anyhow::{Context as _, bail};
use arguments::Action;
pub(crate) use keys::keyring;
use keys::{own_address, secret_key};
use primitives::DatanetId;
use report::{imported, show, total, verified};
use serde_json::json;
use std::{io::IsTerminal, path::Path};
use vault::{
    Vault,
    access::Scope,
    commands::{self, AddOptions, CreateOptions, EraseScope, ExportOptions, GrantRequest, TrainSetOptions},
    crypt::{keys::Keyring, threshold::Keepers},
    licence::DeclaredUse,
    read::Columns,
    screen,
    vault::{import::ImportOptions, layout::ContributionId, training::Query},
};

/// Runs `openledger datanet`.
pub fn run(arguments: Arguments, home: &Home, output: &Output) -> anyhow::Result<()> {
    let Arguments { vault: named, s3_endpoint, keeper_keys, action } = arguments;
    let path = home.vault(named.as_deref(), s3_endpoint.as_deref())?;
    let keystore = Keystore::new(home.keystore());
    let mut ring = keyring(home)?;
    for file in &keeper_keys {
        ring.add(secret_key(file)?);
    }
    let now = crate::clock::now();
    match action {
        Action::Create { name, description, owner, licences, keepers, needed, personal, secrets, junk } => {
            let owner = own_address(&keystore, &owner)?;
            let mut vault = commands::open_or_create(&path, now)?;
            let keeper = *ring.public_keys().next().context("the key ring holds the keeper's key")?;
            let options = CreateOptions {
                name,
                description,
                owner,
                licences,
                screening: screen::Policy { personal, secret: secrets, junk },
                keepers: Keepers { needed, keys: if keepers.is_empty() { vec![keeper] } else { keepers } },
                id: None,
                now,
            };
            let datanet = commands::create(&mut vault, options)?;
            output.result(&datanet, || datanet.id.to_string());
            output.note(format!("Add data with `openledger datanet add {:?} FOLDER`.", datanet.name));
        }
        Action::Add { datanet, sources, owner, licence, text, prompt } => {
            let mut vault = commands::open(&path)?;
            let id = commands::resolve(&vault, &datanet)?;
            let import =
                ImportOptions { licence, ..ImportOptions::new(id, own_address(&keystore, &owner)?, now) };
            let columns = Columns { text, prompt, licence: None };
            add(&mut vault, AddOptions { sources, columns, split_by_licence: true, import }, &ring, output)?;
        }
        Action::Show { datanet } => {
            let vault = commands::open(&path)?;
            let only = datanet.map(|named| commands::resolve(&vault, &named)).transpose()?;
            show(&vault, only, output)?;
        }
        Action::Verify => {
            let vault = commands::open(&path)?;
            let report = commands::verify(&vault, &ring, &mut |_| {})?;
            output.result(&report, || verified(&report));
            if !report.problems.is_empty() {
                bail!(
                    "the vault is damaged in {} places; restore what is named from a copy",
                    report.problems.len()
                );
            }
        }
        Action::Log { head } => log::log(&commands::open(&path)?, head, output)?,
        Action::Clean => {
            let mut vault = commands::open(&path)?;
            let report = vault.collect_garbage()?;
            output.result(&report, || {
                let waiting = match report.waiting {
                    0 => String::new(),
                    count => format!(", {count} too young to be surely nobody's"),
                };
                format!("removed {} objects, kept {}{waiting}", report.removed, report.kept)
            });
        }
        Action::Grant { grantee, set, contributions, run, days, purpose } => {
            let mut vault = commands::open(&path)?;
            let scope = match set {
                Some(root) => Scope::Set { root },
                None => Scope::Contributions { ids: contributions.into_iter().map(ContributionId).collect() },
            };
            let request =
                GrantRequest { grantee, scope, run, lifetime_s: days.saturating_mul(86_400), purpose, now };
            let grant = commands::grant(&mut vault, request, &ring)?;
            output.result(&grant, || serde_json::to_string_pretty(&grant).unwrap_or_default());
        }
        Action::Revoke { grant, reason } => {
            let mut vault = commands::open(&path)?;
            commands::revoke(&mut vault, &grant, &reason, now)?;
            output.result(&json!({ "revoked": grant }), || format!("revoked {grant}"));
            output.note("What the grantee has already read cannot be taken back.");
        }
        Action::Erase { contribution, leaves, source, datanet, models, rpc, reason, yes } => {
            if !yes {
                bail!("erasing cannot be undone: pass --yes to erase");
            }
            let mut vault = commands::open(&path)?;
            let scope = match (contribution, source, datanet) {
                (Some(id), _, _) => Some(EraseScope::Contribution(ContributionId(id))),
                (None, Some(source), Some(named)) => {
                    Some(EraseScope::Source(commands::resolve(&vault, &named)?, source))
                }
                _ if leaves.is_empty() => None,
                _ => Some(EraseScope::Leaves(leaves)),
            };
            let request = erase::Request { scope, reason, models, rpc, now };
            erase::erase(&mut vault, &path, request, &ring, home, output)?;
        }
        Action::TrainSet {
            datanets,
            uses,
            target,
            languages,
            keep_duplicates,
            max_bytes,
            mut without,
            without_paraphrases,
            least,
        } => {
            let mut vault = commands::open(&path)?;
            let datanets: Vec<_> =
                datanets.iter().map(|named| commands::resolve(&vault, named)).collect::<Result<_, _>>()?;
            if let Some(folder) = without_paraphrases {
                let only = match datanets.as_slice() {
                    [one] => Some(*one),
                    _ => None,
                };
                let found = paraphrases(&vault, only, &folder, least, &ring, output)?;
                output.note(format!(
                    "{} of {} items say what an earlier one says",
                    found.pairs.len(),
                    found.items
                ));
                // Near-duplicates are out by their novelty already, unless they are asked for.
                let paraphrased = found.pairs.iter().filter(|pair| keep_duplicates || !pair.near_duplicate);
                without.extend(paraphrased.map(|pair| pair.leaf));
            }
            let query = Query {
                datanets,
                languages,
                max_bytes,
                min_nu_ppm: u32::from(!keep_duplicates),
                without,
                ..Query::default()
            };
            let uses = declared(&uses, target)?;
            let declared_none = uses.is_none();
            let report = commands::train_set(&mut vault, &TrainSetOptions { query, uses, now }, &ring)?;
            if declared_none {
                output.note("No use was declared, so licences were not compared with any: pass --use train, or what else it is for.");
            }
            for out in &report.ruled_out {
                output.note(format!("left out {}: {}", out.source, out.reason));
            }
            output.result(&report, || {
                format!(
                    "{}\n{} items, {} bytes, about {} tokens",
                    report.set.root,
                    report.set.entries.len(),
                    report.set.bytes,
                    report.set.tokens
                )
            });
        }
        Action::Paraphrases { datanet, model, least } => {
            let vault = commands::open(&path)?;
            let only = datanet.map(|named| commands::resolve(&vault, &named)).transpose()?;
            let found = paraphrases(&vault, only, &model, least, &ring, output)?;
            output.result(&found, || report::paraphrases(&found));
        }
        Action::Export { folder, set, grant, name, description, publisher, version } => {
            let mut vault = commands::open(&path)?;
            let set = match set {
                Some(root) => root,
                None => *vault
                    .sets()
                    .last()
                    .context("no training set is frozen yet; `openledger datanet train-set` makes one")?,
            };
            let (own_name, own_description) = describe(&vault, &set)?;
            let options = ExportOptions {
                set,
                folder,
                name: name.unwrap_or(own_name),
                description: description.unwrap_or(own_description),
                publisher,
                version,
                date: vault::export::date(now),
                now,
            };
            let mut progress = progress(output);
            let mut each = |items| progress(&format!("{items} items"));
            let report = match grant {
                None => commands::export(&mut vault, &options, &ring, &mut each)?,
                Some(id) => commands::export_granted(&mut vault, &options, &id, &ring, &mut each)?,
            };
            output.result(&report, || {
                let rows: Vec<[String; 3]> = report
                    .files
                    .iter()
                    .map(|file| [file.path.clone(), file.bytes.to_string(), file.sha256.clone()])
                    .collect();
                table(["FILE", "BYTES", "SHA-256"], &rows)
            });
            output.note(format!(
                "{} items in {}, readable by everybody: from here on only their licences protect them.",
                report.facts.total.items,
                options.folder.display()
            ));
        }
        Action::Key => {
            let key = *ring.public_keys().next().context("the key ring holds the keeper's key")?;
            output.result(&json!({ "publicKey": key.to_string() }), || key.to_string());
        }
    }
    Ok(())
}

/// Name and description of what a training set was made from.
fn describe(vault: &Vault, set: &B256) -> anyhow::Result<(String, String)> {
    let (mut names, mut descriptions) = (Vec::new(), Vec::new());
    for version in vault.set(set)?.versions {
        let datanet = vault.datanet(&version.datanet)?;
        names.push(datanet.name.clone());
        descriptions.extend(Some(datanet.description.clone()).filter(|text| !text.is_empty()));
    }
    Ok((names.join(", "), descriptions.join(" ")))
}

/// Shows a line of progress at most five times a second, on a terminal only.
fn progress(output: &Output) -> impl FnMut(&str) + '_ {
    let terminal = std::io::stderr().is_terminal();
    let mut last = std::time::Instant::now();
    move |text| {
        if terminal && last.elapsed().as_millis() >= 200 {
            last = std::time::Instant::now();
            output.overwrite(text);
        }
    }
}

/// Items that resemble an earlier one by the embeddings of the model in `folder`.
fn paraphrases(
    vault: &Vault,
    only: Option<DatanetId>,
    folder: &Path,
    least: f32,
    ring: &Keyring,
    output: &Output,
) -> anyhow::Result<commands::ParaphraseReport> {
    let mut embedder = embed::EngineEmbedder::open(folder)?;
    let mut line = progress(output);
    let mut each = |items| line(&format!("{items} items"));
    let found = commands::paraphrases(vault, only.as_ref(), &mut embedder, least, ring, &mut each)?;
    if std::io::stderr().is_terminal() {
        output.overwrite("");
    }
    Ok(found)
}

fn add(vault: &mut Vault, options: AddOptions, ring: &Keyring, output: &Output) -> anyhow::Result<()> {
    let mut line = progress(output);
    let report = commands::add(vault, &options, ring, &mut |progress| {
        let megabytes = progress.bytes as f64 / 1e6;
        line(&format!("{} documents, {megabytes:.1} MB: {}", progress.documents, progress.source));
    })?;
    if std::io::stderr().is_terminal() {
        output.overwrite("");
    }
    output.result(&report, || {
        let mut parts: Vec<String> = report.imports.iter().map(imported).collect();
        if let [_, _, ..] = report.imports.as_slice() {
            parts.push(total(&report.imports));
        }
        parts.join("\n\n")
    });
    if report.imports.iter().any(|import| import.items > 0) {
        output.note("Freeze what a model may be trained on with `openledger datanet train-set`.");
    }
    Ok(())
}

fn declared(uses: &[String], target: String) -> anyhow::Result<Option<DeclaredUse>> {
    if uses.is_empty() {
        return Ok(None);
    }
    Ok(Some(DeclaredUse { uses: uses::bits(uses)?, target, custom: Vec::new() }))
}
