//! `attribute query`: who an answer owes.

use super::{CommandError, cache::NAMES_FILE, cache::Names, load};
use crate::{
    influence::{
        cache::{Cache, CacheError, UnitMeta},
        language::answer_spans,
        query::{Attribution, UnitScore, attribute, highest, of_all},
    },
    metrics::{BOOTSTRAP_SAMPLES, percentiles},
    shares::Outcome,
    valuation::semivalues::Draws,
};
use model::Example;
use ops::Ctx;
use primitives::{Amount, B256};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, path::PathBuf};

/// What to ask.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct QueryRequest {
    /// The model's directory.
    pub model: PathBuf,
    /// Directory of the adapter that was trained over the model; its factors are then what is attributed.
    #[serde(default)]
    pub adapter: Option<PathBuf>,
    /// Directories of earlier checkpoints of its training, the mean of whose weights gradients are taken of; the model's own if there is none.
    #[serde(default)]
    pub attributed: Vec<PathBuf>,
    /// The cache's folder.
    pub cache: PathBuf,
    /// What the model was given.
    pub prompt: String,
    /// What it answered.
    pub answer: String,
    /// Data share of the fee.
    pub data_share: Amount,
    /// Units named.
    pub top: usize,
    /// Tokens of a span.
    pub tokens_per_span: usize,
}

/// One contributor's part.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ContributorReport {
    /// Who.
    pub owner: String,
    /// Sum of its units' scores.
    pub influence: f64,
    /// Its part of the paid weights.
    pub share: f64,
    /// Bounds of that part (95 %) when whole documents are drawn anew, with replacement: how much it hangs on few of them.
    pub low: f64,
    /// The upper one.
    pub high: f64,
    /// What it is paid.
    pub pay: Amount,
}

/// One training unit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UnitReport {
    /// Index in the cache.
    pub unit: u32,
    /// Its document.
    pub document: String,
    /// Its owner.
    pub owner: String,
    /// How its text starts.
    pub preview: String,
    /// Its score.
    pub score: f64,
    /// Its pay.
    pub pay: Amount,
}

/// One stretch of the answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SpanReport {
    /// Its text.
    pub text: String,
    /// Units with the most influence through it.
    pub units: Vec<UnitReport>,
}

/// Who an answer owes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct QueryReport {
    /// Root of the cache.
    pub cache: B256,
    /// Commits to scores, weights and pay.
    pub digest: B256,
    /// Whether there was evidence.
    pub outcome: Outcome,
    /// Paid contributors, most first; then the ones with most influence.
    pub contributors: Vec<ContributorReport>,
    /// Units with the highest scores.
    pub units: Vec<UnitReport>,
    /// The answer, span by span.
    pub spans: Vec<SpanReport>,
    /// What is not paid to contributors.
    pub treasury: Amount,
    /// Time of the query, opening the cache not counted.
    pub seconds: f64,
}

/// Attributes an answer.
pub fn query(ctx: &Ctx, request: &QueryRequest) -> Result<QueryReport, CommandError> {
    let loaded = load(&request.model, request.adapter.as_deref(), &request.attributed)?;
    let cache = Cache::open(&request.cache)?;
    let names = read_names(&request.cache, &cache)?;
    // Of an exchange the answer is trimmed, and an end token alone is no answer.
    let said = if names.exchanges { request.answer.trim() } else { &request.answer };
    if loaded.encode(said)?.is_empty() {
        return Err(CommandError::EmptyAnswer);
    }
    let asked = match names.exchanges {
        true => loaded.exchange(&request.prompt, &request.answer)?,
        false => None,
    };
    let (prompt, answer) = match asked {
        Some(exchange) => (exchange.prompt, exchange.answer),
        None => (loaded.encode(&request.prompt)?, loaded.encode(&request.answer)?),
    };
    let language = loaded.language();
    let start = std::time::Instant::now();
    let spans = answer_spans(prompt.len(), answer.len(), request.tokens_per_span);
    let example = Example::answer(&prompt, &answer);
    let got = attribute(ctx, &cache, &language, &example, &spans, request.data_share)?;
    let seconds = start.elapsed().as_secs_f64();
    let tokens = [prompt, answer].concat();
    let unit = |scored: &UnitScore| describe(&cache, &names, &got, scored);
    let spans = got
        .spans
        .iter()
        .map(|span| {
            // The row before a token predicts it.
            let text = loaded.decode(&tokens[span.rows.start + 1..(span.rows.end + 1).min(tokens.len())]);
            SpanReport { text, units: span.units.iter().map(unit).collect() }
        })
        .collect();
    let intervals = share_intervals(cache.units(), &got.shares.weights);
    let contributors = got.contributors.iter().take(request.top.max(1)).map(|c| {
        let (low, high) = intervals.get(&c.owner).copied().unwrap_or((0.0, 0.0));
        ContributorReport {
            owner: names.owners.get(c.owner as usize).cloned().unwrap_or_default(),
            influence: c.influence,
            share: c.share,
            low,
            high,
            pay: c.pay,
        }
    });
    Ok(QueryReport {
        cache: got.cache,
        digest: got.digest(),
        outcome: got.shares.outcome,
        contributors: contributors.collect(),
        units: highest(of_all(&got.scores), request.top).iter().map(unit).collect(),
        spans,
        treasury: got.shares.treasury,
        seconds,
    })
}

/// 95 % of each owner's share over bootstraps of documents; empty without evidence.
fn share_intervals(units: &[UnitMeta], weights: &[u128]) -> BTreeMap<u32, (f64, f64)> {
    // Only documents with weight move a share.
    let mut documents = BTreeMap::<(u32, u32), f64>::new();
    for (unit, weight) in units.iter().zip(weights).filter(|(_, weight)| **weight > 0) {
        *documents.entry((unit.owner, unit.document)).or_default() += *weight as f64;
    }
    let documents: Vec<(u32, f64)> = documents.into_iter().map(|((owner, _), w)| (owner, w)).collect();
    let mut shares = BTreeMap::<u32, Vec<f64>>::new();
    for sample in 0..BOOTSTRAP_SAMPLES {
        let mut draws = Draws::new(0, sample);
        let mut drawn = BTreeMap::<u32, f64>::new();
        let mut total = 0.0;
        for _ in 0..documents.len() {
            let (owner, weight) = documents[draws.below(documents.len() as u64) as usize];
            *drawn.entry(owner).or_default() += weight;
            total += weight;
        }
        for (owner, _) in &documents {
            shares.entry(*owner).or_default();
        }
        for (owner, all) in &mut shares {
            all.push(drawn.get(owner).map_or(0.0, |weight| weight / total));
        }
    }
    let bounds = |mut all: Vec<f64>| {
        all.sort_by(f64::total_cmp);
        percentiles(&all)
    };
    shares.into_iter().map(|(owner, all)| (owner, bounds(all))).collect()
}

fn describe(cache: &Cache, names: &Names, got: &Attribution, scored: &UnitScore) -> UnitReport {
    let index = scored.unit as usize;
    let meta = cache.units()[index];
    UnitReport {
        unit: scored.unit,
        document: names.documents.get(meta.document as usize).cloned().unwrap_or_default(),
        owner: names.owners.get(meta.owner as usize).cloned().unwrap_or_default(),
        preview: names.units.get(index).cloned().unwrap_or_default(),
        score: scored.score,
        pay: got.shares.pay[index],
    }
}

/// Names are for people: a missing or unfitting file leaves them empty rather than failing the query.
fn read_names(folder: &std::path::Path, cache: &Cache) -> Result<Names, CacheError> {
    let text = std::fs::read(folder.join(NAMES_FILE)).unwrap_or_default();
    let empty = Names { owners: vec![], documents: vec![], units: vec![], exchanges: false };
    let names: Names = serde_json::from_slice(&text).unwrap_or(empty.clone());
    Ok(if names.units.len() == cache.units().len() { names } else { empty })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_that_hangs_on_one_document_is_less_sure_than_one_of_many() {
        let unit = |document: u32, owner: u32| UnitMeta {
            id: B256::ZERO,
            document,
            owner,
            tokens: 1,
            novelty: crate::shares::NOVELTY_ONE,
        };
        // Owner 0: one document of weight 20. Owner 1: twenty of weight 1. Owner 2 has no weight.
        let units: Vec<UnitMeta> = (0..22).map(|d| unit(d, u32::from(d > 0) + u32::from(d == 21))).collect();
        let weights: Vec<u128> =
            (0..22).map(|d| [20, 1, 0][usize::from(d > 0) + usize::from(d == 21)]).collect();
        let found = share_intervals(&units, &weights);
        let (low, high) = found[&0];
        assert!(low == 0.0 && high > 0.6 && high < 1.0, "{found:?}");
        assert!(!found.contains_key(&2));
        assert!((found[&1].0 - (1.0 - high)).abs() < 1e-12);
        assert!(share_intervals(&units, &[0; 22]).is_empty());
    }
}
