//! Text that teaches nothing: unreadable, encoded, or repeated.
//!
//! Each rule is a ratio with its threshold as a named constant; they follow the filters of the MassiveText and C4 corpora
//! (Rae et al. 2021, table A1; Raffel et al. 2020) where those apply to code and documentation too.

use super::Kind;
use crate::similar::{Mixed, words::mix};
use std::collections::HashSet;
use std::hash::BuildHasherDefault;

/// More than this share of control or replacement characters is unreadable, in percent.
const MAX_UNREADABLE_PERCENT: usize = 5;
/// A run of this many bytes without a blank counts as encoded.
const ENCODED_RUN_BYTES: usize = 200;
/// More than this share of the bytes in such runs is encoded data, in percent.
const MAX_ENCODED_PERCENT: usize = 60;
/// Texts with fewer words than this are not judged for repetition.
const MIN_WORDS: usize = 40;
/// Fewer distinct words than this share is repetitive, in percent.
const MIN_DISTINCT_PERCENT: usize = 4;
/// More than this share of bytes in lines that occurred before is repetitive, in percent.
const MAX_REPEATED_LINES_PERCENT: usize = 70;

/// Words that are counted for repetition. Long texts have fewer distinct words by nature (Heaps' law).
const COUNTED_WORDS: usize = 1000;

/// The first rule that a text breaks.
pub fn judge(text: &str) -> Option<Kind> {
    if !text.chars().any(char::is_alphanumeric) {
        return Some(Kind::Empty);
    }
    let (unreadable, characters) = unreadable(text);
    if unreadable * 100 > characters * MAX_UNREADABLE_PERCENT {
        return Some(Kind::Unreadable);
    }
    if encoded(text.as_bytes()) * 100 > text.len() * MAX_ENCODED_PERCENT {
        return Some(Kind::EncodedData);
    }
    repetitive(text).then_some(Kind::Repetitive)
}

/// Control and replacement characters, and all characters.
fn unreadable(text: &str) -> (usize, usize) {
    if text.is_ascii() {
        let control = |b: &u8| (*b < b' ' || *b == 0x7f) & !matches!(*b, b'\n' | b'\t' | b'\r' | 0xc);
        // Sums of a byte's width are added up sixteen and more at a time.
        let blocks = text.as_bytes().chunks(255);
        return (
            blocks.map(|b| usize::from(b.iter().map(|b| u8::from(control(b))).sum::<u8>())).sum(),
            text.len(),
        );
    }
    let control = |c: char| c == '\u{fffd}' || (c.is_control() && !matches!(c, '\n' | '\t' | '\r' | '\u{c}'));
    text.chars().fold((0, 0), |(bad, all), c| (bad + usize::from(control(c)), all + 1))
}

/// Bytes in ASCII runs of at least [`ENCODED_RUN_BYTES`] without a blank. Such a run covers the whole of every window of that length
/// that begins in it, so a window is looked at from its end and left at its first blank.
fn encoded(bytes: &[u8]) -> usize {
    let (mut start, mut total) = (0, 0);
    while let Some(window) = bytes.get(start..start + ENCODED_RUN_BYTES) {
        if let Some(blank) = window.iter().rposition(u8::is_ascii_whitespace) {
            start += blank + 1;
            continue;
        }
        let run = bytes[start..].iter().position(u8::is_ascii_whitespace).unwrap_or(bytes.len() - start);
        total += if bytes[start..start + run].is_ascii() { run } else { 0 };
        start += run + 1;
    }
    total
}

fn repetitive(text: &str) -> bool {
    let (mut distinct, mut total) = (Hashes::default(), 0);
    for word in text.split_ascii_whitespace().take(COUNTED_WORDS) {
        total += 1;
        distinct.insert(hash(word.as_bytes()));
    }
    if total < MIN_WORDS {
        return false;
    }
    if distinct.len() * 100 < total * MIN_DISTINCT_PERCENT {
        return true;
    }
    let mut lines = Hashes::default();
    let (mut repeated, mut all, mut start) = (0usize, 0usize, 0);
    let bytes = text.as_bytes();
    for end in memchr::memchr_iter(b'\n', bytes).chain([bytes.len()]) {
        let line = bytes[start..end].trim_ascii();
        start = end + 1;
        if line.len() > 3 {
            all += line.len();
            repeated += if lines.insert(hash(line)) { 0 } else { line.len() };
        }
    }
    repeated * 100 > all * MAX_REPEATED_LINES_PERCENT
}

type Hashes = HashSet<u64, BuildHasherDefault<Mixed>>;

/// A hash that tells words and lines of one text apart. Who finds two of one hash only makes his own text look repeated.
fn hash(text: &[u8]) -> u64 {
    let mut lanes = text.chunks_exact(8);
    let mut h = text.len() as u64;
    for lane in &mut lanes {
        h = mix(h ^ u64::from_le_bytes(lane.try_into().expect("eight bytes")));
    }
    let mut rest = [0; 8];
    rest[..lanes.remainder().len()].copy_from_slice(lanes.remainder());
    mix(h ^ u64::from_le_bytes(rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_kind_of_junk_is_named() {
        assert_eq!(judge("--- *** !!!"), Some(Kind::Empty));
        assert_eq!(judge("a\u{1}\u{2}\u{3}b"), Some(Kind::Unreadable));
        assert_eq!(judge(&"QUJDREVGR0g".repeat(40)), Some(Kind::EncodedData));
        assert_eq!(judge(&"buy now ".repeat(200)), Some(Kind::Repetitive));
        assert_eq!(
            judge(&"one long line of advertising that is repeated\n".repeat(30)),
            Some(Kind::Repetitive)
        );
    }

    proptest! {
        #[test]
        fn runs_without_blanks_are_summed(text in "([a-zA-Z0-9]{150,260}[ \\n]?|[a-z]{1,9} |é{1,120} ?){0,6}") {
            let runs = text.split_ascii_whitespace().filter(|run| run.len() >= ENCODED_RUN_BYTES && run.is_ascii());
            prop_assert_eq!(encoded(text.as_bytes()), runs.map(str::len).sum::<usize>());
        }

        #[test]
        fn both_ways_of_counting_unreadable_agree(text in "[\\x00-\\x7f]{0,80}") {
            // One character outside ASCII takes the other way.
            let (bad, all) = unreadable(&text);
            prop_assert_eq!(unreadable(&(text + "é")), (bad, all + 1));
        }
    }

    #[test]
    fn short_and_ordinary_texts_pass() {
        assert_eq!(judge("yes yes yes"), None);
        assert_eq!(judge("Tokenised text in several lines.\nEach says something else.\nNone repeats."), None);
    }
}
