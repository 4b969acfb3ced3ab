//! Text of tokens as they arrive: only whole characters are handed out.

use super::{Tokenizer, TokenizerError};

/// Tokens that are held back at most while a character is incomplete: one has at most four bytes.
const HELD_TOKENS_MAX: usize = 8;
/// Tokens after which what was handed out is forgotten.
const WINDOW_TOKENS: usize = 32;

/// Turns a growing list of tokens into pieces of text whose concatenation is the text of all of them.
#[derive(Clone, Debug, Default)]
pub struct TextStream {
    /// Tokens that are decoded again with every new one.
    window: Vec<u32>,
    /// Bytes of the window's text that have been handed out.
    given: usize,
    /// Tokens since the last piece.
    held: usize,
}

impl TextStream {
    /// Takes a token and returns the text it completes, which may be empty.
    ///
    /// # Errors
    /// When the decoder fails.
    pub fn push(&mut self, tokenizer: &Tokenizer, token: u32) -> Result<String, TokenizerError> {
        self.window.push(token);
        self.held += 1;
        let text = tokenizer.decode(&self.window, true)?;
        // A character whose bytes are not all there yet decodes to U+FFFD at the end.
        let incomplete = text.ends_with('\u{FFFD}');
        if incomplete && self.held < HELD_TOKENS_MAX {
            return Ok(String::new());
        }
        let piece = text.get(self.given..).unwrap_or_default().to_string();
        (self.given, self.held) = (text.len(), 0);
        if !incomplete && self.window.len() >= WINDOW_TOKENS {
            // Keep whole characters' worth of tokens as context: some decoders treat a text's first token differently.
            let kept = self.window.split_off(self.window.len() - HELD_TOKENS_MAX);
            let text = tokenizer.decode(&kept, true)?;
            if text.starts_with('\u{FFFD}') {
                self.window.extend(kept);
            } else {
                (self.window, self.given) = (kept, text.len());
            }
        }
        Ok(piece)
    }

    /// What is left when no more tokens come.
    ///
    /// # Errors
    /// When the decoder fails.
    pub fn finish(&mut self, tokenizer: &Tokenizer) -> Result<String, TokenizerError> {
        let text = tokenizer.decode(&self.window, true)?;
        let piece = text.get(self.given..).unwrap_or_default().to_string();
        self.given = text.len();
        Ok(piece)
    }
}
