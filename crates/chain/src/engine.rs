//! Wires one validator: marshal, state, consensus, and peer sync, over any runtime and network.
//!
//! ```text
//! network -> resolver, broadcast -> marshal -> stateful application -> state database
//!                                      ^              ^
//!                      simplex -> paced deferred automaton
//! ```
//! The same wiring serves one validator and many, and real and simulated networks. It is generic, so each
//! pair of runtime and network instantiates it once: [`crate::node`] and the simulation tests.

use crate::{
    application::{Application, Sink},
    block::{Block, Digest, PublicKey, Scheme},
    evidence::{EvidenceSink, Watch},
    mempool::Mempool,
    network_rules::Rules,
    pace::{Pace, Paced},
    participation::Participation,
    state::{Database, Databases, Runtime, Slot, Word},
};
use commonware_broadcast::buffered;
use commonware_codec::FixedSize as _;
use commonware_consensus::{
    Reporter,
    marshal::{
        self, Update,
        core::{Actor as MarshalActor, Mailbox as MarshalMailbox},
        resolver::p2p as marshal_resolver,
        standard::{Deferred, Standard},
    },
    simplex::{
        self,
        config::{ForwardPolicy, SkipPolicy},
        elector::RoundRobin,
    },
    types::{Epoch, FixedEpocher, ViewDelta},
};
use commonware_cryptography::{Digested, Digestible as _, Sha256, certificate::ConstantProvider};
use commonware_glue::stateful::{
    Config as StatefulConfig, Mailbox as StatefulMailbox, PruneConfig, Stateful, SyncPlan,
    db::{DatabaseSet, SyncEngineConfig, p2p as state_resolver},
    probe::{self, Config as ProbeConfig, Probe},
};
use commonware_p2p::{Blocker, Provider, Receiver, Sender};
use commonware_parallel::Sequential;
use commonware_runtime::{Handle, buffer::paged::CacheRef};
use commonware_storage::{
    archive::prunable,
    journal::contiguous::fixed::Config as LogConfig,
    merkle::full::Config as MerkleConfig,
    mmb,
    qmdb::{any::ordered::fixed::Operation, current::FixedConfig},
    translator::EightCap,
};
use commonware_utils::{NZDuration, NZU16, NZU64, NZUsize};
use futures::future::BoxFuture;
use rand_core::CryptoRng;
use std::{
    num::{NonZeroU64, NonZeroUsize},
    sync::Arc,
    time::Duration,
};
use tracing::error;

/// Number of network channels that [`start`] takes.
pub const CHANNEL_COUNT: u64 = 7;

const WRITE_BUFFER_BYTES: NonZeroUsize = NZUsize!(1 << 16);
const CACHE_PAGES: NonZeroUsize = NZUsize!(2_048);
/// With its checksum one page fills one 4 KiB page of the disk.
const CACHE_PAGE_BYTES: std::num::NonZeroU16 = NZU16!(4_084);
const MAILBOX: NonZeroUsize = NZUsize!(1_024);
const SYNC_BATCH: NonZeroU64 = NZU64!(256);
const ITEMS_PER_BLOB: NonZeroU64 = NZU64!(65_536);
const ITEMS_PER_SECTION: NonZeroU64 = NZU64!(4_096);
const RETAINED_VIEWS: ViewDelta = ViewDelta::new(64);
/// The validator set is fixed: one epoch that does not end. See [`crate::light`] for the format of a change.
const EPOCH_BLOCKS: NonZeroU64 = NZU64!(u64::MAX);
const FETCH_TIMEOUT: Duration = Duration::from_secs(2);

/// Largest message between `validators` peers.
pub fn max_message_bytes(validators: u32) -> u32 {
    commonware_p2p::max_message_size(&[
        simplex::max_payload_size::<Scheme, Digest>(validators),
        marshal::max_payload_size::<Standard<Block>, Scheme>(validators, &()),
        probe::max_payload_size::<Standard<Block>, Scheme>(validators),
        state_resolver::max_payload_size::<mmb::Family, Digest>(
            SYNC_BATCH,
            Operation::<mmb::Family, Slot, Word>::SIZE,
        ),
    ])
}

/// What differs between validators.
pub struct EngineConfig {
    /// This validator's identity.
    pub public_key: PublicKey,
    /// Signs votes.
    pub scheme: Scheme,
    /// Names this validator's files.
    pub partition: String,
    /// Whether to fetch the state from peers instead of replaying blocks, if nothing is stored yet.
    pub state_sync: bool,
    /// Time between blocks.
    pub pace: Pace,
    /// Holds consensus back until it resolves ([`crate::presence`]); everything else starts.
    pub gathered: Option<BoxFuture<'static, ()>>,
    /// Patience with a leader before its round is skipped.
    pub leader_timeout: Duration,
    /// Patience with the votes of a round before it is skipped.
    pub certification_timeout: Duration,
    /// What to forget, if anything.
    pub prune: Option<PruneConfig>,
    /// What the genesis file fixes.
    pub rules: Arc<Rules>,
    /// Waiting transactions.
    pub mempool: Arc<Mempool>,
    /// Where finalized blocks go.
    pub sink: Arc<dyn Sink>,
    /// Where proof of equivocation goes.
    pub evidence: Arc<dyn EvidenceSink>,
}

/// A running validator.
pub struct Engine<E: Runtime + CryptoRng> {
    /// Ends when consensus does.
    pub handle: Handle<()>,
    /// Blocks and certificates.
    pub marshal: MarshalMailbox<Scheme, Standard<Block>>,
    /// State.
    pub stateful: StatefulMailbox<E, Application>,
}

/// Starts a validator on `context`. `channels` are [`CHANNEL_COUNT`] registered network channels: votes,
/// certificates, certificate requests, block requests, block broadcast, state sync, sync probe. `observe`
/// may stand between marshal and the application (simulations count finalizations there).
pub async fn start<E, M, B, S, R, F, W>(
    context: E,
    config: EngineConfig,
    provider: M,
    blocker: B,
    channels: Vec<(S, R)>,
    observe: F,
) -> Engine<E>
where
    E: Runtime + CryptoRng,
    M: Provider<PublicKey = PublicKey> + Sync,
    B: Blocker<PublicKey = PublicKey> + Sync,
    S: Sender<PublicKey = PublicKey>,
    R: Receiver<PublicKey = PublicKey>,
    W: Reporter<Activity = Update<Block>>,
    F: FnOnce(StatefulMailbox<E, Application>) -> W,
{
    let EngineConfig { public_key, scheme, partition, rules, mempool, .. } = config;
    let Ok([votes, certificates, requests, backfill, broadcast, state_sync, probing]) =
        <[(S, R); CHANNEL_COUNT as usize]>::try_from(channels)
    else {
        panic!("the engine needs {CHANNEL_COUNT} channels")
    };
    let cache = page_cache();

    let resolver = marshal_resolver::init(
        context.child("marshal_resolver"),
        marshal_resolver::Config {
            public_key: public_key.clone(),
            peer_provider: provider.clone(),
            blocker: blocker.clone(),
            mailbox_size: MAILBOX,
            fetch_timeout: NZDuration!(FETCH_TIMEOUT),
            fetch_retry_delay: Duration::from_millis(100),
            priority_requests: false,
            priority_responses: false,
        },
        backfill,
    );
    let (buffer_engine, buffer) = buffered::Engine::new(
        context.child("broadcast"),
        buffered::Config {
            public_key: public_key.clone(),
            mailbox_size: MAILBOX,
            deque_size: 16,
            priority: false,
            codec_config: (),
            peer_provider: provider.clone(),
            strategy: Sequential,
        },
    );
    buffer_engine.start(broadcast);

    let certificate_limits =
        <Scheme as commonware_cryptography::certificate::Verifier>::certificate_codec_config(&scheme);
    let finalizations = prunable::Archive::init(
        context.child("finalizations"),
        archive(&partition, "finalizations", cache.clone(), certificate_limits),
    )
    .await
    .expect("finalization archive must open");
    let blocks =
        prunable::Archive::init(context.child("blocks"), archive(&partition, "blocks", cache.clone(), ()))
            .await
            .expect("block archive must open");

    let genesis = rules.genesis_block(<Databases<E> as DatabaseSet<E>>::initial_sync_targets());
    let genesis_digest = genesis.digest();
    let mut plan = SyncPlan::init(context.child("plan"), partition.clone()).await;
    let schemes = ConstantProvider::<Scheme, Epoch>::new(scheme.clone());
    let (probe, probe_mailbox) = Probe::new(ProbeConfig {
        context: context.child("probe"),
        provider: schemes.clone(),
        strategy: Sequential,
        mailbox_size: NZUsize!(128),
        blocker: blocker.clone(),
        minimum_epoch: Epoch::zero(),
        retry_timeout: NZDuration!(Duration::from_millis(100)),
    });
    probe.start(probing);
    let mut consensus_floor = simplex::config::Floor::Genesis(genesis_digest);
    if plan.should_sync(config.state_sync) {
        let floor = probe_mailbox.subscribe().await.expect("the probe outlives its subscribers");
        // A validator that lost its files must not vote again in rounds it may have voted in.
        consensus_floor = simplex::config::Floor::Finalized(floor.clone());
        plan = plan.set_floor(floor).await;
    }
    let (marshal_actor, marshal, floor) = MarshalActor::<_, Standard<Block>, _, _, _, _, _>::init(
        context.child("marshal"),
        finalizations,
        blocks,
        marshal::Config {
            provider: schemes,
            epocher: FixedEpocher::new(EPOCH_BLOCKS),
            start: plan.marshal_start(Digested::precomputed(genesis.clone(), genesis_digest)),
            partition_prefix: partition.clone(),
            mailbox_size: MAILBOX,
            view_retention: RETAINED_VIEWS,
            prunable_items_per_section: ITEMS_PER_SECTION,
            page_cache: cache.clone(),
            replay_buffer: WRITE_BUFFER_BYTES,
            key_write_buffer: WRITE_BUFFER_BYTES,
            value_write_buffer: WRITE_BUFFER_BYTES,
            block_codec_config: (),
            max_repair: NZUsize!(20),
            max_pending_acks: NZUsize!(16),
            strategy: Sequential,
        },
    )
    .await;
    let (state_actor, state_resolver) =
        state_resolver::Actor::<_, PublicKey, _, _, mmb::Family, Database<E>>::new(
            context.child("state_resolver"),
            state_resolver::Config {
                peer_provider: provider,
                blocker: blocker.clone(),
                database: None,
                mailbox_size: NZUsize!(128),
                me: Some(public_key),
                fetch_timeout: NZDuration!(FETCH_TIMEOUT),
                fetch_retry_delay: Duration::from_millis(100),
                max_serve_ops: SYNC_BATCH,
                priority_requests: false,
                priority_responses: false,
            },
        );
    state_actor.start(state_sync);

    let participation = Arc::new(Participation::new(rules.clone()));
    let paced_rules = rules.clone();
    let application = Application {
        genesis,
        rules,
        participation: participation.clone(),
        mempool: mempool.clone(),
        pending: Arc::default(),
        sink: config.sink,
    };
    let pending = application.pending.clone();
    let (stateful, stateful_mailbox) = Stateful::new(
        context.child("stateful"),
        StatefulConfig {
            application,
            db_config: database_config(&partition, cache.clone()),
            provider: (),
            marshal: (marshal.clone(), floor),
            mailbox_size: MAILBOX,
            plan,
            resolvers: state_resolver,
            sync_config: SyncEngineConfig {
                fetch_batch_size: SYNC_BATCH,
                apply_batch_size: NZU64!(1_024),
                max_outstanding_requests: NZUsize!(8),
            },
            prune_config: config.prune,
            strategy: Sequential,
        },
    );
    let deferred = Deferred::new(
        context.child("deferred"),
        stateful_mailbox.clone(),
        marshal.clone(),
        FixedEpocher::new(EPOCH_BLOCKS),
    );
    marshal_actor.start(observe(stateful_mailbox.clone()), buffer, resolver);
    probe_mailbox.attach(marshal.clone());
    stateful.start();

    let paced = Paced {
        runtime: Arc::new(context.child("pace")),
        inner: deferred.clone(),
        pace: config.pace,
        rules: paced_rules,
        mempool,
        pending,
    };
    let waiting = context.child("gathering");
    let engine = simplex::Engine::new(
        context,
        simplex::Config {
            scheme,
            elector: RoundRobin::<Sha256>::default(),
            blocker,
            automaton: paced,
            relay: deferred.clone(),
            reporter: Watch { inner: deferred, sink: config.evidence, participation },
            strategy: Sequential,
            partition: format!("{partition}-simplex"),
            mailbox_size: MAILBOX,
            epoch: Epoch::zero(),
            floor: consensus_floor,
            replay_buffer: WRITE_BUFFER_BYTES,
            write_buffer: WRITE_BUFFER_BYTES,
            page_cache: cache,
            leader_timeout: config.leader_timeout,
            certification_timeout: config.certification_timeout,
            timeout_retry: Duration::from_millis(500),
            view_retention: RETAINED_VIEWS,
            skip: SkipPolicy::Enabled {
                timeout: Duration::from_secs(10),
                budget: simplex::SkipBudget::Participants,
            },
            fetch_timeout: NZDuration!(FETCH_TIMEOUT),
            fetch_retry_delay: Duration::from_millis(200),
            forward: ForwardPolicy::SilentVoters,
            track_historical_votes: false,
        },
    );
    let handle = match config.gathered {
        None => engine.start(votes, certificates, requests),
        Some(gathered) => waiting.spawn(move |_| async move {
            gathered.await;
            if let Err(error) = engine.start(votes, certificates, requests).await {
                error!(%error, "consensus ended");
            }
        }),
    };
    Engine { handle, marshal, stateful: stateful_mailbox }
}

fn archive<C>(
    partition: &str,
    name: &str,
    cache: CacheRef,
    codec_config: C,
) -> prunable::Config<EightCap, C> {
    prunable::Config {
        translator: EightCap,
        metadata_partition: format!("{partition}-{name}-meta"),
        key_partition: format!("{partition}-{name}-key"),
        key_page_cache: cache,
        value_partition: format!("{partition}-{name}-value"),
        compression: None,
        codec_config,
        items_per_section: ITEMS_PER_SECTION,
        key_write_buffer: WRITE_BUFFER_BYTES,
        value_write_buffer: WRITE_BUFFER_BYTES,
        replay_buffer: WRITE_BUFFER_BYTES,
    }
}

/// Pages of files in memory, shared by everything one validator reads.
pub fn page_cache() -> CacheRef {
    CacheRef::new(CACHE_PAGE_BYTES, CACHE_PAGES)
}

/// How the state database lies on disk, in files named after `partition`.
pub fn database_config(partition: &str, cache: CacheRef) -> FixedConfig<EightCap, Sequential> {
    FixedConfig {
        merkle_config: MerkleConfig {
            journal_partition: format!("{partition}-state-merkle"),
            metadata_partition: format!("{partition}-state-merkle-meta"),
            items_per_blob: ITEMS_PER_BLOB,
            write_buffer: WRITE_BUFFER_BYTES,
            replay_buffer: WRITE_BUFFER_BYTES,
            strategy: Sequential,
            page_cache: cache.clone(),
        },
        journal_config: LogConfig {
            partition: format!("{partition}-state-log"),
            items_per_blob: ITEMS_PER_BLOB,
            page_cache: cache,
            write_buffer: WRITE_BUFFER_BYTES,
            replay_buffer: WRITE_BUFFER_BYTES,
        },
        grafted_metadata_partition: format!("{partition}-state-grafted"),
        translator: EightCap,
        init_cache: Some(NZUsize!(65_536)),
        init_buffer: NZUsize!(1 << 20),
        init_concurrency: (),
    }
}
