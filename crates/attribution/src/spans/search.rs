//! Longest matches of an answer.

use super::{
    MAX_ANSWER_BYTES, MAX_OCCURRENCES, index::BOUNDARY, index::Corpus, index::Index, index::SpansError,
    is_word, rank, word_starts,
};
use serde::{Deserialize, Serialize};
use std::{cmp::Ordering, ops::Range};

/// What is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options {
    /// Shorter matches are dropped.
    pub min_words: usize,
    /// Less surprising matches are dropped, in bits (see [`Match::rarity_bits`]).
    pub min_rarity_bits: u32,
    /// Documents named for a match, earliest committed first.
    pub max_sources: usize,
}

impl Default for Options {
    fn default() -> Self {
        Options { min_words: 4, min_rarity_bits: 24, max_sources: 8 }
    }
}

/// One stretch of the answer that stands in a document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Match {
    /// Bytes of the answer.
    pub bytes: Range<usize>,
    /// Words in it.
    pub words: usize,
    /// How often it occurs in the corpus, at word starts.
    pub occurrences: usize,
    /// Sum over its words of log2(words of the corpus / occurrences of the word), each rounded down: high for rare
    /// words, near nothing for boilerplate's common ones.
    pub rarity_bits: u32,
    /// Documents that hold it, earliest committed first.
    pub sources: Vec<Source>,
    /// Whether there are more documents than are named.
    pub more_sources: bool,
}

/// Where a match stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Source {
    /// Index of the document, in commit order.
    pub document: u32,
    /// Byte in the document of its first occurrence.
    pub offset: u32,
    /// Its contributor.
    pub owner: u32,
}

/// What one contributor's documents share with the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Index of the contributor.
    pub owner: u32,
    /// Matches of which the contributor committed the earliest document.
    pub first_of: usize,
    /// Bytes of those matches.
    pub bytes: usize,
    /// Their rarity.
    pub rarity_bits: u32,
}

/// The verbatim overlap of an answer with a corpus. Corroboration, not influence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Matches from left to right.
    pub matches: Vec<Match>,
    /// Bytes of the answer that lie in some match.
    pub covered_bytes: usize,
    /// Bytes of the answer.
    pub answer_bytes: usize,
    /// Contributors by rarity, highest first.
    pub contributors: Vec<Tally>,
}

impl Index {
    /// Finds the matches of `answer` in `corpus`, of which this is the index.
    pub fn report(&self, corpus: &Corpus, answer: &str, options: &Options) -> Result<Report, SpansError> {
        if answer.len() > MAX_ANSWER_BYTES {
            return Err(SpansError::AnswerTooLong(answer.len()));
        }
        let bytes = answer.as_bytes();
        let mut matches = Vec::new();
        let mut covered_to = 0;
        let mut covered_bytes = 0;
        for start in word_starts(bytes) {
            let end = start + whole_words(&bytes[start..], self.longest(corpus, &bytes[start..]));
            if end <= covered_to.max(start) {
                continue;
            }
            let found = self.describe(corpus, bytes, start..end, options);
            // A longer match hides those inside it whether or not it is reported.
            let before = covered_to.max(start);
            covered_to = end;
            if found.words >= options.min_words && found.rarity_bits >= options.min_rarity_bits {
                covered_bytes += end - before;
                matches.push(found);
            }
        }
        let contributors = tally(&matches);
        Ok(Report { matches, covered_bytes, answer_bytes: bytes.len(), contributors })
    }

    /// Bytes that the best suffix has in common with the start of `wanted`.
    fn longest(&self, corpus: &Corpus, wanted: &[u8]) -> usize {
        let text = corpus.text();
        let at = self.order.partition_point(|p| order_of(&text[*p as usize..], wanted) == Ordering::Less);
        let common = |i: usize| {
            let suffix = &text[self.order[i] as usize..];
            suffix.iter().zip(wanted).take_while(|(a, b)| a == b).count()
        };
        let below = if at > 0 { common(at - 1) } else { 0 };
        let above = if at < self.order.len() { common(at) } else { 0 };
        below.max(above)
    }

    /// Entries whose text starts with `prefix`.
    fn range(&self, corpus: &Corpus, prefix: &[u8]) -> Range<usize> {
        let text = corpus.text();
        let clipped = |p: &u32| {
            let suffix = &text[*p as usize..];
            order_of(&suffix[..suffix.len().min(prefix.len())], prefix)
        };
        let start = self.order.partition_point(|p| clipped(p) == Ordering::Less);
        let length = self.order[start..].partition_point(|p| clipped(p) == Ordering::Equal);
        start..start + length
    }

    fn describe(&self, corpus: &Corpus, answer: &[u8], bytes: Range<usize>, options: &Options) -> Match {
        let matched = &answer[bytes.clone()];
        let range = self.range(corpus, matched);
        let occurrences = range.len();
        let mut places: Vec<u32> = self.order[range].iter().take(MAX_OCCURRENCES).copied().collect();
        places.sort_unstable();
        let mut sources: Vec<Source> = Vec::new();
        let mut more_sources = occurrences > MAX_OCCURRENCES;
        for place in places {
            let (document, offset) = corpus.locate(place);
            if sources.last().is_some_and(|last| last.document == document) {
                continue;
            }
            if sources.len() == options.max_sources {
                more_sources = true;
                break;
            }
            sources.push(Source { document, offset, owner: corpus.documents()[document as usize].owner });
        }
        let mut words = 0;
        let mut rarity_bits = 0;
        for start in word_starts(matched) {
            let length = matched[start..].iter().take_while(|byte| is_word(**byte)).count();
            let count = self.range(corpus, &matched[start..start + length]).len().max(1);
            rarity_bits += self.words().max(1).ilog2().saturating_sub(count.ilog2());
            words += 1;
        }
        Match { bytes, words, occurrences, rarity_bits, sources, more_sources }
    }
}

/// Order of the index between a suffix of the corpus and what is looked for; a prefix comes first.
fn order_of(suffix: &[u8], wanted: &[u8]) -> Ordering {
    let length = suffix.len().min(wanted.len());
    match suffix[..length].iter().zip(wanted).position(|(a, b)| a != b) {
        Some(at) => rank(suffix[at]).cmp(&rank(wanted[at])),
        None => suffix.len().cmp(&wanted.len()),
    }
}

/// Cuts a common length back to where a word of `answer` ends.
fn whole_words(answer: &[u8], common: usize) -> usize {
    debug_assert!(!answer[..common].contains(&BOUNDARY));
    let mut end = common;
    if end < answer.len() && is_word(answer[end]) {
        while end > 0 && is_word(answer[end - 1]) {
            end -= 1;
        }
    }
    while end > 0 && !is_word(answer[end - 1]) {
        end -= 1;
    }
    end
}

fn tally(matches: &[Match]) -> Vec<Tally> {
    let mut by_owner = std::collections::BTreeMap::<u32, Tally>::new();
    for found in matches {
        if let Some(first) = found.sources.first() {
            let owner = first.owner;
            let entry =
                by_owner.entry(owner).or_insert(Tally { owner, first_of: 0, bytes: 0, rarity_bits: 0 });
            entry.first_of += 1;
            entry.bytes += found.bytes.len();
            entry.rarity_bits += found.rarity_bits;
        }
    }
    let mut tallies: Vec<Tally> = by_owner.into_values().collect();
    tallies.sort_by_key(|t| (std::cmp::Reverse(t.rarity_bits), t.owner));
    tallies
}
