//! The constants a cache commits to: the clip of a token's gradient, and the floor and cap of shares.
//!
//! Both come from a sample of units spread over the committed order. Scores of a sample unit on units of *other documents*,
//! per full unit's length, are mostly noise: their median magnitude is the scale of the floor. The floor is fixed
//! before the first query, so nothing in a query can move it.

use super::{
    Options, Unit, UnitMeta,
    files::{Block, CacheError, Plan, shard_count},
};
use crate::{
    influence::{curvature::Inverse, projection::Projector, query::score_rows, taps::Tapped},
    shares::{MAX_SCALE_BITS, Rule},
};
use ops::Ctx;
use rayon::prelude::*;

/// Where the noise scale lies once it is an integer: at least 2 to this power, below its double.
const NOISE_BITS: i32 = 20;

/// Multiple of the median norm of the sample's projected token gradients.
pub(super) fn clip_constant<M: Tapped>(
    ctx: &Ctx,
    model: &M,
    units: &[Unit<'_, M::Item>],
    options: &Options,
    projector: &Projector,
) -> Result<f64, CacheError> {
    let single = ctx.with_threads(1);
    let sample = Plan::sample(units.len(), options);
    let norms: Vec<Vec<f64>> = sample
        .par_iter()
        .map(|unit| {
            projector
                .rows(&single, model, units[*unit].item)
                .map(|rows| rows.norms)
                .map_err(|source| CacheError::Unit { unit: *unit, source })
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

/// Floor, cap and scale from the scores that the sample gives the units of other documents.
pub(super) fn calibrate(
    ctx: &Ctx,
    metas: &[UnitMeta],
    options: &Options,
    inverse: &Inverse,
    unit_scale: f64,
    row: impl Fn(usize) -> Result<Vec<f32>, CacheError>,
    shard: impl Fn(usize) -> Result<Block, CacheError>,
) -> Result<Rule, CacheError> {
    let sample = Plan::sample(metas.len(), options);
    let mut queries = vec![];
    let mut lengths = vec![];
    for unit in &sample {
        let feature = row(*unit)?;
        lengths.push(inverse.length(ctx, &feature, unit_scale));
        queries.extend(feature);
    }
    let mut noise = vec![];
    for index in 0..shard_count(metas.len(), options) {
        let block = shard(index)?;
        let scores = score_rows(ctx, &queries, &block.data, block.width);
        let rows = block.rows();
        for (q, length) in lengths.iter().enumerate().filter(|(_, length)| **length > 0.0) {
            let document = metas[sample[q]].document;
            for (score, meta) in scores[q * rows..(q + 1) * rows].iter().zip(&metas[block.first as usize..]) {
                if meta.document != document || metas.len() == 1 {
                    let per_token = f64::from(*score).abs() / length / f64::from(meta.tokens);
                    noise.push(per_token * f64::from(options.unit_tokens));
                }
            }
        }
    }
    // One document alone: nothing but itself to compare with.
    let noise = median(&mut noise).filter(|noise| *noise > 0.0).unwrap_or(1.0);
    rule_of(noise, options)
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
