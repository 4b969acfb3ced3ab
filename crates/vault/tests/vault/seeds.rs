//! The seeds of the fuzz targets are what their targets take: each is read as it says.
//!
//! `OPENLEDGER_WRITE_SEEDS=1` writes those of the vault's objects anew, after a change of the layout.

use crate::fixture::{NOW, bench, documents};
use std::path::{Path, PathBuf};
use vault::access::Scope;
use vault::crypt::keys::SecretKey;
use vault::read::{Columns, SourceFile, documents as read};
use vault::store::{Store, StoreError, memory::Memory};
use vault::vault::grants::GrantOptions;
use vault::vault::import::ImportOptions;
use vault::vault::layout;

fn seeds(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target)
}

fn all(target: &str) -> Vec<(String, Vec<u8>)> {
    let entries = std::fs::read_dir(seeds(target)).unwrap().flatten();
    let mut found: Vec<_> = entries
        .map(|entry| (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap()))
        .collect();
    found.sort();
    found
}

#[test]
fn every_format_has_a_seed_that_is_read() {
    let extensions = ["txt", "md", "html", "jsonl", "json", "csv", "tsv", "parquet", "docx", "pdf"];
    let mut seen = [false; 10];
    for (name, bytes) in all("readers") {
        let (choice, content) = bytes.split_first().unwrap();
        let extension = extensions[usize::from(*choice)];
        if extension == "pdf" && !cfg!(feature = "pdf") {
            seen[usize::from(*choice)] = true;
            continue;
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), content).unwrap();
        let source = SourceFile { path: file.path().into(), name: format!("f.{extension}") };
        let read: Vec<_> = read(&source, &Columns::default()).collect();
        assert!(read.iter().any(Result::is_ok), "{name}: {read:?}");
        seen[usize::from(*choice)] = true;
    }
    assert_eq!(seen, [true; 10]);
}

/// Fails the last write of an import, so that its checkpoint stays.
struct Killed(Memory);

impl Store for Killed {
    fn create(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        if name.starts_with("keys/") {
            return Err(StoreError::Full(name.into()));
        }
        self.0.create(name, bytes)
    }
    fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.0.replace(name, bytes)
    }
    fn read(&self, name: &str) -> Result<Vec<u8>, StoreError> {
        self.0.read(name)
    }
    fn read_range(&self, name: &str, start: u64, length: usize) -> Result<Vec<u8>, StoreError> {
        self.0.read_range(name, start, length)
    }
    fn list(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        self.0.list(prefix)
    }
    fn remove(&self, name: &str) -> Result<(), StoreError> {
        self.0.remove(name)
    }
}

fn write_objects() {
    let mut good = bench(Box::new(Memory::new()));
    let ring = good.ring();
    let id =
        good.vault.import(documents(0, 2), &good.options, &ring, &mut |_| {}).unwrap().contribution.unwrap();
    let grant = GrantOptions {
        grantee: SecretKey::generate().unwrap().public(),
        scope: Scope::Contributions { ids: vec![id] },
        run: None,
        expires_at: NOW + 1,
        purpose: String::new(),
        now: NOW,
    };
    let grant = good.vault.grant(grant, &ring).unwrap().id;
    let mut killed = bench(Box::new(Killed(Memory::new())));
    let options = ImportOptions { segment_bytes: 600, ..killed.options.clone() };
    let ring = killed.ring();
    killed.vault.import(documents(0, 2), &options, &ring, &mut |_| {}).unwrap_err();
    let pending = killed.vault.store().list("pending/").unwrap().remove(0);
    let rows = layout::rows_name(&good.vault.contributions()[0].segments[0].rows);
    for (seed, store, name) in [
        ("rows", good.vault.store(), rows),
        ("keys", good.vault.store(), layout::keys_name(&id)),
        ("grant", good.vault.store(), layout::grant_name(&grant)),
        ("pending", killed.vault.store(), pending),
    ] {
        std::fs::write(seeds("objects").join(seed), store.read(&name).unwrap()).unwrap();
    }
}

#[test]
fn every_object_has_a_seed_that_is_read() {
    if std::env::var_os("OPENLEDGER_WRITE_SEEDS").is_some() {
        write_objects();
    }
    let seeds = all("objects");
    let read = |wanted: &str| {
        seeds.iter().find(|(name, _)| name == wanted).map(|(_, bytes)| bytes.as_slice()).unwrap()
    };
    assert_eq!(layout::decode_rows(read("rows")).unwrap().len(), 2);
    assert_eq!(layout::decode_keys(read("keys")).unwrap().wrapped.len(), 2);
    assert_eq!(layout::decode_grant(read("grant")).unwrap().entries.len(), 2);
    assert!(!layout::decode_pending(read("pending")).unwrap().0.is_empty());
}
