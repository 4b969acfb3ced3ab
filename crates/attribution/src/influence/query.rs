//! From an answer to scores, and from scores to shares.
//!
//! One backward pass over prompt and answer, for the loss of the answer's tokens; its rows are projected and clipped as training
//! rows are, summed per span of rows, and multiplied with the cached influence features. Scores are divided by the length of the
//! answer's own gradient (each layer over its mean eigenvalue), which depends on nothing but the answer.
//!
//! A span's score is the part of the total that flows through the span's rows; the spans' scores add up to the total.

use super::{
    cache::{Cache, CacheError, UnitMeta},
    taps::Tapped,
};
use crate::shares::{self, Outcome, Scored, Shares};
use ops::{Ctx, matmul_nt};
use primitives::{Amount, B256, Domain, encoding::Writer, hash};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Most spans one answer is cut into.
pub const MAX_SPANS: usize = 64;
/// Units named for one span.
pub const UNITS_PER_SPAN: usize = 3;

/// Rows of an answer that are scored together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SpanScore {
    /// Rows of the backward pass (positions of tokens).
    pub rows: Range<usize>,
    /// Units with the highest scores through these rows.
    pub units: Vec<UnitScore>,
}

/// A unit and its score.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct UnitScore {
    /// Index of the unit.
    pub unit: u32,
    /// Its score; positive means that the unit made the answer likelier.
    pub score: f64,
}

/// What one contributor is owed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ContributorScore {
    /// Index of the contributor.
    pub owner: u32,
    /// Sum of its units' scores, signs and all: the estimate of its influence.
    pub influence: f64,
    /// Its part of the paid weights, 0 to 1. For people: the integers are in [`Attribution::shares`].
    pub share: f64,
    /// What it is paid.
    pub pay: Amount,
}

/// Who an answer owes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attribution {
    /// Root of the cache that was asked.
    pub cache: B256,
    /// What each unit is paid by, in the cache's order: its influence less its own committed noise floor.
    pub scores: Vec<f64>,
    /// Influence of each unit, signs and all: the estimate itself.
    pub influence: Vec<f64>,
    /// Spans of the answer.
    pub spans: Vec<SpanScore>,
    /// Every contributor with influence or pay, most paid first.
    pub contributors: Vec<ContributorScore>,
    /// Integer weights and pay of each unit.
    pub shares: Shares,
}

impl Attribution {
    /// Commits to the scores' bits, the weights and the pay.
    pub fn digest(&self) -> B256 {
        let mut writer = Writer::new();
        writer.hash(&self.cache);
        writer.list(&self.scores, |w, score| {
            w.f64_bits(*score);
        });
        writer.list(&self.influence, |w, score| {
            w.f64_bits(*score);
        });
        writer.list(&self.shares.weights, |w, weight| {
            w.u128(*weight);
        });
        writer.list(&self.shares.pay, |w, pay| {
            w.u128(pay.0);
        });
        writer.u128(self.shares.treasury.0);
        hash::hash(Domain::Attribution, writer.as_bytes())
    }

    /// Whether anyone is owed anything.
    pub fn has_evidence(&self) -> bool {
        self.shares.outcome == Outcome::Paid
    }
}

/// `queries . features`: `[queries, rows]` from `[queries, width]` and `[rows, width]`. A score's bits depend on its two rows alone.
pub(super) fn score_rows(ctx: &Ctx, queries: &[f32], features: &[f32], width: usize) -> Vec<f32> {
    let (m, n) = (queries.len() / width, features.len() / width);
    let mut scores = vec![0.0; m * n];
    matmul_nt(ctx, m, n, width, queries, width, features, width, &mut scores, n, false);
    scores
}

/// Attributes an answer. `spans` are disjoint ranges of rows (token positions of `item`); rows outside them count in the total
/// only. `data_share` is what the fee leaves for data.
pub fn attribute<M: Tapped>(
    ctx: &Ctx,
    cache: &Cache,
    model: &M,
    item: &M::Item,
    spans: &[Range<usize>],
    data_share: Amount,
) -> Result<Attribution, CacheError> {
    let scores = score(ctx, cache, model, item, spans)?;
    settle(cache, scores, spans, data_share)
}

/// Normalised scores: the total's row, then one row a span.
#[derive(Clone, Debug)]
pub struct Scores {
    total: Vec<f64>,
    of_spans: Vec<Vec<f64>>,
}

impl Scores {
    /// Score of each unit for the whole answer.
    pub fn total(&self) -> &[f64] {
        &self.total
    }
}

/// Scores of every unit for an answer.
pub fn score<M: Tapped>(
    ctx: &Ctx,
    cache: &Cache,
    model: &M,
    item: &M::Item,
    spans: &[Range<usize>],
) -> Result<Scores, CacheError> {
    let (commitment, width) = (&cache.commitment, cache.projector.width());
    let identity = model.identity();
    if identity != commitment.model {
        return Err(CacheError::OtherModel { cached: commitment.model, model: identity });
    }
    let rows = cache.projector.rows(ctx, model, item)?;
    let spans = &spans[..spans.len().min(MAX_SPANS)];
    let mut queries = vec![0.0; (1 + spans.len()) * width];
    let ranges = std::iter::once(0..rows.count).chain(spans.iter().cloned());
    for (range, query) in ranges.zip(queries.chunks_exact_mut(width)) {
        let range = range.start.min(rows.count)..range.end.clamp(range.start, rows.count);
        cache.projector.feature(ctx, &rows, range, commitment.clip, query);
    }
    let length = cache.inverse.length(ctx, &queries[..width], commitment.unit_scale);
    let mut of_queries = vec![Vec::with_capacity(cache.parts.rows()); 1 + spans.len()];
    for shard in &cache.shards {
        let scores = score_rows(ctx, &queries, shard, width);
        let rows = shard.len() / width;
        for (row, all) in scores.chunks_exact(rows).zip(&mut of_queries) {
            // An answer without any gradient gives no evidence, and no division by zero.
            all.extend(row.iter().map(|x| if length > 0.0 { f64::from(*x) / length } else { 0.0 }));
        }
    }
    let mut of_queries: Vec<Vec<f64>> = of_queries.iter().map(|rows| cache.of_units(rows)).collect();
    let total = of_queries.remove(0);
    Ok(Scores { total, of_spans: of_queries })
}

/// Divides the data share by scores.
pub fn settle(
    cache: &Cache,
    scores: Scores,
    spans: &[Range<usize>],
    data_share: Amount,
) -> Result<Attribution, CacheError> {
    let payable = cache.payable(&scores.total);
    let scored: Vec<Scored> = payable
        .iter()
        .zip(&cache.units)
        .map(|(score, unit)| Scored {
            score: *score,
            tokens: unit.tokens,
            novelty: unit.novelty,
            owner: unit.owner,
        })
        .collect();
    let shares = shares::divide(&cache.commitment.rule, &scored, data_share)?;
    let spans = spans
        .iter()
        .zip(&scores.of_spans)
        .map(|(rows, scores)| SpanScore { rows: rows.clone(), units: highest(scores, UNITS_PER_SPAN) })
        .collect();
    let contributors = contributors(&scored, &scores.total, &shares);
    let influence = scores.total;
    Ok(Attribution { cache: cache.commitment.root, scores: payable, influence, spans, contributors, shares })
}

impl Cache {
    /// Values of units from values of rows: by each unit's part of its row's tokens.
    fn of_units(&self, rows: &[f64]) -> Vec<f64> {
        let mut values = Vec::with_capacity(self.units.len());
        for (row, units) in rows.iter().zip(self.parts.each()) {
            if units.len() == 1 {
                values.push(*row);
                continue;
            }
            let tokens: u64 = self.units[units.clone()].iter().map(|unit| u64::from(unit.tokens)).sum();
            let part = |unit: &UnitMeta| row * (f64::from(unit.tokens) / tokens as f64);
            values.extend(self.units[units].iter().map(part));
        }
        values
    }

    /// What units are paid by: their scores less their own noise floors.
    pub fn payable(&self, scores: &[f64]) -> Vec<f64> {
        let multiple = f64::from(self.commitment.options.own_floor_percent) / 100.0;
        let floors: Vec<f64> = self.noise.iter().map(|noise| f64::from(*noise) * multiple).collect();
        scores.iter().zip(self.of_units(&floors)).map(|(score, floor)| score - floor).collect()
    }
}

/// The units with the highest positive scores, highest first, the earlier one on a tie.
pub fn highest(scores: &[f64], count: usize) -> Vec<UnitScore> {
    let mut units: Vec<UnitScore> = (0u32..)
        .zip(scores)
        .filter(|(_, score)| **score > 0.0)
        .map(|(unit, score)| UnitScore { unit, score: *score })
        .collect();
    let order = |a: &UnitScore, b: &UnitScore| b.score.total_cmp(&a.score).then(a.unit.cmp(&b.unit));
    if units.len() > count && count > 0 {
        units.select_nth_unstable_by(count - 1, order);
        units.truncate(count);
    }
    units.sort_by(order);
    units.truncate(count);
    units
}

fn contributors(scored: &[Scored], influences: &[f64], shares: &Shares) -> Vec<ContributorScore> {
    let mut by_owner = std::collections::BTreeMap::<u32, (f64, u128, u128)>::new();
    let of_units = scored.iter().zip(influences).zip(&shares.weights).zip(&shares.pay);
    for (((unit, own), weight), pay) in of_units {
        let (influence, weights, paid) = by_owner.entry(unit.owner).or_default();
        *influence += own;
        *weights += weight;
        *paid += pay.0;
    }
    let total = shares.total_weight;
    let share = |weight: u128| if total == 0 { 0.0 } else { weight as f64 / total as f64 };
    let mut contributors: Vec<ContributorScore> = by_owner
        .into_iter()
        .map(|(owner, (influence, weight, pay))| ContributorScore {
            owner,
            influence,
            share: share(weight),
            pay: Amount(pay),
        })
        .collect();
    contributors.sort_by(|a, b| {
        b.pay.cmp(&a.pay).then(b.share.total_cmp(&a.share)).then(b.influence.total_cmp(&a.influence))
    });
    contributors
}
