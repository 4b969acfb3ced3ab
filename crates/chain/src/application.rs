//! The rules of a valid block, as consensus calls them: propose, verify, finalize.
//!
//! A proposer takes what pays best from the mempool, within gas, bytes and time. A verifier accepts a block
//! only if all of this holds; every rule depends on the block and its parent alone, never on the local clock:
//!
//! 1. R0: `0 < time - parent's time <= 10 s` (then it *waits* until its clock reaches that time),
//! 2. the base fee follows from the parent, the proposer is the leader's account, the next validators are known,
//! 3. every transaction decodes, is signed for this chain, and can be included where it stands,
//! 4. the votes it carries are a certificate of its parent, or none,
//! 5. gas used, receipts root and state root are those of its own execution.

use crate::{
    block::{Block, Digest, Header, MAX_STEP_MS, RoundContext, Scheme, transactions_root},
    execution::{Executed, Execution, Filled, fill},
    mempool::Mempool,
    network_rules::Rules,
    participation::{Participation, signers},
    receipt::Outcome,
    state::{Databases, Runtime},
};
use alloy_primitives::Address;
use commonware_consensus::marshal::ancestry::Ancestry;
use commonware_cryptography::Digestible as _;
use commonware_glue::stateful::{
    Application as StatefulApplication, Finality, Input, Proposed,
    db::{DatabaseSet, Merkleized as _},
};
use commonware_runtime::Clock;
use commonware_storage::qmdb::sync::Target;
use commonware_utils::non_empty_range;
use futures::StreamExt as _;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{Duration, UNIX_EPOCH},
};
use tracing::{debug, warn};

/// Longest time that a proposer executes transactions for one block.
const BUILD_LIMIT: Duration = Duration::from_millis(400);

/// A finalized block with what its execution produced.
#[derive(Clone, Debug)]
pub struct Finalized {
    /// Digest that the certificate signs.
    pub digest: Digest,
    /// The block.
    pub block: Arc<Block>,
    /// Its receipts and events.
    pub outcome: Arc<Outcome>,
}

/// Receives finalized blocks in order of height. Must not block: consensus waits for it.
pub trait Sink: Send + Sync + 'static {
    /// Called once the block's state is readable. May repeat a height after a crash.
    fn finalized(&self, finalized: Finalized);
}

/// Blocks that were executed and are not final yet, and the newest final one.
#[derive(Default)]
pub struct Pending {
    blocks: HashMap<Digest, Executing>,
    finalized: Option<(Digest, ParentFacts)>,
}

struct Executing {
    height: u64,
    facts: ParentFacts,
    outcome: Arc<Outcome>,
    next_nonces: HashMap<Address, u64>,
}

/// What the next block needs to know of its parent before it is built.
#[derive(Clone, Copy, Debug)]
pub struct ParentFacts {
    /// Its time, in milliseconds since the Unix epoch.
    pub timestamp_ms: u64,
    /// Its base fee per gas.
    pub base_fee: u128,
    /// Gas it used.
    pub gas_used: u64,
}

impl ParentFacts {
    fn of(header: &Header) -> Self {
        Self { timestamp_ms: header.timestamp_ms, base_fee: header.base_fee, gas_used: header.gas_used }
    }
}

impl Pending {
    /// What is known of an executed block, if it is still remembered.
    pub fn parent(&self, digest: &Digest) -> Option<ParentFacts> {
        let executed = self.blocks.get(digest).map(|block| block.facts);
        executed.or_else(|| self.finalized.filter(|(known, _)| known == digest).map(|(_, facts)| facts))
    }
}

/// The application of one node. Clones share everything.
#[derive(Clone)]
pub struct Application {
    /// Block 0.
    pub genesis: Block,
    /// What is fixed by the genesis file.
    pub rules: Arc<Rules>,
    /// Who signed which block.
    pub participation: Arc<Participation>,
    /// Where proposals take transactions from.
    pub mempool: Arc<Mempool>,
    /// Executed, not yet final.
    pub pending: Arc<Mutex<Pending>>,
    /// Where finalized blocks go.
    pub sink: Arc<dyn Sink>,
}

/// Milliseconds since the Unix epoch on the runtime's clock.
pub fn now_ms(clock: &impl Clock) -> u64 {
    clock.current().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_millis() as u64)
}

impl Application {
    fn remember<E: Runtime>(&self, digest: Digest, header: &Header, executed: Executed<E>) -> Arc<Outcome> {
        let outcome = Arc::new(executed.outcome);
        self.mempool.executed(digest, header.parent, header.height, executed.next_nonces.clone());
        let entry = Executing {
            height: header.height,
            facts: ParentFacts::of(header),
            outcome: outcome.clone(),
            next_nonces: executed.next_nonces,
        };
        self.pending.lock().expect("no code panics while it holds the lock").blocks.insert(digest, entry);
        outcome
    }

    async fn build<E: Runtime>(
        &self,
        runtime: &E,
        context: RoundContext,
        parent: &Block,
        parent_digest: Digest,
        batch: <Databases<E> as DatabaseSet<E>>::Unmerkleized,
    ) -> Option<Proposed<Self, E>> {
        let parent = &parent.header;
        let proposer = self.rules.reward_account(&context.leader)?;
        let timestamp_ms = now_ms(runtime).clamp(parent.timestamp_ms + 1, parent.timestamp_ms + MAX_STEP_MS);
        let parent_votes = self.participation.votes(&parent_digest);
        let signers = signers(&self.rules, &parent_votes, &parent_digest).ok()?;
        let env = self.rules.env(parent, parent_digest, timestamp_ms, proposer, signers);
        let base_fee = env.base_fee;
        let started = runtime.current();
        let out_of_time = || runtime.current().duration_since(started).is_ok_and(|spent| spent > BUILD_LIMIT);
        let candidates = self.mempool.select(&parent_digest, base_fee);
        let mut execution = Execution::begin(env, &self.rules.genesis, batch).await;
        let Filled { taken, dead, stuck } = fill(&mut execution, candidates, out_of_time).await;
        for hash in dead {
            self.mempool.remove(&hash);
        }
        self.mempool.unhurry(&stuck);
        let executed = execution.finish().await;
        let transactions: Vec<_> = taken.iter().map(|transaction| transaction.raw.clone()).collect();
        let sealed = executed.sealed.clone();
        let header = Header {
            context,
            parent: parent_digest,
            height: parent.height + 1,
            timestamp_ms,
            base_fee,
            gas_used: executed.outcome.gas_used(),
            proposer,
            state_root: sealed.root(),
            ops_root: sealed.ops_root(),
            range: non_empty_range!(sealed.sync_boundary(), sealed.bounds().tip.size),
            transactions_root: transactions_root(&transactions),
            receipts_root: executed.outcome.tree().root(),
            next_validators: self.rules.validators_hash,
            parent_votes,
        };
        self.remember(header.digest(), &header, executed);
        Some(Proposed { block: Block { header, transactions }, merkleized: sealed })
    }

    async fn verify<E: Runtime>(
        &self,
        runtime: &E,
        block: &Block,
        digest: Digest,
        parent: &Header,
        parent_digest: Digest,
        batch: <Databases<E> as DatabaseSet<E>>::Unmerkleized,
        finality: Finality,
    ) -> Result<<Databases<E> as DatabaseSet<E>>::Merkleized, &'static str> {
        let header = &block.header;
        self.rules.check_header(header, parent, parent_digest)?;
        let signers = signers(&self.rules, &header.parent_votes, &parent_digest)?;
        // A finalized block's were checked by the quorum that voted for it.
        if finality == Finality::Candidate && !self.participation.verify(&header.parent_votes) {
            return Err("parent votes");
        }
        let env = self.rules.env(parent, parent_digest, header.timestamp_ms, header.proposer, signers);
        if env.base_fee != header.base_fee {
            return Err("base fee");
        }
        let transactions = self
            .mempool
            .resolve(&block.transactions, self.rules.genesis.chain_id)
            .map_err(|_| "a transaction is malformed or wrongly signed")?;
        let mut execution = Execution::begin(env, &self.rules.genesis, batch).await;
        execution.prefetch(&transactions).await;
        for transaction in &transactions {
            if transaction.call.gas_limit > execution.gas_left() {
                return Err("gas limit of the block");
            }
            execution.transact(transaction).await.map_err(|_| "a transaction cannot be included")?;
        }
        let executed = execution.finish().await;
        let rules = [
            (executed.outcome.gas_used() == header.gas_used, "gas used"),
            (executed.outcome.tree().root() == header.receipts_root, "receipts root"),
            (executed.sealed.root() == header.state_root, "state root"),
        ];
        if let Some((_, name)) = rules.iter().find(|(holds, _)| !holds) {
            return Err(name);
        }
        if finality == Finality::Candidate {
            // Bounded by R0: a leader whose clock runs ahead delays its own block, nothing else.
            let ahead_ms = header.timestamp_ms.saturating_sub(now_ms(runtime));
            runtime.sleep(Duration::from_millis(ahead_ms)).await;
        }
        let sealed = executed.sealed.clone();
        self.remember(digest, header, executed);
        Ok(sealed)
    }
}

impl<E: Runtime> StatefulApplication<E> for Application {
    type SigningScheme = Scheme;
    type Context = RoundContext;
    type Block = Block;
    type Databases = Databases<E>;
    type Captured = ();
    type Provider = ();
    type Input = ();

    fn sync_targets(block: &Block) -> <Self::Databases as DatabaseSet<E>>::SyncTargets {
        Target::new(block.header.ops_root, block.header.range.clone())
    }

    async fn genesis(&mut self) -> Block {
        self.genesis.clone()
    }

    async fn propose(
        &mut self,
        (runtime, context): (E, RoundContext),
        mut ancestry: impl Ancestry<Block>,
        batch: <Self::Databases as DatabaseSet<E>>::Unmerkleized,
        _: Input<(), ()>,
    ) -> Option<Proposed<Self, E>> {
        let parent = ancestry.next().await?;
        let digest = parent.digest();
        self.build(&runtime, context, parent.inner(), digest, batch).await
    }

    async fn process(
        &mut self,
        (runtime, _): (E, RoundContext),
        mut ancestry: impl Ancestry<Block>,
        batch: <Self::Databases as DatabaseSet<E>>::Unmerkleized,
        finality: Finality,
    ) -> Option<<Self::Databases as DatabaseSet<E>>::Merkleized> {
        let block = ancestry.next().await?;
        let parent = ancestry.next().await?;
        let (digest, parent_digest) = (block.digest(), parent.digest());
        let parent = &parent.inner().header;
        let verdict =
            self.verify(&runtime, block.inner(), digest, parent, parent_digest, batch, finality).await;
        verdict
            .inspect_err(|rule| warn!(height = block.inner().header.height, %digest, rule, "refused a block"))
            .ok()
    }

    async fn capture(
        &mut self,
        _: (E, RoundContext),
        _: &Block,
        _: &<Self::Databases as DatabaseSet<E>>::Merkleized,
        _: <Self::Databases as DatabaseSet<E>>::Readers,
    ) {
    }

    async fn finalized(
        &mut self,
        (runtime, _): (E, RoundContext),
        block: &Block,
        _: (),
        _: <Self::Databases as DatabaseSet<E>>::Readers,
    ) {
        let digest = block.digest();
        let header = &block.header;
        let (outcome, next_nonces) = {
            let mut pending = self.pending.lock().expect("no code panics while it holds the lock");
            let known = pending.blocks.remove(&digest);
            pending.blocks.retain(|_, block| block.height > header.height);
            pending.finalized = Some((digest, ParentFacts::of(header)));
            let known = known.expect("a block is executed before it is finalized");
            (known.outcome, known.next_nonces)
        };
        self.mempool.finalized(header.height, &next_nonces, now_ms(&runtime));
        debug!(height = header.height, transactions = block.transactions.len(), "finalized");
        self.sink.finalized(Finalized { digest, block: Arc::new(block.clone()), outcome });
    }
}
