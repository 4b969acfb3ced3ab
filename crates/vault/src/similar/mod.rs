//! Exact and near duplicates, and novelty (RULEBOOK R3).
//!
//! A text becomes a sequence of words ([`words`]), their 3-word shingles, and a MinHash signature of 64 bands of 3 rows
//! ([`signature`]). [`index::Index`] holds what was committed, in commit order. A new item whose signature shares a band
//! with an earlier one is compared with it by word edit distance ([`edit`]); at a similarity of 0.8 or more it is a
//! near-duplicate and its novelty is 0. Otherwise its novelty is the rarity-weighted fraction of its shingles that
//! nobody committed earlier. Everything is integers: the same items in the same order give the same result anywhere.
//!
//! Signatures are hashed under one key for the whole network, so that those of other Datanets can be compared
//! without their text ([`index::Index::observe`]); such a match is reported by its estimated similarity.
//!
//! Paraphrase has its own layer, [`paraphrase`]: the vault defines what it needs, a model supplies it.

mod bands;
mod counts;
pub mod edit;
pub mod index;
pub mod paraphrase;
pub mod signature;
pub mod words;

pub use index::{Assessment, Duplicate, DuplicateKind, Index};
pub use paraphrase::{EmbedError, Embedder, Paraphrase, paraphrases};
pub use signature::Signature;

/// One, in the parts per million that novelty and similarity are counted in.
pub const PPM: u32 = 1_000_000;

/// Takes an already mixed 64-bit key as its own hash.
#[derive(Default)]
pub(crate) struct Mixed(u64);

impl std::hash::Hasher for Mixed {
    fn write(&mut self, _: &[u8]) {
        unreachable!("only 64-bit keys are hashed")
    }
    fn write_u64(&mut self, key: u64) {
        self.0 = key;
    }
    fn finish(&self) -> u64 {
        self.0
    }
}
