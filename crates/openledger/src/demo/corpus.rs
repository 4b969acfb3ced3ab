//! What the demo's contributors contribute: documentation of the crates this binary was built from, a repository each, or the user's
//! own folder, a subfolder each.

use anyhow::{Context as _, bail};
use std::{collections::BTreeMap, path::Path, process::Command};
use vault::{document::Document, read};

/// Contributors at most.
pub const MAX_CONTRIBUTORS: usize = 32;
/// Bytes of text at most.
const MAX_BYTES: usize = 1_400_000;
/// Bytes of text that make a contributor.
const MIN_CONTRIBUTOR_BYTES: usize = 12_000;
/// Different licences at most: a Datanet allows so many.
const MAX_LICENCES: usize = 8;
/// Every so-manieth document of a contributor is kept out of training, to measure on.
const HELD_OUT_EVERY: usize = 12;

/// Fewer documents of a contributor are all needed for training.
const HELD_OUT_LEAST: usize = 4;

/// A contributor and its documents.
#[derive(Clone, Debug)]
pub struct Source {
    /// Short name.
    pub name: String,
    /// Where it comes from.
    pub url: String,
    /// SPDX expression.
    pub licence: String,
    /// What it contributes.
    pub documents: Vec<Document>,
    /// What is kept out of training.
    pub held_out: Vec<Document>,
}

/// All contributors, and what was left out and why.
#[derive(Debug, Default)]
pub struct Corpus {
    /// The contributors, in a stable order.
    pub sources: Vec<Source>,
    /// Left out, with reasons.
    pub left_out: Vec<String>,
}

impl Corpus {
    /// Licences in use.
    pub fn licences(&self) -> Vec<String> {
        let mut licences: Vec<_> = self.sources.iter().map(|s| s.licence.clone()).collect();
        licences.sort();
        licences.dedup();
        licences
    }

    /// Bytes contributed.
    pub fn bytes(&self) -> usize {
        self.sources.iter().flat_map(|s| &s.documents).map(|d| d.text.len()).sum()
    }
}

/// Documentation of the crates that this binary was built from.
pub fn crates() -> anyhow::Result<Corpus> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--offline", "--manifest-path"])
        .arg(&manifest)
        .output()
        .context(
            "cargo does not run; pass --data DIR with a folder of your own, one contributor a subfolder",
        )?;
    if !output.status.success() {
        bail!(
            "the sources this binary was built from are not here ({}); pass --data DIR with a folder of your own",
            String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or("cargo metadata failed")
        );
    }
    let options = read::crates::Options {
        repositories: 2 * MAX_CONTRIBUTORS,
        max_bytes: 2 * MAX_BYTES,
        min_repository_bytes: MIN_CONTRIBUTOR_BYTES,
        ..read::crates::Options::default()
    };
    let corpus = read::crates::crates(&output.stdout, &options)?;
    let mut left_out: Vec<String> = corpus.errors.iter().map(ToString::to_string).collect();
    left_out.extend(corpus.left_out.iter().map(|(what, why)| format!("{what}: {why}")));
    let sources = corpus
        .repositories
        .into_iter()
        .map(|r| Source {
            name: short_name(&r.url),
            url: r.url,
            licence: r.licence,
            documents: r.documents,
            held_out: Vec::new(),
        })
        .collect();
    Ok(choose(Corpus { sources, left_out }))
}

/// A folder: each subfolder is a contributor. A file `LICENSE.spdx` in it holds its SPDX expression; without one the
/// contributor keeps all rights and grants their use for this demo (`LicenseRef-Demo`).
pub fn folder(path: &Path) -> anyhow::Result<Corpus> {
    let mut corpus = Corpus::default();
    let entries = std::fs::read_dir(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut folders: Vec<_> =
        entries.filter_map(|e| e.ok()).map(|e| e.path()).filter(|p| p.is_dir()).collect();
    folders.sort();
    for folder in folders {
        let name = folder.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let licence = std::fs::read_to_string(folder.join("LICENSE.spdx")).ok();
        let licence = licence.map_or("LicenseRef-Demo".into(), |text| text.trim().to_string());
        let mut documents = Vec::new();
        for document in read::all(&folder, &read::Columns::default())? {
            match document {
                Ok(document) => documents.push(document),
                Err(error) => corpus.left_out.push(error.to_string()),
            }
        }
        if documents.is_empty() {
            corpus.left_out.push(format!("{name}: no readable document"));
            continue;
        }
        corpus.sources.push(Source {
            url: folder.display().to_string(),
            name,
            licence,
            documents,
            held_out: Vec::new(),
        });
    }
    if corpus.sources.len() < 2 {
        bail!(
            "{} has {} subfolders with documents; the demo needs two or more, one contributor each",
            path.display(),
            corpus.sources.len()
        );
    }
    Ok(choose(corpus))
}

/// Keeps the licences that cover most text, then the contributors with most text, cuts to the byte limit and holds documents out.
fn choose(mut corpus: Corpus) -> Corpus {
    let bytes = |s: &Source| s.documents.iter().map(|d| d.text.len()).sum::<usize>();
    // A repository whose crates carry different licences would need a contribution for each.
    let (simple, composite) = corpus.sources.into_iter().partition(|s: &Source| !s.licence.contains(" AND "));
    corpus.sources = simple;
    corpus.left_out.extend(
        composite.into_iter().map(|s: Source| format!("{}: its crates carry different licences", s.name)),
    );
    let mut by_licence: BTreeMap<String, usize> = BTreeMap::new();
    for source in &corpus.sources {
        *by_licence.entry(source.licence.clone()).or_default() += bytes(source);
    }
    let mut licences: Vec<_> = by_licence.into_iter().collect();
    licences.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
    licences.truncate(MAX_LICENCES);
    corpus.sources.retain(|source| {
        let kept = licences.iter().any(|(licence, _)| *licence == source.licence);
        if !kept {
            corpus.left_out.push(format!(
                "{}: licence {} is not among the {MAX_LICENCES} most used",
                source.name, source.licence
            ));
        }
        kept
    });
    corpus.sources.sort_by(|a, b| bytes(b).cmp(&bytes(a)).then(a.url.cmp(&b.url)));
    corpus.sources.truncate(MAX_CONTRIBUTORS);
    let each = MAX_BYTES / corpus.sources.len().max(1);
    for source in &mut corpus.sources {
        let mut left = each;
        source.documents.retain(|document| {
            let kept = document.text.len() <= left;
            left -= if kept { document.text.len() } else { 0 };
            kept
        });
        let every = held_out_every(source.documents.len());
        let mut number = 0;
        let (held_out, documents) = source.documents.drain(..).partition(|_| {
            number += 1;
            number % every == 0
        });
        source.held_out = held_out;
        source.documents = documents;
    }
    corpus.sources.retain(|source| !source.documents.is_empty());
    corpus.sources.sort_by(|a, b| a.url.cmp(&b.url));
    corpus
}

/// Every so-manieth of `documents` is held out; of a few, the last.
fn held_out_every(documents: usize) -> usize {
    if documents >= HELD_OUT_LEAST { HELD_OUT_EVERY.min(documents) } else { usize::MAX }
}

/// `tokio-rs/tokio` of a repository's URL.
fn short_name(url: &str) -> String {
    let path = url.split("://").last().unwrap_or(url);
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    if parts.is_empty() { path.to_string() } else { parts.join("/") }
}
