//! Content hashes: BLAKE3 in `derive_key` mode, one context string per purpose.
//!
//! BLAKE3 specification, section 2.3: with `derive_key` the context string selects an independent hash
//! function, so equal bytes under two domains have unrelated digests. Ethereum objects (transactions,
//! EIP-712 messages, addresses) keep keccak-256 and are never hashed here.

use alloy_primitives::B256;
pub use blake3::Hasher;
use std::sync::OnceLock;

macro_rules! domains {
    ($($(#[$doc:meta])* $name:ident = $context:literal,)*) => {
        /// What a digest is for. The context strings are part of the protocol and never change meaning.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Domain { $($(#[$doc])* $name,)* }

        impl Domain {
            /// Every domain, in declaration order.
            pub const ALL: &'static [Domain] = &[$(Domain::$name,)*];

            /// The BLAKE3 `derive_key` context of this domain.
            pub const fn context(self) -> &'static str {
                match self { $(Domain::$name => $context,)* }
            }
        }
    };
}

domains! {
    /// Inner node of a [`crate::merkle`] tree.
    MerkleNode = "openledger merkle node v1",
    /// Root of a [`crate::merkle`] tree: leaf count and top node.
    MerkleRoot = "openledger merkle root v1",
    /// Leaf of a [`crate::merkle_sum`] tree.
    SumLeaf = "openledger merkle-sum leaf v1",
    /// Inner node of a [`crate::merkle_sum`] tree.
    SumNode = "openledger merkle-sum node v1",
    /// Root of a [`crate::merkle_sum`] tree.
    SumRoot = "openledger merkle-sum root v1",
    /// Inner node of a [`crate::mmr`] peak.
    MmrNode = "openledger mmr node v1",
    /// Root of a [`crate::mmr`]: element count and bagged peaks.
    MmrRoot = "openledger mmr root v1",
    /// A transaction inside a block's transactions root.
    Transaction = "openledger block transaction v1",
    /// A receipt inside a block's receipts root.
    Receipt = "openledger block receipt v1",
    /// Slot of a typed table in the ledger's state.
    Slot = "openledger state slot v1",
    /// A raw item of a dataset.
    Item = "openledger item v1",
    /// Salted leaf of an item in a Datanet's tree.
    ItemLeaf = "openledger item leaf v1",
    /// Commitment of a contribution before it is revealed (RULEBOOK R4).
    Contribution = "openledger contribution commitment v1",
    /// An encrypted chunk, by content.
    Chunk = "openledger chunk v1",
    /// A 64x64 tile of a tensor.
    Tile = "openledger tile v1",
    /// A tensor: name, dtype, shape and tile root.
    Tensor = "openledger tensor v1",
    /// A checkpoint: the tensors of weights and optimiser state.
    Checkpoint = "openledger checkpoint v1",
    /// One link of a training run's step chain.
    Step = "openledger step v1",
    /// A training run's header and manifest.
    Run = "openledger run v1",
    /// A model manifest.
    Model = "openledger model v1",
    /// A shard of an attribution cache.
    FeatureShard = "openledger feature shard v1",
    /// An attribution cache's header.
    FeatureCache = "openledger feature cache v1",
    /// The attribution of one answer.
    Attribution = "openledger attribution v1",
    /// Salted commitment to a prompt.
    Prompt = "openledger prompt v1",
    /// Salted commitment to an output.
    Output = "openledger output v1",
    /// A receipt of an answer, as an operator signs it.
    AnswerReceipt = "openledger answer receipt v1",
    /// One link of a log that must be provably complete.
    LogLink = "openledger log link v1",
    /// A frozen training set.
    TrainingSet = "openledger training set v1",
    /// The genesis document of a network.
    Genesis = "openledger genesis v1",
}

/// Key of a domain, computed once per process.
fn context_key(domain: Domain) -> &'static [u8; 32] {
    static KEYS: [OnceLock<[u8; 32]>; Domain::ALL.len()] = [const { OnceLock::new() }; Domain::ALL.len()];
    KEYS[domain as usize].get_or_init(|| blake3::hazmat::hash_derive_key_context(domain.context()))
}

/// Incremental hasher of `domain`.
pub fn hasher(domain: Domain) -> Hasher {
    use blake3::hazmat::HasherExt as _;
    Hasher::new_from_context_key(context_key(domain))
}

/// Digest of `bytes` under `domain`.
pub fn hash(domain: Domain, bytes: &[u8]) -> B256 {
    B256::new(*hasher(domain).update(bytes).finalize().as_bytes())
}

/// Digest of the concatenation of `parts` under `domain`. Callers whose parts vary in length encode
/// the lengths (see [`crate::encoding`]).
pub fn hash_parts(domain: Domain, parts: &[&[u8]]) -> B256 {
    let mut hasher = hasher(domain);
    for part in parts {
        hasher.update(part);
    }
    B256::new(*hasher.finalize().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_domain_hashes_as_blake3_derive_key() {
        for &domain in Domain::ALL {
            assert_eq!(hash(domain, b"abc").0, blake3::derive_key(domain.context(), b"abc"));
        }
    }

    #[test]
    fn no_two_domains_share_a_context() {
        let contexts: BTreeSet<_> = Domain::ALL.iter().map(|d| d.context()).collect();
        assert_eq!(contexts.len(), Domain::ALL.len());
    }
}
