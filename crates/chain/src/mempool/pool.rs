//! The pool's state, behind the lock of [`super::Mempool`].

use super::{Account, Limits, Rejection};
use crate::{
    block::{Digest, MAX_BLOCK_BYTES, MAX_BLOCK_TRANSACTIONS},
    transaction::SignedTransaction,
};
use alloy_primitives::{Address, B256, U256};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap},
    sync::Arc,
};

struct Entry {
    transaction: Arc<SignedTransaction>,
    /// Order of arrival, which decides between equal tips.
    sequence: u64,
    arrived_ms: u64,
    /// Whether it is a reason to make a block before the heartbeat.
    hurries: bool,
}

impl Entry {
    fn rank(&self, sender: Address, nonce: u64) -> Rank {
        (self.transaction.call.max_priority_fee, Reverse(self.sequence), sender, nonce)
    }
}

/// Orders the pool for eviction: lowest tip first, the latest arrival of equals first.
type Rank = (u128, Reverse<u64>, Address, u64);

#[derive(Default)]
struct Queue {
    /// Next nonce as of the last finalized block.
    nonce: u64,
    entries: BTreeMap<u64, Entry>,
}

struct Executed {
    parent: Digest,
    height: u64,
    next_nonces: HashMap<Address, u64>,
}

pub(super) struct Pool {
    limits: Limits,
    block_gas_limit: u64,
    queues: HashMap<Address, Queue>,
    by_hash: HashMap<B256, (Address, u64)>,
    ranks: BTreeSet<Rank>,
    bytes: usize,
    sequence: u64,
    executed: HashMap<Digest, Executed>,
    finalized_blocks: u64,
    next_sweep_ms: u64,
}

/// Milliseconds between searches for expired transactions.
const SWEEP_INTERVAL_MS: u64 = 5_000;

impl Pool {
    pub(super) fn new(limits: Limits, block_gas_limit: u64) -> Self {
        Self {
            limits,
            block_gas_limit,
            queues: HashMap::new(),
            by_hash: HashMap::new(),
            ranks: BTreeSet::new(),
            bytes: 0,
            sequence: 0,
            executed: HashMap::new(),
            finalized_blocks: 0,
            next_sweep_ms: 0,
        }
    }

    pub(super) fn finalized_blocks(&self) -> u64 {
        self.finalized_blocks
    }

    pub(super) fn len(&self) -> usize {
        self.by_hash.len()
    }

    pub(super) fn get(&self, hash: &B256) -> Option<Arc<SignedTransaction>> {
        let (sender, nonce) = self.by_hash.get(hash)?;
        Some(self.queues.get(sender)?.entries.get(nonce)?.transaction.clone())
    }

    pub(super) fn insert(
        &mut self,
        transaction: Arc<SignedTransaction>,
        account: Account,
        now_ms: u64,
    ) -> Result<(), Rejection> {
        let (hash, sender, nonce) = (transaction.hash(), transaction.sender(), transaction.call.nonce);
        if self.by_hash.contains_key(&hash) {
            return Err(Rejection::Known);
        }
        // The caller may have read the account before the latest finalized block.
        let next = account.nonce.max(self.queues.get(&sender).map_or(0, |queue| queue.nonce));
        self.check(&transaction, next, account.balance)?;
        if let Some(old) = self.queues.get(&sender).and_then(|queue| queue.entries.get(&nonce)) {
            if !outbids(&transaction, &old.transaction) {
                return Err(Rejection::Underpriced);
            }
            let old = old.transaction.hash();
            self.remove(&old);
        }
        self.make_room(&transaction)?;
        self.sequence += 1;
        let entry = Entry { transaction, sequence: self.sequence, arrived_ms: now_ms, hurries: true };
        self.bytes += entry.transaction.raw.len();
        self.ranks.insert(entry.rank(sender, nonce));
        self.by_hash.insert(hash, (sender, nonce));
        let queue = self.queues.entry(sender).or_default();
        queue.nonce = next;
        queue.entries.insert(nonce, entry);
        Ok(())
    }

    fn check(&self, transaction: &SignedTransaction, next: u64, balance: U256) -> Result<(), Rejection> {
        let call = &transaction.call;
        if call.nonce < next {
            return Err(Rejection::NonceTooLow { next, found: call.nonce });
        }
        if call.nonce - next >= self.limits.per_account {
            return Err(Rejection::NonceTooHigh { next, found: call.nonce });
        }
        if call.gas_limit > self.block_gas_limit {
            return Err(Rejection::GasLimit { found: call.gas_limit, limit: self.block_gas_limit });
        }
        let fee = U256::from(call.gas_limit).saturating_mul(U256::from(call.max_fee));
        let needed = call.value.saturating_add(fee);
        if needed > balance {
            return Err(Rejection::InsufficientFunds { balance, needed });
        }
        Ok(())
    }

    /// Evicts until `incoming` fits; refuses it when what would go pays at least as much.
    fn make_room(&mut self, incoming: &SignedTransaction) -> Result<(), Rejection> {
        let size = incoming.raw.len();
        while self.by_hash.len() >= self.limits.transactions || self.bytes + size > self.limits.bytes {
            let Some((tip, _, sender, _)) = self.ranks.first().copied() else { return Err(Rejection::Full) };
            if tip >= incoming.call.max_priority_fee {
                return Err(Rejection::Full);
            }
            // Dropping the sender's last nonce leaves no gap.
            let last = self.queues.get(&sender).and_then(|queue| queue.entries.last_key_value());
            let Some(hash) = last.map(|(_, entry)| entry.transaction.hash()) else {
                return Err(Rejection::Full);
            };
            self.remove(&hash);
        }
        Ok(())
    }

    pub(super) fn remove(&mut self, hash: &B256) {
        let Some((sender, nonce)) = self.by_hash.remove(hash) else { return };
        let Some(queue) = self.queues.get_mut(&sender) else { return };
        if let Some(entry) = queue.entries.remove(&nonce) {
            self.bytes -= entry.transaction.raw.len();
            self.ranks.remove(&entry.rank(sender, nonce));
        }
        if queue.entries.is_empty() {
            self.queues.remove(&sender);
        }
    }

    pub(super) fn next_nonce(&self, sender: &Address) -> Option<u64> {
        let queue = self.queues.get(sender)?;
        let mut next = queue.nonce;
        while queue.entries.contains_key(&next) {
            next += 1;
        }
        Some(next)
    }

    /// First nonce of `sender` that no block up to `parent` holds.
    fn start(&self, sender: &Address, queue: &Queue, parent: &Digest) -> u64 {
        let mut at = parent;
        while let Some(block) = self.executed.get(at) {
            if let Some(next) = block.next_nonces.get(sender) {
                return queue.nonce.max(*next);
            }
            at = &block.parent;
        }
        queue.nonce
    }

    pub(super) fn has_ready(&self, parent: &Digest, base_fee: u128) -> bool {
        self.queues.iter().any(|(sender, queue)| {
            let first = queue.entries.get(&self.start(sender, queue, parent));
            first.is_some_and(|entry| entry.hurries && entry.transaction.effective_tip(base_fee).is_some())
        })
    }

    pub(super) fn unhurry(&mut self, hash: &B256) {
        let Some((sender, nonce)) = self.by_hash.get(hash) else { return };
        let entry = self.queues.get_mut(sender).and_then(|queue| queue.entries.get_mut(nonce));
        if let Some(entry) = entry {
            entry.hurries = false;
        }
    }

    pub(super) fn select(&self, parent: &Digest, base_fee: u128) -> Vec<Arc<SignedTransaction>> {
        let mut heads = BinaryHeap::new();
        let head = |sender: Address, nonce: u64| {
            let entry = self.queues.get(&sender)?.entries.get(&nonce)?;
            let tip = entry.transaction.effective_tip(base_fee)?;
            Some((tip, Reverse(entry.sequence), sender, nonce))
        };
        for (sender, queue) in &self.queues {
            heads.extend(head(*sender, self.start(sender, queue, parent)));
        }
        let (mut chosen, mut bytes) = (Vec::new(), 0);
        while let Some((_, _, sender, nonce)) = heads.pop() {
            let Some(entry) = self.queues.get(&sender).and_then(|queue| queue.entries.get(&nonce)) else {
                continue;
            };
            bytes += entry.transaction.raw.len();
            if bytes > MAX_BLOCK_BYTES || chosen.len() == MAX_BLOCK_TRANSACTIONS {
                break;
            }
            chosen.push(entry.transaction.clone());
            heads.extend(head(sender, nonce + 1));
        }
        chosen
    }

    pub(super) fn executed(
        &mut self,
        block: Digest,
        parent: Digest,
        height: u64,
        next_nonces: HashMap<Address, u64>,
    ) {
        self.executed.insert(block, Executed { parent, height, next_nonces });
    }

    pub(super) fn finalized(&mut self, height: u64, next_nonces: &HashMap<Address, u64>, now_ms: u64) {
        self.finalized_blocks += 1;
        self.executed.retain(|_, block| block.height > height);
        for (sender, next) in next_nonces {
            let Some(queue) = self.queues.get_mut(sender) else { continue };
            queue.nonce = queue.nonce.max(*next);
            let used: Vec<B256> =
                queue.entries.range(..queue.nonce).map(|(_, entry)| entry.transaction.hash()).collect();
            for hash in used {
                self.remove(&hash);
            }
        }
        if now_ms >= self.next_sweep_ms {
            self.next_sweep_ms = now_ms + SWEEP_INTERVAL_MS;
            self.expire(now_ms);
        }
    }

    fn expire(&mut self, now_ms: u64) {
        let expiry_ms = self.limits.expiry_ms;
        let expired: Vec<B256> = self
            .queues
            .values()
            .flat_map(|queue| queue.entries.values())
            .filter(|entry| entry.arrived_ms + expiry_ms < now_ms)
            .map(|entry| entry.transaction.hash())
            .collect();
        for hash in expired {
            self.remove(&hash);
        }
    }
}

/// Whether both fees of `new` are at least 10 % above those of `old`.
fn outbids(new: &SignedTransaction, old: &SignedTransaction) -> bool {
    let raised = |fee: u128| fee.saturating_add(fee.div_ceil(10)).max(fee.saturating_add(1));
    new.call.max_fee >= raised(old.call.max_fee)
        && new.call.max_priority_fee >= raised(old.call.max_priority_fee).min(new.call.max_fee)
}
