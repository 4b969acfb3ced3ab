//! A network of validators on the deterministic runtime, each with the real engine.

use crate::{equivocator, transfers::Wallet};
use alloy_primitives::Bytes;
use chain::{
    application::{Finalized, Sink},
    block::{Block, Digest, PrivateKey, PublicKey, Scheme},
    engine::{self, CHANNEL_COUNT, EngineConfig},
    evidence::EvidenceSink,
    intake::{Intake, OUTBOX, SubmitError},
    mempool::{Limits, Mempool, Rejection},
    network_rules::Rules,
    pace::Pace,
};
use commonware_codec::{Copying, Decode as _};
use commonware_consensus::{
    marshal::{Identifier, core::Mailbox, standard::Standard},
    simplex::types::{Activity, Attributable as _},
    types::Height,
};
use commonware_cryptography::{Digestible as _, Signer as _};
use commonware_glue::simulate::{
    engine::{EngineDefinition, InitContext},
    processed::ProcessedHeight,
    reporter::MonitorReporter,
};
use commonware_parallel::Sequential;
use commonware_runtime::{Clock as _, Handle, Quota, Spawner as _, Supervisor as _};
use commonware_utils::NZU32;
use ledger::{Genesis, genesis::Validator};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

/// Transfers that every validator's clients bring in, one each [`ARRIVAL`].
const TRANSFERS: u64 = 40;
const ARRIVAL: Duration = Duration::from_millis(60);

/// Seed of the wallet that holds the supply.
const HOLDER: u8 = 7;

/// Rhythm of simulated networks.
pub const PACE: Pace = Pace { interval: Duration::from_millis(20), heartbeat: Duration::from_millis(50) };

/// What all validators of one run finalized. Panics at the first contradiction, so that no crash hides one.
#[derive(Default)]
pub struct Record {
    blocks: Mutex<BTreeMap<u64, Digest>>,
    times: Mutex<BTreeMap<u64, (u64, usize)>>,
    transfers: Mutex<BTreeSet<[u8; 32]>>,
    evidence: Mutex<BTreeSet<Vec<u8>>>,
}

impl Sink for Record {
    fn finalized(&self, finalized: Finalized) {
        let height = finalized.block.header.height;
        let known = *self.blocks.lock().unwrap().entry(height).or_insert(finalized.digest);
        assert_eq!(known, finalized.digest, "two blocks are final at height {height}");
        let facts = (finalized.block.header.timestamp_ms, finalized.block.transactions.len());
        self.times.lock().unwrap().insert(height, facts);
        let mut transfers = self.transfers.lock().unwrap();
        transfers.extend(
            finalized.outcome.receipts.iter().filter(|receipt| receipt.success).map(|r| r.transaction.0),
        );
    }
}

impl EvidenceSink for Record {
    fn conflict(&self, evidence: Vec<u8>) {
        self.evidence.lock().unwrap().insert(evidence);
    }
}

impl Record {
    /// Time in milliseconds and number of transactions of each block, in order of height.
    pub fn blocks(&self) -> Vec<(u64, usize)> {
        self.times.lock().unwrap().values().copied().collect()
    }

    /// Number of different transfers that are final.
    pub fn transfer_count(&self) -> usize {
        self.transfers.lock().unwrap().len()
    }
}

/// A network; clones of it are the same network.
#[derive(Clone)]
pub struct Network {
    keys: Vec<PrivateKey>,
    rules: Arc<Rules>,
    transfers: Arc<Vec<Bytes>>,
    arrival: Duration,
    /// Whether a late validator fetches the state instead of replaying blocks.
    pub state_sync: bool,
    /// Index of a validator that votes twice.
    pub equivocator: Option<usize>,
    /// What became final.
    pub record: Arc<Record>,
}

impl Network {
    /// `count` validators.
    pub fn new(count: u64) -> Self {
        let mut keys: Vec<PrivateKey> = (0..count).map(PrivateKey::from_seed).collect();
        keys.sort_by_key(|key| key.public_key());
        let wallet = Wallet::new(HOLDER);
        let mut genesis = Genesis::development(&[wallet.address]);
        genesis.timestamp_ms = 0;
        genesis.validators = keys
            .iter()
            .enumerate()
            .map(|(index, key)| Validator {
                key: Bytes::copy_from_slice(key.public_key().as_ref()),
                account: alloy_primitives::Address::repeat_byte(index as u8 + 1),
            })
            .collect();
        let chain_id = genesis.chain_id;
        let transfers =
            (0..TRANSFERS).map(|nonce| wallet.transfer(chain_id, nonce, Wallet::new(9).address, 1)).collect();
        Self {
            keys,
            rules: Arc::new(Rules::new(genesis).expect("a valid genesis")),
            transfers: Arc::new(transfers),
            arrival: ARRIVAL,
            state_sync: false,
            equivocator: None,
            record: Arc::default(),
        }
    }

    /// A lone validator whose clients bring these `transfers` of the account that holds the supply, all at once.
    pub fn alone(transfers: impl FnOnce(&Wallet, u64) -> Vec<Bytes>) -> Self {
        let mut network = Self::new(1);
        network.arrival = Duration::from_millis(1);
        network.transfers = Arc::new(transfers(&Wallet::new(HOLDER), network.rules.genesis.chain_id));
        network
    }

    /// Public keys in order.
    pub fn validators(&self) -> Vec<PublicKey> {
        self.keys.iter().map(|key| key.public_key()).collect()
    }

    /// Validators against whom valid evidence was kept: two signed votes that contradict each other.
    pub fn convicted(&self) -> Vec<PublicKey> {
        let scheme = self.rules.verifier();
        let evidence = self.record.evidence.lock().unwrap();
        let signers: BTreeSet<PublicKey> = evidence
            .iter()
            .map(|bytes| {
                let limit = self.keys.len();
                let activity =
                    Activity::<Scheme, Digest>::decode_cfg(Copying(bytes), &limit).expect("evidence decodes");
                assert!(
                    activity.verify(&mut commonware_utils::sys_rng(), &scheme, &Sequential),
                    "evidence is valid"
                );
                let signer = match activity {
                    Activity::ConflictingNotarize(evidence) => evidence.signer(),
                    Activity::ConflictingFinalize(evidence) => evidence.signer(),
                    Activity::NullifyFinalize(evidence) => evidence.signer(),
                    _ => panic!("no evidence of a fault"),
                };
                self.rules.validators.get(usize::from(signer)).expect("a validator").clone()
            })
            .collect();
        signers.into_iter().collect()
    }

    fn scheme(&self, index: usize) -> Scheme {
        let (namespace, validators) = (self.rules.namespace(), self.rules.validators.clone());
        Scheme::signer(&namespace, validators, self.keys[index].clone()).expect("the key is in the set")
    }
}

/// What can be asked of a validator.
pub enum State {
    /// One that follows the protocol.
    Honest(Mailbox<Scheme, Standard<Block>>),
    /// One that does not.
    Equivocator,
}

impl State {
    /// The digest and state root it holds at `height`.
    pub async fn block(&self, height: u64) -> Option<(Digest, Digest)> {
        let Self::Honest(marshal) = self else { return None };
        let block = marshal.get_block(Identifier::Height(Height::new(height))).await?;
        Some((block.digest(), block.inner().header.state_root))
    }
}

impl ProcessedHeight for State {
    async fn processed_height(&self) -> u64 {
        match self {
            Self::Honest(marshal) => {
                marshal.get_processed().await.map_or(0, |processed| processed.height().get())
            }
            Self::Equivocator => u64::MAX,
        }
    }
}

impl EngineDefinition for Network {
    type PublicKey = PublicKey;
    type Engine = Handle<()>;
    type State = State;

    fn participants(&self) -> Vec<PublicKey> {
        self.validators()
    }

    fn channels(&self) -> Vec<(u64, Quota)> {
        (0..CHANNEL_COUNT).map(|channel| (channel, Quota::per_second(NZU32!(4_096)))).collect()
    }

    fn max_message_size(&self) -> u32 {
        engine::max_message_bytes(self.keys.len() as u32)
    }

    async fn init(&self, init: InitContext<'_, PublicKey>) -> (Handle<()>, State) {
        let public_key = init.public_key.clone();
        let scheme = self.scheme(init.index);
        if self.equivocator == Some(init.index) {
            let votes = init.channels.into_iter().next().expect("votes come first");
            let handle = equivocator::start(init.context.child("equivocator"), scheme, votes);
            return (handle, State::Equivocator);
        }
        let mempool = Arc::new(Mempool::new(Limits::default(), self.rules.genesis.gas_limit));
        let pool = mempool.clone();
        let config = EngineConfig {
            public_key: public_key.clone(),
            scheme,
            partition: format!("v{}", init.index),
            state_sync: self.state_sync && init.delayed,
            pace: PACE,
            gathered: None,
            leader_timeout: Duration::from_secs(1),
            certification_timeout: Duration::from_secs(2),
            prune: None,
            rules: self.rules.clone(),
            mempool,
            sink: self.record.clone(),
            evidence: self.record.clone(),
        };
        let monitor = init.monitor.clone();
        let node = init.context.child("node");
        // Part of the node, so that they end with it and let go of its files.
        let clients = node.child("clients");
        let engine = engine::start(
            node,
            config,
            init.oracle.manager(),
            init.oracle.control(public_key.clone()),
            init.channels,
            move |stateful| MonitorReporter::new(public_key, monitor, stateful),
        )
        .await;
        let (transfers, rules, stateful) = (self.transfers.clone(), self.rules.clone(), engine.stateful);
        let arrival = self.arrival;
        clients.spawn(move |context| async move {
            let state = Arc::new(stateful.subscribe_databases().await);
            let (outbox, _unsent) = tokio::sync::mpsc::channel(OUTBOX);
            let intake = Intake::new(rules, pool, state, outbox);
            for transfer in transfers.iter() {
                // Until block 1 nobody holds anything, and a restarted validator's clients send again what is final.
                while let Err(SubmitError::Rejection(Rejection::InsufficientFunds { .. })) =
                    intake.submit(transfer.0.clone()).await
                {
                    context.sleep(arrival).await;
                }
                context.sleep(arrival).await;
            }
        });
        (engine.handle, State::Honest(engine.marshal))
    }

    fn start(engine: Handle<()>) -> Handle<()> {
        engine
    }
}
