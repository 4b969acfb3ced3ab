//! A whole node in this process: consensus, state, index, mempool and JSON-RPC, on threads of its own.
//!
//! [`Node::start`] checks everything that can be wrong before any thread starts (data directory, genesis, key,
//! ports), and returns once JSON-RPC answers. [`NodeHandle::shutdown`] ends it; a killed process loses nothing
//! that was finalized.

use crate::{
    block::{Block, PublicKey, Scheme},
    config::{KeyError, NodeConfig, parse_public_key},
    directory::{DataDirectory, DirectoryError, EvidenceFiles},
    engine::{self, EngineConfig},
    gossip,
    index::{
        Entry, Index, IndexError,
        rebuild::{self, Archive},
    },
    intake::{Intake, OUTBOX, SubmitError},
    mempool::Mempool,
    network,
    network_rules::{Rules, RulesError},
    pace::Pace,
    presence, rpc,
    state::{Database, StateFault, StateReader, view},
};
use alloy_primitives::B256;
use bytes::Bytes;
use commonware_codec::Encode as _;
use commonware_consensus::{
    marshal::{Identifier, core::Mailbox, standard::Standard},
    types::Height,
};
use commonware_cryptography::Signer as _;
use commonware_glue::stateful::{PruneConfig, db::ManagedDb};
use commonware_runtime::{Runner as _, Spawner as _, Supervisor as _, tokio as runtime};
use commonware_utils::NZUsize;
use futures::future::BoxFuture;
use ledger::{BlockEnv, Call, CallOutcome};
use std::{
    net::{SocketAddr, TcpListener},
    sync::Arc,
    thread::JoinHandle,
    time::Duration,
};
use tokio::sync::{broadcast, mpsc, oneshot, watch};

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The genesis file is wrong.
    #[error(transparent)]
    Rules(#[from] RulesError),
    /// The data directory is wrong.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The index is wrong.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// This key is not in the genesis file.
    #[error("validator key {0} is not in the genesis file: use the key that was created with it")]
    NotAValidator(String),
    /// A peer's key is no key.
    #[error("peer {key}: {error}")]
    PeerKey {
        /// As in the file.
        key: String,
        /// What is wrong.
        error: KeyError,
    },
    /// A validator of the genesis file has no address.
    #[error("no address for validator {0}: add it to the peers in node.toml")]
    PeerMissing(String),
    /// A port is taken.
    #[error("cannot listen on {address}: {source}; stop what uses it, or choose another port")]
    Port {
        /// Where the node wanted to listen.
        address: SocketAddr,
        /// What the system reports.
        source: std::io::Error,
    },
    /// Fewer blocks than a network needs to bring back a validator that was away.
    #[error("cannot keep {0} blocks only: keep at least {MIN_KEPT_BLOCKS}, or all")]
    KeptBlocks(usize),
    /// A thread could not start, or died while starting.
    #[error(
        "the node stopped while starting: {0}. Check that the disk has space; if its files are damaged, restore the data directory or delete it and sync again"
    )]
    Stopped(String),
    /// History cannot be written any more.
    #[error("the node stopped, and nothing final is lost: {0}")]
    History(Arc<IndexError>),
    /// Consensus failed, most likely because of its disk.
    #[error(
        "the node stopped, and nothing final is lost: {0}. Check that the disk under the data directory has space and is sound, then start it again"
    )]
    Failed(String),
}

/// Starts nodes.
pub struct Node;

/// A running node.
pub struct NodeHandle {
    rpc_address: SocketAddr,
    services: Arc<Services>,
    runtime: tokio::runtime::Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<Result<(), NodeError>>>,
    /// Closed when the thread ends.
    alive: watch::Receiver<()>,
}

/// What JSON-RPC and embedders work with.
pub struct Services {
    /// What the genesis file fixes.
    pub rules: Arc<Rules>,
    /// Waiting transactions.
    pub mempool: Arc<Mempool>,
    /// History.
    pub index: Arc<Index>,
    /// Finalized state.
    pub state: Arc<dyn StateReader>,
    /// The way into the mempool.
    pub intake: Arc<Intake>,
    /// Blocks and certificates.
    pub archive: Arc<dyn Archive>,
}

impl Services {
    /// Environment that calls without a transaction run in: the newest block's.
    pub fn env(&self) -> BlockEnv {
        let header = &self.index.head().block.header;
        BlockEnv {
            chain_id: self.rules.genesis.chain_id,
            number: header.height,
            timestamp_ms: header.timestamp_ms,
            parent_hash: B256::from_slice(&header.parent),
            base_fee: header.base_fee,
            proposer: header.proposer,
            signers: Vec::new(),
            gas_limit: self.rules.genesis.gas_limit,
        }
    }

    /// Runs a call on the newest state and undoes it.
    pub async fn call(&self, call: &Call) -> Result<CallOutcome, StateFault> {
        let env = self.env();
        view(&*self.state, |state| ledger::call(state, &env, call)).await
    }
}

impl NodeHandle {
    /// Where JSON-RPC answers.
    pub fn rpc_addr(&self) -> SocketAddr {
        self.rpc_address
    }

    /// Everything JSON-RPC works with.
    pub fn services(&self) -> &Arc<Services> {
        &self.services
    }

    /// Submits a signed transaction. Works under any executor.
    pub async fn submit(&self, raw: Bytes) -> Result<B256, SubmitError> {
        let services = self.services.clone();
        let task = self.runtime.spawn(async move { services.intake.submit(raw).await });
        task.await.unwrap_or(Err(SubmitError::ShuttingDown))
    }

    /// Runs a call on the newest state and undoes it. Works under any executor.
    pub async fn call(&self, call: Call) -> Result<CallOutcome, StateFault> {
        let services = self.services.clone();
        let task = self.runtime.spawn(async move { services.call(&call).await });
        task.await.unwrap_or_else(|error| Err(StateFault(error.to_string())))
    }

    /// Every finalized block from now on, with its receipts.
    pub fn subscribe_blocks(&self) -> broadcast::Receiver<Arc<Entry>> {
        self.services.index.subscribe()
    }

    /// Ends the node and waits for it.
    pub fn shutdown(mut self) {
        self.end();
    }

    /// Waits until the node ends by itself, which only a fault makes it do.
    pub fn wait(mut self) -> Result<(), NodeError> {
        match self.thread.take().map(JoinHandle::join) {
            Some(Err(panic)) => Err(NodeError::Failed(panic_text(&*panic))),
            Some(Ok(result)) => result,
            None => Ok(()),
        }
    }

    /// Resolves when the node has ended by itself; [`NodeHandle::wait`] then says why. Works under any executor.
    pub fn ended(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut alive = self.alive.clone();
        // Nothing is ever sent.
        async move { while alive.changed().await.is_ok() {} }
    }

    fn end(&mut self) {
        if let Some(stop) = self.stop.take() {
            // The node may have ended already.
            let _ = stop.send(());
        }
        match self.thread.take().map(JoinHandle::join) {
            Some(Err(panic)) => tracing::error!(reason = panic_text(&*panic), "the node had failed"),
            Some(Ok(Err(error))) => tracing::error!(%error, "the node had failed"),
            Some(Ok(Ok(()))) | None => {}
        }
    }
}

impl Drop for NodeHandle {
    fn drop(&mut self) {
        self.end();
    }
}

struct Prepared {
    config: NodeConfig,
    rules: Arc<Rules>,
    public_key: PublicKey,
    scheme: Scheme,
    peers: Vec<(PublicKey, SocketAddr)>,
    directory: DataDirectory,
    index: Arc<Index>,
    evidence: Arc<EvidenceFiles>,
    rpc: TcpListener,
}

type Ready = (Arc<Services>, tokio::runtime::Handle);

impl Node {
    /// Starts a node and waits until it answers.
    pub fn start(config: NodeConfig) -> Result<NodeHandle, NodeError> {
        let prepared = prepare(config)?;
        let rpc_address = prepared
            .rpc
            .local_addr()
            .map_err(|source| NodeError::Port { address: prepared.config.addresses.rpc, source })?;
        let (stop, stopped) = oneshot::channel();
        let (ready, waiting) = std::sync::mpsc::sync_channel::<Ready>(1);
        let (dying, alive) = watch::channel(());
        let thread = std::thread::Builder::new()
            .name("node".into())
            // The futures that wire consensus are large while they move, most of all without optimisation.
            .stack_size(NODE_STACK_BYTES)
            .spawn(move || {
                let _dying = dying;
                run(prepared, ready, stopped)
            })
            .map_err(|error| NodeError::Stopped(error.to_string()))?;
        match waiting.recv() {
            Ok((services, runtime)) => {
                let (stop, thread) = (Some(stop), Some(thread));
                Ok(NodeHandle { rpc_address, services, runtime, stop, thread, alive })
            }
            Err(_) => Err(NodeError::Stopped(match thread.join() {
                Ok(Ok(())) => "for no known reason".into(),
                Ok(Err(error)) => error.to_string(),
                Err(panic) => panic_text(&*panic),
            })),
        }
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a thread failed").to_owned()
}

fn prepare(config: NodeConfig) -> Result<Prepared, NodeError> {
    if let Some(kept) = config.keep_blocks.filter(|kept| *kept < MIN_KEPT_BLOCKS) {
        return Err(NodeError::KeptBlocks(kept));
    }
    let rules = Arc::new(Rules::new(config.genesis.clone())?);
    let public_key = config.key.public_key();
    let scheme = Scheme::signer(&rules.namespace(), rules.validators.clone(), config.key.clone())
        .ok_or_else(|| NodeError::NotAValidator(public_key.to_string()))?;
    let peers = peers(&config, &rules, &public_key)?;
    let listen = |address| TcpListener::bind(address).map_err(|source| NodeError::Port { address, source });
    // Only a test of the port: consensus opens it again.
    drop(listen(config.addresses.listen)?);
    let rpc = listen(config.addresses.rpc)?;
    rpc.set_nonblocking(true).map_err(|source| NodeError::Port { address: config.addresses.rpc, source })?;
    let directory = DataDirectory::open(&config.data, rules.genesis_hash)?;
    let evidence = Arc::new(EvidenceFiles::open(directory.path().join("evidence"))?);
    let genesis = rules
        .genesis_block(<Database<runtime::Context> as ManagedDb<runtime::Context>>::initial_sync_target());
    let kept = config.keep_blocks.map(|kept| kept as u64);
    let index = Arc::new(Index::open(directory.path(), rules.genesis_hash, genesis, kept)?);
    Ok(Prepared { config, rules, public_key, scheme, peers, directory, index, evidence, rpc })
}

/// Addresses of all validators, this one included.
fn peers(
    config: &NodeConfig,
    rules: &Rules,
    own: &PublicKey,
) -> Result<Vec<(PublicKey, SocketAddr)>, NodeError> {
    let mut peers = vec![(own.clone(), config.addresses.listen)];
    for peer in &config.addresses.peers {
        let key = parse_public_key(&peer.key)
            .map_err(|error| NodeError::PeerKey { key: peer.key.clone(), error })?;
        if rules.validators.position(&key).is_some() && peers.iter().all(|(known, _)| *known != key) {
            peers.push((key, peer.address));
        }
    }
    match rules.validators.iter().find(|key| peers.iter().all(|(known, _)| known != *key)) {
        Some(missing) => Err(NodeError::PeerMissing(missing.to_string())),
        None => Ok(peers),
    }
}

/// Between two looks at a state that is behind.
const CATCH_UP: Duration = Duration::from_millis(5);

/// Waits until the state is that of the newest block of the index: after a kill between the two it is a block behind, and whoever asked it then would be told of
/// balances that are not there yet.
async fn catch_up(state: &dyn StateReader, index: &Index) {
    while let Ok((root, _)) = state.words(&[]).await {
        if root == index.head().block.header.state_root {
            return;
        }
        tokio::time::sleep(CATCH_UP).await;
    }
}

fn run(
    prepared: Prepared,
    ready: std::sync::mpsc::SyncSender<Ready>,
    stopped: oneshot::Receiver<()>,
) -> Result<(), NodeError> {
    let Prepared { config, rules, public_key, scheme, peers, directory, index, evidence, rpc } = prepared;
    let runtime_config = runtime::Config::new()
        .with_worker_threads(config.threads)
        .with_storage_directory(directory.path().join("chain"));
    let outcome = runtime::Runner::new(runtime_config).start(|context| async move {
        let mempool = Arc::new(Mempool::new(config.mempool, rules.genesis.gas_limit));
        let network = network::start(&context, &config.key, &rules, config.addresses.listen, peers);
        let (gathered, gathering) = commonware_utils::channel::oneshot::channel();
        let validators = rules.validators.len();
        context
            .child("presence")
            .spawn(move |context| presence::run(context, validators, gathered, network.presence));
        let interval = Duration::from_millis(rules.genesis.block_interval_ms);
        let heartbeat = config.heartbeat.max(interval);
        let engine = engine::start(
            context.child("engine"),
            EngineConfig {
                public_key,
                scheme,
                partition: "v1".into(),
                state_sync: config.state_sync,
                pace: Pace { interval, heartbeat },
                gathered: Some(Box::pin(async move {
                    // It ends only with the node.
                    let _ = gathering.await;
                })),
                leader_timeout: heartbeat + LEADER_PATIENCE,
                certification_timeout: heartbeat + 2 * LEADER_PATIENCE,
                prune: config.keep_blocks.map(|kept| PruneConfig {
                    maintenance_interval: NZUsize!(64),
                    retained_marshal_blocks: kept,
                    retained_qmdb_blocks: 0,
                }),
                rules: rules.clone(),
                mempool: mempool.clone(),
                sink: index.clone(),
                evidence,
            },
            network.oracle.clone(),
            network.oracle,
            network.channels,
            |stateful| stateful,
        )
        .await;
        // Resolves once the state is there, after a state sync too.
        let state: Arc<dyn StateReader> = Arc::new(engine.stateful.subscribe_databases().await);
        let (outbox, waiting) = mpsc::channel(OUTBOX);
        let intake = Arc::new(Intake::new(rules.clone(), mempool.clone(), state.clone(), outbox));
        let archive = Arc::new(engine.marshal.clone());
        let (filling, rebuilt, fixed, known) =
            (index.clone(), archive.clone(), rules.clone(), mempool.clone());
        context.child("index").spawn(move |_| async move {
            rebuild::run(&filling, &*rebuilt, &fixed, &known).await;
        });
        let services = Arc::new(Services {
            rules,
            mempool,
            index: index.clone(),
            state,
            intake: intake.clone(),
            archive,
        });
        context.child("gossip").spawn(move |_| gossip::run(intake, waiting, network.gossip));
        let server = tokio::spawn(rpc::serve(rpc, services.clone()));
        if services.rules.validators.len() == 1 {
            // Genesis allocations are written by block 1; with others it may have to wait for them.
            let (mut heads, mut failure) = (index.watch(), index.failure());
            let caught_up = async {
                let _ = heads.wait_for(|head| head.block.header.height > 0).await;
                catch_up(&*services.state, &index).await;
            };
            tokio::select! {
                () = caught_up => {},
                _ = failure.wait_for(Option::is_some) => {},
            }
        }
        // The starter may have given up; then `stopped` is closed too.
        let _ = ready.send((services, tokio::runtime::Handle::current()));
        let mut consensus = engine.handle;
        let mut failure = index.failure();
        let outcome = tokio::select! {
            _ = stopped => Ok(()),
            end = &mut consensus => Err(NodeError::Failed(format!("consensus ended: {end:?}"))),
            failed = failure.wait_for(Option::is_some) => match failed.ok().and_then(|error| error.clone()) {
                Some(error) => Err(NodeError::History(error)),
                None => Ok(()),
            },
        };
        server.abort();
        consensus.abort();
        index.close();
        outcome
    });
    drop(directory);
    outcome
}

/// Fewest blocks that a node may keep: some minutes of a validator's absence at the default pace.
pub const MIN_KEPT_BLOCKS: usize = 64;

/// Stack of the thread that starts a node; only what is touched takes memory.
const NODE_STACK_BYTES: usize = 64 << 20;

/// Patience with a leader beyond the heartbeat.
const LEADER_PATIENCE: Duration = Duration::from_secs(1);

impl Archive for Mailbox<Scheme, Standard<Block>> {
    fn certificate(&self, height: u64) -> BoxFuture<'_, Option<Vec<u8>>> {
        Box::pin(async move {
            let finalization = self.get_finalization(Height::new(height)).await?;
            Some(finalization.encode().to_vec())
        })
    }

    fn block(&self, height: u64) -> BoxFuture<'_, Option<Arc<Block>>> {
        Box::pin(async move {
            let block = self.get_block(Identifier::Height(Height::new(height))).await?;
            Some(Arc::new(block.inner().clone()))
        })
    }

    fn processed(&self) -> BoxFuture<'_, u64> {
        Box::pin(async move { self.get_processed().await.map_or(0, |processed| processed.height().get()) })
    }
}
