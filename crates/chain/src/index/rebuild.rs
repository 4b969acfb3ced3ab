//! Fills what the index lacks by executing blocks again, from the first, in memory.
//!
//! Needed after a power failure (the journal outlives only the process), or when the index was deleted. It needs
//! all blocks: a node that joined by state sync, or has pruned, starts its history where its blocks start.

use super::Index;
use crate::{
    application::{Finalized, Sink as _},
    block::{Block, Digest},
    mempool::Mempool,
    network_rules::Rules,
    receipt::{Outcome, TransactionReceipt},
};
use alloy_primitives::B256;
use commonware_cryptography::Digestible as _;
use futures::future::BoxFuture;
use ledger::{Misses, State};
use std::sync::Arc;

/// Blocks and certificates that consensus keeps, without the runtime's type.
pub trait Archive: Send + Sync + 'static {
    /// The encoded certificate of exactly this height, if consensus finalized it directly.
    fn certificate(&self, height: u64) -> BoxFuture<'_, Option<Vec<u8>>>;
    /// The finalized block at a height.
    fn block(&self, height: u64) -> BoxFuture<'_, Option<Arc<Block>>>;
    /// Height up to which blocks were executed.
    fn processed(&self) -> BoxFuture<'_, u64>;
}

/// Brings `index` up to what consensus has processed, then lets new blocks in.
pub async fn run(index: &Index, archive: &dyn Archive, rules: &Rules, mempool: &Mempool) {
    let target = archive.processed().await;
    let head = index.head().block.header.height;
    if head < target {
        tracing::info!(from = head + 1, to = target, "rebuilding the index");
        if let Err(height) = replay(index, archive, rules, mempool, target).await {
            tracing::warn!(height, "cannot rebuild the index further: it continues with the newest blocks");
        }
    }
    index.release();
}

/// Executes blocks 1 to `target` and indexes those that are missing. The error is the height it failed at.
async fn replay(
    index: &Index,
    archive: &dyn Archive,
    rules: &Rules,
    mempool: &Mempool,
    target: u64,
) -> Result<(), u64> {
    let mut state = State::new();
    let mut parent = index.block(0).ok().flatten().map(|entry| entry.block.clone()).ok_or(0u64)?;
    for height in 1..=target {
        let block = archive.block(height).await.ok_or(height)?;
        let outcome = execute(&mut state, rules, mempool, &parent, &block).ok_or(height)?;
        if outcome.tree().root() != block.header.receipts_root {
            return Err(height);
        }
        if height > index.head().block.header.height {
            let (digest, block) = (block.digest(), block.clone());
            index.finalized(Finalized { digest, block, outcome: Arc::new(outcome) });
        }
        parent = block;
        // Other work of this thread goes on between blocks.
        tokio::task::yield_now().await;
    }
    Ok(())
}

/// Executes one block on a state that knows everything: a slot it does not know is absent.
fn execute(
    state: &mut State,
    rules: &Rules,
    mempool: &Mempool,
    parent: &Block,
    block: &Block,
) -> Option<Outcome> {
    let header = &block.header;
    let parent_digest: Digest = parent.digest();
    // Final: its signatures were checked by those who voted for it.
    let signers = crate::participation::signers(rules, &header.parent_votes, &parent_digest).ok()?;
    let env = rules.env(&parent.header, parent_digest, header.timestamp_ms, header.proposer, signers);
    let mut outcome = Outcome::default();
    complete(state, |state| ledger::begin_block(state, &rules.genesis, &env));
    for transaction in mempool.resolve(&block.transactions, rules.genesis.chain_id).ok()? {
        let receipt = complete(state, |state| ledger::execute(state, &env, &transaction.call)).ok()?;
        outcome.receipts.push(TransactionReceipt::new(transaction.hash(), receipt));
    }
    outcome.block_logs = complete(state, |state| ledger::end_block(state, &env));
    state.commit();
    Some(outcome)
}

fn complete<T>(state: &mut State, mut step: impl FnMut(&mut State) -> Result<T, Misses>) -> T {
    loop {
        match step(state) {
            Ok(value) => return value,
            Err(Misses(slots)) => slots.into_iter().for_each(|slot| state.provide(slot, B256::ZERO)),
        }
    }
}
