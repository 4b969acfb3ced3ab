//! Conformance vectors: what other implementations must compute to the byte.
//!
//! `docs/vectors/ledger.json` holds each value under its name, with its inputs in the name's comment here. A change of any is a
//! change of the protocol. `UPDATE_VECTORS=1 cargo test -p ledger --test ledger vectors` writes the file anew.

use alloy_primitives::{Address, B256, U256, keccak256};
use interfaces::{
    addresses,
    datanets::{IDatanets, datanet_id},
    models::{lineage_escrow, model_id},
    settlement::{ISettlement::Kind, batch_id, payout_key},
};
use ledger::{datanets, models, storage::State, tables};
use primitives::{
    Amount,
    merkle::Tree,
    merkle_sum::{SumTree, leaf},
    mmr::Mmr,
};
use std::{collections::BTreeMap, fs, path::PathBuf};

const ALICE: Address = Address::repeat_byte(0xa1);
const BOB: Address = Address::repeat_byte(0xb0);

fn word(byte: u8) -> B256 {
    B256::repeat_byte(byte)
}

fn evidence() -> IDatanets::ItemEvidence {
    IDatanets::ItemEvidence {
        contribution: B256::ZERO,
        index: 0,
        salt: word(2),
        owner: ALICE,
        licence: "CC-BY-4.0".into(),
        size: 1_000,
        promptSize: 10,
        path: vec![],
    }
}

/// The tree that pays Alice 7 at once, Alice 8 over time and Bob 9 at once.
fn payouts() -> SumTree {
    let entry = |account, kind, units| leaf(&payout_key(account, kind), units);
    let leaves =
        vec![entry(ALICE, Kind::Liquid, 7), entry(ALICE, Kind::Vesting, 8), entry(BOB, Kind::Liquid, 9)];
    SumTree::new(leaves).expect("small amounts")
}

/// Contributions `word(1)` with root `word(2)` and 3 items, then `word(4)` with root `word(5)` and 6 items.
fn accepted() -> Mmr {
    let mut range = Mmr::new();
    range.append(datanets::contribution_leaf(word(1), word(2), 3));
    range.append(datanets::contribution_leaf(word(4), word(5), 6));
    range
}

/// A burned amount of 258 units: the word at its slot.
fn burned() -> (B256, B256) {
    let mut state = State::new();
    state.provide(tables::BURNED.slot(&()), B256::ZERO);
    tables::BURNED.set(&mut state, &(), U256::from(258)).expect("no meter runs");
    let (slot, word) = state.writes().next().expect("one word");
    (*slot, *word)
}

/// An account of 5 OPEN and nonce 3: the word at its slot.
fn account_word() -> B256 {
    let mut word = [0u8; 32];
    word[..16].copy_from_slice(&Amount::open(5).0.to_be_bytes());
    word[16..24].copy_from_slice(&3u64.to_be_bytes());
    B256::new(word)
}

fn vectors() -> BTreeMap<&'static str, String> {
    let two = Tree::new(vec![word(1), word(2)]);
    let proof = payouts().prove(1).expect("three leaves").path;
    let path: Vec<String> = proof.iter().map(|node| format!("{}:{}", node.digest, node.sum)).collect();
    let range = accepted().root();
    BTreeMap::from([
        ("datanet_id(alice, 01..)", datanet_id(ALICE, word(1)).to_string()),
        ("model_id(alice, 01..)", model_id(ALICE, word(1)).to_string()),
        ("escrow(alice, 01..)", addresses::escrow(ALICE, word(1)).to_string()),
        ("lineage_escrow(01..)", lineage_escrow(word(1)).to_string()),
        ("batch_id(alice, 01.., 7)", batch_id(ALICE, word(1), 7).to_string()),
        ("payout_key(alice, liquid)", payout_key(ALICE, Kind::Liquid).to_string()),
        ("payout_key(alice, vesting)", payout_key(ALICE, Kind::Vesting).to_string()),
        ("payouts root", payouts().root().to_string()),
        ("payouts total", payouts().total().to_string()),
        ("payouts path of leaf 1", path.join(" ")),
        ("merkle root of 01.., 02..", two.root().to_string()),
        ("commitment(01.., 02.., alice)", datanets::commitment(word(1), word(2), ALICE).to_string()),
        ("item_leaf(01..)", datanets::item_leaf(word(1), &evidence()).to_string()),
        ("contribution_leaf(01.., 02.., 3)", datanets::contribution_leaf(word(1), word(2), 3).to_string()),
        ("accepted range", range.to_string()),
        ("empty range", Mmr::new().root().to_string()),
        ("version_root(09..)", datanets::version_root(word(9), range, Mmr::new().root()).to_string()),
        ("checkpoint_leaf(16, 01.., 02..)", models::checkpoint_leaf(16, word(1), word(2)).to_string()),
        ("seed(01.., 02.., 03..)", models::seed(word(1), word(2), word(3)).to_string()),
        ("slot of alice's account", ledger::account::account_slot(ALICE).to_string()),
        ("word of 5 OPEN, nonce 3", account_word().to_string()),
        ("slot of burned", burned().0.to_string()),
        ("word of 258 burned", burned().1.to_string()),
        ("first slot of Datanet 01..", tables::DATANETS.slots(&word(1))[0].to_string()),
        ("first slot of batch 01..", tables::BATCHES.slots(&word(1))[0].to_string()),
    ])
}

#[test]
fn the_vectors_are_what_is_computed() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/vectors/ledger.json");
    let text = serde_json::to_string_pretty(&vectors()).expect("texts") + "\n";
    if std::env::var_os("UPDATE_VECTORS").is_some() {
        fs::create_dir_all(path.parent().expect("a folder")).expect("docs/ is writable");
        fs::write(&path, &text).expect("docs/ is writable");
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    let written: BTreeMap<String, String> = serde_json::from_str(&written).expect("docs/vectors/ledger.json");
    for (name, value) in vectors() {
        assert_eq!(written.get(name), Some(&value), "{name}");
    }
    assert_eq!(written.len(), vectors().len(), "no vector is left over");
}

/// The ids from their definitions in the interfaces' documentation, spelled out by hand.
#[test]
fn ids_follow_their_definitions() {
    let keccak = |parts: &[&[u8]]| keccak256(parts.concat());
    let one = word(1);
    assert_eq!(datanet_id(ALICE, one), keccak(&[b"openledger datanet v1", ALICE.as_slice(), one.as_slice()]));
    assert_eq!(model_id(ALICE, one), keccak(&[b"openledger model v1", ALICE.as_slice(), one.as_slice()]));
    let epoch = [0, 0, 0, 0, 0, 0, 0, 7];
    let batch = keccak(&[b"openledger batch v1", ALICE.as_slice(), one.as_slice(), &epoch]);
    assert_eq!(batch_id(ALICE, one, 7), batch);
    let vesting = keccak(&[b"openledger payout v1", ALICE.as_slice(), &[1]]);
    assert_eq!(payout_key(ALICE, Kind::Vesting), vesting);
    let escrow = keccak(&[b"openledger escrow v1", ALICE.as_slice(), one.as_slice()]);
    assert_eq!(addresses::escrow(ALICE, one), Address::from_slice(&escrow[12..]));
}
