//! Ordering measures: AUC, removal curves, who comes first.

use super::{Interval, bootstrap_mean, ranks};
use serde::{Deserialize, Serialize};

/// Probability that a positive has a higher score than a negative, ties counting half. `None` when either
/// side is empty.
///
/// # Panics
/// When the lengths differ.
pub fn auc(scores: &[f64], positive: &[bool]) -> Option<f64> {
    assert_eq!(scores.len(), positive.len(), "one flag a score");
    let positives = positive.iter().filter(|p| **p).count() as f64;
    let negatives = positive.len() as f64 - positives;
    if positives == 0.0 || negatives == 0.0 {
        return None;
    }
    let rank_sum = ranks(scores).iter().zip(positive).filter(|(_, p)| **p).fold(0.0, |sum, (r, _)| sum + r);
    Some((rank_sum - positives * (positives + 1.0) / 2.0) / (positives * negatives))
}

/// Quality after some items are gone.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CurvePoint {
    /// Items removed.
    pub removed: usize,
    /// What `quality` says of the rest.
    pub quality: f64,
}

/// Removes items, highest score first, in `steps` equal parts up to `fraction` of them, and measures each time.
pub fn removal_curve(
    scores: &[f64],
    fraction: f64,
    steps: usize,
    mut quality: impl FnMut(&[u32]) -> f64,
) -> Vec<CurvePoint> {
    let mut order: Vec<u32> = (0..scores.len() as u32).collect();
    order.sort_by(|a, b| scores[*b as usize].total_cmp(&scores[*a as usize]).then(a.cmp(b)));
    let last = (scores.len() as f64 * fraction.clamp(0.0, 1.0)) as usize;
    (0..=steps.max(1))
        .map(|step| {
            let removed = last * step / steps.max(1);
            let mut kept = order[removed..].to_vec();
            kept.sort_unstable();
            CurvePoint { removed, quality: quality(&kept) }
        })
        .collect()
}

/// How often the right contributor is named.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SourceReport {
    /// Share of queries whose true source has the highest total.
    pub first: Interval,
    /// Mean of 1 / place of the true source.
    pub reciprocal_rank: Interval,
    /// Share that choosing at random would get right.
    pub chance: f64,
    /// Queries.
    pub queries: usize,
}

/// Source identification from `totals[query][contributor]` and the true contributor of each query. A tie with the
/// true source counts against it.
///
/// # Panics
/// When the lengths differ or a true source has no total.
pub fn source_identification(totals: &[Vec<f64>], truth: &[u32], seed: u64) -> SourceReport {
    assert_eq!(totals.len(), truth.len(), "one true source a query");
    let places: Vec<usize> = totals
        .iter()
        .zip(truth)
        .map(|(of_query, source)| {
            let own = of_query[*source as usize];
            let ahead = of_query.iter().enumerate().filter(|(i, x)| **x >= own && *i != *source as usize);
            1 + ahead.count()
        })
        .collect();
    let first: Vec<f64> = places.iter().map(|place| if *place == 1 { 1.0 } else { 0.0 }).collect();
    let reciprocal: Vec<f64> = places.iter().map(|place| 1.0 / *place as f64).collect();
    let contributors = totals.first().map_or(0, Vec::len);
    SourceReport {
        first: bootstrap_mean(&first, seed),
        reciprocal_rank: bootstrap_mean(&reciprocal, seed),
        chance: if contributors == 0 { 0.0 } else { 1.0 / contributors as f64 },
        queries: totals.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn auc_is_the_share_of_ordered_pairs(rows in prop::collection::vec((0..20i8, any::<bool>()), 1..40)) {
            let scores: Vec<f64> = rows.iter().map(|r| f64::from(r.0)).collect();
            let positive: Vec<bool> = rows.iter().map(|r| r.1).collect();
            let mut pairs = vec![];
            for (a, _) in rows.iter().filter(|r| r.1) {
                for (b, _) in rows.iter().filter(|r| !r.1) {
                    pairs.push(match a.cmp(b) {
                        std::cmp::Ordering::Greater => 1.0,
                        std::cmp::Ordering::Equal => 0.5,
                        std::cmp::Ordering::Less => 0.0,
                    });
                }
            }
            match auc(&scores, &positive) {
                None => prop_assert!(pairs.is_empty()),
                Some(got) => prop_assert!((got - pairs.iter().sum::<f64>() / pairs.len() as f64).abs() < 1e-9),
            }
        }
    }

    #[test]
    fn removal_takes_the_highest_scores_first() {
        let mut seen = vec![];
        let curve = removal_curve(&[1.0, 5.0, 3.0, 4.0], 0.5, 2, |kept| {
            seen.push(kept.to_vec());
            kept.len() as f64
        });
        assert_eq!(seen, [vec![0, 1, 2, 3], vec![0, 2, 3], vec![0, 2]]);
        assert_eq!(curve.last(), Some(&CurvePoint { removed: 2, quality: 2.0 }));
    }

    #[test]
    fn a_tie_counts_against_the_source() {
        let totals = vec![vec![0.0, 0.0], vec![1.0, 2.0], vec![3.0, 1.0]];
        let report = source_identification(&totals, &[0, 1, 0], 1);
        assert!((report.first.value - 2.0 / 3.0).abs() < 1e-12);
        assert!((report.reciprocal_rank.value - 2.5 / 3.0).abs() < 1e-12);
        assert_eq!(report.chance, 0.5);
    }
}
