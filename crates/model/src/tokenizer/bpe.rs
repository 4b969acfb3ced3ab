//! A byte-level BPE trainer whose result depends on nothing but its input.
//!
//! Texts are cut into words by GPT-2's pattern without its English contractions: a word is a run of letters, of digits or of other
//! visible characters, each with at most one leading space, or a run of white space. Pairs are merged by count, ties by the smaller
//! pair of token numbers, until the vocabulary is full or no pair occurs twice.

use super::TokenizerError;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use tokenizers::pattern::Pattern as _;

/// The 256 bytes, at least.
pub(super) const VOCABULARY_MIN: usize = 256;
/// Beyond this the plain trainer takes too long.
pub(super) const VOCABULARY_MAX: usize = 65_536;
/// Longest token, in bytes: longer words add nothing that merges.
const TOKEN_BYTES_MAX: usize = 32;

/// GPT-2's printable character for each byte.
fn byte_characters() -> [char; 256] {
    let mut out = ['\0'; 256];
    let mut next = 256u32;
    for byte in 0..=255u8 {
        let printable = matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
        let code = if printable { u32::from(byte) } else { next };
        next += u32::from(!printable);
        out[byte as usize] = char::from_u32(code).expect("below the surrogates");
    }
    out
}

/// The pattern that cuts words, as the `tokenizers` library reads it.
const WORDS: &str = r" ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

pub(super) fn train<'a>(
    texts: impl IntoIterator<Item = &'a str>,
    vocabulary: usize,
    specials: &[&str],
) -> Result<String, TokenizerError> {
    if vocabulary < VOCABULARY_MIN + specials.len() || vocabulary > VOCABULARY_MAX {
        return Err(TokenizerError::Vocabulary(vocabulary));
    }
    let words = count_words(texts)?;
    if words.is_empty() {
        return Err(TokenizerError::Empty);
    }
    let merges = learn(words, vocabulary - specials.len());
    Ok(write(&merges, specials))
}

/// Words and how often they occur, in the order of their bytes.
fn count_words<'a>(
    texts: impl IntoIterator<Item = &'a str>,
) -> Result<BTreeMap<Vec<u8>, u64>, TokenizerError> {
    let pattern =
        tokenizers::utils::SysRegex::new(WORDS).map_err(|e| TokenizerError::Coding(e.to_string()))?;
    let mut words = BTreeMap::new();
    for text in texts {
        let found = (&pattern).find_matches(text).map_err(|e| TokenizerError::Coding(e.to_string()))?;
        for ((start, end), _) in found.into_iter().filter(|((start, end), _)| start < end) {
            *words.entry(text.as_bytes()[start..end].to_vec()).or_insert(0) += 1;
        }
    }
    Ok(words)
}

struct Word {
    tokens: Vec<u32>,
    count: i64,
}

/// Merges in order. Pair counts are kept up to date; the best pair is the first of an ordered set.
fn learn(words: BTreeMap<Vec<u8>, u64>, vocabulary: usize) -> Vec<(u32, u32)> {
    let mut words: Vec<Word> = words
        .into_iter()
        .map(|(bytes, count)| Word {
            tokens: bytes.into_iter().map(u32::from).collect(),
            count: count as i64,
        })
        .collect();
    let mut lengths = vec![1usize; 256];
    let mut counts: BTreeMap<(u32, u32), i64> = BTreeMap::new();
    let mut places: BTreeMap<(u32, u32), BTreeSet<usize>> = BTreeMap::new();
    for (i, word) in words.iter().enumerate() {
        for pair in word.tokens.windows(2) {
            let pair = (pair[0], pair[1]);
            *counts.entry(pair).or_insert(0) += word.count;
            places.entry(pair).or_default().insert(i);
        }
    }
    let mut queue: BTreeSet<(i64, (u32, u32))> = counts.iter().map(|(p, c)| (-c, *p)).collect();
    let mut merges = Vec::new();
    while 256 + merges.len() < vocabulary {
        let Some((negative, pair)) = queue.pop_first() else { break };
        if -negative < 2 {
            break;
        }
        let length = lengths[pair.0 as usize] + lengths[pair.1 as usize];
        if length > TOKEN_BYTES_MAX {
            continue;
        }
        let token = 256 + merges.len() as u32;
        merges.push(pair);
        lengths.push(length);
        let mut changes: BTreeMap<(u32, u32), i64> = BTreeMap::new();
        for i in places.remove(&pair).unwrap_or_default() {
            let word = &mut words[i];
            for p in word.tokens.windows(2) {
                *changes.entry((p[0], p[1])).or_insert(0) -= word.count;
            }
            merge(&mut word.tokens, pair, token);
            for p in word.tokens.windows(2) {
                *changes.entry((p[0], p[1])).or_insert(0) += word.count;
                places.entry((p[0], p[1])).or_default().insert(i);
            }
        }
        for (changed, by) in changes {
            let count = counts.entry(changed).or_insert(0);
            let was_queued = queue.remove(&(-*count, changed));
            *count += by;
            // A pair that was passed over as too long stays out.
            if *count > 0 && changed != pair && (was_queued || *count == by) {
                queue.insert((-*count, changed));
            }
        }
    }
    merges
}

fn merge(tokens: &mut Vec<u32>, pair: (u32, u32), token: u32) {
    let (mut read, mut write) = (0, 0);
    while read < tokens.len() {
        let hit = read + 1 < tokens.len() && (tokens[read], tokens[read + 1]) == pair;
        tokens[write] = if hit { token } else { tokens[read] };
        read += if hit { 2 } else { 1 };
        write += 1;
    }
    tokens.truncate(write);
}

/// `tokenizer.json`: bytes are tokens 0 to 255, then the merges, then the special tokens.
fn write(merges: &[(u32, u32)], specials: &[&str]) -> String {
    let characters = byte_characters();
    let mut texts: Vec<String> = characters.iter().map(char::to_string).collect();
    let mut pairs = Vec::with_capacity(merges.len());
    for (a, b) in merges {
        let (a, b) = (texts[*a as usize].clone(), texts[*b as usize].clone());
        texts.push(format!("{a}{b}"));
        pairs.push(json!([a, b]));
    }
    let vocabulary: Map<String, Value> =
        texts.iter().enumerate().map(|(i, t)| (t.clone(), json!(i))).collect();
    let added: Vec<Value> = specials
        .iter()
        .enumerate()
        .map(|(i, s)| {
            json!({"id": texts.len() + i, "content": s, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": true})
        })
        .collect();
    let byte_level =
        json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false});
    json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added, "normalizer": null,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": WORDS}, "behavior": "Isolated", "invert": false}, byte_level]},
        "post_processor": null,
        "decoder": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false},
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
            "vocab": vocabulary, "merges": pairs},
    })
    .to_string()
}
