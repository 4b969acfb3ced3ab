//! A tokenizer with one token per character, for small models of one text.

use super::TokenizerError;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// More different characters than this are refused.
const CHARACTERS_MAX: usize = 65_536;

pub(super) fn build(text: &str) -> Result<String, TokenizerError> {
    let characters: BTreeSet<char> = text.chars().collect();
    if characters.is_empty() {
        return Err(TokenizerError::Empty);
    }
    if characters.len() > CHARACTERS_MAX {
        return Err(TokenizerError::Vocabulary(characters.len()));
    }
    let vocabulary: Map<String, Value> =
        characters.iter().enumerate().map(|(i, c)| (c.to_string(), json!(i))).collect();
    Ok(json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
        "pre_tokenizer": {"type": "Split", "pattern": {"Regex": "[\\s\\S]"}, "behavior": "Isolated", "invert": false},
        "post_processor": null, "decoder": {"type": "Fuse"},
        // An unknown token that is not in the vocabulary makes an unknown character an error instead of silence.
        "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "[unknown character]"},
    })
    .to_string())
}
