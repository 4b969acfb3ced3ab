//! `datanet paraphrases`: items that say in other words what an earlier one says.

use crate::crypt::keys::Keyring;
use crate::similar::paraphrase::{self, Vectors};
use crate::similar::{EmbedError, Embedder};
use crate::{Vault, VaultError};
use primitives::{B256, DatanetId};
use serde::Serialize;

/// Texts that are embedded at a time.
const BATCH: usize = 32;

/// Why items were not compared.
#[derive(Debug, thiserror::Error)]
pub enum ParaphraseError {
    /// The vault.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The embedding model.
    #[error(transparent)]
    Embed(#[from] EmbedError),
}

/// An item and the earlier one it resembles.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Pair {
    /// Leaf of the later item.
    pub leaf: B256,
    /// Where it came from.
    pub source: String,
    /// Leaf of the earlier item.
    pub of: B256,
    /// Where that one came from.
    pub of_source: String,
    /// Cosine of their centred vectors.
    pub similarity: f32,
    /// Whether the words alone already show it: a near-duplicate of novelty 0.
    pub near_duplicate: bool,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ParaphraseReport {
    /// Items that were compared, in commit order.
    pub items: usize,
    /// Later items that resemble an earlier one, in commit order.
    pub pairs: Vec<Pair>,
}

/// Compares the items of a Datanet, or of all, with every earlier one by a model's embeddings. Items erased meanwhile are passed over.
///
/// # Errors
/// When an item cannot be opened with `ring`, or the model cannot embed one.
pub fn paraphrases(
    vault: &Vault,
    datanet: Option<&DatanetId>,
    embedder: &mut dyn Embedder,
    least: f32,
    ring: &Keyring,
    progress: &mut dyn FnMut(usize),
) -> Result<ParaphraseReport, ParaphraseError> {
    let mut vectors = Vectors::new(embedder.dimensions());
    let (mut facts, mut texts): (Vec<(B256, String, bool)>, Vec<String>) = (Vec::new(), Vec::new());
    let mut embed = |texts: &mut Vec<String>, vectors: &mut Vectors| {
        let borrowed: Vec<&str> = texts.iter().map(String::as_str).collect();
        let done = if borrowed.is_empty() { Ok(()) } else { vectors.push(embedder, &borrowed) };
        texts.clear();
        done
    };
    for contribution in vault.contributions() {
        if datanet.is_some_and(|only| *only != contribution.datanet) {
            continue;
        }
        let mut items = vault.items(&contribution.id, ring)?;
        for index in 0..contribution.items {
            let item = match items.open(index) {
                Ok(item) => item,
                Err(VaultError::Erased { .. }) => continue,
                Err(error) => return Err(error.into()),
            };
            facts.push((item.meta.facts.leaf(), item.meta.source, item.meta.duplicate.is_some()));
            texts.push(item.text);
            if texts.len() == BATCH {
                embed(&mut texts, &mut vectors)?;
                progress(facts.len());
            }
        }
    }
    embed(&mut texts, &mut vectors)?;
    let pair = |found: paraphrase::Paraphrase| {
        let (leaf, source, near_duplicate) = facts[found.item].clone();
        let (of, of_source, _) = facts[found.of].clone();
        Pair { leaf, source, of, of_source, similarity: found.similarity, near_duplicate }
    };
    let pairs = paraphrase::paraphrases(vectors, least).into_iter().map(pair).collect();
    Ok(ParaphraseReport { items: facts.len(), pairs })
}
