//! `docs/abi/` is what the interfaces say, for languages that do not read Rust.
//!
//! After a change of an interface: `UPDATE_ABI=1 cargo test -p interfaces --test abi` writes the files anew.

use alloy_json_abi::JsonAbi;
use interfaces::{
    channels::{IChannels, IDepositCollector},
    datanets::IDatanets,
    errors::ILedger,
    models::IModels,
    multicall3::IMulticall3,
    operators::IOperators,
    settlement::ISettlement,
    token::IToken,
    treasury::ITreasury,
};
use std::{collections::BTreeSet, fs, path::PathBuf};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/abi")
}

/// Every interface by the name of its file.
fn interfaces() -> Vec<(&'static str, JsonAbi)> {
    vec![
        ("channels", IChannels::abi::contract()),
        ("datanets", IDatanets::abi::contract()),
        ("deposit-collector", IDepositCollector::abi::contract()),
        ("ledger-errors", ILedger::abi::contract()),
        ("models", IModels::abi::contract()),
        ("multicall3", IMulticall3::abi::contract()),
        ("operators", IOperators::abi::contract()),
        ("settlement", ISettlement::abi::contract()),
        ("token", IToken::abi::contract()),
        ("treasury", ITreasury::abi::contract()),
    ]
}

#[test]
fn the_exported_abi_is_what_the_interfaces_say() {
    for (name, abi) in interfaces() {
        let path = folder().join(format!("{name}.json"));
        let text = serde_json::to_string_pretty(&abi).expect("an ABI is JSON") + "\n";
        if std::env::var_os("UPDATE_ABI").is_some() {
            fs::create_dir_all(folder()).expect("docs/ is writable");
            fs::write(&path, &text).expect("docs/ is writable");
        }
        let exported = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            exported == text,
            "{} is old: run UPDATE_ABI=1 cargo test -p interfaces --test abi",
            path.display()
        );
        let read: JsonAbi = serde_json::from_str(&exported).expect("an ABI that readers accept");
        assert_eq!(read, abi);
    }
}

#[test]
fn every_module_has_an_exported_abi_and_no_file_is_left_over() {
    let expected: BTreeSet<String> = interfaces().iter().map(|(name, _)| format!("{name}.json")).collect();
    let found: BTreeSet<String> = fs::read_dir(folder())
        .expect("docs/abi/ exists")
        .map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned())
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn no_two_errors_of_different_meaning_share_a_selector() {
    let mut seen = std::collections::BTreeMap::new();
    for (_, abi) in interfaces() {
        for error in abi.errors() {
            let signature = error.signature();
            let before = seen.insert(error.selector(), signature.clone());
            assert!(before.is_none_or(|before| before == signature));
        }
    }
}
