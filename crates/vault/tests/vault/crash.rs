//! A crash after any write leaves a vault that opens, verifies and goes on.

use crate::fixture::{NOW, bench, documents};
use std::sync::{Arc, Mutex};
use vault::access::Scope;
use vault::crypt::keys::{Keyring, SecretKey};
use vault::store::{Store, StoreError, memory::Memory};
use vault::vault::erase::EraseOptions;
use vault::vault::grants::GrantOptions;
use vault::vault::import::ImportOptions;
use vault::vault::log::Event;
use vault::vault::training::Query;
use vault::{Vault, VaultError};

#[derive(Clone)]
enum Write {
    Put(String, Vec<u8>),
    Remove(String),
}

/// Passes everything on and remembers each change in order.
#[derive(Clone, Default)]
struct Recording {
    inner: Arc<Memory>,
    writes: Arc<Mutex<Vec<Write>>>,
}

impl Recording {
    fn note(&self, write: Write) {
        self.writes.lock().unwrap().push(write);
    }
}

impl Store for Recording {
    fn create(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.inner.create(name, bytes)?;
        self.note(Write::Put(name.into(), bytes.into()));
        Ok(())
    }
    fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.inner.replace(name, bytes)?;
        self.note(Write::Put(name.into(), bytes.into()));
        Ok(())
    }
    fn read(&self, name: &str) -> Result<Vec<u8>, StoreError> {
        self.inner.read(name)
    }
    fn read_range(&self, name: &str, start: u64, length: usize) -> Result<Vec<u8>, StoreError> {
        self.inner.read_range(name, start, length)
    }
    fn list(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        self.inner.list(prefix)
    }
    fn remove(&self, name: &str) -> Result<(), StoreError> {
        self.inner.remove(name)?;
        self.note(Write::Remove(name.into()));
        Ok(())
    }
}

/// The store as it was after the first `count` writes.
fn after(writes: &[Write], count: usize) -> Memory {
    let store = Memory::new();
    for write in &writes[..count] {
        match write {
            Write::Put(name, bytes) => store.replace(name, bytes).unwrap(),
            Write::Remove(name) => store.remove(name).unwrap(),
        }
    }
    store
}

fn sources(vault: &Vault, ring: &Keyring) -> Vec<String> {
    let mut all = Vec::new();
    for contribution in vault.contributions() {
        let mut items = vault.items(&contribution.id, ring).unwrap();
        all.extend(items.iter().map(|item| item.unwrap().meta.source));
    }
    all.sort();
    all
}

fn has(vault: &Vault, wanted: fn(&Event) -> bool) -> bool {
    vault.records().iter().any(|record| wanted(&record.event))
}

#[test]
fn every_prefix_of_writes_opens_verifies_and_resumes() {
    let store = Recording::default();
    let mut bench = bench(Box::new(store.clone()));
    let options = ImportOptions { segment_bytes: 1500, ..bench.options.clone() };
    let ring = bench.ring();
    let vault = &mut bench.vault;
    vault.import(documents(0, 9), &options, &ring, &mut |_| {}).unwrap();
    let set = vault.freeze(Query::deduplicated(), &ring, NOW).unwrap();
    let grantee = SecretKey::generate().unwrap();
    let grant = GrantOptions {
        grantee: grantee.public(),
        scope: Scope::Set { root: set.root },
        run: None,
        expires_at: NOW + 10,
        purpose: "run".into(),
        now: NOW,
    };
    let grant = vault.grant(grant, &ring).unwrap().id;
    let erase = EraseOptions {
        leaves: vec![set.entries[1].leaf, set.entries[7].leaf],
        reason: "asked to".into(),
        windows_close_at: 0,
        models_of: &|_| vec![],
        now: NOW,
    };
    vault.erase(erase).unwrap();
    vault.revoke(&grant, "over", NOW).unwrap();
    let writes = store.writes.lock().unwrap().clone();
    assert!(writes.len() > 30, "{}", writes.len());

    let expected: Vec<String> = (0..9).map(|i| format!("d{i}.txt")).collect();
    let mut resumed_some = false;
    for count in 0..=writes.len() {
        let mut vault = match Vault::open(Box::new(after(&writes, count))) {
            Err(VaultError::Absent) => {
                assert!(count == 0, "after {count} writes");
                continue;
            }
            other => other.unwrap_or_else(|error| panic!("after {count} writes: {error}")),
        };
        let report = vault.verify(&ring, &mut |_| {}).unwrap();
        assert_eq!(report.problems, Vec::<String>::new(), "after {count} writes");
        if vault.datanets().next().is_none() {
            continue;
        }
        if !has(&vault, |e| matches!(e, Event::Erased(_))) {
            // The import goes on where it was cut off, and brings everything in exactly once.
            let committed = !vault.contributions().is_empty();
            let report = vault.import(documents(0, 9), &options, &ring, &mut |_| {}).unwrap();
            assert!(committed || report.items == 9, "after {count} writes");
            resumed_some |= report.resumed > 0 && report.resumed < 9;
            assert_eq!(sources(&vault, &ring), expected, "after {count} writes");
            assert!(vault.store().list("pending/").unwrap().is_empty());
        } else {
            // What was erased stays erased, and nothing of it is left behind.
            assert_eq!(sources(&vault, &ring).len(), 7, "after {count} writes");
        }
        vault.collect_garbage().unwrap();
        let report = vault.verify(&ring, &mut |_| {}).unwrap();
        assert_eq!((report.problems.len(), report.garbage), (0, 0), "after {count} writes");
    }
    assert!(resumed_some, "no prefix resumed in the middle: the test shows less than it should");
}

/// Fails every write past a number of bytes, as a full disk does.
#[derive(Clone)]
struct Full {
    inner: Arc<Memory>,
    left: Arc<Mutex<usize>>,
}

impl Full {
    fn take(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let mut left = self.left.lock().unwrap();
        *left = left.checked_sub(bytes.len()).ok_or_else(|| StoreError::Full(name.into()))?;
        Ok(())
    }
}

impl Store for Full {
    fn create(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.take(name, bytes)?;
        self.inner.create(name, bytes)
    }
    fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.take(name, bytes)?;
        self.inner.replace(name, bytes)
    }
    fn read(&self, name: &str) -> Result<Vec<u8>, StoreError> {
        self.inner.read(name)
    }
    fn read_range(&self, name: &str, start: u64, length: usize) -> Result<Vec<u8>, StoreError> {
        self.inner.read_range(name, start, length)
    }
    fn list(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        self.inner.list(prefix)
    }
    fn remove(&self, name: &str) -> Result<(), StoreError> {
        self.inner.remove(name)
    }
}

#[test]
fn a_full_disk_is_named_and_loses_nothing() {
    let store = Full { inner: Arc::default(), left: Arc::new(Mutex::new(20_000)) };
    let mut bench = bench(Box::new(store.clone()));
    let options = ImportOptions { segment_bytes: 1500, ..bench.options.clone() };
    let ring = bench.ring();
    let first = bench.vault.import(documents(0, 3), &options, &ring, &mut |_| {}).unwrap();
    assert_eq!(first.items, 3);
    let full = bench.vault.import(documents(3, 30), &options, &ring, &mut |_| {}).unwrap_err();
    assert!(matches!(full, VaultError::Store(StoreError::Full(_))), "{full}");
    assert_eq!(sources(&bench.vault, &ring).len(), 3);
    // Space is freed: the same command finishes the work.
    *store.left.lock().unwrap() = usize::MAX;
    let rest = bench.vault.import(documents(3, 30), &options, &ring, &mut |_| {}).unwrap();
    assert_eq!(rest.items, 30);
    assert_eq!(sources(&bench.vault, &ring).len(), 33);
    assert!(bench.vault.verify(&ring, &mut |_| {}).unwrap().problems.is_empty());
}
