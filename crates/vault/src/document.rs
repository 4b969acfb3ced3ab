//! A document as a reader found it, and the facts an item keeps about it.

use primitives::{Address, B256, Domain, ItemId, encoding::Writer, hash};
use serde::{Deserialize, Serialize};

/// Largest text of one item, in bytes. Longer documents are refused by the readers.
pub const MAX_ITEM_BYTES: usize = 64 << 20;

/// Bytes of a text from which its language is guessed.
const GUESSED_BYTES: usize = 1024;

/// What a reader yields: one text with what is known of its origin.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    /// The text. For a prompt-completion pair, both, the prompt first.
    pub text: String,
    /// Bytes of `text` that are prompt and carry no training loss; 0 for plain text.
    #[serde(default)]
    pub prompt_bytes: usize,
    /// Where it came from: path relative to the reader's root, `#row` for a row (from 1).
    pub source: String,
    /// Name a person would give it, if the source has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// SPDX licence expression, if the source states one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub licence: Option<String>,
    /// Natural contributor: a repository URL, a dataset's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Authors as the source names them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub authors: Vec<String>,
}

/// Identity of a text: equal bytes, equal id, wherever they were found.
pub fn item_id(text: &str) -> ItemId {
    ItemId(hash::hash(Domain::Item, text.as_bytes()))
}

/// The facts about an item that its leaf on the ledger commits to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ItemFacts {
    /// Hash of the text. Unsalted, so it stays inside the vault.
    pub item: ItemId,
    /// Random, so that the leaf says nothing about the text.
    pub salt: B256,
    /// Who contributed it.
    pub owner: Address,
    /// SPDX licence expression.
    pub licence: String,
    /// Length of the text in bytes.
    pub bytes: u64,
    /// Bytes of the text that are prompt.
    pub prompt_bytes: u64,
}

impl ItemFacts {
    /// The salted leaf: hash under [`Domain::ItemLeaf`] of the canonical encoding of the fields in order.
    pub fn leaf(&self) -> B256 {
        // Field by field, so that a new field cannot be forgotten.
        let ItemFacts { item, salt, owner, licence, bytes, prompt_bytes } = self;
        let mut w = Writer::new();
        w.hash(salt).hash(&item.0).address(owner).text(licence).u64(*bytes).u64(*prompt_bytes);
        hash::hash(Domain::ItemLeaf, w.as_bytes())
    }
}

/// Commitment of a contribution before it is revealed (RULEBOOK R4): domain, root, salt and owner, so that a
/// copied commitment is worthless to anybody else.
pub fn commitment(root: &B256, salt: &B256, owner: &Address) -> B256 {
    hash::hash_parts(Domain::Contribution, &[root.as_slice(), salt.as_slice(), owner.as_slice()])
}

/// Estimated tokens of a text under a byte-pair vocabulary of about 50,000: a run of letters counts one token per
/// six bytes, other visible bytes and digits one per two, blanks nothing. An estimate for display and budgets;
/// the model's own tokenizer decides what is trained and paid.
pub fn estimate_tokens(text: &str) -> u64 {
    let (mut tokens, mut letters, mut others) = (0u64, 0u64, 0u64);
    for byte in text.bytes() {
        if byte.is_ascii_alphabetic() || byte >= 0x80 {
            tokens += others.div_ceil(2);
            others = 0;
            letters += 1;
        } else {
            tokens += letters.div_ceil(6);
            letters = 0;
            if byte.is_ascii_whitespace() {
                tokens += others.div_ceil(2);
                others = 0;
            } else {
                others += 1;
            }
        }
    }
    tokens + letters.div_ceil(6) + others.div_ceil(2)
}

/// ISO 639-3 code of the text's language, when a guess is reliable. Looks at the first 1,024 bytes: more changes few guesses and costs
/// more than everything else that is done to a text.
pub fn guess_language(text: &str) -> Option<&'static str> {
    let mut end = text.len().min(GUESSED_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    if plainly_english(&text[..end]) {
        return Some("eng");
    }
    let info = whatlang::detect(&text[..end])?;
    info.is_reliable().then(|| info.lang().code())
}

/// English words that say nothing by themselves; together they stand in no other language.
const ENGLISH: [&[u8]; 16] = [
    b"the", b"of", b"and", b"to", b"is", b"that", b"for", b"with", b"this", b"are", b"be", b"it", b"as",
    b"not", b"which", b"from",
];
/// Least share of such words, in percent, and how many different ones, `the` among them.
const ENGLISH_PERCENT: usize = 12;
const ENGLISH_DIFFERENT: u32 = 4;

/// Whether the commonest words settle it; comparing with the letter statistics of seventy languages takes a hundred times as long.
fn plainly_english(text: &str) -> bool {
    let (mut words, mut common, mut seen) = (0, 0, 0u32);
    for word in text.as_bytes().split(|b| !(b.is_ascii_alphabetic() || *b >= 0x80)).filter(|w| !w.is_empty())
    {
        words += 1;
        if word.len() <= 5
            && let Some(which) = ENGLISH.iter().position(|known| known.eq_ignore_ascii_case(word))
        {
            common += 1;
            seen |= 1 << which;
        }
    }
    common * 100 >= words * ENGLISH_PERCENT && seen & 1 == 1 && seen.count_ones() >= ENGLISH_DIFFERENT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fact_changes_the_leaf() {
        let base = ItemFacts {
            item: item_id("a"),
            salt: B256::repeat_byte(1),
            owner: Address::repeat_byte(2),
            licence: "MIT".into(),
            bytes: 1,
            prompt_bytes: 0,
        };
        let changed = [
            ItemFacts { item: item_id("b"), ..base.clone() },
            ItemFacts { salt: B256::repeat_byte(9), ..base.clone() },
            ItemFacts { owner: Address::repeat_byte(9), ..base.clone() },
            ItemFacts { licence: "MIT-0".into(), ..base.clone() },
            ItemFacts { bytes: 2, ..base.clone() },
            ItemFacts { prompt_bytes: 1, ..base.clone() },
        ];
        for other in changed {
            assert_ne!(other.leaf(), base.leaf(), "{other:?}");
        }
    }

    #[test]
    fn the_owner_is_inside_the_commitment() {
        let (root, salt) = (B256::repeat_byte(1), B256::repeat_byte(2));
        assert_ne!(
            commitment(&root, &salt, &Address::repeat_byte(3)),
            commitment(&root, &salt, &Address::repeat_byte(4))
        );
    }

    #[test]
    fn languages_are_told_apart_by_their_common_words_or_their_letters() {
        for (text, code) in [
            ("The rules of the house are the same for all, and it is not the guest who makes them.", "eng"),
            (
                "Ein Vertrag ist nur so gut wie die Menschen, die ihn halten; das wissen alle, die einen unterschrieben haben.",
                "deu",
            ),
            (
                "De regels van het huis zijn voor iedereen gelijk, en het is niet de gast die ze maakt, ook al wil hij dat.",
                "nld",
            ),
            (
                "Les règles de la maison sont les mêmes pour tous, et ce n'est pas l'invité qui les fait, même s'il le veut.",
                "fra",
            ),
        ] {
            assert_eq!(guess_language(text), Some(code), "{text}");
        }
        assert_eq!(guess_language("let x = f(a, b);"), None);
    }

    #[test]
    fn token_estimates_are_near_a_real_vocabulary() {
        assert_eq!(estimate_tokens(""), 0);
        let text = "The quick brown fox jumps over the lazy dog. It was 2026, and nobody minded.";
        // GPT-2's vocabulary cuts this into 19 tokens.
        assert!((17..=24).contains(&estimate_tokens(text)), "{}", estimate_tokens(text));
    }
}
