//! The linear datamodeling score.

use super::{BOOTSTRAP_SAMPLES, Interval, percentiles, ranks};
use crate::{metrics::pearson, valuation::semivalues::Draws};
use serde::{Deserialize, Serialize};

/// What retraining on subsets did: the ground truth.
#[derive(Clone, Debug)]
pub struct Retraining {
    /// For each subset, the items (or contributors) it was trained on.
    pub subsets: Vec<Vec<u32>>,
    /// `[subset][query]`: how good the retrained model is for the query, higher better (such as minus the loss).
    pub quality: Vec<Vec<f64>>,
}

/// LDS with what it was made of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LdsReport {
    /// Mean over queries of the rank correlation over subsets; the interval resamples queries and subsets.
    pub lds: Interval,
    /// Each query's correlation.
    pub per_query: Vec<f64>,
    /// Number of retrainings.
    pub subsets: usize,
}

/// Why LDS cannot be measured.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LdsError {
    /// Too few retrainings to rank.
    #[error("{0} retrainings cannot be ranked: make at least three")]
    TooFewSubsets(usize),
    /// Lists of different lengths.
    #[error("{what}: {found} instead of {expected}")]
    Shape {
        /// What disagrees.
        what: &'static str,
        /// Its length.
        found: usize,
        /// The length it should have.
        expected: usize,
    },
    /// A subset names an item that has no score.
    #[error("a subset names item {0}, which has no score")]
    UnknownItem(u32),
}

/// LDS of `scores[query][item]` against `truth`. Positive scores mean that the item helps the query.
pub fn lds(scores: &[Vec<f64>], truth: &Retraining, seed: u64) -> Result<LdsReport, LdsError> {
    let subsets = truth.subsets.len();
    if subsets < 3 {
        return Err(LdsError::TooFewSubsets(subsets));
    }
    let shape = |what, found, expected| {
        if found == expected { Ok(()) } else { Err(LdsError::Shape { what, found, expected }) }
    };
    shape("rows of quality", truth.quality.len(), subsets)?;
    for row in &truth.quality {
        shape("queries in a row of quality", row.len(), scores.len())?;
    }
    let mut predicted = Vec::with_capacity(scores.len());
    for of_query in scores {
        let mut sums = Vec::with_capacity(subsets);
        for subset in &truth.subsets {
            let mut sum = 0.0;
            for item in subset {
                sum += of_query.get(*item as usize).ok_or(LdsError::UnknownItem(*item))?;
            }
            sums.push(sum);
        }
        predicted.push(sums);
    }
    let measured: Vec<Vec<f64>> =
        (0..scores.len()).map(|q| truth.quality.iter().map(|row| row[q]).collect()).collect();
    let per_query: Vec<f64> =
        predicted.iter().zip(&measured).map(|(p, m)| pearson(&ranks(p), &ranks(m))).collect();
    let lds = interval(&predicted, &measured, &per_query, seed);
    Ok(LdsReport { lds, per_query, subsets })
}

/// Resamples queries and subsets together. Ranks are taken once: resampled ranks keep their order, which is what the
/// correlation sees.
fn interval(predicted: &[Vec<f64>], measured: &[Vec<f64>], per_query: &[f64], seed: u64) -> Interval {
    let queries = per_query.len();
    if queries == 0 {
        return Interval { value: 0.0, low: 0.0, high: 0.0 };
    }
    let ranked: Vec<(Vec<f64>, Vec<f64>)> =
        predicted.iter().zip(measured).map(|(p, m)| (ranks(p), ranks(m))).collect();
    let subsets = predicted[0].len();
    let mut resampled: Vec<f64> = (0..BOOTSTRAP_SAMPLES)
        .map(|sample| {
            let mut draws = Draws::new(seed, sample);
            let chosen: Vec<usize> = (0..subsets).map(|_| draws.below(subsets as u64) as usize).collect();
            let mut sum = 0.0;
            for _ in 0..queries {
                let (p, m) = &ranked[draws.below(queries as u64) as usize];
                let pick = |of: &[f64]| chosen.iter().map(|i| of[*i]).collect::<Vec<_>>();
                sum += pearson(&pick(p), &pick(m));
            }
            sum / queries as f64
        })
        .collect();
    resampled.sort_by(f64::total_cmp);
    let (low, high) = percentiles(&resampled);
    Interval { value: per_query.iter().fold(0.0, |sum, x| sum + x) / queries as f64, low, high }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 30 half-subsets of 12 items; quality is the sum of the true effects of the members.
    fn truth(effects: &[Vec<f64>]) -> Retraining {
        let subsets: Vec<Vec<u32>> = (0..30)
            .map(|s| {
                let mut draws = Draws::new(5, s);
                (0..12).filter(|_| draws.below(2) == 1).collect()
            })
            .collect();
        let quality = subsets
            .iter()
            .map(|subset| effects.iter().map(|e| subset.iter().map(|i| e[*i as usize]).sum()).collect())
            .collect();
        Retraining { subsets, quality }
    }

    fn effects() -> Vec<Vec<f64>> {
        (0..6u32).map(|q| (0..12u32).map(|i| f64::from((q * 31 + i * 17) % 23) - 9.0).collect()).collect()
    }

    #[test]
    fn the_true_effects_score_one_and_their_negatives_minus_one() {
        let effects = effects();
        let truth = truth(&effects);
        let report = lds(&effects, &truth, 1).unwrap();
        assert!((report.lds.value - 1.0).abs() < 1e-9 && report.lds.low > 0.999);
        let wrong: Vec<Vec<f64>> = effects.iter().map(|q| q.iter().map(|x| -x).collect()).collect();
        assert!((lds(&wrong, &truth, 1).unwrap().lds.value + 1.0).abs() < 1e-9);
    }

    #[test]
    fn scores_without_information_have_an_interval_around_zero() {
        let truth = truth(&effects());
        let noise: Vec<Vec<f64>> = (0..6)
            .map(|q| {
                let mut draws = Draws::new(99, q);
                (0..12).map(|_| draws.below(1000) as f64).collect()
            })
            .collect();
        let report = lds(&noise, &truth, 1).unwrap();
        assert!(report.lds.low < 0.1 && report.lds.high > -0.1 && report.lds.value.abs() < 0.5);
    }

    #[test]
    fn bad_shapes_are_refused() {
        let effects = effects();
        let good = truth(&effects);
        assert_eq!(
            lds(&effects, &Retraining { subsets: vec![vec![0]; 2], quality: vec![] }, 0),
            Err(LdsError::TooFewSubsets(2))
        );
        assert!(matches!(lds(&effects[..2], &good, 0), Err(LdsError::Shape { .. })));
        let mut unknown = good.clone();
        unknown.subsets[0].push(12);
        assert_eq!(lds(&effects, &unknown, 0), Err(LdsError::UnknownItem(12)));
    }
}
