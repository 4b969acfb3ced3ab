//! The documentation of a project's dependencies as a Datanet: `cargo metadata --format-version 1 | crate_docs [FOLDER [all]]`.
//!
//! Without a folder it prints what the reader finds. With one it makes a vault there, imports each repository for an owner of its
//! own, freezes a deduplicated training set, exports it, and prints the report that a data owner would read. `all` takes every
//! repository instead of 32. The keeper's key is written to FOLDER/keeper.hex, which only an example may do.

use primitives::Address;
use std::io::{Read, Write};
use std::path::Path;
use std::time::Instant;
use vault::commands::{self, CreateOptions, ExportOptions, TrainSetOptions};
use vault::crypt::keys::{Keyring, SecretKey};
use vault::crypt::threshold::Keepers;
use vault::read::ReadError;
use vault::read::crates::{Corpus, Options, crates};
use vault::vault::import::ImportOptions;
use vault::vault::training::Query;

type Outcome = Result<(), Box<dyn std::error::Error>>;
const NOW: u64 = 1_790_000_000;

fn main() -> Outcome {
    let mut metadata = Vec::new();
    std::io::stdin().read_to_end(&mut metadata)?;
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let all = arguments.get(1).is_some_and(|a| a == "all");
    let options = if all { Options::unlimited() } else { Options::default() };
    let start = Instant::now();
    let corpus = crates(&metadata, &options)?;
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "{} repositories, {} documents, {} bytes read in {:.2} s; {} left out, {} errors",
        corpus.repositories.len(),
        corpus.documents().count(),
        corpus.bytes(),
        start.elapsed().as_secs_f64(),
        corpus.left_out.len(),
        corpus.errors.len()
    )?;
    match arguments.first() {
        Some(folder) => datanet(Path::new(folder), &corpus, &mut out),
        None => {
            for r in &corpus.repositories {
                writeln!(out, "{:>8} {:>5} {} ({})", r.bytes, r.documents.len(), r.url, r.licence)?;
            }
            Ok(())
        }
    }
}

fn datanet(folder: &Path, corpus: &Corpus, out: &mut impl Write) -> Outcome {
    let keeper = SecretKey::generate()?;
    let hex: String = keeper.to_bytes().iter().map(|b| format!("{b:02x}")).collect();
    std::fs::create_dir_all(folder)?;
    std::fs::write(folder.join("keeper.hex"), hex)?;
    let ring: Keyring = [keeper.clone()].into_iter().collect();
    let mut vault = commands::open_or_create(&folder.join("vault").as_path().into(), NOW)?;
    let create = CreateOptions {
        name: "crate documentation".into(),
        description: "READMEs and documentation comments of the crates a project depends on.".into(),
        owner: Address::ZERO,
        licences: vec![],
        screening: Default::default(),
        keepers: Keepers::one(keeper.public()),
        id: None,
        now: NOW,
    };
    let id = commands::create(&mut vault, create)?.id;
    let start = Instant::now();
    let (mut items, mut refused) = (0, 0);
    for repository in &corpus.repositories {
        let owner = Address::from_slice(&blake3::hash(repository.url.as_bytes()).as_bytes()[..20]);
        let documents = repository.documents.iter().cloned().map(Ok::<_, ReadError>);
        let report = vault.import(documents, &ImportOptions::new(id, owner, NOW), &ring, &mut |_| {})?;
        items += report.items;
        refused += report.refused_count;
        if report.near_duplicates + report.exact_duplicates + report.refused_count + report.redacted > 0 {
            writeln!(
                out,
                "{}: {} items, nu {:.3}, {} exact, {} near, {} redacted, refused {:?}",
                repository.url,
                report.items,
                report.mean_nu(),
                report.exact_duplicates,
                report.near_duplicates,
                report.redacted,
                report.refused.iter().map(|r| format!("{}: {}", r.source, r.reason)).collect::<Vec<_>>()
            )?;
        }
    }
    writeln!(out, "{items} items imported, {refused} refused, in {:.2} s", start.elapsed().as_secs_f64())?;
    let options = TrainSetOptions { query: Query::deduplicated(), uses: None, now: NOW };
    let set = commands::train_set(&mut vault, &options, &ring)?.set;
    writeln!(out, "training set {} of {} items, about {} tokens", set.root, set.entries.len(), set.tokens)?;
    let options = ExportOptions {
        set: set.root,
        folder: folder.join("export"),
        name: "Crate documentation".into(),
        description: "READMEs and documentation comments of the crates a project depends on.".into(),
        publisher: "OpenLedger".into(),
        version: "1.0.0".into(),
        date: "2026-11-20".into(),
        now: NOW,
    };
    let report = commands::export(&mut vault, &options, &ring, &mut |_| {})?;
    for file in &report.files {
        writeln!(out, "{:>9} {}", file.bytes, file.path)?;
    }
    let start = Instant::now();
    let verified = commands::verify(&vault, &ring, &mut |_| {})?;
    writeln!(
        out,
        "verified {} items in {:.2} s: {} problems",
        verified.decrypted,
        start.elapsed().as_secs_f64(),
        verified.problems.len()
    )?;
    Ok(())
}
