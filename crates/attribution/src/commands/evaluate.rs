//! `attribute evaluate`: how often influence, overlap and chance name the right contributor of held-out text.

use super::{
    CommandError, data, load,
    queries::{self, Stretches},
};
use crate::{
    bm25::Bm25,
    influence::{
        cache::Cache,
        language::cut,
        query::{score, settle},
    },
    metrics::{SourceReport, source_identification},
};
use ops::Ctx;
use primitives::Amount;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Units of a contributor whose scores are added for "top" rankings.
const TOP_UNITS: usize = 5;

/// What to evaluate.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EvaluateRequest {
    /// The model's directory.
    pub model: PathBuf,
    /// Directories of earlier checkpoints of its training, the mean of whose weights gradients are taken of; the model's own if there is none.
    #[serde(default)]
    pub attributed: Vec<PathBuf>,
    /// The cache's folder.
    pub cache: PathBuf,
    /// The documents the cache was built from, for BM25.
    pub documents: PathBuf,
    /// Documents by the same owners that the model has not seen.
    pub held_out: PathBuf,
    /// Tokens of a prompt.
    pub prompt_tokens: usize,
    /// Tokens of the text after it, taken as the answer.
    pub answer_tokens: usize,
    /// Queries taken from one document, at most.
    pub per_document: usize,
}

/// One method's result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MethodReport {
    /// What was ranked by what.
    pub method: String,
    /// How often the right source came first.
    pub source: SourceReport,
}

/// What was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EvaluateReport {
    /// Queries.
    pub queries: usize,
    /// Owners.
    pub owners: usize,
    /// Each method, influence first.
    pub methods: Vec<MethodReport>,
    /// Answers for which nobody was paid.
    pub without_evidence: usize,
    /// Median time of a query.
    pub median_seconds: f64,
}

/// Evaluates a cache; `progress` is told queries done and in all.
pub fn evaluate(
    ctx: &Ctx,
    request: &EvaluateRequest,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<EvaluateReport, CommandError> {
    let loaded = load(&request.model, None, &request.attributed)?;
    let cache = Cache::open(&request.cache)?;
    let documents = data::documents(&request.documents)?;
    let held_out = data::documents(&request.held_out)?;
    let owners = documents.owners.len();
    let EvaluateRequest { prompt_tokens, answer_tokens, per_document, .. } = *request;
    let stretches = Stretches { prompt_tokens, answer_tokens, per_document };
    let queries = queries::held_out(&loaded, &documents, &held_out, &stretches)?;
    let unit_tokens = cache.commitment().options.unit_tokens as usize;
    let mut terms = vec![];
    let mut owner_of_unit = vec![];
    for document in &documents.list {
        for example in cut(&loaded.encode(&document.text)?, unit_tokens) {
            terms.push(example.tokens);
            owner_of_unit.push(document.owner);
        }
    }
    let (bm25, language) = (Bm25::new(&terms), loaded.language());
    let names =
        ["influence: paid shares", "influence: top units", "BM25: top units (overlap, not influence)"];
    let mut totals = vec![vec![]; names.len()];
    let (mut times, mut without_evidence) = (vec![], 0);
    for (done, query) in queries.iter().enumerate() {
        let start = std::time::Instant::now();
        let scores = score(ctx, &cache, &language, &query.example, &[])?;
        times.push(start.elapsed().as_secs_f64());
        let cached_owner: Vec<u32> = cache.units().iter().map(|unit| unit.owner).collect();
        totals[1].push(top(&cached_owner, owners, scores.total()));
        let settled = settle(&cache, scores, &[], Amount::open(1))?;
        without_evidence += usize::from(!settled.has_evidence());
        let mut paid = vec![0.0; owners];
        for (owner, weight) in cached_owner.iter().zip(&settled.shares.weights) {
            paid[*owner as usize] += *weight as f64;
        }
        totals[0].push(paid);
        totals[2].push(top(&owner_of_unit, owners, &bm25.scores(&query.tokens)));
        progress(done + 1, queries.len());
    }
    let truth: Vec<u32> = queries.iter().map(|query| query.owner).collect();
    let methods = names
        .iter()
        .zip(&totals)
        .map(|(name, totals)| MethodReport {
            method: (*name).into(),
            source: source_identification(totals, &truth, 1),
        })
        .collect();
    times.sort_by(f64::total_cmp);
    let median_seconds = times[times.len() / 2];
    Ok(EvaluateReport { queries: queries.len(), owners, methods, without_evidence, median_seconds })
}

/// Sum of each owner's highest scores.
fn top(owner_of: &[u32], owners: usize, scores: &[f64]) -> Vec<f64> {
    let mut lists = vec![vec![]; owners];
    for (owner, score) in owner_of.iter().zip(scores) {
        lists[*owner as usize].push(*score);
    }
    let highest = |mut list: Vec<f64>| {
        list.sort_by(|a, b| b.total_cmp(a));
        list.iter().take(TOP_UNITS).fold(0.0, |sum, x| sum + x)
    };
    lists.into_iter().map(highest).collect()
}
