//! The corpus and its index: building, and the file form.

use super::{MAX_CORPUS_BYTES, rank, suffix_array::suffix_array, word_starts};
use primitives::{
    B256, Domain,
    encoding::{Reader, Writer},
    hash,
};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// Stands after every document; no UTF-8 text contains it, so no match crosses it.
pub(crate) const BOUNDARY: u8 = 0xff;
const MAGIC: &[u8; 8] = b"olspans1";

/// Who a document belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    /// How the document is named to a reader: a path or an item id.
    pub name: String,
    /// Index of its contributor.
    pub owner: u32,
}

/// Documents in commit order, and their text one after the other.
#[derive(Clone, Debug, Default)]
pub struct Corpus {
    documents: Vec<Document>,
    /// Where each document starts in `text`.
    starts: Vec<u32>,
    text: Vec<u8>,
}

/// Why a corpus cannot be indexed or an index cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpansError {
    /// Past the limit of positions.
    #[error("the corpus has more than {MAX_CORPUS_BYTES} bytes: index it in parts")]
    TooLarge,
    /// The answer is past its limit.
    #[error("the answer has {0} bytes, more than the {limit} that are matched", limit = super::MAX_ANSWER_BYTES)]
    AnswerTooLong(usize),
    /// Bytes that are no index.
    #[error("not a span index: {0}; build it again")]
    Malformed(&'static str),
    /// An index of another corpus.
    #[error("the index is of the corpus {found}, not of {expected}: build it again")]
    OtherCorpus {
        /// Hash of the corpus at hand.
        expected: B256,
        /// Hash the index names.
        found: B256,
    },
}

impl Corpus {
    /// Documents in commit order: name, owner, text.
    pub fn new<N: Into<String>, T: AsRef<str>>(
        documents: impl IntoIterator<Item = (N, u32, T)>,
    ) -> Result<Corpus, SpansError> {
        let mut corpus = Corpus::default();
        for (name, owner, text) in documents {
            let text = text.as_ref().as_bytes();
            if corpus.text.len() + text.len() + 1 > MAX_CORPUS_BYTES {
                return Err(SpansError::TooLarge);
            }
            corpus.starts.push(corpus.text.len() as u32);
            corpus.documents.push(Document { name: name.into(), owner });
            corpus.text.extend_from_slice(text);
            corpus.text.push(BOUNDARY);
        }
        Ok(corpus)
    }

    /// The documents, in commit order.
    pub fn documents(&self) -> &[Document] {
        &self.documents
    }

    /// All text, a boundary byte after each document.
    pub(super) fn text(&self) -> &[u8] {
        &self.text
    }

    /// Bytes of all documents and their boundaries.
    pub fn bytes(&self) -> usize {
        self.text.len()
    }

    /// The document that holds a position, and the offset in it.
    pub(super) fn locate(&self, position: u32) -> (u32, u32) {
        let document = self.starts.partition_point(|start| *start <= position) - 1;
        (document as u32, position - self.starts[document])
    }

    /// Binds the index to the text it was built from.
    pub fn hash(&self) -> B256 {
        hash::hash(Domain::TrainingSet, &self.text)
    }
}

/// Word starts of a corpus in the order of the text that follows them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    corpus: B256,
    pub(super) order: Vec<u32>,
}

impl Index {
    /// Builds the index: linear in the corpus, four bytes a word, about twelve bytes a word of working memory.
    pub fn build(corpus: &Corpus) -> Index {
        let text = corpus.text();
        let starts: Vec<u32> = word_starts(text).map(|i| i as u32).collect();
        let end_of = |i: usize| starts.get(i + 1).map_or(text.len(), |next| *next as usize);
        // A word and the separators after it, numbered by first appearance, then renumbered in byte order.
        let mut numbers: HashMap<&[u8], u32> = HashMap::new();
        let mut words: Vec<&[u8]> = Vec::new();
        let mut sequence: Vec<u32> = Vec::with_capacity(starts.len());
        for (i, start) in starts.iter().enumerate() {
            let word = &text[*start as usize..end_of(i)];
            let number = *numbers.entry(word).or_insert_with(|| {
                words.push(word);
                words.len() as u32 - 1
            });
            sequence.push(number);
        }
        drop(numbers);
        let mut by_bytes: Vec<u32> = (0..words.len() as u32).collect();
        by_bytes.sort_unstable_by(|a, b| {
            let key = |number: &u32| words[*number as usize].iter().map(|byte| rank(*byte));
            key(a).cmp(key(b))
        });
        let mut place = vec![0u32; words.len()];
        for (at, number) in by_bytes.iter().enumerate() {
            place[*number as usize] = at as u32;
        }
        for number in &mut sequence {
            *number = place[*number as usize];
        }
        let mut order = suffix_array(&sequence, words.len());
        for entry in &mut order {
            *entry = starts[*entry as usize];
        }
        Index { corpus: corpus.hash(), order }
    }

    /// Words of the corpus.
    pub fn words(&self) -> usize {
        self.order.len()
    }

    /// Bytes of the index, the text not counted.
    pub fn bytes(&self) -> usize {
        MAGIC.len() + 32 + 8 + 4 * self.order.len()
    }

    /// File form.
    pub fn encode(&self) -> Vec<u8> {
        let mut header = Writer::new();
        header.hash(&self.corpus).u64(self.order.len() as u64);
        let mut bytes = Vec::with_capacity(self.bytes());
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(header.as_bytes());
        for position in &self.order {
            bytes.extend_from_slice(&position.to_le_bytes());
        }
        bytes
    }

    /// Reads the file form and checks that it is of `corpus` and that every entry is a word start of it.
    pub fn decode(bytes: &[u8], corpus: &Corpus) -> Result<Index, SpansError> {
        let body = bytes.strip_prefix(MAGIC).ok_or(SpansError::Malformed("it does not start as one"))?;
        let mut header = Reader::new(body);
        let found = header.hash().map_err(|_| SpansError::Malformed("it ends in the header"))?;
        let count = header.u64().map_err(|_| SpansError::Malformed("it ends in the header"))?;
        let entries = &body[40..];
        if u64::try_from(entries.len()) != Ok(count.saturating_mul(4)) {
            return Err(SpansError::Malformed("its length differs from its header"));
        }
        let expected = corpus.hash();
        if found != expected {
            return Err(SpansError::OtherCorpus { expected, found });
        }
        let order: Vec<u32> = entries
            .chunks_exact(4)
            .map(|entry| u32::from_le_bytes(entry.try_into().expect("chunks of four")))
            .collect();
        if order.iter().any(|position| *position as usize >= corpus.bytes()) {
            return Err(SpansError::Malformed("an entry lies past the corpus"));
        }
        Ok(Index { corpus: found, order })
    }
}
