//! Text to tokens and back: `tokenizer.json` of the `tokenizers` library, and two small tokenizers of our own in the same format.
//!
//! - [`Tokenizer::train_bpe`]: byte-level BPE for small vocabularies, the same merges for the same texts on every machine.
//! - [`Tokenizer::characters`]: one token per character of a text.

mod bpe;
mod characters;
mod stream;

pub use stream::TextStream;

use crate::directory::read_text;
use primitives::B256;
use primitives::hash::{Domain, hash};
use std::path::Path;
use tokenizers::{Tokenizer as Inner, models::ModelWrapper};

/// Name of the file.
pub const TOKENIZER_FILE: &str = "tokenizer.json";
/// Largest tokenizer file, in bytes.
pub const TOKENIZER_BYTES_MAX: u64 = 64 << 20;
/// Longest text that is encoded at once, in bytes.
pub const TEXT_BYTES_MAX: usize = 256 << 20;

/// Why a tokenizer cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenizerError {
    /// The file is missing, too large or not text.
    #[error("tokenizer: {0}")]
    File(String),
    /// The file is no tokenizer that the library understands.
    #[error("{TOKENIZER_FILE} is not a valid tokenizer: {0}")]
    Format(String),
    /// Training asks for a vocabulary that cannot be.
    #[error("a vocabulary of {0} is not possible: use {min} to {max}", min = bpe::VOCABULARY_MIN, max = bpe::VOCABULARY_MAX)]
    Vocabulary(usize),
    /// There is no text to learn from.
    #[error("there is no text to learn a vocabulary from")]
    Empty,
    /// A text longer than [`TEXT_BYTES_MAX`].
    #[error("the text has {0} bytes, allowed are {TEXT_BYTES_MAX}: cut it into pieces")]
    Text(usize),
    /// A tokenizer of characters meets one that its own text did not have.
    #[error(
        "the tokenizer has no token for {0:?} (U+{code:04X}): it knows only the characters of the text it was made from. Leave such characters out, or train with a vocabulary of bytes (`--tokenizer 2048`)",
        code = u32::from(*.0)
    )]
    Unknown(char),
    /// Encoding or decoding failed.
    #[error("tokenizer: {0}")]
    Coding(String),
}

/// A tokenizer and the exact file it came from.
#[derive(Clone, Debug)]
pub struct Tokenizer {
    inner: Inner,
    json: String,
}

impl Tokenizer {
    /// Reads `tokenizer.json` of a directory.
    ///
    /// # Errors
    /// When the file is missing or not valid.
    pub fn load(dir: &Path) -> Result<Tokenizer, TokenizerError> {
        let text = read_text(&dir.join(TOKENIZER_FILE), TOKENIZER_BYTES_MAX);
        Tokenizer::from_json(text.map_err(|e| TokenizerError::File(e.to_string()))?)
    }

    /// A tokenizer from the text of its file.
    ///
    /// # Errors
    /// When it is not valid.
    pub fn from_json(json: String) -> Result<Tokenizer, TokenizerError> {
        if json.len() as u64 > TOKENIZER_BYTES_MAX {
            return Err(TokenizerError::File(format!("more than {TOKENIZER_BYTES_MAX} bytes")));
        }
        let inner: Inner =
            json.parse().map_err(|e: tokenizers::Error| TokenizerError::Format(e.to_string()))?;
        Ok(Tokenizer { inner, json })
    }

    /// Learns a byte-level BPE of `vocabulary` tokens (the 256 bytes and `specials` included).
    ///
    /// # Errors
    /// When the vocabulary's size is not possible or there is no text.
    pub fn train_bpe<'a>(
        texts: impl IntoIterator<Item = &'a str>,
        vocabulary: usize,
        specials: &[&str],
    ) -> Result<Tokenizer, TokenizerError> {
        Tokenizer::from_json(bpe::train(texts, vocabulary, specials)?)
    }

    /// One token per character that occurs in `text`, in the order of code points.
    ///
    /// # Errors
    /// When there is no text or it has too many different characters.
    pub fn characters(text: &str) -> Result<Tokenizer, TokenizerError> {
        Tokenizer::from_json(characters::build(text)?)
    }

    /// Writes `tokenizer.json`, byte for byte as it was read.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save(&self, dir: &Path) -> Result<(), TokenizerError> {
        let write = || {
            std::fs::create_dir_all(dir)?;
            crate::safetensors::write_atomically(&dir.join(TOKENIZER_FILE), |out| {
                std::io::Write::write_all(out, self.json.as_bytes())
            })
        };
        write().map_err(|e| TokenizerError::File(e.to_string()))
    }

    /// Commitment to the file.
    pub fn hash(&self) -> B256 {
        hash(Domain::Model, self.json.as_bytes())
    }

    /// Number of tokens, added ones included.
    pub fn vocabulary(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    /// Tokens of a text. Special tokens written in it are recognised; `with_specials` adds those that the file puts around a text.
    ///
    /// # Errors
    /// When the text is too long or cannot be encoded.
    pub fn encode(&self, text: &str, with_specials: bool) -> Result<Vec<u32>, TokenizerError> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(TokenizerError::Text(text.len()));
        }
        let encoding = self.inner.encode_fast(text, with_specials);
        let named = |e: tokenizers::Error| match self.unknown(text) {
            Some(character) => TokenizerError::Unknown(character),
            None => TokenizerError::Coding(e.to_string()),
        };
        Ok(encoding.map_err(named)?.get_ids().to_vec())
    }

    /// The first character without a token, where tokens are characters.
    fn unknown(&self, text: &str) -> Option<char> {
        let of_words = matches!(self.inner.get_model(), ModelWrapper::WordLevel(_));
        let mut bytes = [0; 4];
        text.chars().find(|c| of_words && self.inner.token_to_id(c.encode_utf8(&mut bytes)).is_none())
    }

    /// Text of tokens. Bytes that are no UTF-8 become U+FFFD.
    ///
    /// # Errors
    /// When the decoder fails.
    pub fn decode(&self, tokens: &[u32], skip_specials: bool) -> Result<String, TokenizerError> {
        self.inner.decode(tokens, skip_specials).map_err(|e| TokenizerError::Coding(e.to_string()))
    }

    /// Number of a token given by its text.
    pub fn token(&self, text: &str) -> Option<u32> {
        self.inner.token_to_id(text)
    }

    /// Text of a token as the vocabulary writes it.
    pub fn token_text(&self, token: u32) -> Option<String> {
        self.inner.id_to_token(token)
    }
}

#[cfg(test)]
mod tests;
