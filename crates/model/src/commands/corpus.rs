//! Texts and examples from files: plain text, or JSON lines of `text`, of `prompt` and `answer`, or of `messages`.

use crate::batch::Example;
use crate::chat::{ChatError, ChatTemplate, Message};
use crate::exchange::{Exchange, question};
use crate::tokenizer::{Tokenizer, TokenizerError};
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// Most files of a corpus.
pub const TEXT_FILES_MAX: usize = 1 << 16;
/// Largest file, in bytes.
pub const FILE_BYTES_MAX: u64 = 1 << 32;
/// Longest line of a JSON-lines file, in bytes.
pub const LINE_BYTES_MAX: usize = 16 << 20;

/// Why texts cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum CorpusError {
    /// A file.
    #[error("{path}: {reason}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A line that is not of any of the forms.
    #[error(
        "{path}, line {line}: {reason}; a line is {{\"text\"}}, {{\"prompt\", \"answer\"}} or {{\"messages\"}}"
    )]
    Line {
        /// The file.
        path: PathBuf,
        /// Its number, from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// Nothing in any file.
    #[error("there is no text in these files")]
    Empty,
    /// Encoding.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// Messages that the template refuses.
    #[error(transparent)]
    Chat(#[from] ChatError),
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Line {
    Pair {
        #[serde(alias = "question", alias = "instruction", alias = "inputs")]
        prompt: String,
        #[serde(alias = "response", alias = "completion", alias = "output", alias = "targets")]
        answer: String,
    },
    Text {
        text: String,
    },
    Chat {
        messages: Vec<Message>,
    },
}

/// One document, or one exchange to learn the answer of.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Entry {
    Text(String),
    Pair(String, String),
    Chat(Vec<Message>),
}

/// All entries of some files, in order.
#[derive(Clone, Debug, Default)]
pub struct Corpus {
    entries: Vec<Entry>,
}

impl Corpus {
    /// Reads files: those ending in `.jsonl` line by line, others as one text each.
    ///
    /// # Errors
    /// When a file cannot be read or a line is not of any form.
    pub fn read(paths: &[PathBuf]) -> Result<Corpus, CorpusError> {
        let mut entries = Vec::new();
        for path in paths.iter().take(TEXT_FILES_MAX) {
            let text = read(path)?;
            if path.extension().is_some_and(|e| e == "jsonl") {
                for (i, line) in text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty()) {
                    entries.push(parse(path, i + 1, line)?);
                }
            } else if !text.is_empty() {
                entries.push(Entry::Text(text));
            }
        }
        if entries.is_empty() { Err(CorpusError::Empty) } else { Ok(Corpus { entries }) }
    }

    /// Texts of all entries, for a tokenizer to learn from.
    pub fn texts(&self, template: &ChatTemplate) -> Result<Vec<String>, CorpusError> {
        self.entries.iter().map(|e| text_of(e, template)).collect()
    }

    /// Entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none (never after [`Corpus::read`]).
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// One example for each piece of at most `context` tokens. In pairs and conversations only the answer (the last message) has
    /// a loss; what is longer than the context loses the beginning of its prompt. `end` is put after every entry.
    ///
    /// # Errors
    /// When a text cannot be encoded.
    pub fn examples(
        &self,
        tokenizer: &Tokenizer,
        template: &ChatTemplate,
        context: usize,
        end: Option<u32>,
    ) -> Result<Vec<Example>, CorpusError> {
        let mut out = Vec::new();
        for entry in &self.entries {
            let (prompt, answer) = match entry {
                Entry::Text(text) => (String::new(), text.clone()),
                Entry::Pair(prompt, answer) => (question(template, prompt)?, answer.clone()),
                Entry::Chat(messages) => {
                    let (last, before) = messages.split_last().ok_or(CorpusError::Empty)?;
                    (template.render(before, true)?, last.content.clone())
                }
            };
            if !prompt.is_empty() {
                let exchange = Exchange::new(tokenizer, &prompt, &answer, context, end)?;
                out.extend(exchange.map(|exchange| exchange.example()));
                continue;
            }
            let text = match entry {
                Entry::Text(text) => text.clone(),
                // A template that renders nothing before the answer.
                _ => format!(" {}", answer.trim()),
            };
            let mut tokens = tokenizer.encode(&text, false)?;
            tokens.extend(end);
            // A window's last token is also the next one's first, so that every token is predicted once.
            let mut start = 0;
            while start + 1 < tokens.len() {
                let stop = (start + context + 1).min(tokens.len());
                out.push(Example::next_token(&tokens[start..stop]));
                start += context;
            }
        }
        Ok(out)
    }

    /// All entries as one stream of tokens, `end` after each.
    ///
    /// # Errors
    /// When a text cannot be encoded.
    pub fn tokens(
        &self,
        tokenizer: &Tokenizer,
        template: &ChatTemplate,
        end: Option<u32>,
    ) -> Result<Vec<u32>, CorpusError> {
        let mut out = Vec::new();
        for entry in &self.entries {
            out.extend(tokenizer.encode(&text_of(entry, template)?, false)?);
            out.extend(end);
        }
        Ok(out)
    }
}

fn text_of(entry: &Entry, template: &ChatTemplate) -> Result<String, CorpusError> {
    Ok(match entry {
        Entry::Text(text) => text.clone(),
        Entry::Pair(prompt, answer) => format!("{} {}", question(template, prompt)?, answer.trim()),
        Entry::Chat(messages) => template.render(messages, false)?,
    })
}

fn read(path: &Path) -> Result<String, CorpusError> {
    let file = |reason: String| CorpusError::File { path: path.into(), reason };
    let length = std::fs::metadata(path).map_err(|e| file(e.to_string()))?.len();
    if length > FILE_BYTES_MAX {
        return Err(file(format!("{length} bytes, allowed are {FILE_BYTES_MAX}")));
    }
    std::fs::read_to_string(path).map_err(|e| file(e.to_string()))
}

fn parse(path: &Path, line: usize, text: &str) -> Result<Entry, CorpusError> {
    let error = |reason: String| CorpusError::Line { path: path.into(), line, reason };
    if text.len() > LINE_BYTES_MAX {
        return Err(error(format!("{} bytes, allowed are {LINE_BYTES_MAX}", text.len())));
    }
    match serde_json::from_str(text).map_err(|e| error(e.to_string()))? {
        Line::Text { text } => Ok(Entry::Text(text)),
        Line::Pair { prompt, answer } => Ok(Entry::Pair(prompt, answer)),
        Line::Chat { messages } if messages.len() >= 2 => Ok(Entry::Chat(messages)),
        Line::Chat { .. } => Err(error("a conversation needs at least a question and an answer".into())),
    }
}
