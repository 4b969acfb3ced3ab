//! A batch of examples as one list of rows: no padding, each example at positions `0 ..` of its own.

use crate::config::Config;
use ops::{Examples, IGNORED_TARGET};

/// Most rows of one batch.
pub const BATCH_ROWS_MAX: usize = 1 << 22;

/// Tokens of one training example and what each position should predict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    /// Input tokens.
    pub tokens: Vec<u32>,
    /// Target of each position, or [`IGNORED_TARGET`] where there is no loss.
    pub targets: Vec<u32>,
}

impl Example {
    /// Next-token prediction over a text: inputs are all tokens but the last, targets all but the first.
    pub fn next_token(text: &[u32]) -> Example {
        match text {
            [] => Example { tokens: Vec::new(), targets: Vec::new() },
            _ => Example { tokens: text[..text.len() - 1].to_vec(), targets: text[1..].to_vec() },
        }
    }

    /// Next-token prediction of `answer` after `prompt`: no loss inside the prompt.
    pub fn answer(prompt: &[u32], answer: &[u32]) -> Example {
        let mut example = Example::next_token(&[prompt, answer].concat());
        let silent = prompt.len().saturating_sub(1).min(example.targets.len());
        example.targets[..silent].fill(IGNORED_TARGET);
        example
    }
}

/// Rows of several examples.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    tokens: Vec<u32>,
    targets: Vec<u32>,
    ends: Vec<usize>,
    positions: Vec<u32>,
}

/// Why examples are no batch for a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// No row at all.
    #[error("the batch is empty: give at least one example of at least two tokens")]
    Empty,
    /// More rows than [`BATCH_ROWS_MAX`].
    #[error("the batch has {0} rows, allowed are {BATCH_ROWS_MAX}: use fewer examples a step")]
    Rows(usize),
    /// A different number of targets than tokens.
    #[error("example {0}: it needs one target for each token")]
    Targets(usize),
    /// An example longer than the model's context.
    #[error("example {example} has {length} tokens, the model's context is {context}: cut it into pieces")]
    Context {
        /// Number of the example in the batch.
        example: usize,
        /// Its tokens.
        length: usize,
        /// The model's limit.
        context: usize,
    },
    /// A token outside the vocabulary.
    #[error(
        "example {example}: token {token} is outside the vocabulary of {vocabulary}: was another tokenizer used?"
    )]
    Token {
        /// Number of the example in the batch.
        example: usize,
        /// The token.
        token: u32,
        /// The model's vocabulary.
        vocabulary: usize,
    },
}

impl Batch {
    /// Joins examples for a model.
    ///
    /// # Errors
    /// [`BatchError`] names the example and what to change.
    pub fn new<'a>(
        config: &Config,
        examples: impl IntoIterator<Item = &'a Example>,
    ) -> Result<Batch, BatchError> {
        let mut batch = Batch::default();
        for (index, example) in examples.into_iter().enumerate() {
            let length = example.tokens.len();
            if example.targets.len() != length {
                return Err(BatchError::Targets(index));
            }
            if length > config.context {
                return Err(BatchError::Context { example: index, length, context: config.context });
            }
            let outside = |t: &&u32| **t as usize >= config.vocabulary;
            let bad = example.tokens.iter().find(outside);
            let bad = bad.or_else(|| example.targets.iter().filter(|t| **t != IGNORED_TARGET).find(outside));
            if let Some(token) = bad {
                return Err(BatchError::Token {
                    example: index,
                    token: *token,
                    vocabulary: config.vocabulary,
                });
            }
            batch.tokens.extend(&example.tokens);
            batch.targets.extend(&example.targets);
            batch.positions.extend(0..length as u32);
            batch.ends.push(batch.tokens.len());
            if batch.tokens.len() > BATCH_ROWS_MAX {
                return Err(BatchError::Rows(batch.tokens.len()));
            }
        }
        if batch.tokens.is_empty() { Err(BatchError::Empty) } else { Ok(batch) }
    }

    /// Input tokens of all rows.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// Targets of all rows.
    pub fn targets(&self) -> &[u32] {
        &self.targets
    }

    /// Position of each row in its example.
    pub fn positions(&self) -> &[u32] {
        &self.positions
    }

    /// Where each example ends.
    pub fn examples(&self) -> Examples<'_> {
        Examples::new(&self.ends).expect("ends ascend by construction")
    }

    /// Rows.
    pub fn rows(&self) -> usize {
        self.tokens.len()
    }

    /// Rows that have a target.
    pub fn target_count(&self) -> usize {
        self.targets.iter().filter(|t| **t != IGNORED_TARGET).count()
    }
}
