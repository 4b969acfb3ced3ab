//! Text that teaches nothing: unreadable, encoded, or repeated.
//!
//! Each rule is a ratio with its threshold as a named constant; they follow the filters of the MassiveText and C4 corpora
//! (Rae et al. 2021, table A1; Raffel et al. 2020) where those apply to code and documentation too.

use super::Kind;
use std::collections::HashMap;

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

/// The first rule that a text breaks.
pub fn judge(text: &str) -> Option<Kind> {
    if !text.chars().any(char::is_alphanumeric) {
        return Some(Kind::Empty);
    }
    let (mut characters, mut unreadable) = (0usize, 0usize);
    for c in text.chars() {
        characters += 1;
        unreadable +=
            usize::from(c == '\u{fffd}' || (c.is_control() && !matches!(c, '\n' | '\t' | '\r' | '\u{c}')));
    }
    if unreadable * 100 > characters * MAX_UNREADABLE_PERCENT {
        return Some(Kind::Unreadable);
    }
    let encoded: usize = text
        .split_ascii_whitespace()
        .filter(|run| run.len() >= ENCODED_RUN_BYTES && run.is_ascii())
        .map(str::len)
        .sum();
    if encoded * 100 > text.len() * MAX_ENCODED_PERCENT {
        return Some(Kind::EncodedData);
    }
    repetitive(text).then_some(Kind::Repetitive)
}

fn repetitive(text: &str) -> bool {
    let mut words: HashMap<&str, u32> = HashMap::new();
    let mut total = 0usize;
    for word in text.split_ascii_whitespace() {
        total += 1;
        *words.entry(word).or_insert(0) += 1;
    }
    if total < MIN_WORDS {
        return false;
    }
    // Long texts have fewer distinct words by nature (Heaps' law), so only the first thousand count.
    let distinct = if total <= 1000 {
        words.len()
    } else {
        text.split_ascii_whitespace().take(1000).collect::<std::collections::HashSet<_>>().len()
    };
    if distinct * 100 < total.min(1000) * MIN_DISTINCT_PERCENT {
        return true;
    }
    let mut lines: HashMap<&str, u32> = HashMap::new();
    let (mut repeated, mut all) = (0usize, 0usize);
    for line in text.lines().map(str::trim).filter(|l| l.len() > 3) {
        all += line.len();
        let seen = lines.entry(line).or_insert(0);
        *seen += 1;
        repeated += if *seen > 1 { line.len() } else { 0 };
    }
    repeated * 100 > all * MAX_REPEATED_LINES_PERCENT
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn short_and_ordinary_texts_pass() {
        assert_eq!(judge("yes yes yes"), None);
        assert_eq!(judge("Tokenised text in several lines.\nEach says something else.\nNone repeats."), None);
    }
}
