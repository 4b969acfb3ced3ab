//! The way into the mempool: decode, recover, look the sender up, admit, pass on to peers.

use crate::{
    block::MAX_TRANSACTION_BYTES,
    mempool::{Account, Mempool, Rejection},
    network_rules::Rules,
    state::{StateFault, StateReader},
    transaction::{SignedTransaction, TransactionError, decode, decode_many},
};
use alloy_primitives::{B256, U256};
use bytes::Bytes;
use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};
use tokio::sync::mpsc;

/// Why a raw transaction was not taken.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SubmitError {
    /// No node of this chain would take it.
    #[error(transparent)]
    Transaction(#[from] TransactionError),
    /// It does not fit the account or the pool now.
    #[error(transparent)]
    Rejection(#[from] Rejection),
    /// This node's fault.
    #[error(transparent)]
    State(#[from] StateFault),
    /// The node is shutting down.
    #[error("the node is shutting down")]
    ShuttingDown,
}

/// Transactions waiting to be sent to peers; when it is full they go out with this node's own blocks only.
pub const OUTBOX: usize = 16_384;

/// Admits transactions from clients and peers.
pub struct Intake {
    rules: Arc<Rules>,
    mempool: Arc<Mempool>,
    state: Arc<dyn StateReader>,
    outbox: mpsc::Sender<Bytes>,
}

impl Intake {
    /// An intake that gives new transactions to `outbox` for gossip.
    pub fn new(
        rules: Arc<Rules>,
        mempool: Arc<Mempool>,
        state: Arc<dyn StateReader>,
        outbox: mpsc::Sender<Bytes>,
    ) -> Self {
        Self { rules, mempool, state, outbox }
    }

    /// Takes one transaction from a client.
    pub async fn submit(&self, raw: Bytes) -> Result<B256, SubmitError> {
        let transaction = Arc::new(decode(raw, self.rules.genesis.chain_id)?);
        let hash = transaction.hash();
        let admitted = self.admit(vec![transaction.clone()]).await?;
        admitted.into_iter().collect::<Result<(), Rejection>>()?;
        // A full outbox is not the client's concern: this node will propose the transaction itself.
        let _ = self.outbox.try_send(transaction.raw.clone());
        Ok(hash)
    }

    /// Takes transactions from a peer. What does not fit is dropped: the peer may simply be behind.
    pub async fn receive(&self, raw: Vec<Bytes>) -> Result<(), StateFault> {
        let raw = raw.into_iter().filter(|raw| raw.len() <= MAX_TRANSACTION_BYTES);
        let unknown: Vec<Bytes> =
            raw.filter(|raw| self.mempool.get(&alloy_primitives::keccak256(raw)).is_none()).collect();
        let decoded = decode_many(unknown, self.rules.genesis.chain_id);
        self.admit(decoded.into_iter().flatten().map(Arc::new).collect()).await?;
        Ok(())
    }

    async fn admit(
        &self,
        transactions: Vec<Arc<SignedTransaction>>,
    ) -> Result<Vec<Result<(), Rejection>>, StateFault> {
        let slots: Vec<B256> = transactions
            .iter()
            .map(|transaction| ledger::account::account_slot(transaction.sender()))
            .collect();
        loop {
            let as_of = self.mempool.finalized_blocks();
            let (_, words) = self.state.words(&slots).await?;
            let now_ms =
                SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
            let accounts = words.into_iter().map(|word| {
                let account = ledger::account::Account::from_word(word);
                Account { nonce: account.nonce, balance: U256::from(account.balance.0) }
            });
            let known: Vec<_> = transactions.iter().cloned().zip(accounts).collect();
            // Blocks are tens of milliseconds apart, a read takes far less than one.
            if let Some(admitted) = self.mempool.insert_all(&known, now_ms, as_of) {
                return Ok(admitted);
            }
        }
    }
}
