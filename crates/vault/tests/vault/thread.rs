//! The main path, end to end: a folder in, a frozen, decrypted, verified training set out.

use crate::fixture::{Bench, NOW, bench, documents, folder, prose};
use primitives::B256;
use vault::access::Scope;
use vault::crypt::CryptError;
use vault::crypt::keys::{Keyring, SecretKey};
use vault::store::{local::Local, memory::Memory};
use vault::vault::grants::GrantOptions;
use vault::vault::training::Query;
use vault::{Vault, VaultError};

#[test]
fn a_folder_becomes_a_verified_training_set() {
    let dir = folder();
    let disk = tempfile::tempdir().unwrap();
    let mut bench = bench(Box::new(Local::open(disk.path()).unwrap()));
    let report = bench.import(dir.path());
    assert_eq!(report.items, 8, "{report:#?}");
    assert_eq!(report.exact_duplicates, 1);
    assert_eq!(report.redacted, 1);
    assert_eq!((report.refused_count, report.error_count), (2, 2), "{report:#?}");
    let ring = bench.ring();
    let set = bench.vault.freeze(Query::deduplicated(), &ring, NOW).unwrap();
    assert_eq!(set.entries.len(), 7);
    let again = bench.vault.freeze(Query::deduplicated(), &ring, NOW + 5).unwrap();
    assert_eq!(again.root, set.root);

    // Reopened from disk, a grantee reads the same set.
    let grantee = SecretKey::generate().unwrap();
    let Bench { vault, keeper, .. } = bench;
    let head = vault.head();
    drop(vault);
    let mut vault = Vault::open(Box::new(Local::open(disk.path()).unwrap())).unwrap();
    assert_eq!(vault.head(), head);
    let options = GrantOptions {
        grantee: grantee.public(),
        scope: Scope::Set { root: set.root },
        run: Some(B256::repeat_byte(7)),
        expires_at: NOW + 100,
        purpose: "test run".into(),
        now: NOW,
    };
    let grant = vault.grant(options, &[keeper].into_iter().collect()).unwrap();
    let tree = set.tree();
    let items: Vec<_> = vault
        .open_grant(&grant.id, &grantee, NOW)
        .unwrap()
        .into_set()
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    assert_eq!(items.len(), 7);
    for (i, (entry, item)) in items.iter().enumerate() {
        let proof = tree.prove(i as u64).unwrap();
        assert!(proof.verify(&set.items_root, &entry.leaf));
        assert_eq!(item.meta.facts.leaf(), entry.leaf);
        assert!(!item.text.contains("ann@corp.net") && !item.text.contains("ghp_"));
    }
    let pair = items.iter().find(|(_, i)| i.meta.source == "pairs.jsonl#1").unwrap();
    assert!(pair.1.meta.facts.prompt_bytes > 0);
}

#[test]
fn leaves_left_out_by_name_make_another_set_whatever_their_order() {
    let mut bench = bench(Box::new(Memory::new()));
    let ring = bench.ring();
    bench.vault.import(documents(0, 5), &bench.options, &ring, &mut |_| {}).unwrap();
    let all = bench.vault.freeze(Query::deduplicated(), &ring, NOW).unwrap();
    let (a, b) = (all.entries[1].leaf, all.entries[3].leaf);
    let mut without =
        |without| bench.vault.freeze(Query { without, ..Query::deduplicated() }, &ring, NOW).unwrap();
    let fewer = without(vec![a, b]);
    assert_eq!(fewer, without(vec![b, a, b]));
    assert_eq!(fewer.entries.iter().map(|e| e.index).collect::<Vec<_>>(), [0, 2, 4]);
    // What is left out is part of the root, even where it would not have been taken.
    assert_ne!(without(vec![a, b, B256::ZERO]).root, fewer.root);
    assert_ne!(all.root, fewer.root);
    assert_eq!(bench.vault.set(&fewer.root).unwrap(), fewer);
}

#[test]
fn importing_twice_adds_nothing() {
    let dir = folder();
    let mut bench = bench(Box::new(Memory::new()));
    let first = bench.import(dir.path());
    let second = bench.import(dir.path());
    assert_eq!(second.items, 0);
    assert_eq!(second.already_present, first.items);
    assert_eq!(second.contribution, None);
}

#[test]
fn the_store_shows_nothing_of_the_texts() {
    let dir = folder();
    let disk = tempfile::tempdir().unwrap();
    let mut bench = bench(Box::new(Local::open(disk.path()).unwrap()));
    bench.import(dir.path());
    let store = bench.vault.store();
    for name in store.list("").unwrap() {
        let bytes = store.read(&name).unwrap();
        for needle in ["river", "pairs.jsonl", "a.md"] {
            let found = bytes.windows(needle.len()).any(|w| w == needle.as_bytes());
            assert!(!found, "{needle} stands in {name}");
        }
    }
}

#[test]
fn without_the_keepers_nothing_decrypts() {
    let dir = folder();
    let mut bench = bench(Box::new(Memory::new()));
    let report = bench.import(dir.path());
    let stranger: Keyring = [SecretKey::generate().unwrap()].into_iter().collect();
    let id = report.contribution.unwrap();
    let refused = bench.vault.items(&id, &stranger).err().unwrap();
    assert!(matches!(refused, VaultError::Crypt(CryptError::NoKey { .. })));
}

#[test]
fn a_grant_ends_by_expiry_and_by_revocation_and_every_reading_is_logged() {
    let dir = folder();
    let mut bench = bench(Box::new(Memory::new()));
    let report = bench.import(dir.path());
    let (grantee, other) = (SecretKey::generate().unwrap(), SecretKey::generate().unwrap());
    let ring = bench.ring();
    let scope = Scope::Contributions { ids: vec![report.contribution.unwrap()] };
    let options = GrantOptions {
        grantee: grantee.public(),
        scope,
        run: None,
        expires_at: NOW + 100,
        purpose: "audit".into(),
        now: NOW,
    };
    let vault = &mut bench.vault;
    let grant = vault.grant(options.clone(), &ring).unwrap().id;
    assert!(vault.open_grant(&grant, &other, NOW).is_err());
    let before = vault.records().len();
    assert_eq!(vault.open_grant(&grant, &grantee, NOW + 99).unwrap().order().len(), 8);
    assert_eq!(vault.records().len(), before + 1);
    let expired = vault.open_grant(&grant, &grantee, NOW + 100).err().unwrap();
    assert!(matches!(expired, VaultError::GrantEnded { why: "has expired", .. }));
    vault.revoke(&grant, "asked to", NOW).unwrap();
    let revoked = vault.open_grant(&grant, &grantee, NOW).err().unwrap();
    assert!(matches!(revoked, VaultError::GrantEnded { why: "was revoked", .. }));
    assert!(vault.store().list("grants/").unwrap().is_empty());
    let late = GrantOptions { now: NOW + 100, ..options };
    assert!(matches!(vault.grant(late, &ring), Err(VaultError::Declaration(_))));
}

#[test]
fn ranges_are_read_and_verified_without_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let text = prose(5, 60_000);
    std::fs::write(dir.path().join("long.txt"), &text).unwrap();
    let mut bench = bench(Box::new(Memory::new()));
    let id = bench.import(dir.path()).contribution.unwrap();
    let ring = bench.ring();
    let mut items = bench.vault.items(&id, &ring).unwrap();
    for (start, end) in
        [(0u64, 10u64), (65_530, 65_540), (200_000, 340_000), (text.len() as u64 - 5, text.len() as u64)]
    {
        let bytes = items.read_range(0, start..end).unwrap();
        assert_eq!(bytes, &text.as_bytes()[start as usize..end as usize]);
    }
    assert!(items.read_range(0, text.len() as u64..text.len() as u64 + 1).is_err());

    // One flipped byte in the pack is found by the range that holds it.
    let segment = bench.vault.contributions()[0].segments[0].clone();
    let name = vault::vault::layout::pack_name(&segment.pack);
    let mut pack = bench.vault.store().read(&name).unwrap();
    pack[70_000] ^= 1;
    bench.vault.store().replace(&name, &pack).unwrap();
    assert!(bench.vault.pack_range(&segment, 65_536..70_010).is_err());
    assert!(bench.vault.pack_range(&segment, 0..100).is_ok());
    assert!(bench.vault.items(&id, &ring).unwrap().open(0).is_err());
}
