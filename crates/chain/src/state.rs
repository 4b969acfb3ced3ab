//! The state database: 32-byte words under 32-byte slots, authenticated by QMDB.
//!
//! A word of zero is an absent slot. [`StateReader`] is what JSON-RPC sees of it: finalized words and
//! proofs, without the runtime's type.

use crate::block::Digest;
use alloy_primitives::B256;
use commonware_cryptography::Sha256;
use commonware_glue::stateful::db::Shared;
use commonware_parallel::Sequential;
use commonware_storage::{
    mmb,
    qmdb::{
        any::value::FixedEncoding,
        current::ordered::{fixed, proof::constant},
    },
    translator::EightCap,
};
use commonware_utils::sequence::FixedBytes;
use futures::future::BoxFuture;

/// What a node needs of its runtime: the real one, or the deterministic one of simulations.
pub trait Runtime: commonware_storage::Context + commonware_runtime::Spawner {}
impl<E: commonware_storage::Context + commonware_runtime::Spawner> Runtime for E {}

/// Slot of a word: already a hash.
pub type Slot = FixedBytes<32>;
/// A word of state.
pub type Word = FixedBytes<32>;
/// Bytes of activity bitmap per proof chunk.
pub const CHUNK_BYTES: usize = 64;

/// The database of one node.
pub type Database<E> = fixed::Db<mmb::Family, E, Slot, Word, Sha256, EightCap, CHUNK_BYTES, Sequential>;
/// The database as consensus holds it.
pub type Databases<E> = Shared<Database<E>>;
/// Proof that a slot holds a word.
pub type Inclusion = constant::KeyValueProof<mmb::Family, Slot, Digest, CHUNK_BYTES>;
/// Proof that a slot is absent.
pub type Exclusion = constant::ExclusionProof<mmb::Family, Slot, FixedEncoding<Word>, Digest, CHUNK_BYTES>;

/// A slot or word of the ledger as the database's type.
pub fn to_fixed(word: &B256) -> FixedBytes<32> {
    FixedBytes::new(word.0)
}

/// A word of the database as the ledger's type; absent is zero.
pub fn from_word(word: Option<Word>) -> B256 {
    word.map_or(B256::ZERO, |word| B256::from_slice(&word))
}

/// A word with the proof of it against [`ProvenWord::state_root`].
#[derive(Debug)]
pub struct ProvenWord {
    /// Canonical root that the proof verifies against: that of the last finalized block applied.
    pub state_root: Digest,
    /// The word, or zero when absent.
    pub word: B256,
    /// Inclusion or exclusion.
    pub proof: WordProof,
}

/// Either proof of a slot's content.
#[derive(Debug)]
pub enum WordProof {
    /// The slot holds the word.
    Inclusion(Inclusion),
    /// The slot is absent: its word is zero.
    Exclusion(Exclusion),
}

/// Why a read of finalized state failed. Always this node's fault, never the caller's.
#[derive(Debug, Clone, thiserror::Error)]
#[error("state database failed: {0}; restart the node, and restore its data directory if this repeats")]
pub struct StateFault(pub String);

/// Finalized state without the runtime's type.
pub trait StateReader: Send + Sync + 'static {
    /// Words of `slots` in order, zero where absent, and the state root they are of.
    fn words<'a>(&'a self, slots: &'a [B256]) -> BoxFuture<'a, Result<(Digest, Vec<B256>), StateFault>>;
    /// A word and its proof.
    fn prove(&self, slot: B256) -> BoxFuture<'_, Result<ProvenWord, StateFault>>;
}

impl<E: commonware_storage::Context> StateReader for Databases<E> {
    fn words<'a>(&'a self, slots: &'a [B256]) -> BoxFuture<'a, Result<(Digest, Vec<B256>), StateFault>> {
        Box::pin(async move {
            let keys: Vec<Slot> = slots.iter().map(to_fixed).collect();
            let keys: Vec<&Slot> = keys.iter().collect();
            let database = self.read().await;
            let words = database.get_many(&keys).await.map_err(fault)?;
            Ok((database.root(), words.into_iter().map(from_word).collect()))
        })
    }

    fn prove(&self, slot: B256) -> BoxFuture<'_, Result<ProvenWord, StateFault>> {
        Box::pin(async move {
            let key = to_fixed(&slot);
            let database = self.read().await;
            let state_root = database.root();
            let word = database.get(&key).await.map_err(fault)?;
            let proof = match word {
                Some(_) => WordProof::Inclusion(database.key_value_proof(key).await.map_err(fault)?),
                None => WordProof::Exclusion(database.exclusion_proof(&key).await.map_err(fault)?),
            };
            Ok(ProvenWord { state_root, word: from_word(word), proof })
        })
    }
}

fn fault(error: impl std::fmt::Display) -> StateFault {
    StateFault(error.to_string())
}

/// Runs a read-only step of the state machine on finalized state, fetching what it misses. Starts over when a
/// block is applied in between, so that the answer is of one block.
pub async fn view<T>(
    reader: &dyn StateReader,
    mut step: impl FnMut(&mut ledger::State) -> Result<T, ledger::Misses> + Send,
) -> Result<T, StateFault>
where
    T: Send,
{
    let (mut state, mut of) = (ledger::State::new(), None);
    loop {
        let ledger::Misses(slots) = match step(&mut state) {
            Ok(value) => return Ok(value),
            Err(misses) => misses,
        };
        let (root, words) = reader.words(&slots).await?;
        if of.replace(root).is_some_and(|before| before != root) {
            state = ledger::State::new();
            continue;
        }
        for (slot, word) in slots.into_iter().zip(words) {
            state.provide(slot, word);
        }
    }
}
