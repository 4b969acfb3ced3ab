//! The constants a cache commits to: the clip of a token's gradient, and the floor and cap of shares.
//!
//! All come from a sample of rows spread over the committed order by tokens. Scores of a sample row on rows of *other documents*,
//! per full unit's length, are mostly noise: their median magnitude is the scale of the common floor, and one row's median magnitude, as the standard deviation
//! of normal noise that has it, is that row's own. A median, because some of the sample may be junk, whose scores are large on everything: however large, they count only by their number. Text that was never learned (junk, random tokens) has a long gradient and large scores on everything: only a floor
//! of its own silences it. Floors are fixed before the first query, so nothing in a query can move them.

use super::{
    Options, UnitMeta,
    files::{CacheError, Plan, shard_count},
    plan::{Parts, tokens_and_novelty},
    shard::Shard,
};
use crate::{
    influence::{curvature::Scales, projection::Projector, query::score_rows, taps::Tapped},
    shares::{MAX_SCALE_BITS, Rule},
};
use ops::Ctx;
use rayon::prelude::*;

/// Where the noise scale lies once it is an integer: at least 2 to this power, below its double.
const NOISE_BITS: i32 = 20;
/// Standard deviation of normal noise over the median of its magnitude.
const DEVIATION_OF_MEDIAN: f64 = 1.4826;

/// Multiple of the median norm of the sample's projected token gradients.
pub(super) fn clip_constant<M: Tapped>(
    ctx: &Ctx,
    model: &M,
    items: &[&M::Item],
    metas: &[UnitMeta],
    parts: &Parts,
    options: &Options,
    projector: &Projector,
) -> Result<f64, CacheError> {
    let single = ctx.with_threads(1);
    let sample = Plan::sample(metas, parts, options);
    let norms: Vec<Vec<f64>> = sample
        .par_iter()
        .map(|row| {
            projector
                .rows(&single, model, items[*row])
                .map(|rows| rows.norms)
                .map_err(|source| CacheError::Unit { unit: parts.units(*row).start, source })
        })
        .collect::<Result<_, _>>()?;
    let mut norms: Vec<f64> = norms.into_iter().flatten().filter(|norm| *norm > 0.0).collect();
    median(&mut norms).map(|m| m * f64::from(options.clip_percent) / 100.0).ok_or(CacheError::Silent)
}

/// Lower median; `None` of nothing.
fn median(values: &mut [f64]) -> Option<f64> {
    if values.is_empty() {
        return None;
    }
    let middle = (values.len() - 1) / 2;
    Some(*values.select_nth_unstable_by(middle, f64::total_cmp).1)
}

/// Floor, cap and scale, and the noise of each row, from the scores that the sample gives the rows of other documents.
#[expect(clippy::too_many_arguments, reason = "what a build has at hand, each once")]
pub(super) fn calibrate(
    ctx: &Ctx,
    metas: &[UnitMeta],
    parts: &Parts,
    options: &Options,
    scales: &Scales,
    unit_scale: f64,
    raw: impl Fn(&[usize]) -> Result<Vec<f32>, CacheError>,
    shard: impl Fn(usize) -> Result<Shard, CacheError>,
) -> Result<(Rule, Vec<f32>), CacheError> {
    let sample = Plan::sample(metas, parts, options);
    let queries = raw(&sample)?;
    let width = queries.len() / sample.len().max(1);
    let of = |feature| scales.length(ctx, feature, unit_scale);
    let lengths: Vec<f64> = queries.chunks_exact(width.max(1)).map(of).collect();
    let documents = |row: usize| {
        let units = &metas[parts.units(row)];
        (units[0].document, units[units.len() - 1].document)
    };
    let apart = |a: (u32, u32), b: (u32, u32)| a.1 < b.0 || b.1 < a.0;
    let (mut noise, mut of_rows) = (vec![], Vec::with_capacity(parts.rows()));
    for index in 0..shard_count(parts.rows(), options) {
        let shard = shard(index)?;
        let scores = score_rows(ctx, &queries, &shard);
        for at in 0..shard.rows() {
            let row = shard.first as usize + at;
            let (tokens, novelty) = tokens_and_novelty(&metas[parts.units(row)]);
            let mut own = vec![];
            for (q, length) in lengths.iter().enumerate().filter(|(_, length)| **length > 0.0) {
                if apart(documents(sample[q]), documents(row)) || parts.rows() == 1 {
                    let score = (f64::from(scores[q * shard.rows() + at]) / length).abs();
                    own.push(score);
                    if novelty > 0.0 {
                        noise.push(score / tokens as f64 * f64::from(options.unit_tokens));
                    }
                }
            }
            of_rows.push((median(&mut own).unwrap_or(0.0) * DEVIATION_OF_MEDIAN) as f32);
        }
    }
    if parts.rows() == 1 {
        // Nothing but itself to compare with: its own score is no noise.
        of_rows = vec![0.0];
    }
    // One document alone: nothing but itself to compare with.
    let noise = median(&mut noise).filter(|noise| *noise > 0.0).unwrap_or(1.0);
    Ok((rule_of(noise, options)?, of_rows))
}

/// The rule whose floor and cap are the options' multiples of `noise`.
pub(super) fn rule_of(noise: f64, options: &Options) -> Result<Rule, CacheError> {
    let (mut scale_bits, mut scaled) = (0, noise);
    let limit = f64::from(1 << NOISE_BITS);
    while scaled < limit && scale_bits < MAX_SCALE_BITS {
        scaled *= 2.0;
        scale_bits += 1;
    }
    let hundredths = |percent: u32| (scaled * f64::from(percent) / 100.0) as u64;
    let rule = Rule {
        scale_bits,
        floor: hundredths(options.floor_percent),
        cap: hundredths(options.cap_percent).max(1),
        unit_tokens: options.unit_tokens,
    };
    rule.check()?;
    Ok(rule)
}
