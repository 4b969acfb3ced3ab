//! Transactions that wait for a block.
//!
//! Per sender the pool keeps one transaction per nonce. It starts at the account's nonce as of the last
//! finalized block; a transaction is *ready* when no nonce before it is missing. Rules for what enters:
//!
//! - its nonce is not used up, and less than [`Limits::per_account`] past the account's;
//! - the account can pay `value + gas_limit * max_fee`, and the block gas limit admits it;
//! - it replaces one of the same nonce only when both of its fees are at least 10 % higher;
//! - a full pool makes room by dropping the last nonce of the sender with the lowest tip, if that is lower.
//!
//! What stays longer than [`Limits::expiry_ms`] is dropped. [`Mempool::select`] orders by tip, then arrival,
//! each sender's in order of nonce. The pool never reads the state itself: callers bring the account.

mod pool;

use crate::{block::Digest, transaction::SignedTransaction};
use alloy_primitives::{Address, B256, U256};
use bytes::Bytes;
use pool::Pool;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard},
};
use tokio::sync::{Notify, broadcast, futures::Notified};

/// Bounds of the pool.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most transactions in all.
    pub transactions: usize,
    /// Most bytes of raw transactions in all.
    pub bytes: usize,
    /// Most transactions of one account, and the furthest nonce ahead of it.
    pub per_account: u64,
    /// Longest wait, in milliseconds.
    pub expiry_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { transactions: 65_536, bytes: 48 << 20, per_account: 8_192, expiry_ms: 600_000 }
    }
}

/// What the pool must know of a sender.
#[derive(Clone, Copy, Debug)]
pub struct Account {
    /// Next nonce as of the last finalized block.
    pub nonce: u64,
    /// Balance as of the last finalized block.
    pub balance: U256,
}

/// Why a well-formed transaction does not enter the pool.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The same transaction waits already.
    #[error("already known")]
    Known,
    /// The nonce is used.
    #[error("nonce too low: next nonce {next}, transaction nonce {found}")]
    NonceTooLow {
        /// Next nonce of the account.
        next: u64,
        /// Nonce in the transaction.
        found: u64,
    },
    /// The nonce is too far ahead.
    #[error("nonce too high: next nonce {next}, transaction nonce {found}; send the missing ones first")]
    NonceTooHigh {
        /// Next nonce of the account.
        next: u64,
        /// Nonce in the transaction.
        found: u64,
    },
    /// The account cannot pay the most the transaction may cost.
    #[error("insufficient funds for gas * price + value: balance {balance}, at most {needed} needed")]
    InsufficientFunds {
        /// Balance of the sender.
        balance: U256,
        /// Value and the highest fee together.
        needed: U256,
    },
    /// More gas than a block has.
    #[error("exceeds block gas limit: {found} > {limit}")]
    GasLimit {
        /// Gas limit of the transaction.
        found: u64,
        /// Gas limit of a block.
        limit: u64,
    },
    /// Same sender and nonce, but not 10 % more.
    #[error("replacement transaction underpriced: raise max fee and priority fee by 10 %")]
    Underpriced,
    /// The pool is full of transactions that pay at least as much.
    #[error("transaction pool is full: raise the priority fee or try again later")]
    Full,
}

/// The pool, shared between JSON-RPC, gossip and consensus.
pub struct Mempool {
    pool: Mutex<Pool>,
    arrivals: broadcast::Sender<Arc<SignedTransaction>>,
    ready: Notify,
}

/// Arrivals that a slow subscriber may fall behind.
const ARRIVALS_BACKLOG: usize = 4_096;

impl Mempool {
    /// An empty pool for blocks of at most `block_gas_limit`.
    pub fn new(limits: Limits, block_gas_limit: u64) -> Self {
        Self {
            pool: Mutex::new(Pool::new(limits, block_gas_limit)),
            arrivals: broadcast::channel(ARRIVALS_BACKLOG).0,
            ready: Notify::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().expect("no code panics while it holds the pool")
    }

    /// Admits `transaction`, whose sender stands as `account` says. `now_ms` starts its expiry.
    pub fn insert(
        &self,
        transaction: Arc<SignedTransaction>,
        account: Account,
        now_ms: u64,
    ) -> Result<(), Rejection> {
        self.lock().insert(transaction.clone(), account, now_ms)?;
        self.announce(transaction);
        Ok(())
    }

    /// [`Mempool::insert`] for several, whose accounts were read after [`Mempool::finalized_blocks`] gave `as_of`. `None`
    /// when a block was finalized in between: it may have used a nonce up, and the pool would wait for it for ever. Read
    /// the accounts again then.
    pub fn insert_all(
        &self,
        transactions: &[(Arc<SignedTransaction>, Account)],
        now_ms: u64,
        as_of: u64,
    ) -> Option<Vec<Result<(), Rejection>>> {
        let mut pool = self.lock();
        if pool.finalized_blocks() != as_of {
            return None;
        }
        let admit = |(transaction, account): &(Arc<SignedTransaction>, Account)| {
            pool.insert(transaction.clone(), *account, now_ms)
        };
        let admitted: Vec<_> = transactions.iter().map(admit).collect();
        drop(pool);
        for ((transaction, _), outcome) in transactions.iter().zip(&admitted) {
            if outcome.is_ok() {
                self.announce(transaction.clone());
            }
        }
        Some(admitted)
    }

    fn announce(&self, transaction: Arc<SignedTransaction>) {
        self.ready.notify_waiters();
        // No subscriber is not an error.
        let _ = self.arrivals.send(transaction);
    }

    /// How many times [`Mempool::finalized`] was called.
    pub fn finalized_blocks(&self) -> u64 {
        self.lock().finalized_blocks()
    }

    /// Every transaction that enters from now on.
    pub fn arrivals(&self) -> broadcast::Receiver<Arc<SignedTransaction>> {
        self.arrivals.subscribe()
    }

    /// Resolves when a transaction enters after this call.
    pub fn arrival(&self) -> Notified<'_> {
        self.ready.notified()
    }

    /// A waiting transaction by its hash.
    pub fn get(&self, hash: &B256) -> Option<Arc<SignedTransaction>> {
        self.lock().get(hash)
    }

    /// Waiting transactions among `hashes`, in their order.
    pub fn get_many(&self, hashes: &[B256]) -> Vec<Option<Arc<SignedTransaction>>> {
        let pool = self.lock();
        hashes.iter().map(|hash| pool.get(hash)).collect()
    }

    /// Next nonce of `sender` after everything ready in the pool, or `None` if nothing of it waits.
    pub fn next_nonce(&self, sender: &Address) -> Option<u64> {
        self.lock().next_nonce(sender)
    }

    /// Number of waiting transactions.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether something waits that a block on `parent` can take at `base_fee`, and that no block since the finalized
    /// one holds. What [`Mempool::unhurry`] named does not count.
    pub fn has_ready(&self, parent: &Digest, base_fee: u128) -> bool {
        self.lock().has_ready(parent, base_fee)
    }

    /// Remembers transactions that a block could not take, for want of funds say. They stay candidates for every
    /// block, and are no reason to make one: otherwise each would keep the network at its fastest pace until it expires.
    pub fn unhurry(&self, hashes: &[B256]) {
        let mut pool = self.lock();
        hashes.iter().for_each(|hash| pool.unhurry(hash));
    }

    /// Transactions for a block on `parent`, best first.
    pub fn select(&self, parent: &Digest, base_fee: u128) -> Vec<Arc<SignedTransaction>> {
        self.lock().select(parent, base_fee)
    }

    /// Drops a transaction that can never be included.
    pub fn remove(&self, hash: &B256) {
        self.lock().remove(hash);
    }

    /// Remembers what an executed, not yet finalized block holds, so that a block on top of it does not
    /// take the same transactions.
    pub fn executed(&self, block: Digest, parent: Digest, height: u64, next_nonces: HashMap<Address, u64>) {
        self.lock().executed(block, parent, height, next_nonces);
    }

    /// Removes what a finalized block used up, and what waited too long. The block's state must be readable by now.
    pub fn finalized(&self, height: u64, next_nonces: &HashMap<Address, u64>, now_ms: u64) {
        self.lock().finalized(height, next_nonces, now_ms);
    }

    /// The senders of raw transactions, from the pool where it has them and by recovery where not.
    pub fn resolve(
        &self,
        raw: &[Bytes],
        chain_id: u64,
    ) -> Result<Vec<Arc<SignedTransaction>>, crate::transaction::TransactionError> {
        let hashes: Vec<B256> = raw.iter().map(alloy_primitives::keccak256).collect();
        let mut known = self.get_many(&hashes);
        let missing: Vec<usize> = (0..raw.len()).filter(|i| known[*i].is_none()).collect();
        let decoded =
            crate::transaction::decode_many(missing.iter().map(|i| raw[*i].clone()).collect(), chain_id);
        for (index, transaction) in missing.into_iter().zip(decoded) {
            known[index] = Some(Arc::new(transaction?));
        }
        Ok(known.into_iter().flatten().collect())
    }
}

#[cfg(test)]
mod tests;
