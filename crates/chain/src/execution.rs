//! Runs the ledger's pure state machine over an asynchronous database.
//!
//! The state machine works on an overlay of known words. When it needs a word that is not there, it stops
//! with the slots it misses and leaves the overlay unchanged; they are read from the block's batch and the
//! step runs again. Each round brings at least one new slot and every read costs gas, so it ends.

use crate::{
    receipt::{Outcome, TransactionReceipt},
    state::{Databases, Runtime, from_word, to_fixed},
    transaction::SignedTransaction,
};
use alloy_primitives::{Address, B256};
use commonware_glue::stateful::db::{DatabaseSet, Unmerkleized as _};
use ledger::{BlockEnv, Genesis, Invalid, Misses, State};
use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
};

/// A block's writes, before their root is known.
pub type Batch<E> = <Databases<E> as DatabaseSet<E>>::Unmerkleized;
/// A block's writes under their root.
pub type Sealed<E> = <Databases<E> as DatabaseSet<E>>::Merkleized;

/// What a block's execution left behind.
pub struct Executed<E: Runtime> {
    /// Writes under their root.
    pub sealed: Sealed<E>,
    /// Receipts and events.
    pub outcome: Outcome,
    /// Next nonce of every sender in the block.
    pub next_nonces: HashMap<Address, u64>,
}

/// A block being executed.
pub struct Execution<E: Runtime> {
    state: State,
    env: BlockEnv,
    batch: Batch<E>,
    outcome: Outcome,
    gas_used: u64,
    next_nonces: HashMap<Address, u64>,
}

impl<E: Runtime> Execution<E> {
    /// Starts the block `env` on `batch`; block 1 writes `genesis` first.
    pub async fn begin(env: BlockEnv, genesis: &Genesis, batch: Batch<E>) -> Self {
        let mut execution = Self {
            state: State::new(),
            env,
            batch,
            outcome: Outcome::default(),
            gas_used: 0,
            next_nonces: HashMap::new(),
        };
        execution.run(|state, env| ledger::begin_block(state, genesis, env)).await;
        execution
    }

    /// Reads what transfers among `transactions` need in one go, instead of one miss at a time.
    pub async fn prefetch(&mut self, transactions: &[Arc<SignedTransaction>]) {
        let mut slots = BTreeSet::new();
        for transaction in transactions {
            slots.insert(ledger::account::account_slot(transaction.call.sender));
            slots.insert(ledger::account::account_slot(transaction.call.to));
        }
        let slots: Vec<B256> = slots.into_iter().collect();
        self.fetch(&slots).await;
    }

    /// Gas that the block has left.
    pub fn gas_left(&self) -> u64 {
        self.env.gas_limit - self.gas_used
    }

    /// Executes one transaction. One that cannot be included changes nothing.
    pub async fn transact(&mut self, transaction: &SignedTransaction) -> Result<(), Invalid> {
        let call = &transaction.call;
        let receipt = self.run(|state, env| ledger::execute(state, env, call)).await?;
        self.gas_used += receipt.gas_used;
        self.next_nonces.insert(call.sender, call.nonce + 1);
        self.outcome.receipts.push(TransactionReceipt::new(call.hash, receipt));
        Ok(())
    }

    /// Runs the end phase and computes the new state root.
    pub async fn finish(mut self) -> Executed<E> {
        self.outcome.block_logs = self.run(ledger::end_block).await;
        let mut batch = self.batch;
        for (slot, word) in self.state.writes() {
            let word = (*word != B256::ZERO).then(|| to_fixed(word));
            batch = batch.write(to_fixed(slot), word);
        }
        let sealed = batch.merkleize().await.expect("the state database must stay readable");
        Executed { sealed, outcome: self.outcome, next_nonces: self.next_nonces }
    }

    async fn run<T>(&mut self, mut step: impl FnMut(&mut State, &BlockEnv) -> Result<T, Misses>) -> T {
        loop {
            match step(&mut self.state, &self.env) {
                Ok(value) => return value,
                Err(Misses(slots)) => self.fetch(&slots).await,
            }
        }
    }

    async fn fetch(&mut self, slots: &[B256]) {
        let keys: Vec<_> = slots.iter().map(to_fixed).collect();
        let keys: Vec<_> = keys.iter().collect();
        // A node that cannot read its own state must stop: any answer could be a wrong vote.
        let words = self.batch.get_many(&keys).await.expect("the state database must stay readable");
        for (slot, word) in slots.iter().zip(words) {
            self.state.provide(*slot, from_word(word));
        }
    }
}

/// Whether no later block can include the transaction either.
fn is_permanent(invalid: &Invalid) -> bool {
    match invalid {
        Invalid::NonceTooLow { .. }
        | Invalid::PriorityAboveMax { .. }
        | Invalid::GasBelowIntrinsic { .. }
        | Invalid::GasAboveBlock { .. } => true,
        Invalid::NonceTooHigh { .. } | Invalid::InsufficientFunds { .. } | Invalid::FeeTooLow { .. } => false,
    }
}

/// What became of the candidates for a block; those that no longer fitted stand in none of the lists.
#[derive(Default)]
pub struct Filled {
    /// Included, in order.
    pub taken: Vec<Arc<SignedTransaction>>,
    /// Can never be included.
    pub dead: Vec<B256>,
    /// Cannot be included before something else changes, such as the sender's balance.
    pub stuck: Vec<B256>,
}

/// Fills a block from `candidates`, best first, until gas runs out or `out_of_time` says so.
pub async fn fill<E: Runtime>(
    execution: &mut Execution<E>,
    candidates: Vec<Arc<SignedTransaction>>,
    mut out_of_time: impl FnMut() -> bool,
) -> Filled {
    let mut filled = Filled::default();
    // What follows a skipped transaction of the same sender has a nonce gap.
    let mut skipped: HashSet<Address> = HashSet::new();
    execution.prefetch(&candidates).await;
    for transaction in candidates {
        if out_of_time() || execution.gas_left() < ledger::gas::TRANSACTION {
            break;
        }
        let sender = transaction.sender();
        if skipped.contains(&sender) {
            continue;
        }
        if transaction.call.gas_limit > execution.gas_left() {
            skipped.insert(sender);
            continue;
        }
        match execution.transact(&transaction).await {
            Ok(()) => filled.taken.push(transaction),
            Err(invalid) => {
                skipped.insert(sender);
                let hashes = if is_permanent(&invalid) { &mut filled.dead } else { &mut filled.stuck };
                hashes.push(transaction.hash());
            }
        }
    }
    filled
}
