//! The units that a model is trained on and attributed by, from the texts of a training set.

use crate::serving::{ServedPart, ServedUnit};
use alloy_primitives::{Address, B256};
use anyhow::{Context as _, ensure};
use attribution::{influence::language, shares::NOVELTY_ONE};
use model::Tokenizer;
use vault::vault::items::OpenItem;

/// A text of the training set.
pub struct Text {
    /// The Datanet on the ledger that it was contributed to.
    pub datanet: B256,
    /// Its item, salted as on the ledger.
    pub item: B256,
    /// Account that is paid.
    pub owner: Address,
    /// Where it stands, for people.
    pub label: String,
    /// Novelty in parts of [`NOVELTY_ONE`].
    pub novelty: u32,
    /// What it says.
    pub text: String,
}

impl Text {
    /// An item of the vault under its `leaf`.
    pub fn new(datanet: B256, leaf: B256, item: OpenItem) -> Text {
        let OpenItem { meta, text, .. } = item;
        Text {
            datanet,
            item: leaf,
            owner: meta.facts.owner,
            label: meta.title.clone().unwrap_or_else(|| meta.source.clone()),
            novelty: (u64::from(meta.nu_ppm) * u64::from(NOVELTY_ONE) / 1_000_000) as u32,
            text,
        }
    }
}

/// The texts end to end, cut into units of a context wherever texts end (RULEBOOK R2a). No mark stands between them: where an owner ends one
/// changes nothing. Copies are no part of the stream. `owners` numbers the contributors.
pub fn units(
    texts: &[Text],
    owners: &[Address],
    tokenizer: &Tokenizer,
    context: usize,
) -> anyhow::Result<Vec<ServedUnit>> {
    let (mut novel, mut tokens) = (Vec::new(), Vec::new());
    for (document, text) in (0u32..).zip(texts).filter(|(_, text)| text.novelty > 0) {
        let contributor = owners.iter().position(|owner| *owner == text.owner);
        let contributor = contributor.context("an item of the training set has no contributor")?;
        novel.push((document, u32::try_from(contributor)?, text));
        tokens.push(tokenizer.encode(&text.text, false)?);
    }
    let part = |(place, tokens): (u32, u32)| {
        let (document, contributor, text) = novel[place as usize];
        ServedPart {
            datanet: text.datanet,
            item: text.item,
            owner: text.owner,
            contributor,
            document,
            tokens,
            novelty: text.novelty,
            label: text.label.clone(),
        }
    };
    let unit = |packed: language::Packed| {
        let last = packed.example.targets.last().copied();
        ServedUnit {
            text: packed.example.tokens.iter().copied().chain(last).collect(),
            parts: packed.parts.into_iter().map(part).collect(),
        }
    };
    let units: Vec<ServedUnit> = language::pack(&tokens, None, context).into_iter().map(unit).collect();
    ensure!(!units.is_empty(), "the training set has no text to train on");
    Ok(units)
}

/// Whose the texts are, each once, in order.
pub fn owners(texts: &[Text]) -> Vec<Address> {
    let mut owners = Vec::new();
    for text in texts {
        if !owners.contains(&text.owner) {
            owners.push(text.owner);
        }
    }
    owners
}
