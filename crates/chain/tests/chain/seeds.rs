//! What the fuzzers start from (`fuzz/seeds`, `fuzz/fixtures`): valid bytes of everything that comes from outside.
//!
//! The files are part of the repository; this test refuses one that is not valid any more. After a change of a format,
//! `OPENLEDGER_WRITE_SEEDS=1 cargo test -p chain --test chain seeds` writes them anew.

use crate::{
    handover::{certify, genesis, keys},
    transfers::Wallet,
};
use alloy_primitives::{Address, B256, U256};
use alloy_sol_types::SolCall as _;
use chain::{
    block::{Block, Header, transactions_root},
    engine::{database_config, page_cache},
    light::{EventProof, FinalityProof, LightClient, WordEvidence},
    network_rules::Rules,
    receipt::{Outcome, TransactionReceipt},
    state::{Databases, StateReader as _, to_fixed},
    transaction::decode,
};
use commonware_codec::{Copying, Decode as _, Encode as _};
use commonware_glue::stateful::db::{DatabaseSet as _, Merkleized as _, Unmerkleized as _};
use commonware_runtime::{Runner as _, Supervisor as _, deterministic};
use interfaces::{addresses, token::IToken};
use ledger::{Log, account::account_slot};
use std::{collections::BTreeMap, path::Path};

/// Tag of a finalization among consensus' certificates.
const FINALIZATION: u8 = 2;

type Files = BTreeMap<String, Vec<u8>>;

fn outcome() -> Outcome {
    let log = Log {
        address: addresses::TOKEN,
        topics: vec![B256::repeat_byte(1), B256::repeat_byte(2)],
        data: vec![3; 32].into(),
    };
    let receipt = |index: u8| TransactionReceipt {
        transaction: B256::repeat_byte(index),
        success: true,
        gas_used: 21_000,
        effective_gas_price: 7,
        output: vec![index].into(),
        logs: vec![log.clone()],
    };
    Outcome { receipts: vec![receipt(8), receipt(9)], block_logs: vec![log.clone()] }
}

/// A header whose state holds two words, the proofs of one of them and of an absence, signed by three of four.
fn proven() -> (Rules, Header, FinalityProof, [WordEvidence; 2]) {
    let validators = keys(0..4);
    let rules = Rules::new(genesis(&validators)).expect("a valid genesis");
    let held = account_slot(Address::repeat_byte(5));
    let absent = account_slot(Address::repeat_byte(6));
    let (root, words) = deterministic::Runner::default().start(|context| async move {
        let config = database_config("seeds", page_cache());
        let database = Databases::<deterministic::Context>::init(context.child("state"), config, None).await;
        let mut batch = database.new_batches().await;
        for index in 1..=5u8 {
            let slot = account_slot(Address::repeat_byte(index));
            batch = batch.write(to_fixed(&slot), Some(to_fixed(&B256::repeat_byte(index))));
        }
        let sealed = batch.merkleize().await.expect("the database is readable");
        let root = sealed.root();
        database.apply(sealed).await;
        let mut words = Vec::new();
        for slot in [held, absent] {
            let proven = database.prove(slot).await.expect("the database is readable");
            assert_eq!(proven.state_root, root);
            words.push(WordEvidence { slot, word: proven.word, proof: proven.proof });
        }
        (root, <[WordEvidence; 2]>::try_from(words).expect("two"))
    });
    let mut header = crate::handover::header(&rules, 0, rules.validators_hash);
    header.state_root = root;
    header.receipts_root = outcome().tree().root();
    let votes = certify(&rules, &header, &validators, &[0, 1, 2]).expect("a quorum").certificate;
    header.parent_votes = tagged(FINALIZATION, &votes).into();
    let finality = certify(&rules, &header, &validators, &[0, 1, 3]).expect("a quorum");
    (rules, header, finality, words)
}

fn tagged(kind: u8, bytes: &[u8]) -> Vec<u8> {
    [&[kind], bytes].concat()
}

fn files() -> Files {
    let (rules, header, finality, [held, absent]) = proven();
    let outcome = outcome();
    let path = outcome.tree().prove(1).expect("two receipts");
    let event = EventProof { leaf: outcome.receipts[1].encode().into(), path };
    let wallet = Wallet::new(1);
    let transfer = wallet.transfer(rules.genesis.chain_id, 0, Address::repeat_byte(2), 5);
    let call = IToken::transferCall { to: Address::repeat_byte(2), value: U256::from(7) }.abi_encode();
    let module = wallet.call(rules.genesis.chain_id, 1, addresses::TOKEN, 0, call.clone().into(), 90_000);
    let empty = crate::handover::header(&rules, 0, rules.validators_hash);
    let mut block =
        Block { header: header.clone(), transactions: vec![transfer.0.clone(), module.0.clone()] };
    block.header.transactions_root = transactions_root(&block.transactions);
    let mut first = Block { header: empty, transactions: Vec::new() };
    first.header.height = 0;
    let request = |method: &str, params: serde_json::Value| {
        let request = serde_json::json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        request.to_string().into_bytes()
    };
    let requests = [
        ("send", request("eth_sendRawTransaction", serde_json::json!([transfer]))),
        ("balance", request("eth_getBalance", serde_json::json!([wallet.address, "latest"]))),
        ("block", request("eth_getBlockByNumber", serde_json::json!(["0x0", true]))),
        (
            "call",
            request(
                "eth_call",
                serde_json::json!([{ "to": addresses::TOKEN, "data": alloy_primitives::hex::encode_prefixed(&call) }, "latest"]),
            ),
        ),
        (
            "logs",
            request(
                "eth_getLogs",
                serde_json::json!([{ "fromBlock": "earliest", "address": [addresses::TOKEN], "topics": [null, []] }]),
            ),
        ),
        ("fees", request("eth_feeHistory", serde_json::json!(["0x4", "latest", [10, 50.5]]))),
        ("proof", request("openledger_getProof", serde_json::json!([[held.slot]]))),
        ("batch", b"[{\"id\":1,\"method\":\"eth_chainId\"},{\"method\":\"eth_blockNumber\"},1]".to_vec()),
    ];
    let arguments = &call[4..];
    let mut sequence = vec![0, 0, 0x80, 0, arguments.len() as u8, 0];
    sequence.extend_from_slice(arguments);
    sequence.extend_from_slice(&[3, 0, 0, 70, 0, 0, 8, 1, 1, 0, 0, 0]);
    let mut files: Files = BTreeMap::from([
        ("fixtures/genesis.json".into(), serde_json::to_vec_pretty(&rules.genesis).expect("plain")),
        ("fixtures/block.bin".into(), first.encode().to_vec()),
        ("fixtures/finality.bin".into(), finality.encode().to_vec()),
        ("fixtures/word.bin".into(), held.encode().to_vec()),
        ("fixtures/absent.bin".into(), absent.encode().to_vec()),
        ("fixtures/event.bin".into(), event.encode().to_vec()),
        ("seeds/transactions/transfer".into(), transfer.to_vec()),
        ("seeds/transactions/call".into(), module.to_vec()),
        ("seeds/decoders/header".into(), tagged(0, &header.encode())),
        ("seeds/decoders/block".into(), tagged(1, &block.encode())),
        ("seeds/decoders/finality".into(), tagged(2, &finality.encode())),
        ("seeds/decoders/word".into(), tagged(4, &held.encode())),
        ("seeds/decoders/event".into(), tagged(5, &event.encode())),
        ("seeds/decoders/certificate".into(), tagged(7, &tagged(FINALIZATION, &finality.certificate))),
        ("seeds/decoders/gossip".into(), tagged(9, &vec![transfer.0.clone(), module.0].encode())),
        ("seeds/decoders/receipt".into(), tagged(10, &outcome.receipts[0].encode())),
        ("seeds/decoders/outcome".into(), tagged(12, &outcome.encode())),
        ("seeds/calls/transfer".into(), sequence),
        ("seeds/encodings/licence".into(), tagged(2, b"MIT OR (Apache-2.0 AND CC-BY-4.0)")),
        ("seeds/encodings/amount".into(), tagged(2, b"1.000000000000000001")),
        (
            "seeds/encodings/merkle".into(),
            tagged(1, &[[7u8, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0].as_slice(), &[6; 32]].concat()),
        ),
        ("seeds/proofs/word".into(), vec![0, 60, 0, 3, 1]),
        ("seeds/proofs/finality".into(), vec![0x82, 20, 1, 2, 7]),
    ]);
    for (name, body) in requests {
        files.insert(format!("seeds/rpc/{name}"), body);
    }
    files
}

#[test]
fn the_fuzzers_start_from_valid_bytes() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let files = files();
    if std::env::var_os("OPENLEDGER_WRITE_SEEDS").is_some() {
        for (name, bytes) in &files {
            let path = root.join(name);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("writable");
            std::fs::write(path, bytes).expect("writable");
        }
    }
    for (name, bytes) in &files {
        let found = std::fs::read(root.join(name)).unwrap_or_default();
        assert!(found == *bytes, "{name} is out of date: see the head of this file");
    }
    // What is written is also what a client believes.
    let light = LightClient::new(serde_json::from_slice(&files["fixtures/genesis.json"]).expect("a genesis"))
        .expect("a valid genesis");
    let finality = FinalityProof::decode_cfg(Copying(&files["fixtures/finality.bin"]), &()).expect("a proof");
    let header = light.verify(&finality).expect("signed by a quorum");
    for (name, present) in [("fixtures/word.bin", true), ("fixtures/absent.bin", false)] {
        let word = WordEvidence::decode_cfg(Copying(&files[name]), &()).expect("evidence");
        assert_eq!(word.verify(&header).map(|word| !word.is_zero()), Some(present));
    }
    let event = EventProof::decode_cfg(Copying(&files["fixtures/event.bin"]), &()).expect("a proof");
    assert!(event.verify(&header).is_ok());
    for name in ["seeds/transactions/transfer", "seeds/transactions/call"] {
        assert!(decode(files[name].clone().into(), 31_337).is_ok());
    }
}
