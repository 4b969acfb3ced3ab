//! After an erasure nothing of the item can be found, and lineage still verifies.

use crate::fixture::{NOW, bench, documents};
use primitives::{B256, ModelId, merkle};
use std::collections::BTreeMap;
use vault::access::Scope;
use vault::crypt::CryptError;
use vault::crypt::keys::{Keyring, SecretKey};
use vault::crypt::threshold::Keepers;
use vault::datanet::{Datanet, local_id};
use vault::store::{local::Local, memory::Memory};
use vault::vault::erase::EraseOptions;
use vault::vault::grants::GrantOptions;
use vault::vault::import::ImportOptions;
use vault::vault::layout;
use vault::vault::training::Query;
use vault::{Vault, VaultError};

/// All bytes under a folder, temporary files included.
fn everything(root: &std::path::Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            if entry.path().is_dir() {
                folders.push(entry.path());
            } else {
                found.insert(entry.path().display().to_string(), std::fs::read(entry.path()).unwrap());
            }
        }
    }
    found
}

fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle)
}

fn erase<'a>(leaves: Vec<B256>, models_of: &'a dyn Fn(&B256) -> Vec<ModelId>) -> EraseOptions<'a> {
    EraseOptions { leaves, reason: "asked to".into(), windows_close_at: NOW, models_of, now: NOW }
}

#[test]
fn neither_key_nor_ciphertext_nor_metadata_is_left_and_the_root_still_verifies() {
    let disk = tempfile::tempdir().unwrap();
    let mut bench = bench(Box::new(Local::open(disk.path()).unwrap()));
    let ring = bench.ring();
    let vault = &mut bench.vault;
    let report = vault.import(documents(0, 6), &bench.options, &ring, &mut |_| {}).unwrap();
    let id = report.contribution.unwrap();
    let set = vault.freeze(Query::deduplicated(), &ring, NOW).unwrap();
    let grantee = SecretKey::generate().unwrap();
    let options = GrantOptions {
        grantee: grantee.public(),
        scope: Scope::Set { root: set.root },
        run: None,
        expires_at: NOW + 10,
        purpose: "run".into(),
        now: NOW,
    };
    let grant = vault.grant(options, &ring).unwrap().id;

    // What must vanish: the wrapped keys, the ciphertext, the encrypted metadata, the signature.
    let leaf = set.entries[2].leaf;
    let segment = vault.contributions()[0].segments[0].clone();
    let live = vault.rows(&segment).unwrap()[2].live.clone().unwrap();
    let pack = vault.pack(&segment).unwrap();
    let sealed = pack[live.offset as usize..(live.offset + live.sealed_bytes()) as usize].to_vec();
    let keys = layout::decode_keys(&vault.store().read(&layout::keys_name(&id)).unwrap()).unwrap();
    let granted = layout::decode_grant(&vault.store().read(&layout::grant_name(&grant)).unwrap()).unwrap();
    let needles = [
        sealed[8..40].to_vec(),
        live.meta[..32].to_vec(),
        live.signature.unwrap().to_bytes()[..32].to_vec(),
        keys.wrapped[2].unwrap()[..32].to_vec(),
        granted.entries[2].2.unwrap()[..32].to_vec(),
    ];
    let before = everything(disk.path());
    for needle in &needles {
        assert!(before.values().any(|bytes| contains(bytes, needle)), "the scan itself must find it before");
    }

    let model = ModelId(B256::repeat_byte(5));
    let tombstone =
        vault.erase(erase(vec![leaf], &|root| if *root == set.root { vec![model] } else { vec![] })).unwrap();
    assert_eq!((tombstone.models.as_slice(), tombstone.sets.as_slice()), (&[model][..], &[set.root][..]));
    for (name, bytes) in everything(disk.path()) {
        for needle in &needles {
            assert!(!contains(&bytes, needle), "{name}");
        }
    }

    // Lineage: root, commitment and set verify; the item alone is gone, for keepers and grantee.
    let report = vault.verify(&ring, &mut |_| {}).unwrap();
    assert_eq!(report.problems, Vec::<String>::new());
    assert_eq!((report.erased, report.decrypted, report.garbage), (1, 5, 0));
    let leaves: Vec<B256> =
        vault.rows(&vault.contributions()[0].segments[0]).unwrap().iter().map(|r| r.leaf).collect();
    assert_eq!(merkle::root(&leaves), vault.contributions()[0].root);
    assert!(
        matches!(vault.items(&id, &ring).unwrap().open(2), Err(VaultError::Erased { leaf: gone }) if gone == leaf)
    );
    let read: Vec<_> = vault.open_set(&set.root, &ring, "check", NOW).unwrap().collect();
    assert_eq!(read.iter().filter(|item| item.is_ok()).count(), 5);
    assert_eq!(vault.open_grant(&grant, &grantee, NOW).unwrap().order().len(), 5);
    // And it is no earlier item any more: the same text is new again.
    let again = vault.import(documents(2, 1), &bench.options, &ring, &mut |_| {}).unwrap();
    assert_eq!((again.items, again.near_duplicates, again.exact_duplicates), (1, 0, 0));
}

#[test]
fn erasure_needs_no_key_and_waits_for_open_windows() {
    let mut bench = bench(Box::new(Memory::new()));
    let ring = bench.ring();
    let vault = &mut bench.vault;
    vault.import(documents(0, 3), &bench.options, &ring, &mut |_| {}).unwrap();
    let leaves: Vec<B256> =
        vault.rows(&vault.contributions()[0].segments[0]).unwrap().iter().map(|r| r.leaf).collect();
    let none = |_: &B256| vec![];
    let early = EraseOptions { windows_close_at: NOW + 1, ..erase(leaves.clone(), &none) };
    assert!(matches!(vault.erase(early), Err(VaultError::WindowOpen { .. })));
    assert!(matches!(vault.erase(erase(vec![B256::ZERO], &none)), Err(VaultError::NoLeaf(_))));
    assert_eq!(vault.erase(erase(leaves.clone(), &none)).unwrap().leaves.len(), 3);
    // Erasing again is no error and changes nothing.
    let head = vault.head();
    assert!(vault.erase(erase(leaves, &none)).unwrap().leaves.is_empty());
    assert_eq!(vault.head(), head);
    let report = vault.verify(&ring, &mut |_| {}).unwrap();
    assert_eq!((report.erased, report.problems.len()), (3, 0));
}

#[test]
fn with_one_keeper_too_few_nothing_decrypts() {
    let keepers: Vec<SecretKey> = (0..3).map(|_| SecretKey::generate().unwrap()).collect();
    let disk = tempfile::tempdir().unwrap();
    let base = bench(Box::new(Local::open(disk.path()).unwrap()));
    let mut vault: Vault = base.vault;
    let owner = base.options.owner;
    let datanet = Datanet {
        id: local_id(&owner, "shared"),
        name: "shared".into(),
        description: String::new(),
        owner,
        licences: vec![],
        screening: Default::default(),
        keepers: Keepers { needed: 2, keys: keepers.iter().map(SecretKey::public).collect() },
    };
    let datanet = vault.create_datanet(datanet, NOW).unwrap();
    let options = ImportOptions { datanet, ..base.options };
    // Contributing needs no keeper at all.
    let report = vault.import(documents(0, 2), &options, &Keyring::new(), &mut |_| {}).unwrap();
    let id = report.contribution.unwrap();
    for keeper in &keepers {
        let alone: Keyring = [keeper.clone()].into_iter().collect();
        let refused = vault.items(&id, &alone).err().unwrap();
        assert!(matches!(refused, VaultError::Crypt(CryptError::TooFewKeepers { present: 1, needed: 2 })));
    }
    let two: Keyring = keepers[1..].iter().cloned().collect();
    assert_eq!(vault.items(&id, &two).unwrap().iter().count(), 2);
    drop(vault);
    let mut vault = Vault::open(Box::new(Local::open(disk.path()).unwrap())).unwrap();
    // Without their texts, earlier items are compared by their published signatures, and the report says so.
    let copy = vault
        .import(
            documents(0, 2),
            &ImportOptions { owner: primitives::Address::ZERO, ..options },
            &Keyring::new(),
            &mut |_| {},
        )
        .unwrap();
    assert_eq!((copy.near_duplicates, copy.compared_with_all), (2, false));
}
