//! How good an attribution is, measured and never assumed.
//!
//! - [`lds`]: does the sum of scores over a subset predict what retraining on the subset does? (Park et al., "TRAK", ICML
//!   2023, section 2: the linear datamodeling score.) With a bootstrap interval.
//! - [`leave_one_out_correlation`]: the same for removing one item.
//! - [`auc`]: does a score separate mislabelled rows from clean ones?
//! - [`removal_curve`]: how quality falls as the highest-scored items are removed.
//! - [`source_identification`]: how often the right contributor comes first.
//!
//! Ranks share ties by their mean. Floats here are reported, never paid.

mod lds;
mod ranks;
mod separation;

pub use lds::{LdsError, LdsReport, Retraining, lds};
pub use ranks::{pearson, ranks, spearman};
pub use separation::{CurvePoint, SourceReport, auc, removal_curve, source_identification};

use crate::valuation::semivalues::Draws;
use serde::{Deserialize, Serialize};

/// A measured value with a 95 % bootstrap interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The value on all of the data.
    pub value: f64,
    /// 2.5th percentile of the resampled values.
    pub low: f64,
    /// 97.5th percentile.
    pub high: f64,
}

/// Resamplings of a bootstrap.
pub const BOOTSTRAP_SAMPLES: u64 = 1000;

/// Mean with a percentile bootstrap over its terms. Of no terms: all zero.
pub fn bootstrap_mean(terms: &[f64], seed: u64) -> Interval {
    if terms.is_empty() {
        return Interval { value: 0.0, low: 0.0, high: 0.0 };
    }
    let mean = |sum: f64| sum / terms.len() as f64;
    let mut resampled: Vec<f64> = (0..BOOTSTRAP_SAMPLES)
        .map(|sample| {
            let mut draws = Draws::new(seed, sample);
            mean((0..terms.len()).fold(0.0, |sum, _| sum + terms[draws.below(terms.len() as u64) as usize]))
        })
        .collect();
    resampled.sort_by(f64::total_cmp);
    let (low, high) = percentiles(&resampled);
    Interval { value: mean(terms.iter().fold(0.0, |sum, x| sum + x)), low, high }
}

/// 2.5th and 97.5th percentile of sorted values.
pub(crate) fn percentiles(sorted: &[f64]) -> (f64, f64) {
    let at = |thousandths: usize| sorted[(sorted.len() - 1) * thousandths / 1000];
    (at(25), at(975))
}

/// Spearman correlation of scores with the measured effects of removing one item each.
pub fn leave_one_out_correlation(scores: &[f64], effects: &[f64]) -> f64 {
    spearman(scores, effects)
}
