//! JSON-RPC bodies: any body is answered with JSON or nothing, whatever it holds, and changes no state.
//!
//! The node behind it is the real one but for its disks: state in memory, an index in a temporary directory.
#![no_main]
use alloy_primitives::B256;
use chain::{
    block::{Block, Digest},
    index::{Index, rebuild::Archive},
    intake::{Intake, OUTBOX},
    mempool::{Limits, Mempool},
    network_rules::Rules,
    node::Services,
    rpc::Api,
    state::{ProvenWord, StateFault, StateReader},
};
use futures::future::BoxFuture;
use ledger::{Genesis, MemoryLedger};
use libfuzzer_sys::fuzz_target;
use std::sync::{Arc, LazyLock};

struct Words(MemoryLedger);

impl StateReader for Words {
    fn words<'a>(&'a self, slots: &'a [B256]) -> BoxFuture<'a, Result<(Digest, Vec<B256>), StateFault>> {
        let words = slots.iter().map(|slot| self.0.words.get(slot).copied().unwrap_or_default()).collect();
        Box::pin(async move { Ok((Digest::from([0; 32]), words)) })
    }

    fn prove(&self, _: B256) -> BoxFuture<'_, Result<ProvenWord, StateFault>> {
        Box::pin(async { Err(StateFault("no proofs without a database".into())) })
    }
}

struct Nothing;

impl Archive for Nothing {
    fn certificate(&self, _: u64) -> BoxFuture<'_, Option<Vec<u8>>> {
        Box::pin(async { None })
    }
    fn block(&self, _: u64) -> BoxFuture<'_, Option<Arc<Block>>> {
        Box::pin(async { None })
    }
    fn processed(&self) -> BoxFuture<'_, u64> {
        Box::pin(async { 0 })
    }
}

struct Node {
    api: Arc<Api>,
    runtime: tokio::runtime::Runtime,
    _outbox: tokio::sync::mpsc::Receiver<bytes::Bytes>,
    _directory: tempfile::TempDir,
}

static NODE: LazyLock<Node> = LazyLock::new(|| {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut genesis: Genesis =
        serde_json::from_slice(include_bytes!("../fixtures/genesis.json")).expect("a genesis");
    genesis.validators.truncate(1);
    let rules = Arc::new(Rules::new(genesis.clone()).expect("a valid genesis"));
    let block: Block = commonware_codec::DecodeExt::decode(commonware_codec::Copying(
        include_bytes!("../fixtures/block.bin").as_slice(),
    ))
    .expect("a block");
    let index = Index::open(directory.path(), rules.genesis_hash, block, None).expect("a fresh index");
    let mempool = Arc::new(Mempool::new(Limits::default(), genesis.gas_limit));
    let mut ledger = MemoryLedger::new(genesis);
    ledger.advance(1_000);
    let state: Arc<dyn StateReader> = Arc::new(Words(ledger));
    let (sender, outbox) = tokio::sync::mpsc::channel(OUTBOX);
    let intake = Arc::new(Intake::new(rules.clone(), mempool.clone(), state.clone(), sender));
    let services =
        Services { rules, mempool, index: Arc::new(index), state, intake, archive: Arc::new(Nothing) };
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    Node { api: Api::new(Arc::new(services)), runtime, _outbox: outbox, _directory: directory }
});

fuzz_target!(|data: &[u8]| {
    let node = &*NODE;
    if let Some(answer) = node.runtime.block_on(node.api.answer(data)) {
        let answer: serde_json::Value = serde_json::from_str(&answer).expect("an answer is JSON");
        let one = |answer: &serde_json::Value| {
            assert!(answer.get("result").is_some() != answer.get("error").is_some(), "{answer}");
        };
        match &answer {
            serde_json::Value::Array(answers) => answers.iter().for_each(one),
            answer => one(answer),
        }
    }
});
