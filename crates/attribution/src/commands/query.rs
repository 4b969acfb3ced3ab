//! `attribute query`: who an answer owes.

use super::{CommandError, cache::NAMES_FILE, cache::Names, load};
use crate::{
    influence::{
        cache::{Cache, CacheError},
        language::{Language, answer_spans},
        query::{Attribution, UnitScore, attribute, highest},
    },
    shares::Outcome,
};
use model::Example;
use ops::Ctx;
use primitives::{Amount, B256};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// What to ask.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct QueryRequest {
    /// The model's directory.
    pub model: PathBuf,
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
    let loaded = load(&request.model)?;
    let cache = Cache::open(&request.cache)?;
    let names = read_names(&request.cache, &cache)?;
    let (prompt, answer) = (loaded.encode(&request.prompt)?, loaded.encode(&request.answer)?);
    if answer.is_empty() {
        return Err(CommandError::EmptyAnswer);
    }
    let language = Language::new(&loaded.model);
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
    let contributors = got.contributors.iter().take(request.top.max(1)).map(|c| ContributorReport {
        owner: names.owners.get(c.owner as usize).cloned().unwrap_or_default(),
        influence: c.influence,
        share: c.share,
        pay: c.pay,
    });
    Ok(QueryReport {
        cache: got.cache,
        digest: got.digest(),
        outcome: got.shares.outcome,
        contributors: contributors.collect(),
        units: highest(&got.scores, request.top).iter().map(unit).collect(),
        spans,
        treasury: got.shares.treasury,
        seconds,
    })
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
    let empty = Names { owners: vec![], documents: vec![], units: vec![] };
    let names: Names = serde_json::from_slice(&text).unwrap_or(empty.clone());
    Ok(if names.units.len() == cache.units().len() { names } else { empty })
}
