//! Verbatim spans: which documents an answer repeats word for word.
//!
//! Overlap is corroboration, **never influence**: a document can shape an answer without a word of it coming
//! back, and a phrase can come back that any of a thousand documents would have taught. Nothing here decides pay.
//!
//! # Matches
//! A *word byte* is an ASCII letter or digit, `_`, or any byte of a non-ASCII character; all other bytes separate.
//! A match starts at a word start in the answer and at a word start in a document, is equal byte for byte,
//! lies within one document, and ends where a word of the answer ends. For each word start of the answer the
//! longest match is found; one that lies inside an earlier one is dropped.
//!
//! # Index
//! The suffix array of the word starts only, about one 4-byte position in six bytes of English, so smaller than the
//! corpus. Words with the separators that follow them are numbered in the order of their bytes (word bytes
//! before separators, which makes the order of the numbers the order of the bytes), and the array is built over those numbers
//! by [`suffix_array`] in linear time. The text itself stands beside the index.
//!
//! A query costs one binary search a word, each step a comparison of bytes.

mod index;
mod search;
pub mod suffix_array;
#[cfg(test)]
mod tests;

pub use index::{Corpus, Document, Index, SpansError};
pub use search::{Match, Options, Report, Source, Tally};

/// Largest corpus an index spans: positions are 32 bits.
pub const MAX_CORPUS_BYTES: usize = u32::MAX as usize - 1;
/// Longest answer that is matched.
pub const MAX_ANSWER_BYTES: usize = 1 << 20;
/// Most occurrences of one match that are looked at to name its documents.
pub const MAX_OCCURRENCES: usize = 1 << 12;

/// Whether a byte belongs to a word.
pub(crate) fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || (byte >= 0x80 && byte != index::BOUNDARY)
}

/// Position of a byte in the order of the index: word bytes before separators.
pub(crate) fn rank(byte: u8) -> u16 {
    u16::from(byte) + if is_word(byte) { 0 } else { 256 }
}

/// Positions at which a word starts.
pub(crate) fn word_starts(bytes: &[u8]) -> impl Iterator<Item = usize> + '_ {
    (0..bytes.len()).filter(|i| is_word(bytes[*i]) && (*i == 0 || !is_word(bytes[i - 1])))
}
