//! How good the attribution is, measured on documents that training never saw: how often the contributor who wrote a document
//! ranks first and in the top three by the paid weights, beside BM25 and chance. Ties and answers without evidence count as
//! failures.

use super::{
    corpus::Corpus,
    story::Story,
    train::{Trained, UNIT_TOKENS},
};
use crate::serving::{ServedPart, ServedUnit};
use attribution::{
    bm25::Bm25,
    influence::{
        cache::Cache,
        language::{Language, cut},
        query::attribute,
    },
    metrics::{SourceReport, source_identification},
};
use ops::Ctx;
use primitives::Amount;
use serde::Serialize;

/// Documents measured on, at most.
const MAX_QUERIES: usize = 160;
/// Tokens that a document needs to be measured on.
const MIN_TOKENS: usize = 48;
/// Parts of units that count for BM25 of a contributor: its best ones, as a reader of search results would take them.
const BM25_TOP: usize = 3;
/// What is divided among the units of one document; only ratios matter.
const PURSE: Amount = Amount::open(1);

/// Source identification of one method.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Identified {
    /// Right contributor first.
    pub top1: f64,
    /// Bounds of the bootstrap interval of `top1` (95 %).
    pub top1_interval: (f64, f64),
    /// Right contributor among the first three.
    pub top3: f64,
}

/// The measurement.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Measured {
    /// Held-out documents.
    pub documents: usize,
    /// By the weights that are paid.
    pub paid: Identified,
    /// By text retrieval.
    pub bm25: Identified,
    /// By chance, first.
    pub chance: f64,
}

/// Measures on the held-out documents of `corpus`.
pub fn run(
    ctx: &Ctx,
    corpus: &Corpus,
    trained: &Trained,
    cache: &Cache,
    story: &mut Story,
) -> anyhow::Result<Measured> {
    let checkpoint = trained.serving.checkpoint(&trained.model)?;
    let language = Language::of(&trained.model, None, checkpoint.as_ref());
    let parts: Vec<(&ServedPart, &[u32])> = trained.units.iter().flat_map(ServedUnit::own_tokens).collect();
    let terms: Vec<&[u32]> = parts.iter().map(|(_, tokens)| *tokens).collect();
    let bm25 = Bm25::new(&terms);
    let contributors = corpus.sources.len();
    let (mut paid, mut retrieved, mut truth) = (Vec::new(), Vec::new(), Vec::new());
    for (contributor, document) in interleave(corpus) {
        if truth.len() >= MAX_QUERIES {
            break;
        }
        let tokens = trained.tokenizer.encode(&document.text, false)?;
        // The first unit stands for the document, as for a reader who sees its beginning.
        let Some(example) = cut(&tokens, UNIT_TOKENS).into_iter().next() else { continue };
        if example.targets.len() < MIN_TOKENS {
            continue;
        }
        story.progress(format!(
            "measuring on held-out documents: {} of at most {MAX_QUERIES}",
            truth.len() + 1
        ));
        let attribution = attribute(ctx, cache, &language, &example, &[], PURSE)?;
        let mut totals = vec![0.0; contributors];
        for score in &attribution.contributors {
            totals[score.owner as usize] = score.pay.0 as f64;
        }
        paid.push(totals);
        retrieved.push(best_parts(&bm25.scores(&example.targets), &parts, contributors));
        truth.push(u32::try_from(contributor)?);
    }
    let seed = trained.seed;
    Ok(Measured {
        documents: truth.len(),
        paid: identified(&paid, &truth, seed),
        bm25: identified(&retrieved, &truth, seed),
        chance: 1.0 / contributors.max(1) as f64,
    })
}

/// Held-out documents, one of each contributor in turn, so that a cut leaves all represented.
fn interleave(corpus: &Corpus) -> impl Iterator<Item = (usize, &vault::document::Document)> {
    let rounds = corpus.sources.iter().map(|s| s.held_out.len()).max().unwrap_or(0);
    (0..rounds).flat_map(|round| {
        corpus.sources.iter().enumerate().filter_map(move |(i, s)| s.held_out.get(round).map(|d| (i, d)))
    })
}

/// For each contributor, the sum of its best parts' scores.
fn best_parts(scores: &[f64], parts: &[(&ServedPart, &[u32])], contributors: usize) -> Vec<f64> {
    let mut of_each = vec![Vec::new(); contributors];
    for ((part, _), score) in parts.iter().zip(scores) {
        of_each[part.contributor as usize].push(*score);
    }
    of_each
        .into_iter()
        .map(|mut own| {
            own.sort_by(|a, b| b.total_cmp(a));
            own.iter().take(BM25_TOP).sum()
        })
        .collect()
}

fn identified(totals: &[Vec<f64>], truth: &[u32], seed: u64) -> Identified {
    let report: SourceReport = source_identification(totals, truth, seed);
    let among_three = |(of_query, source): (&Vec<f64>, &u32)| {
        let own = of_query[*source as usize];
        of_query.iter().enumerate().filter(|(i, x)| **x >= own && *i != *source as usize).count() < 3
    };
    let third = totals.iter().zip(truth).filter(|pair| among_three(*pair)).count();
    Identified {
        top1: report.first.value,
        top1_interval: (report.first.low, report.first.high),
        top3: third as f64 / totals.len().max(1) as f64,
    }
}
