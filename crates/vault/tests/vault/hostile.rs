//! Damage and hostile input: each a named error, the rest goes on, nothing committed is lost.

use crate::fixture::{NOW, bench, documents};
use vault::crypt::keys::SecretKey;
use vault::store::{Store, local::Local, memory::Memory};
use vault::vault::layout;
use vault::vault::training::Query;
use vault::{Vault, VaultError};

/// A copy of a store's objects.
fn copy(store: &dyn Store) -> Memory {
    let memory = Memory::new();
    for name in store.list("").unwrap() {
        memory.create(&name, &store.read(&name).unwrap()).unwrap();
    }
    memory
}

#[test]
fn every_damaged_object_is_found_by_the_scan() {
    let mut bench = bench(Box::new(Memory::new()));
    let ring = bench.ring();
    bench.vault.import(documents(0, 4), &bench.options, &ring, &mut |_| {}).unwrap();
    bench.vault.freeze(Query::deduplicated(), &ring, NOW).unwrap();
    for name in bench.vault.store().list("").unwrap() {
        let bytes = bench.vault.store().read(&name).unwrap();
        for damage in ["flip", "truncate", "remove"] {
            let store = copy(bench.vault.store());
            match damage {
                "flip" => {
                    let mut flipped = bytes.clone();
                    let middle = flipped.len() / 2;
                    let Some(byte) = flipped.get_mut(middle) else { continue };
                    *byte ^= 4;
                    store.replace(&name, &flipped).unwrap();
                }
                "truncate" if bytes.is_empty() => continue,
                "truncate" => store.replace(&name, &bytes[..bytes.len() - 1]).unwrap(),
                _ if name == layout::log_name(3) => continue, // The last record: only an anchored head shows it.
                _ => store.remove(&name).unwrap(),
            }
            let found = match Vault::open(Box::new(store)) {
                Err(_) => true,
                Ok(vault) => {
                    // A changed last record is another head.
                    vault.head() != bench.vault.head()
                        || !vault.verify(&ring, &mut |_| {}).unwrap().problems.is_empty()
                }
            };
            assert!(found || name.ends_with(".bao") && bytes.is_empty(), "{damage} {name}");
        }
    }
}

#[test]
fn a_removed_or_reordered_record_breaks_the_chain() {
    let mut bench = bench(Box::new(Memory::new()));
    let ring = bench.ring();
    bench.vault.import(documents(0, 1), &bench.options, &ring, &mut |_| {}).unwrap();
    let store = copy(bench.vault.store());
    store.remove(&layout::log_name(1)).unwrap();
    assert!(matches!(Vault::open(Box::new(store)), Err(VaultError::Log { sequence: 1, .. })));
    let store = copy(bench.vault.store());
    let (one, two) = (store.read(&layout::log_name(1)).unwrap(), store.read(&layout::log_name(2)).unwrap());
    store.replace(&layout::log_name(1), &two).unwrap();
    store.replace(&layout::log_name(2), &one).unwrap();
    assert!(matches!(Vault::open(Box::new(store)), Err(VaultError::Log { sequence: 1, .. })));
}

#[test]
fn one_damaged_pack_costs_only_its_items() {
    let mut bench = bench(Box::new(Memory::new()));
    let ring = bench.ring();
    let mut options = bench.options.clone();
    options.segment_bytes = 1500;
    bench.vault.import(documents(0, 9), &options, &ring, &mut |_| {}).unwrap();
    let segments = bench.vault.contributions()[0].segments.clone();
    assert!(segments.len() >= 3);
    let name = layout::pack_name(&segments[1].pack);
    bench.vault.store().replace(&name, b"garbage").unwrap();
    let id = bench.vault.contributions()[0].id;
    let mut items = bench.vault.items(&id, &ring).unwrap();
    let (good, bad): (Vec<_>, Vec<_>) = items.iter().partition(Result::is_ok);
    assert_eq!(bad.len(), segments[1].count as usize);
    assert_eq!(good.len(), 9 - bad.len());
    assert!(bad.iter().all(|e| matches!(e, Err(VaultError::Damaged { .. }))));
}

#[test]
fn a_vault_is_not_made_twice_nor_opened_where_none_is() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(Vault::open(Box::new(Local::open(dir.path()).unwrap())), Err(VaultError::Absent)));
    drop(Vault::create(Box::new(Local::open(dir.path()).unwrap()), NOW).unwrap());
    assert!(matches!(
        Vault::create(Box::new(Local::open(dir.path()).unwrap()), NOW),
        Err(VaultError::Exists)
    ));
}

#[test]
fn another_key_does_not_open_a_grant_and_says_so() {
    let mut bench = bench(Box::new(Memory::new()));
    let ring = bench.ring();
    let report = bench.vault.import(documents(0, 1), &bench.options, &ring, &mut |_| {}).unwrap();
    let options = vault::vault::grants::GrantOptions {
        grantee: SecretKey::generate().unwrap().public(),
        scope: vault::access::Scope::Contributions { ids: vec![report.contribution.unwrap()] },
        run: None,
        expires_at: NOW + 1,
        purpose: String::new(),
        now: NOW,
    };
    let grant = bench.vault.grant(options, &ring).unwrap().id;
    let records = bench.vault.records().len();
    let error = bench.vault.open_grant(&grant, &SecretKey::generate().unwrap(), NOW).err().unwrap();
    assert!(error.to_string().contains("the key is another one"), "{error}");
    assert_eq!(bench.vault.records().len(), records, "nothing was read, nothing is logged");
}

#[test]
fn a_file_that_changes_while_it_is_read_is_named() {
    use vault::read::{Columns, ReadError, SourceFile, documents};
    let dir = tempfile::tempdir().unwrap();
    let row = |i: u32| format!("{{\"text\":\"row number {i} of a file that grows\"}}\n");
    for (name, header, row) in [
        ("a.jsonl", "", &row as &dyn Fn(u32) -> String),
        ("a.csv", "text\n", &|i| format!("row number {i} of a file that grows\n")),
    ] {
        let path = dir.path().join(name);
        let text: String = (0..2000).map(row).collect();
        std::fs::write(&path, format!("{header}{text}")).unwrap();
        let mut rows = documents(&SourceFile { path: path.clone(), name: name.into() }, &Columns::default());
        assert!(rows.next().unwrap().is_ok());
        std::fs::write(&path, format!("{header}{text}{}", row(2000))).unwrap();
        let last = rows.last().unwrap();
        assert!(matches!(&last, Err(ReadError::Changed { path }) if path == name), "{name}: {last:?}");
    }
}

#[test]
#[cfg(unix)]
fn a_description_cannot_lead_out_of_its_folder_over_a_linked_one() {
    use vault::read::{Columns, ReadError, all};
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("secret.txt"), "not for this Datanet").unwrap();
    let folder = dir.path().join("set");
    std::fs::create_dir(&folder).unwrap();
    std::os::unix::fs::symlink(dir.path(), folder.join("data")).unwrap();
    let description = serde_json::json!({
        "@type": "sc:Dataset", "conformsTo": "http://mlcommons.org/croissant/1.1", "name": "x",
        "distribution": [{ "@type": "cr:FileObject", "contentUrl": "data/secret.txt", "encodingFormat": "text/plain" }],
    });
    std::fs::write(folder.join("croissant.json"), description.to_string()).unwrap();
    let found: Vec<_> = all(&folder, &Columns::default()).unwrap().collect();
    assert!(matches!(found.as_slice(), [Err(ReadError::SymbolicLink { .. })]), "{found:?}");
}
