//! `openledger datanet`: licensed data, encrypted in a vault, offline.
//!
//! The vault is a folder, or a bucket of an S3-compatible server (`--vault s3://BUCKET/PREFIX`, credentials from the usual `AWS_...`
//! variables). Its keeper key stands in the user's folder (`HOME/keeper.key`, mode 0600); whoever has neither it nor a grant reads
//! nothing.

use crate::{
    home::Home,
    output::{Output, table},
    wallet::{self, Keystore},
};
use alloy_primitives::{Address, B256};
use anyhow::{Context as _, bail};
use clap::Subcommand;
use primitives::{DatanetId, licence::Use};
use serde_json::json;
use std::{
    collections::BTreeMap,
    io::IsTerminal,
    path::{Path, PathBuf},
};
use vault::{
    Vault,
    access::Scope,
    commands::{self, AddOptions, CreateOptions, EraseScope, ExportOptions, GrantRequest, TrainSetOptions},
    crypt::{
        keys::{Keyring, PublicKey, SecretKey},
        threshold::Keepers,
    },
    licence::DeclaredUse,
    read::Columns,
    screen,
    vault::{
        import::ImportOptions,
        layout::ContributionId,
        report::{ImportReport, LeftOut},
        training::Query,
    },
};
use zeroize::Zeroizing;

/// File of the keeper's key inside the user's folder.
const KEEPER_FILE: &str = "keeper.key";
/// How long a grant holds unless it says otherwise, in days.
const GRANT_DAYS: u64 = 30;

/// Licensed data, encrypted in a vault.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Folder of the vault, or s3://BUCKET/PREFIX [default: HOME/vault]
    #[arg(long, global = true, value_name = "PLACE")]
    vault: Option<String>,
    /// Address of the S3 server [default: AWS_ENDPOINT_URL, or Amazon's]
    #[arg(long, global = true, value_name = "URL")]
    s3_endpoint: Option<String>,
    /// File with another keeper's key, where several are needed; may be given several times
    #[arg(long = "keeper-key", global = true, value_name = "FILE")]
    keeper_keys: Vec<PathBuf>,
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
        /// Public key of a keeper, as `datanet key` prints it; may be given several times [default: your own]
        #[arg(long = "keeper", value_name = "KEY")]
        keepers: Vec<PublicKey>,
        /// How many keepers together can read
        #[arg(long, default_value_t = 1)]
        needed: u8,
        /// What happens to personal data: report, redact or reject
        #[arg(long, default_value = "redact", value_parser = screening)]
        personal: screen::Action,
        /// What happens to passwords, keys and tokens: report, redact or reject
        #[arg(long, default_value = "reject", value_parser = screening)]
        secrets: screen::Action,
        /// What happens to junk: report or reject
        #[arg(long, default_value = "reject", value_parser = screening)]
        junk: screen::Action,
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
    /// Remove what interrupted commands left behind
    Clean,
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
    /// Write a training set out as Parquet, with its Croissant description, data card and public summary
    Export {
        /// New folder to write to
        folder: PathBuf,
        /// Root of the training set [default: the one frozen last]
        #[arg(long, value_name = "ROOT")]
        set: Option<B256>,
        /// Read under this grant instead of as a keeper
        #[arg(long, value_name = "GRANT", conflicts_with = "set")]
        grant: Option<B256>,
        /// What it is called [default: the Datanets' names]
        #[arg(long)]
        name: Option<String>,
        /// What it is for [default: the Datanets' descriptions]
        #[arg(long)]
        description: Option<String>,
        /// Who publishes it
        #[arg(long, default_value = "unnamed")]
        publisher: String,
        /// Its version
        #[arg(long = "release", default_value = "1.0.0", value_name = "VERSION")]
        version: String,
    },
    /// Print this user's public key, for grants
    Key,
}

/// Runs `openledger datanet`.
pub fn run(arguments: Arguments, home: &Home, output: &Output) -> anyhow::Result<()> {
    let Arguments { vault: named, s3_endpoint, keeper_keys, action } = arguments;
    let path = home.vault(named.as_deref(), s3_endpoint.as_deref())?;
    let keystore = Keystore::new(home.keystore());
    let mut ring = keyring(home)?;
    for file in &keeper_keys {
        ring.add(secret_key(file)?);
    }
    let now = crate::demo::now();
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

/// The keeper's key of this user; made at first use.
pub fn keyring(home: &Home) -> anyhow::Result<Keyring> {
    let path = home.join(KEEPER_FILE);
    if !path.exists() {
        wallet::private_folder(path.parent().unwrap_or(Path::new(".")))?;
        let key = SecretKey::generate()?;
        wallet::write_private(&path, alloy_primitives::hex::encode(*key.to_bytes()).as_bytes())?;
    }
    let mut ring = Keyring::new();
    ring.add(secret_key(&path)?);
    Ok(ring)
}

/// A key from its file.
fn secret_key(path: &Path) -> anyhow::Result<SecretKey> {
    let text = Zeroizing::new(
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?,
    );
    let bytes: B256 = text
        .trim()
        .parse()
        .with_context(|| format!("{} holds no key: 64 hex digits are expected", path.display()))?;
    Ok(SecretKey::from_bytes(bytes.0))
}

/// The address of a key, with what to do when there is none yet.
fn own_address(keystore: &Keystore, named: &str) -> anyhow::Result<Address> {
    keystore.address(named).with_context(|| {
        format!("no owner `{named}`: make a key with `openledger wallet new {named}`, or pass --owner NAME or ADDRESS")
    })
}

fn screening(text: &str) -> Result<screen::Action, String> {
    match text {
        "report" => Ok(screen::Action::Report),
        "redact" => Ok(screen::Action::Redact),
        "reject" => Ok(screen::Action::Reject),
        _ => Err("there are report, redact and reject".into()),
    }
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

fn verified(report: &commands::VerifyReport) -> String {
    let mut lines = vec![format!(
        "{} records, {} contributions, {} items: {} decrypted, {} erased, {} whose keys are not here",
        report.records, report.contributions, report.items, report.decrypted, report.erased, report.locked
    )];
    if report.garbage > 0 {
        lines.push(format!(
            "{} objects belong to nothing; `openledger datanet clean` removes them",
            report.garbage
        ));
    }
    lines.extend(report.problems.iter().map(|problem| format!("DAMAGED: {problem}")));
    if report.problems.is_empty() {
        lines.push("everything matches its root".into());
    }
    lines.join("\n")
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

/// One line over several contributions.
fn total(imports: &[ImportReport]) -> String {
    let sum = |of: fn(&ImportReport) -> u64| imports.iter().map(of).sum::<u64>();
    format!(
        "in all       {} items in {} contributions, one a licence: {} bytes, about {} tokens; {} copies, {} redacted, {} refused, {} not read",
        sum(|i| i.items),
        imports.iter().filter(|i| i.contribution.is_some()).count(),
        sum(|i| i.bytes),
        sum(|i| i.tokens),
        sum(|i| i.exact_duplicates + i.near_duplicates),
        sum(|i| i.redacted),
        sum(|i| i.refused_count),
        sum(|i| i.error_count)
    )
}

/// An import's report for the data's owner.
fn imported(import: &ImportReport) -> String {
    let ImportReport {
        contribution,
        root: _,
        items,
        bytes,
        tokens,
        resumed,
        stored_bytes,
        already_present,
        exact_duplicates,
        near_duplicates,
        mean_nu_ppm: _,
        compared_with_all,
        findings,
        flagged,
        redacted,
        licences,
        languages,
        refused,
        refused_count,
        errors,
        error_count,
    } = import;
    let mut lines = Vec::new();
    let mut say = |what: &str, text: String| lines.push(format!("{what:<13}{text}"));
    match contribution {
        Some(id) => say("contribution", id.to_string()),
        None => say("contribution", "none: nothing new came in".into()),
    }
    if *items > 0 {
        say(
            "items",
            format!(
                "{items} ({bytes} bytes of text, about {tokens} tokens; {stored_bytes} bytes stored, encrypted)"
            ),
        );
        say("licences", counts(licences.iter().map(|(name, (items, _))| (name.as_str(), *items))));
        say("languages", counts(languages.iter().map(|(name, items)| (language(name), *items))));
        let all = if *compared_with_all { "" } else { "; some earlier items by their signatures only" };
        say("novelty", format!("{:.1} % of the text is new here{all}", 100.0 * import.mean_nu()));
    }
    if exact_duplicates + near_duplicates > 0 {
        say(
            "copies",
            format!("{exact_duplicates} exact, {near_duplicates} near: kept, worth nothing, not trained on"),
        );
    }
    if *already_present > 0 {
        say("known", format!("{already_present} in this Datanet already, from the same owner"));
    }
    if *resumed > 0 {
        say("resumed", format!("{resumed} were stored by an interrupted import"));
    }
    if !findings.is_empty() {
        let names: Vec<(String, u64)> =
            findings.iter().map(|(kind, count)| (kind.to_string(), *count)).collect();
        let found = counts(names.iter().map(|(name, count)| (name.as_str(), *count)));
        let first = format!("{found}; redacted in {redacted} items");
        say("screening", under(first, grouped(flagged, flagged.len() as u64)));
    }
    if *refused_count > 0 {
        say("refused", under(refused_count.to_string(), grouped(refused, *refused_count)));
    }
    if *error_count > 0 {
        say("not read", under(error_count.to_string(), grouped(errors, *error_count)));
    }
    lines.join("\n")
}

/// A line and those below it.
fn under(first: String, mut below: Vec<String>) -> String {
    below.insert(0, first);
    below.join("\n")
}

/// Names with their counts, the most frequent first, at most eight.
fn counts<'a>(all: impl Iterator<Item = (&'a str, u64)>) -> String {
    const SHOWN: usize = 8;
    let mut all: Vec<_> = all.collect();
    all.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    let rest: u64 = all.iter().skip(SHOWN).map(|(_, count)| count).sum();
    let mut texts: Vec<_> = all.iter().take(SHOWN).map(|(name, count)| format!("{name} {count}")).collect();
    if rest > 0 {
        texts.push(format!("others {rest}"));
    }
    texts.join(", ")
}

fn language(code: &str) -> &str {
    if code == "und" { "unsure" } else { code }
}

/// What was left out by reason, with an example of each.
fn grouped(left_out: &[LeftOut], all: u64) -> Vec<String> {
    let mut reasons: BTreeMap<&str, (u64, &str)> = BTreeMap::new();
    for out in left_out {
        let reason =
            out.reason.strip_prefix(&out.source).map_or(out.reason.as_str(), |r| r.trim_start_matches(": "));
        reasons.entry(reason).or_insert((0, &out.source)).0 += 1;
    }
    let mut rows: Vec<_> = reasons.into_iter().collect();
    rows.sort_by(|a, b| b.1.0.cmp(&a.1.0).then(a.0.cmp(b.0)));
    let mut lines: Vec<_> = rows
        .iter()
        .map(|(reason, (count, example))| match count {
            1 => format!("  {example}: {reason}"),
            _ => format!("  {count}: {reason} (such as {example})"),
        })
        .collect();
    let unlisted = all.saturating_sub(left_out.len() as u64);
    if unlisted > 0 {
        lines.push(format!("  and {unlisted} more"));
    }
    lines
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
