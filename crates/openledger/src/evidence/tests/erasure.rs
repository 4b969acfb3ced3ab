//! After `datanet erase` on what a whole demo left on disk, nothing of the item is in any file, and everything that was committed still holds.

use super::*;
use alloy_primitives::B256;
use clap::Parser as _;
use std::collections::BTreeMap;
use vault::vault::layout::{decode_keys, keys_name};

/// Bytes of a text that are looked for at a time.
const SLICE: usize = 40;
/// Tokens that are looked for at a time.
const TOKENS: usize = 16;

/// Runs a command of the binary.
pub(super) fn openledger(home: &Path, words: &[&str]) -> anyhow::Result<()> {
    let home = home.to_string_lossy();
    let all = ["openledger", "--json", "--home", &*home].into_iter().chain(words.iter().copied());
    crate::command::run(crate::cli::Arguments::try_parse_from(all)?, &Output::new(true))
}

/// Every file under a folder with its bytes, whatever it is.
fn everything(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    files(folder, &mut found);
    found.into_iter().map(|path| (path.clone(), std::fs::read(path).expect("readable"))).collect()
}

fn found(files: &[(PathBuf, Vec<u8>)], needle: &[u8]) -> Option<PathBuf> {
    let finder = memchr::memmem::Finder::new(needle);
    files.iter().find(|(_, bytes)| finder.find(bytes).is_some()).map(|(path, _)| path.clone())
}

/// What must be in no file once the item is erased, by what it is.
fn needles(scene: &Scene, leaf: B256) -> BTreeMap<String, Vec<u8>> {
    let accounts = Accounts::open(&scene.folder).expect("the demo's accounts");
    let store = demo::contribute::open(&scene.folder, &accounts, crate::clock::now()).expect("the vault");
    let mut needles = BTreeMap::new();
    for contribution in store.vault.contributions() {
        let mut items = store.vault.items(&contribution.id, &store.ring).expect("its keeper is here");
        let segment = &contribution.segments[0];
        let (rows, pack) =
            (store.vault.rows(segment).expect("rows"), store.vault.pack(segment).expect("a pack"));
        let Some(index) = rows.iter().position(|row| row.leaf == leaf) else { continue };
        let item = items.open(index as u64).expect("whole");
        for (number, slice) in item.text.as_bytes().chunks_exact(SLICE).enumerate() {
            needles.insert(format!("text {number}"), slice.to_vec());
        }
        let live = rows[index].live.clone().expect("alive");
        let start = live.offset as usize;
        for (number, slice) in
            pack[start..start + live.sealed_bytes() as usize].chunks_exact(SLICE).enumerate()
        {
            needles.insert(format!("ciphertext {number}"), slice.to_vec());
        }
        needles.insert("metadata".into(), live.meta[..SLICE].to_vec());
        needles.insert("signature".into(), live.signature.expect("published").to_bytes()[..SLICE].to_vec());
        let keys = store.vault.store().read(&keys_name(&contribution.id)).expect("keys");
        let keys = decode_keys(&keys).expect("keys");
        needles.insert("wrapped key".into(), keys.wrapped[index].expect("a key").to_vec());
    }
    drop(store);
    let serving = Serving::open(&scene.folder).expect("a served model");
    let cache = scene.folder.join(&serving.description.cache);
    let width = serving.cache().expect("a cache").commitment().width;
    // The demo's shards are larger than its cache: there is one, a row a unit. After a header of 32 bytes stand the numbers of
    // every row, then their scales (`influence::cache::shard`).
    let shard = std::fs::read(cache.join("influence-00000")).expect("one shard");
    let units = serving.units().expect("units");
    let (rows, numbers, scales) = (units.len(), width.div_ceil(2), 4 * width.div_ceil(ops::int8::GROUP));
    let of_row = |row: usize| {
        let (first, of_scales) = (32 + row * numbers, 32 + rows * numbers + row * scales);
        [first..first + numbers, of_scales..of_scales + scales]
    };
    let joined = |tokens: &[u32]| tokens.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
    // The corpus is made from few sentences: what others say too stays.
    let others: Vec<String> = units
        .iter()
        .flat_map(|unit| unit.own_tokens().filter(|(part, _)| part.item != leaf))
        .map(|(_, tokens)| joined(tokens))
        .collect();
    for (row, unit) in units.iter().enumerate() {
        for (part, tokens) in unit.own_tokens().filter(|(part, _)| part.item == leaf) {
            for (number, window) in tokens.chunks_exact(TOKENS).map(joined).enumerate() {
                if !others.iter().any(|other| other.contains(&window)) {
                    needles.insert(format!("tokens {number} of unit {row}"), window.into_bytes());
                }
            }
            needles.insert(format!("label of unit {row}"), part.label.clone().into_bytes());
            let slices = of_row(row).into_iter().flat_map(|range| shard[range].chunks_exact(SLICE));
            // A run of zeros, or of pairs of zeros, tells nothing.
            let zero = |byte: &u8| [0, 0x88].contains(byte);
            let telling = slices.filter(|slice| slice.iter().filter(|byte| !zero(byte)).count() > SLICE / 2);
            for (part, slice) in telling.enumerate() {
                needles.insert(format!("features of unit {row}, part {part}"), slice.to_vec());
            }
        }
    }
    needles
}

#[test]
fn after_an_erasure_nothing_of_the_item_is_in_any_file_and_the_lineage_holds() {
    let scene = Scene::new();
    let (folder, home) = (scene.folder.clone(), scene._scratch.path().join("home"));
    let answers = everything(&folder.join("answers"));
    let serving = Serving::open(&folder).expect("a served model");
    let root = serving.cache().expect("a cache").commitment().root;
    // An item that the answer paid stays named in the file that its payer keeps: another one is taken.
    let units: Vec<_> = serving.units().expect("units").into_iter().flat_map(|unit| unit.parts).collect();
    let unpaid = |item: &B256| found(&answers, item.to_string().as_bytes()).is_none();
    let leaf =
        units.iter().map(|unit| unit.item).find(unpaid).expect("an item that the answer does not name");
    // The corpus is made from few sentences: what an answer says anyway tells nothing.
    let mut needles = needles(&scene, leaf);
    needles.retain(|name, needle| !name.starts_with("text") || found(&answers, needle).is_none());
    for kind in ["text", "ciphertext", "metadata", "signature", "wrapped key", "tokens", "label", "features"]
    {
        assert!(needles.keys().any(|name| name.starts_with(kind)), "nothing of kind {kind} is looked for");
    }
    // What killed processes leave: a file that was being written, a cache that was being built again.
    let left = folder.join("replay/replay-killed");
    std::fs::create_dir_all(&left).expect("a folder");
    std::fs::copy(folder.join("cache/influence-00000"), left.join("features-00000")).expect("copied");
    std::fs::copy(folder.join("units.jsonl"), folder.join(".tmpAbCd12")).expect("copied");
    std::fs::copy(folder.join("cache/influence-00000"), folder.join("cache/influence-00000.draft"))
        .expect("copied");
    let before = everything(&folder);
    let absent: Vec<_> = needles.iter().filter(|(_, needle)| found(&before, needle).is_none()).collect();
    // Plaintext of the vault is nowhere on disk to begin with, but in the units.
    assert!(absent.iter().all(|(name, _)| name.starts_with("text")), "the scan itself must find: {absent:?}");

    let (vault, rpc) = (folder.join("vault").to_string_lossy().into_owned(), scene.rpc().to_string());
    let leaf_text = leaf.to_string();
    let erase = ["datanet", "--vault", &vault, "erase", "--leaf", &leaf_text, "--rpc", &rpc];
    assert!(openledger(&home, &erase).is_err(), "not without --yes");
    let erase: Vec<&str> = erase.into_iter().chain(["--yes"]).collect();
    openledger(&home, &erase).expect("erased");
    let after = everything(&folder);
    assert!(after.len() > 20, "{} files were scanned", after.len());
    for (name, needle) in &needles {
        assert_eq!(found(&after, needle), None, "{name}");
    }
    // Again is no error, and changes neither model nor vault.
    openledger(&home, &erase).expect("erased before");

    // What was committed holds: the vault, its training set, the cache under the ledger's root, every link of the answer.
    let accounts = Accounts::open(&folder).expect("the demo's accounts");
    let set = demo::journal::Journal::open(&folder).expect("the journal").state.training_set.expect("frozen");
    let store = demo::contribute::open(&folder, &accounts, crate::clock::now()).expect("the vault");
    let report = store.vault.verify(&store.ring, &mut |_| {}).expect("verified");
    assert_eq!((report.problems, report.erased), (Vec::<String>::new(), 1));
    assert!(
        store.vault.set(&set).expect("its root still holds").entries.iter().any(|entry| entry.leaf == leaf)
    );
    let tombstone = store.vault.records().iter().find_map(|record| match &record.event {
        vault::vault::log::Event::Erased(tombstone) => Some(tombstone.clone()),
        _ => None,
    });
    let tombstone = tombstone.expect("recorded");
    assert_eq!((tombstone.models[0].0, tombstone.sets), (serving.description.model, vec![set]));
    let serving = Serving::open(&folder).expect("still a served model");
    assert_eq!(serving.cache().expect("checked against its root").commitment().root, root);
    let engine = serving.engine(context(0)).expect("whole weights");
    let worker = serving.worker(&engine, serving.cache().expect("a cache")).expect("it still serves");
    let scoring = compute::engine::Scoring { prompt: &[1, 2, 3], output: &[4, 5, 6], passes: None };
    let scores = worker.attributor.score(&scoring).expect("scored").units;
    for (unit, score) in units.iter().zip(scores) {
        assert!(unit.item != leaf || score <= 0.0, "an erased unit is paid nothing");
    }
    runtime().block_on(async {
        let mut ledger = scene.ledger(scene.rpc());
        let links = check(&mut ledger, &scene.saved).await;
        assert!(complete(&links), "{links:#?}");
    });
    // While an operator holds income for answers of the model that is not settled, nothing more is erased.
    let other =
        units.iter().map(|unit| unit.item).find(|item| *item != leaf).expect("another item").to_string();
    runtime().block_on(async {
        let client = Client::new(&rpc).expect("a client");
        let operator = scene.saved.bundle().expect("a bundle").receipt.receipt.operator;
        let escrow = interfaces::addresses::escrow(operator, serving.description.model);
        let one = alloy_primitives::U256::from(1);
        let sent = crate::transaction::send(&client, &accounts.reserve, escrow, one, Default::default());
        sent.await.expect("paid");
    });
    let noted = store.vault.head();
    drop(store);
    let early =
        openledger(&home, &["datanet", "--vault", &vault, "erase", "--leaf", &other, "--rpc", &rpc, "--yes"]);
    let early = early.expect_err("an open window").to_string();
    assert!(early.contains("not settled"), "{early}");
    // Who noted a head proves by it that the log was only added to.
    let log = |head: &str| openledger(&home, &["datanet", "--vault", &vault, "log", "--head", head]);
    log(&noted.to_string()).expect("the log goes on from there");
    assert!(log(&B256::ZERO.to_string()).is_ok(), "before the first record");
    assert!(
        log(&B256::repeat_byte(1).to_string())
            .expect_err("another log")
            .to_string()
            .contains("changed or removed")
    );
    // Replay is partial, and says so instead of calling honest work broken.
    let error = serving.rebuild_cache(&context(0), &home.join("x"), &mut |_| {});
    assert!(error.expect_err("partial").to_string().contains("replay is partial"));
    let answer =
        std::fs::read_dir(folder.join("answers")).expect("answers").flatten().next().expect("one").path();
    let genesis = folder.join("node/genesis.json");
    let model = folder.to_string_lossy();
    let verify = ["verify", &answer.to_string_lossy(), "--replay", "--replay-training", "--model", &*model];
    let verify: Vec<&str> =
        verify.into_iter().chain(["--genesis", genesis.to_str().expect("UTF-8"), "--rpc", &rpc]).collect();
    openledger(&home, &verify).expect("no link is broken");
}
