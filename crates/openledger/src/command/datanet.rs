//! `openledger datanet`: licensed data, encrypted in a vault, offline.
//!
//! The vault's keeper key stands in the user's folder (`HOME/keeper.key`, mode 0600); whoever has neither it nor a grant reads nothing.

use crate::{
    home::Home,
    output::{Output, table},
    wallet::{self, Keystore},
};
use alloy_primitives::B256;
use anyhow::{Context as _, bail};
use clap::Subcommand;
use primitives::{DatanetId, licence::Use};
use serde_json::json;
use std::{
    io::IsTerminal,
    path::{Path, PathBuf},
};
use vault::{
    Vault,
    access::Scope,
    commands::{self, AddOptions, CreateOptions, EraseScope, GrantRequest, TrainSetOptions},
    crypt::{
        keys::{Keyring, PublicKey, SecretKey},
        threshold::Keepers,
    },
    licence::DeclaredUse,
    read::Columns,
    vault::{import::ImportOptions, layout::ContributionId, training::Query},
};
use zeroize::Zeroizing;

/// File of the keeper's key inside the user's folder.
const KEEPER_FILE: &str = "keeper.key";
/// How long a grant holds unless it says otherwise, in days.
const GRANT_DAYS: u64 = 30;

/// Licensed data, encrypted in a vault.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Folder of the vault [default: HOME/vault]
    #[arg(long, global = true, value_name = "DIR")]
    vault: Option<PathBuf>,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Create a Datanet
    Create {
        /// What people call it
        name: String,
        /// What it is for
        #[arg(long, default_value = "")]
        description: String,
        /// Key name or address that owns it
        #[arg(long, default_value = "default")]
        owner: String,
        /// SPDX expression that items may have; may be given several times [default: any valid one]
        #[arg(long = "licence", value_name = "SPDX")]
        licences: Vec<String>,
    },
    /// Add files, folders or globs: read, screen, compare, encrypt, store
    Add {
        /// Datanet: name, id, or the beginning of its id
        datanet: String,
        /// Files, folders or globs
        #[arg(required = true)]
        sources: Vec<PathBuf>,
        /// Key name or address that contributes
        #[arg(long, default_value = "default")]
        owner: String,
        /// SPDX expression of documents that state none
        #[arg(long, value_name = "SPDX")]
        licence: Option<String>,
        /// Column that holds the text, in tables
        #[arg(long, value_name = "COLUMN")]
        text: Option<String>,
        /// Column that holds the prompt, in tables
        #[arg(long, value_name = "COLUMN")]
        prompt: Option<String>,
    },
    /// Show Datanets, contributions, grants and training sets
    Show {
        /// Datanet: name, id, or the beginning of its id
        datanet: Option<String>,
    },
    /// Check every stored byte against the roots
    Verify,
    /// Give someone the keys of a contribution or training set
    Grant {
        /// Public key of the grantee, as `datanet key` prints it
        grantee: PublicKey,
        /// Root of a training set
        #[arg(
            long,
            value_name = "ROOT",
            conflicts_with = "contributions",
            required_unless_present = "contributions"
        )]
        set: Option<B256>,
        /// Contribution; may be given several times
        #[arg(long = "contribution", value_name = "ID")]
        contributions: Vec<B256>,
        /// Registered training descriptor that the grant is for
        #[arg(long, value_name = "HASH")]
        run: Option<B256>,
        /// Days it holds
        #[arg(long, default_value_t = GRANT_DAYS)]
        days: u64,
        /// For what, in words
        #[arg(long, default_value = "training")]
        purpose: String,
    },
    /// End a grant
    Revoke {
        /// The grant
        grant: B256,
        /// Why
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// Delete keys and ciphertext for good; a tombstone stays
    Erase {
        /// A contribution
        #[arg(long, value_name = "ID", conflicts_with = "leaves", required_unless_present = "leaves")]
        contribution: Option<B256>,
        /// Leaf of an item; may be given several times
        #[arg(long = "leaf", value_name = "HASH")]
        leaves: Vec<B256>,
        /// Why
        #[arg(long, default_value = "")]
        reason: String,
        /// Really erase: nothing brings it back
        #[arg(long)]
        yes: bool,
    },
    /// Freeze a training set: items of Datanets that licences, languages and novelty allow
    TrainSet {
        /// Datanets: names or ids [default: all]
        datanets: Vec<String>,
        /// Use that every licence must allow: train, commercial, distribute, quote; may be given several times
        #[arg(long = "use", value_name = "USE")]
        uses: Vec<String>,
        /// Licence that the model will carry
        #[arg(long, value_name = "SPDX", default_value = "Apache-2.0")]
        target: String,
        /// ISO 639-3 code of a language; may be given several times
        #[arg(long = "language", value_name = "CODE")]
        languages: Vec<String>,
        /// Keep near-duplicates
        #[arg(long)]
        keep_duplicates: bool,
        /// Bytes of text at most
        #[arg(long, default_value_t = 0)]
        max_bytes: u64,
    },
    /// Print this user's public key, for grants
    Key,
}

/// Runs `openledger datanet`.
pub fn run(arguments: Arguments, home: &Home, output: &Output) -> anyhow::Result<()> {
    let Arguments { vault: path, action } = arguments;
    let path = path.unwrap_or_else(|| home.vault());
    let keystore = Keystore::new(home.keystore());
    let ring = keyring(home)?;
    let now = crate::demo::now();
    match action {
        Action::Create { name, description, owner, licences } => {
            let owner = keystore.address(&owner)?;
            let mut vault = commands::open_or_create(&path, now)?;
            let keeper = *ring.public_keys().next().context("the key ring holds the keeper's key")?;
            let options = CreateOptions {
                name,
                description,
                owner,
                licences,
                screening: Default::default(),
                keepers: Keepers::one(keeper),
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
            let import = ImportOptions { licence, ..ImportOptions::new(id, keystore.address(&owner)?, now) };
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
            output.result(&report, || serde_json::to_string_pretty(&report).unwrap_or_default());
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
        Action::Erase { contribution, leaves, reason, yes } => {
            if !yes {
                bail!("erasing cannot be undone: pass --yes to erase");
            }
            let mut vault = commands::open(&path)?;
            let scope = match contribution {
                Some(id) => EraseScope::Contribution(ContributionId(id)),
                None => EraseScope::Leaves(leaves),
            };
            let tombstone = commands::erase(&mut vault, &scope, &reason, now, &|_| Vec::new(), &ring, now)?;
            output.result(&tombstone, || serde_json::to_string_pretty(&tombstone).unwrap_or_default());
        }
        Action::TrainSet { datanets, uses, target, languages, keep_duplicates, max_bytes } => {
            let mut vault = commands::open(&path)?;
            let datanets =
                datanets.iter().map(|named| commands::resolve(&vault, named)).collect::<Result<_, _>>()?;
            let query = Query {
                datanets,
                languages,
                max_bytes,
                min_nu_ppm: u32::from(!keep_duplicates),
                ..Query::default()
            };
            let uses = declared(&uses, target)?;
            let report = commands::train_set(&mut vault, &TrainSetOptions { query, uses, now }, &ring)?;
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
        Action::Key => {
            let key = *ring.public_keys().next().context("the key ring holds the keeper's key")?;
            output.result(&json!({ "publicKey": key.to_string() }), || key.to_string());
        }
    }
    Ok(())
}

/// The keeper's key of this user; made at first use.
pub fn keyring(home: &Home) -> anyhow::Result<Keyring> {
    let path = home.join(KEEPER_FILE);
    if !path.exists() {
        wallet::private_folder(path.parent().unwrap_or(Path::new(".")))?;
        let key = SecretKey::generate()?;
        wallet::write_private(&path, alloy_primitives::hex::encode(*key.to_bytes()).as_bytes())?;
    }
    let text = Zeroizing::new(
        std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?,
    );
    let bytes: B256 = text
        .trim()
        .parse()
        .with_context(|| format!("{} holds no key: 64 hex digits are expected", path.display()))?;
    let mut ring = Keyring::new();
    ring.add(SecretKey::from_bytes(bytes.0));
    Ok(ring)
}

fn add(vault: &mut Vault, options: AddOptions, ring: &Keyring, output: &Output) -> anyhow::Result<()> {
    let terminal = std::io::stderr().is_terminal();
    let mut last = std::time::Instant::now();
    let report = commands::add(vault, &options, ring, &mut |progress| {
        if terminal && last.elapsed().as_millis() >= 200 {
            last = std::time::Instant::now();
            output.overwrite(format!(
                "{} documents, {:.1} MB: {}",
                progress.documents,
                progress.bytes as f64 / 1e6,
                progress.source
            ));
        }
    })?;
    if terminal {
        output.overwrite("");
    }
    for import in &report.imports {
        for out in import.errors.iter().chain(&import.refused) {
            output.note(format!("left out {}: {}", out.source, out.reason));
        }
    }
    output.result(&report, || {
        let rows: Vec<[String; 7]> = report
            .imports
            .iter()
            .map(|i| {
                [
                    i.contribution.map_or("nothing new".into(), |id| id.0.to_string()),
                    i.licences.keys().cloned().collect::<Vec<_>>().join(", "),
                    i.items.to_string(),
                    i.bytes.to_string(),
                    (i.exact_duplicates + i.near_duplicates).to_string(),
                    format!("{:.2}", i.mean_nu()),
                    i.redacted.to_string(),
                ]
            })
            .collect();
        table(["CONTRIBUTION", "LICENCE", "ITEMS", "BYTES", "COPIES", "NOVELTY", "REDACTED"], &rows)
    });
    Ok(())
}

fn show(vault: &Vault, only: Option<DatanetId>, output: &Output) -> anyhow::Result<()> {
    let report = commands::show(vault, only.as_ref())?;
    output.result(&report, || {
        let mut text = Vec::new();
        for view in &report.datanets {
            text.push(format!(
                "{} {}\n  owner {}, {} items ({} bytes, about {} tokens), root {}",
                view.datanet.name,
                view.datanet.id,
                view.datanet.owner,
                view.live_items,
                view.bytes,
                view.tokens,
                view.version.root
            ));
            let rows: Vec<[String; 5]> = view
                .contributions
                .iter()
                .map(|c| {
                    [
                        c.id.0.to_string(),
                        c.owner.to_string(),
                        c.items.to_string(),
                        c.bytes.to_string(),
                        c.licences.join(", "),
                    ]
                })
                .collect();
            if !rows.is_empty() {
                text.push(table(["CONTRIBUTION", "OWNER", "ITEMS", "BYTES", "LICENCE"], &rows));
            }
        }
        if text.is_empty() {
            "no Datanet yet; `openledger datanet create NAME` makes one".into()
        } else {
            text.join("\n")
        }
    });
    Ok(())
}

fn declared(uses: &[String], target: String) -> anyhow::Result<Option<DeclaredUse>> {
    if uses.is_empty() {
        return Ok(None);
    }
    let mut bits = 0;
    for named in uses {
        let known = match named.to_ascii_lowercase().as_str() {
            "train" => Use::Train,
            "commercial" => Use::Commercial,
            "distribute" => Use::Distribute,
            "quote" => Use::Quote,
            _ => bail!("`{named}` is no use; there are train, commercial, distribute and quote"),
        };
        bits |= known.bit();
    }
    Ok(Some(DeclaredUse { uses: bits, target, custom: Vec::new() }))
}
