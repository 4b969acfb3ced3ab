//! From an answer to scores, and from scores to shares.
//!
//! One backward pass over prompt and answer, for the loss of the answer's tokens; its rows are projected and clipped as training
//! rows are, summed per span of rows, quantised, and multiplied with the cached influence features. Scores are divided by the length of the
//! answer's own gradient (each layer over its mean eigenvalue), which depends on nothing but the answer.
//!
//! A span's score is the part of the total that flows through the span's rows; the spans' scores add up to the total, up to what quantising
//! rounds: gradients of spans, which explain and do not pay, are in one int8 term, the whole answer's in two, and they are multiplied only with the units that the answer
//! owes most ([`SPAN_ROWS`]): a span's sources are among them.
//!
//! Answers that are scored together share one reading of the features ([`score_all`]); each gets the bits that it gets alone.

use super::{
    cache::{Cache, CacheError, Shard, UnitMeta},
    projection::FeatureError,
    taps::Tapped,
};
use crate::shares::{self, Outcome, Scored, Shares};
use ops::{Bits, Ctx, Int8Rows, Int8Weights, check_finite, int8_rows_matmul};
use primitives::{Amount, B256, Domain, encoding::Writer, hash};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Most spans one answer is cut into.
pub const MAX_SPANS: usize = 16;
/// Rows of features that spans are scored with: those with the highest scores of the answer.
pub const SPAN_ROWS: usize = 16;
/// Units named for one span.
pub const UNITS_PER_SPAN: usize = 3;
/// Answers that share one reading of the features: their gradients are in memory together.
pub const MAX_TOGETHER: usize = 8;

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

/// `queries . features`: `[queries, rows]`, from `[queries, width]`. A score's bits depend on its query and its row alone.
pub(super) fn score_rows(ctx: &Ctx, queries: &[f32], shard: &Shard) -> Vec<f32> {
    product(ctx, &two_terms(ctx, shard.features.inputs(), queries), shard)
}

/// `[queries, width]` as a sum of two int8 terms: what rounding leaves of each query is rounded again, in as many rows more. A reading of the features serves both.
fn two_terms(ctx: &Ctx, width: usize, queries: &[f32]) -> Int8Rows {
    let of = |data: &[f32]| Int8Rows::quantise(ctx, data.len() / width, width, data);
    of(&[queries, &of(queries).remainder(queries)].concat())
}

/// `[queries, rows of the shard]`, from queries in two terms.
fn product(ctx: &Ctx, queries: &Int8Rows, shard: &Shard) -> Vec<f32> {
    let mut scores = vec![0.0; queries.rows() * shard.rows()];
    int8_rows_matmul(ctx, queries, &shard.features, &mut scores, false);
    let rest = scores.split_off(scores.len() / 2);
    scores.iter_mut().zip(rest).for_each(|(score, rest)| *score += rest);
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

/// Normalised scores.
#[derive(Clone, Debug)]
pub struct Scores {
    total: Vec<f64>,
    of_spans: Vec<Vec<UnitScore>>,
}

impl Scores {
    /// Score of each unit for the whole answer.
    pub fn total(&self) -> &[f64] {
        &self.total
    }

    /// Through each span, the scores of the units that the answer owes most, in the cache's order.
    pub fn of_spans(&self) -> &[Vec<UnitScore>] {
        &self.of_spans
    }
}

/// An answer to be scored.
#[derive(Debug)]
pub struct Query<'a, Item: ?Sized> {
    /// Prompt and answer.
    pub item: &'a Item,
    /// Disjoint ranges of its rows; at most [`MAX_SPANS`] count.
    pub spans: &'a [Range<usize>],
}

// Derived ones would ask the same of `Item`.
impl<Item: ?Sized> Clone for Query<'_, Item> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<Item: ?Sized> Copy for Query<'_, Item> {}

/// Scores of every unit for an answer.
pub fn score<M: Tapped>(
    ctx: &Ctx,
    cache: &Cache,
    model: &M,
    item: &M::Item,
    spans: &[Range<usize>],
) -> Result<Scores, CacheError> {
    let gradient = gradient(ctx, cache, model, Query { item, spans })?;
    let mut scores = multiply(ctx, cache, &[&gradient]);
    Ok(scores.pop().expect("one answer, one outcome"))
}

/// Scores of every unit for several answers, at most [`MAX_TOGETHER`] in one reading of the features. One that fails does not concern the others.
pub fn score_all<M: Tapped>(
    ctx: &Ctx,
    cache: &Cache,
    model: &M,
    queries: &[Query<'_, M::Item>],
) -> Vec<Result<Scores, CacheError>> {
    let mut outcomes = Vec::with_capacity(queries.len());
    for queries in queries.chunks(MAX_TOGETHER) {
        if let [query] = queries {
            outcomes.push(score(ctx, cache, model, query.item, query.spans));
            continue;
        }
        // Several have a thread each.
        let single = ctx.with_threads(1);
        let gradients: Vec<Result<Gradient, CacheError>> =
            queries.par_iter().map(|query| gradient(&single, cache, model, *query)).collect();
        let good: Vec<&Gradient> = gradients.iter().filter_map(|gradient| gradient.as_ref().ok()).collect();
        let mut scores = multiply(ctx, cache, &good).into_iter();
        let scored = |gradient: Result<Gradient, CacheError>| {
            gradient.map(|_| scores.next().expect("an outcome for each gradient"))
        };
        outcomes.extend(gradients.into_iter().map(scored));
    }
    outcomes
}

/// What is multiplied with the features.
struct Gradient {
    /// `[1 + spans, width]`: of the whole answer, then of each span.
    features: Vec<f32>,
    /// Of the whole answer's.
    length: f64,
}

fn gradient<M: Tapped>(
    ctx: &Ctx,
    cache: &Cache,
    model: &M,
    query: Query<'_, M::Item>,
) -> Result<Gradient, CacheError> {
    let (commitment, width) = (&cache.commitment, cache.projector.width());
    let identity = model.identity();
    if identity != commitment.model {
        return Err(CacheError::OtherModel { cached: commitment.model, model: identity });
    }
    let rows = ops::team(ctx, || cache.projector.rows(ctx, model, query.item))?;
    let spans = &query.spans[..query.spans.len().min(MAX_SPANS)];
    let mut features = vec![0.0; (1 + spans.len()) * width];
    let ranges: Vec<Range<usize>> = std::iter::once(0..rows.count).chain(spans.iter().cloned()).collect();
    // Small products, many of them: a thread each.
    let single = ctx.with_threads(1);
    let sum = |(range, feature): (&Range<usize>, &mut [f32])| {
        let start = range.start.min(rows.count);
        let range = start..range.end.clamp(start, rows.count);
        cache.projector.feature(&single, &rows, range, commitment.clip, feature);
    };
    match ctx.threads() {
        1 => ranges.iter().zip(features.chunks_exact_mut(width)).for_each(sum),
        _ => ranges.par_iter().zip(features.par_chunks_exact_mut(width)).for_each(sum),
    }
    // Quantising would make a number of what is none.
    if check_finite(ctx, &features).is_err() {
        let layer = "all, summed,".to_string();
        return Err(CacheError::Feature(FeatureError::NotFinite { layer }));
    }
    let length = cache.scales.length(ctx, &features[..width], commitment.unit_scale);
    Ok(Gradient { features, length })
}

/// One reading of the features for all `gradients`.
fn multiply(ctx: &Ctx, cache: &Cache, gradients: &[&Gradient]) -> Vec<Scores> {
    let width = cache.projector.width();
    if gradients.is_empty() {
        return Vec::new();
    }
    let wholes: Vec<f32> =
        gradients.iter().flat_map(|gradient| &gradient.features[..width]).copied().collect();
    let mut rows = vec![Vec::with_capacity(cache.parts.rows()); gradients.len()];
    ops::team(ctx, || {
        let wholes = two_terms(ctx, width, &wholes);
        for shard in &cache.shards {
            for (scores, rows) in product(ctx, &wholes, shard).chunks_exact(shard.rows()).zip(&mut rows) {
                rows.extend(scores.iter().map(|score| f64::from(*score)));
            }
        }
    });
    let scored = |(gradient, rows): (&&Gradient, Vec<f64>)| {
        // An answer without any gradient gives no evidence, and no division by zero.
        let normal = |score: f64| if gradient.length > 0.0 { score / gradient.length } else { 0.0 };
        let rows: Vec<f64> = rows.into_iter().map(normal).collect();
        let of_spans = spans(ctx, cache, &gradient.features[width..], &rows, normal);
        Scores { total: cache.of_units(&rows), of_spans }
    };
    gradients.iter().zip(rows).map(scored).collect()
}

/// Scores through each of `spans`, `[spans, width]`, of the units of the rows that score highest in all.
fn spans(
    ctx: &Ctx,
    cache: &Cache,
    spans: &[f32],
    rows: &[f64],
    normal: impl Fn(f64) -> f64,
) -> Vec<Vec<UnitScore>> {
    let width = cache.projector.width();
    let count = spans.len() / width;
    let mut rows: Vec<usize> = highest(of_all(rows), SPAN_ROWS).iter().map(|row| row.unit as usize).collect();
    if rows.is_empty() || count == 0 {
        return vec![Vec::new(); count];
    }
    rows.sort_unstable();
    let features = cache.features(&rows);
    let mut scores = vec![0.0; count * rows.len()];
    int8_rows_matmul(ctx, &Int8Rows::quantise(ctx, count, width, spans), &features, &mut scores, false);
    let of_rows = |scores: &[f32]| {
        let of_row = |(row, score): (&usize, &f32)| cache.of_row(*row, normal(f64::from(*score)));
        rows.iter().zip(scores).flat_map(of_row).collect()
    };
    scores.chunks_exact(rows.len()).map(of_rows).collect()
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
        .map(|(rows, scores)| SpanScore {
            rows: rows.clone(),
            units: highest(scores.iter().copied(), UNITS_PER_SPAN),
        })
        .collect();
    let contributors = contributors(&scored, &scores.total, &shares);
    let influence = scores.total;
    Ok(Attribution { cache: cache.commitment.root, scores: payable, influence, spans, contributors, shares })
}

impl Cache {
    /// Values of units from values of rows: by each unit's part of its row's tokens.
    fn of_units(&self, rows: &[f64]) -> Vec<f64> {
        let of_row = |(row, value): (usize, &f64)| self.of_row(row, *value);
        rows.iter().enumerate().flat_map(of_row).map(|unit| unit.score).collect()
    }

    /// A row's units and their parts of its value.
    fn of_row(&self, row: usize, value: f64) -> impl Iterator<Item = UnitScore> + '_ {
        let units = self.parts.units(row);
        let tokens: u64 = self.units[units.clone()].iter().map(|unit| u64::from(unit.tokens)).sum();
        let alone = units.len() == 1;
        let part = move |unit: &UnitMeta| match alone {
            true => value,
            false => value * (f64::from(unit.tokens) / tokens as f64),
        };
        (units.start as u32..)
            .zip(&self.units[units])
            .map(move |(unit, meta)| UnitScore { unit, score: part(meta) })
    }

    /// The features of some rows.
    fn features(&self, rows: &[usize]) -> Int8Weights {
        let (mut values, mut scales) = (Vec::new(), Vec::new());
        for row in rows {
            let after = self.shards.partition_point(|shard| shard.first <= *row as u64);
            let shard = &self.shards[after - 1];
            let (own, own_scales) = shard.features.row(row - shard.first as usize);
            values.extend(own);
            scales.extend(own_scales);
        }
        Int8Weights::from_rows(Bits::Four, rows.len(), self.projector.width(), &values, &scales)
    }

    /// What units are paid by: their scores less their own noise floors.
    pub fn payable(&self, scores: &[f64]) -> Vec<f64> {
        let multiple = f64::from(self.commitment.options.own_floor_percent) / 100.0;
        let floors: Vec<f64> = self.noise.iter().map(|noise| f64::from(*noise) * multiple).collect();
        scores.iter().zip(self.of_units(&floors)).map(|(score, floor)| score - floor).collect()
    }
}

/// The score of every unit, or of every row.
pub fn of_all(scores: &[f64]) -> impl Iterator<Item = UnitScore> + '_ {
    (0u32..).zip(scores).map(|(unit, score)| UnitScore { unit, score: *score })
}

/// The units with the highest positive scores, highest first, the earlier one on a tie.
pub fn highest(scores: impl Iterator<Item = UnitScore>, count: usize) -> Vec<UnitScore> {
    let mut units: Vec<UnitScore> = scores.filter(|scored| scored.score > 0.0).collect();
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
