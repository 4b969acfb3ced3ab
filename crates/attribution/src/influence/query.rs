//! From an answer to scores, and from scores to shares.
//!
//! One backward pass over prompt and answer, for the loss of the answer's tokens; its rows are projected and clipped as training
//! rows are, summed per span of rows, quantised, and multiplied with the cached influence features. Scores are divided by the length of the
//! answer's own gradient (each layer over its mean eigenvalue), which depends on nothing but the answer.
//!
//! A span's score is the part of the total that flows through the span's rows; the spans' scores add up to the total, up to what quantising
//! rounds: spans, which explain and do not pay, are multiplied in one int8 term, the total in two.
//!
//! Answers that are scored together share one reading of the features ([`score_all`]); each gets the bits that it gets alone.

use super::{
    cache::{Cache, CacheError, Shard, UnitMeta, remainder},
    projection::FeatureError,
    taps::Tapped,
};
use crate::shares::{self, Outcome, Scored, Shares};
use ops::{Ctx, Int8Rows, Int8Weights, check_finite, int8_rows_matmul};
use primitives::{Amount, B256, Domain, encoding::Writer, hash};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Most spans one answer is cut into: each costs a reading of the features.
pub const MAX_SPANS: usize = 16;
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

/// Rows of `width` numbers that are multiplied with features: exact ones in two int8 terms, as features are kept, rough ones in one.
struct Multiplicands {
    /// First terms of the exact rows, then their second terms, then the rough rows: one reading of the features' first term serves all.
    all: Int8Rows,
    /// First terms of the exact rows.
    first: Int8Rows,
}

impl Multiplicands {
    fn quantise(ctx: &Ctx, width: usize, exact: &[f32], rough: &[f32]) -> Multiplicands {
        let of = |data: &[f32]| Int8Rows::quantise(ctx, data.len() / width, width, data);
        let rest = remainder(&Int8Weights::quantise(exact.len() / width, width, exact), exact);
        Multiplicands { all: of(&[exact, &rest, rough].concat()), first: of(exact) }
    }

    /// `[exact, rows of the shard]` and `[rough, rows of the shard]`. Of exact rows: first by first, plus first by rest, plus rest by first; what
    /// is left out is rest by rest.
    fn product(&self, ctx: &Ctx, shard: &Shard) -> (Vec<f32>, Vec<f32>) {
        let exact = self.first.rows() * shard.rows();
        let mut scores = vec![0.0; self.all.rows() * shard.rows()];
        int8_rows_matmul(ctx, &self.all, &shard.features, &mut scores, false);
        let rough = scores.split_off(2 * exact);
        let rest = scores.split_off(exact);
        int8_rows_matmul(ctx, &self.first, &shard.rest, &mut scores, true);
        scores.iter_mut().zip(rest).for_each(|(score, rest)| *score += rest);
        (scores, rough)
    }
}

/// `queries . features`: `[queries, rows]`, from `[queries, width]`. A score's bits depend on its query and its row alone.
pub(super) fn score_rows(ctx: &Ctx, queries: &[f32], shard: &Shard) -> Vec<f32> {
    Multiplicands::quantise(ctx, shard.features.inputs(), queries, &[]).product(ctx, shard).0
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

    /// Score of each unit through each span.
    pub fn of_spans(&self) -> &[Vec<f64>] {
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
    let length = cache.inverse.length(ctx, &features[..width], commitment.unit_scale);
    Ok(Gradient { features, length })
}

/// One reading of the features for all `gradients`.
fn multiply(ctx: &Ctx, cache: &Cache, gradients: &[&Gradient]) -> Vec<Scores> {
    let width = cache.projector.width();
    let whole: Vec<f32> =
        gradients.iter().flat_map(|gradient| &gradient.features[..width]).copied().collect();
    let spans: Vec<f32> =
        gradients.iter().flat_map(|gradient| &gradient.features[width..]).copied().collect();
    let of = |count: usize| vec![Vec::with_capacity(cache.parts.rows()); count];
    let (mut of_wholes, mut of_spans) = (of(whole.len() / width), of(spans.len() / width));
    if of_wholes.is_empty() {
        return Vec::new();
    }
    ops::team(ctx, || {
        // Spans explain and do not pay.
        let rows = Multiplicands::quantise(ctx, width, &whole, &spans);
        let each = |scores: Vec<f32>, rows: usize, of: &mut [Vec<f64>]| {
            for (scores, of) in scores.chunks_exact(rows).zip(of) {
                of.extend(scores.iter().map(|score| f64::from(*score)));
            }
        };
        for shard in &cache.shards {
            let (wholes, spans) = rows.product(ctx, shard);
            each(wholes, shard.rows(), &mut of_wholes);
            each(spans, shard.rows(), &mut of_spans);
        }
    });
    let (mut of_wholes, mut of_spans) = (of_wholes.into_iter(), of_spans.into_iter());
    let scored = |gradient: &&Gradient| {
        let length = gradient.length;
        // An answer without any gradient gives no evidence, and no division by zero.
        let normal = |score: f64| if length > 0.0 { score / length } else { 0.0 };
        let of_units = |rows: Vec<f64>| cache.of_units(&rows.into_iter().map(normal).collect::<Vec<f64>>());
        let spans = gradient.features.len() / width - 1;
        Scores {
            total: of_wholes.next().map(of_units).unwrap_or_default(),
            of_spans: of_spans.by_ref().take(spans).map(of_units).collect(),
        }
    };
    gradients.iter().map(scored).collect()
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
