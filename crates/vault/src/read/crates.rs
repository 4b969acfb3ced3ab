//! Documentation of the crates a project depends on: a corpus with real authors and licences that every Rust
//! developer already has on disk.
//!
//! Input is what `cargo metadata --format-version 1` prints. Packages are grouped by repository; of each crate only the newest
//! version counts, and of repositories with the same name under different owners (forks) only the one with the
//! most documentation. Per crate: its README, then the documentation comments of its public items file by file
//! ([`super::rustdoc`]). Sections about licences and contributing go, and so does every paragraph that occurred before
//! anywhere in the corpus (a README repeated as crate documentation is the rule). The rest is cut into documents at
//! section borders. The result depends on the sources alone: repositories by URL, crates by name, files by path.

use super::{Documents, ReadError, SourceFile, files, markdown, rustdoc, text};
use crate::document::Document;
use serde::Deserialize;
use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

/// Largest `cargo metadata` output accepted, in bytes.
pub const MAX_METADATA_BYTES: usize = 256 << 20;

/// How much to take.
#[derive(Clone, Debug)]
pub struct Options {
    /// Repositories at most, those with the most documentation.
    pub repositories: usize,
    /// Bytes of text at most in all; no repository gets more than its equal part.
    pub max_bytes: usize,
    /// A repository with less documentation than this is left out.
    pub min_repository_bytes: usize,
    /// Bytes of a document at most.
    pub max_document_bytes: usize,
    /// Documents shorter than this are left out.
    pub min_document_bytes: usize,
}

impl Default for Options {
    /// 32 repositories and 2 MB.
    fn default() -> Options {
        Options {
            repositories: 32,
            max_bytes: 2_000_000,
            min_repository_bytes: 24_000,
            max_document_bytes: 4096,
            min_document_bytes: 120,
        }
    }
}

impl Options {
    /// Everything there is.
    pub fn unlimited() -> Options {
        Options {
            repositories: usize::MAX,
            max_bytes: usize::MAX,
            min_repository_bytes: 0,
            ..Options::default()
        }
    }
}

/// A repository and its documents.
#[derive(Clone, Debug)]
pub struct Repository {
    /// Normalised URL.
    pub url: String,
    /// SPDX expression that all its crates state, joined with `AND` where they differ.
    pub licence: String,
    /// Authors over all its crates, as written.
    pub authors: Vec<String>,
    /// Its crates, `name version`.
    pub crates: Vec<String>,
    /// Bytes of the documents.
    pub bytes: usize,
    /// The documents, in order; `group` is the URL.
    pub documents: Vec<Document>,
}

/// What was read, and what was not.
#[derive(Debug, Default)]
pub struct Corpus {
    /// Repositories by URL.
    pub repositories: Vec<Repository>,
    /// What could not be read.
    pub errors: Vec<ReadError>,
    /// What was left out, with the reason.
    pub left_out: Vec<(String, &'static str)>,
}

impl Corpus {
    /// All documents in order.
    pub fn documents(&self) -> impl Iterator<Item = &Document> {
        self.repositories.iter().flat_map(|r| &r.documents)
    }

    /// Bytes of all documents.
    pub fn bytes(&self) -> usize {
        self.repositories.iter().map(|r| r.bytes).sum()
    }
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    source: Option<String>,
    license: Option<String>,
    repository: Option<String>,
    manifest_path: PathBuf,
    readme: Option<String>,
    #[serde(default)]
    authors: Vec<String>,
}

/// Reads the corpus that `metadata` (the output of `cargo metadata --format-version 1`) leads to.
///
/// # Errors
/// [`ReadError::Malformed`] when it is not that output, [`ReadError::TooLarge`] past [`MAX_METADATA_BYTES`]. A crate that
/// cannot be read stands in [`Corpus::errors`].
pub fn crates(metadata: &[u8], options: &Options) -> Result<Corpus, ReadError> {
    if metadata.len() > MAX_METADATA_BYTES {
        let (bytes, limit) = (metadata.len() as u64, MAX_METADATA_BYTES as u64);
        return Err(ReadError::TooLarge { path: "cargo metadata".into(), bytes, limit });
    }
    let metadata: Metadata = serde_json::from_slice(metadata).map_err(|e| ReadError::Malformed {
        path: "cargo metadata".into(),
        reason: format!("not the output of `cargo metadata --format-version 1`: {e}"),
    })?;
    let mut corpus = Corpus::default();
    let mut seen = HashSet::new();
    for (url, packages) in by_repository(metadata.packages, &mut corpus) {
        let repository = read_repository(url, packages, options, &mut seen, &mut corpus.errors);
        corpus.repositories.push(repository);
    }
    drop_forks(&mut corpus);
    choose(&mut corpus, options);
    Ok(corpus)
}

/// How the output of `cargo metadata` begins.
const BEGINNING: &[u8] = b"{\"packages\":[";

/// Whether a file is the output of `cargo metadata`.
pub(super) fn is_metadata(path: &Path) -> bool {
    let mut beginning = [0; BEGINNING.len()];
    let read =
        std::fs::File::open(path).and_then(|mut file| std::io::Read::read_exact(&mut file, &mut beginning));
    read.is_ok() && beginning == BEGINNING
}

/// The documentation of all crates that a file of `cargo metadata` names, then what was left out and why.
pub(super) fn documents(path: &Path) -> Result<Documents, ReadError> {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let metadata = text::whole_bytes(&SourceFile { path: path.into(), name }, MAX_METADATA_BYTES)?;
    let Corpus { repositories, errors, left_out } = crates(&metadata, &Options::unlimited())?;
    let documents = repositories.into_iter().flat_map(|repository| repository.documents).map(Ok);
    let left_out =
        left_out.into_iter().map(|(path, reason)| Err(ReadError::LeftOut { path, reason: reason.into() }));
    Ok(Box::new(documents.chain(errors.into_iter().map(Err)).chain(left_out)))
}

/// Dependencies by normalised repository URL, newest versions only.
fn by_repository(packages: Vec<Package>, corpus: &mut Corpus) -> BTreeMap<String, Vec<Package>> {
    let mut newest: BTreeMap<String, Package> = BTreeMap::new();
    for package in packages {
        if package.source.is_none() {
            continue; // The project's own crates.
        }
        let older = match newest.get(&package.name) {
            Some(other) => version_key(&other.version) >= version_key(&package.version),
            None => false,
        };
        let (keep, drop) = if older {
            (None, Some(package))
        } else {
            let replaced = newest.remove(&package.name);
            (Some(package), replaced)
        };
        if let Some(package) = drop {
            corpus.left_out.push((format!("{} {}", package.name, package.version), "an older version"));
        }
        if let Some(package) = keep {
            newest.insert(package.name.clone(), package);
        }
    }
    let mut grouped: BTreeMap<String, Vec<Package>> = BTreeMap::new();
    for (name, package) in newest {
        match (package.repository.as_deref().and_then(normal_url), &package.license) {
            (Some(url), Some(_)) => grouped.entry(url).or_default().push(package),
            (None, _) => corpus.left_out.push((name, "names no repository")),
            (_, None) => corpus.left_out.push((name, "states no SPDX licence")),
        }
    }
    grouped
}

/// Numeric parts of a version, a pre-release below its release.
fn version_key(version: &str) -> (Vec<u64>, bool) {
    let (core, pre) = version
        .split('+')
        .next()
        .unwrap_or("")
        .split_once('-')
        .map_or_else(|| (version.split('+').next().unwrap_or(""), false), |(core, _)| (core, true));
    (core.split('.').map(|part| part.parse().unwrap_or(0)).collect(), !pre)
}

/// `https://host/owner/name`, lower case, without `.git` or a folder inside the repository.
fn normal_url(url: &str) -> Option<String> {
    let lower = url.trim().to_ascii_lowercase();
    let rest = lower.split_once("://").map_or(lower.as_str(), |(_, rest)| rest);
    let mut parts = rest.trim_start_matches("www.").split('/').filter(|p| !p.is_empty());
    let (host, owner, name) = (parts.next()?, parts.next()?, parts.next()?);
    let name = name.trim_end_matches(".git");
    Some(format!("https://{host}/{owner}/{name}"))
}

fn read_repository(
    url: String,
    packages: Vec<Package>,
    options: &Options,
    seen: &mut HashSet<u64>,
    errors: &mut Vec<ReadError>,
) -> Repository {
    let mut licences: Vec<String> = Vec::new();
    let mut repository = Repository {
        url,
        licence: String::new(),
        authors: Vec::new(),
        crates: Vec::new(),
        bytes: 0,
        documents: Vec::new(),
    };
    for package in packages {
        // Cargo's old separator means OR.
        let licence = package.license.as_deref().unwrap_or_default().replace('/', " OR ");
        for author in &package.authors {
            if !repository.authors.contains(author) {
                repository.authors.push(author.clone());
            }
        }
        for (name, markdown) in sources(&package, errors) {
            let cleaned = markdown::drop_repeated(&markdown::clean(&markdown), seen);
            let source = format!("{}-{}/{name}", package.name, package.version);
            for (i, part) in markdown::cut(&cleaned, options.max_document_bytes).into_iter().enumerate() {
                if part.len() < options.min_document_bytes {
                    continue;
                }
                repository.bytes += part.len();
                repository.documents.push(Document {
                    text: part,
                    source: if i == 0 { source.clone() } else { format!("{source}#{}", i + 1) },
                    title: Some(format!("{} {name}", package.name)),
                    licence: Some(licence.clone()),
                    group: Some(repository.url.clone()),
                    authors: package.authors.clone(),
                    prompt_bytes: 0,
                });
            }
        }
        if !licences.contains(&licence) {
            licences.push(licence);
        }
        repository.crates.push(format!("{} {}", package.name, package.version));
    }
    repository.licence = match licences.len() {
        1 => licences.swap_remove(0),
        _ => licences.iter().map(|l| format!("({l})")).collect::<Vec<_>>().join(" AND "),
    };
    repository
}

/// README and documentation of each source file, by path.
fn sources(package: &Package, errors: &mut Vec<ReadError>) -> Vec<(String, String)> {
    let Some(root) = package.manifest_path.parent() else { return Vec::new() };
    let mut found = Vec::new();
    let mut take = |file: SourceFile, markdown: fn(&str) -> String| match text::whole(&file) {
        Ok(text) => found.push((file.name, markdown(&text))),
        Err(error) => errors.push(error),
    };
    if let Some(readme) = package.readme.as_deref().filter(|readme| stays_inside(readme)) {
        let path = root.join(readme);
        if path.is_file() && !path.is_symlink() {
            take(SourceFile { path, name: readme.into() }, str::to_string);
        }
    }
    match files(&root.join("src")) {
        Err(error) => errors.push(error),
        Ok(list) => {
            for file in list.into_iter().flatten().filter(|f| f.name.ends_with(".rs")) {
                let name = format!("src/{}", file.name);
                take(SourceFile { name, ..file }, rustdoc::documentation);
            }
        }
    }
    found
}

fn stays_inside(path: &str) -> bool {
    Path::new(path).components().all(|c| matches!(c, std::path::Component::Normal(_)))
}

/// Of repositories with one name under several owners, keeps the one with the most documentation.
fn drop_forks(corpus: &mut Corpus) {
    let name = |url: &str| url.rsplit('/').next().unwrap_or(url).to_string();
    let mut largest: BTreeMap<String, (usize, String)> = BTreeMap::new();
    for repository in &corpus.repositories {
        let best = largest.entry(name(&repository.url)).or_default();
        if repository.bytes > best.0 {
            *best = (repository.bytes, repository.url.clone());
        }
    }
    let (kept, dropped) = std::mem::take(&mut corpus.repositories)
        .into_iter()
        .partition(|r: &Repository| largest.get(&name(&r.url)).is_some_and(|(_, url)| *url == r.url));
    corpus.repositories = kept;
    let reason = "a fork, or without documentation";
    corpus.left_out.extend(dropped.into_iter().map(|r: Repository| (r.url, reason)));
}

/// The repositories with the most documentation, each cut to its equal part.
fn choose(corpus: &mut Corpus, options: &Options) {
    let mut order: Vec<usize> = (0..corpus.repositories.len()).collect();
    order.sort_by_key(|i| std::cmp::Reverse(corpus.repositories[*i].bytes));
    let enough: HashSet<usize> = order
        .into_iter()
        .filter(|i| corpus.repositories[*i].bytes >= options.min_repository_bytes.max(1))
        .take(options.repositories)
        .collect();
    let part = options.max_bytes / enough.len().max(1);
    for (i, mut repository) in std::mem::take(&mut corpus.repositories).into_iter().enumerate() {
        if !enough.contains(&i) {
            corpus.left_out.push((repository.url, "too little documentation, or not among the largest"));
            continue;
        }
        let mut total = 0;
        repository.documents.retain(|document| {
            let fits = total + document.text.len() <= part;
            total += if fits { document.text.len() } else { 0 };
            fits
        });
        repository.bytes = total;
        corpus.repositories.push(repository);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(dir: &Path, name: &str, version: &str, repository: &str, doc: &str) -> serde_json::Value {
        let root = dir.join(format!("{name}-{version}"));
        std::fs::create_dir_all(root.join("src")).unwrap();
        std::fs::write(root.join("README.md"), format!("# {name}\n\n{doc}\n\n## License\n\nMIT\n")).unwrap();
        std::fs::write(
            root.join("src/lib.rs"),
            format!("//! {doc}\n\n/// Does what {name} {version} is there to do, in one call.\npub fn run() {{}}\n"),
        )
        .unwrap();
        serde_json::json!({
            "name": name, "version": version, "source": "registry+x", "license": "MIT/Apache-2.0",
            "repository": repository, "manifest_path": root.join("Cargo.toml"), "readme": "README.md",
            "authors": ["A <a@example.com>"],
        })
    }

    #[test]
    fn newest_versions_of_the_largest_repositories_without_repeats() {
        let dir = tempfile::tempdir().unwrap();
        let long = "A paragraph about the purpose of this crate that is long enough to be told apart from others, one way or another.";
        let metadata = serde_json::json!({ "packages": [
            package(dir.path(), "one", "1.10.0", "https://GitHub.com/a/one.git", &format!("One. {long}")),
            package(dir.path(), "one", "1.9.0", "https://github.com/a/one", "old"),
            package(dir.path(), "one-macros", "1.0.0", "https://github.com/a/one/tree/main/macros", &format!("Macros. {long}")),
            package(dir.path(), "fork", "1.0.0", "https://github.com/b/one", "short"),
        ]});
        let options = Options { min_repository_bytes: 0, min_document_bytes: 20, ..Options::default() };
        let corpus = crates(metadata.to_string().as_bytes(), &options).unwrap();
        assert!(corpus.errors.is_empty());
        assert_eq!(corpus.repositories.len(), 1);
        let one = &corpus.repositories[0];
        assert_eq!(one.url, "https://github.com/a/one");
        assert_eq!(one.licence, "MIT OR Apache-2.0");
        assert_eq!(one.crates, ["one 1.10.0", "one-macros 1.0.0"]);
        let all: String = one.documents.iter().map(|d| d.text.as_str()).collect();
        assert_eq!(all.matches("One. A paragraph").count(), 1, "README and crate documentation repeat it");
        assert!(!all.contains("License") && all.contains("Does what one 1.10.0"));
        assert!(corpus.left_out.iter().any(|(what, _)| what == "one 1.9.0"));
    }

    #[test]
    fn anything_else_than_metadata_is_refused() {
        assert!(matches!(crates(b"[]", &Options::default()), Err(ReadError::Malformed { .. })));
    }
}
