//! Exact Shapley values of a K-nearest-neighbour classifier, in O(N log N) a test point.
//!
//! Jia et al., "Efficient Task-Specific Data Valuation for Nearest Neighbor Algorithms", VLDB 2019, theorem 1, for the
//! utility `v(S) = (1/K) * number of the min(K, |S|) nearest members of S whose label is the test point's`,
//! averaged over test points. With training points sorted by distance, nearest first:
//!
//! ```text
//! s_N = [y_N = y] / N * min(K, N) / K        (K <= N leaves [y_N = y] / N)
//! s_i = s_(i+1) + ([y_i = y] - [y_(i+1) = y]) / K * min(K, i) / i
//! ```
//!
//! Equal distances are ordered by index, so the result is one function of its input. Distances are squared
//! Euclidean in f64, summed over dimensions in ascending order by one accumulator per pair: the same bits for any thread count.

use rayon::prelude::*;

/// Most numbers (rows times dimensions) of one set.
pub const MAX_NUMBERS: usize = 1 << 31;

/// Labelled points: `features` is `[rows, dimensions]`, row by row.
#[derive(Clone, Copy, Debug)]
pub struct Points<'a> {
    /// Coordinates.
    pub features: &'a [f32],
    /// One label a row.
    pub labels: &'a [u32],
    /// Coordinates of a row.
    pub dimensions: usize,
}

/// Why values cannot be computed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KnnError {
    /// No neighbour to ask.
    #[error("K is zero: choose at least one neighbour")]
    NoNeighbours,
    /// A set without points.
    #[error("the {0} set is empty")]
    Empty(&'static str),
    /// Lengths that disagree.
    #[error("the {set} set has {features} numbers for {rows} rows of {dimensions}")]
    Shape {
        /// Which set.
        set: &'static str,
        /// Numbers found.
        features: usize,
        /// Labels found.
        rows: usize,
        /// Coordinates a row should have.
        dimensions: usize,
    },
    /// NaN or infinity among the coordinates.
    #[error("row {row} of the {set} set has a coordinate that is not finite")]
    NotFinite {
        /// Which set.
        set: &'static str,
        /// The row.
        row: usize,
    },
    /// Past the limit.
    #[error("the {0} set has more than {MAX_NUMBERS} numbers: value it in parts")]
    TooLarge(&'static str),
}

impl Points<'_> {
    fn check(&self, set: &'static str, dimensions: usize) -> Result<(), KnnError> {
        if self.labels.is_empty() {
            return Err(KnnError::Empty(set));
        }
        if self.features.len() > MAX_NUMBERS {
            return Err(KnnError::TooLarge(set));
        }
        if self.dimensions != dimensions
            || dimensions == 0
            || self.labels.len().checked_mul(dimensions) != Some(self.features.len())
        {
            return Err(KnnError::Shape {
                set,
                features: self.features.len(),
                rows: self.labels.len(),
                dimensions,
            });
        }
        match self.features.iter().position(|x| !x.is_finite()) {
            Some(at) => Err(KnnError::NotFinite { set, row: at / dimensions }),
            None => Ok(()),
        }
    }

    fn row(&self, i: usize) -> &[f32] {
        &self.features[i * self.dimensions..(i + 1) * self.dimensions]
    }
}

/// Shapley value of each training point; they sum to the classifier's mean utility over the test points.
pub fn shapley(train: Points<'_>, test: Points<'_>, neighbours: usize) -> Result<Vec<f64>, KnnError> {
    if neighbours == 0 {
        return Err(KnnError::NoNeighbours);
    }
    train.check("training", train.dimensions)?;
    test.check("test", train.dimensions)?;
    let n = train.labels.len();
    // Dimension-major copy: the distances to all training points grow together, one dimension at a time.
    let mut columns = vec![0.0; train.features.len()];
    for (i, row) in train.features.chunks_exact(train.dimensions).enumerate() {
        for (d, x) in row.iter().enumerate() {
            columns[d * n + i] = *x;
        }
    }
    let per_point: Vec<Vec<f64>> = (0..test.labels.len())
        .into_par_iter()
        .map(|t| of_point(&columns, train.labels, test.row(t), test.labels[t], neighbours))
        .collect();
    let mut values = vec![0.0; n];
    for point in &per_point {
        for (value, add) in values.iter_mut().zip(point) {
            *value += add;
        }
    }
    let count = per_point.len() as f64;
    values.iter_mut().for_each(|value| *value /= count);
    Ok(values)
}

fn of_point(columns: &[f32], labels: &[u32], point: &[f32], label: u32, k: usize) -> Vec<f64> {
    let n = labels.len();
    let mut distances = vec![0.0f64; n];
    for (column, x) in columns.chunks_exact(n).zip(point) {
        let x = f64::from(*x);
        for (distance, y) in distances.iter_mut().zip(column) {
            let difference = f64::from(*y) - x;
            *distance += difference * difference;
        }
    }
    // Non-negative doubles compare as their bits do.
    let mut order: Vec<(u64, u32)> = distances.iter().zip(0..).map(|(d, i)| (d.to_bits(), i)).collect();
    order.sort_unstable();
    let hit = |place: usize| if labels[order[place].1 as usize] == label { 1.0 } else { 0.0 };
    let mut values = vec![0.0; n];
    let mut value = hit(n - 1) / n as f64 * (k.min(n) as f64 / k as f64);
    values[order[n - 1].1 as usize] = value;
    for i in (1..n).rev() {
        // Place i is the i-th nearest counted from one.
        let step = hit(i - 1) - hit(i);
        if step != 0.0 {
            value += step / k as f64 * (k.min(i) as f64 / i as f64);
        }
        values[order[i - 1].1 as usize] = value;
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn utility(train: Points<'_>, test: Points<'_>, k: usize, members: u32) -> f64 {
        let mut total = 0.0;
        for t in 0..test.labels.len() {
            let mut order: Vec<(f64, usize)> = (0..train.labels.len())
                .filter(|i| members >> i & 1 == 1)
                .map(|i| {
                    let d = train
                        .row(i)
                        .iter()
                        .zip(test.row(t))
                        .map(|(a, b)| f64::from(a - b) * f64::from(a - b));
                    (d.sum(), i)
                })
                .collect();
            order.sort_by(|a, b| a.partial_cmp(b).unwrap());
            let hits = order.iter().take(k).filter(|(_, i)| train.labels[*i] == test.labels[t]).count();
            total += hits as f64 / k as f64;
        }
        total / test.labels.len() as f64
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]
        #[test]
        fn values_equal_enumeration_of_all_subsets(
            rows in prop::collection::vec((-8..8i8, -8..8i8, 0..3u32), 1..9),
            tests in prop::collection::vec((-8..8i8, -8..8i8, 0..3u32), 1..4),
            k in 1..6usize,
        ) {
            let flat = |rows: &[(i8, i8, u32)]| -> (Vec<f32>, Vec<u32>) {
                (rows.iter().flat_map(|r| [f32::from(r.0), f32::from(r.1)]).collect(), rows.iter().map(|r| r.2).collect())
            };
            let ((x, y), (tx, ty)) = (flat(&rows), flat(&tests));
            let train = Points { features: &x, labels: &y, dimensions: 2 };
            let test = Points { features: &tx, labels: &ty, dimensions: 2 };
            let expected = crate::valuation::semivalues::shapley_by_enumeration(rows.len(), |members| {
                utility(train, test, k, members)
            });
            for (got, want) in shapley(train, test, k).unwrap().iter().zip(expected) {
                prop_assert!((got - want).abs() < 1e-12, "{} {}", got, want);
            }
        }
    }

    #[test]
    fn values_sum_to_the_utility_of_all_points() {
        let x: Vec<f32> = (0..40u8).map(|i| f32::from(i.wrapping_mul(37) % 41)).collect();
        let y: Vec<u32> = (0..20).map(|i| i % 3).collect();
        let points = Points { features: &x, labels: &y, dimensions: 2 };
        let total: f64 = shapley(points, points, 3).unwrap().iter().sum();
        assert!((total - utility(points, points, 3, (1 << 20) - 1)).abs() < 1e-12);
    }

    #[test]
    fn one_and_two_threads_give_the_same_bits() {
        let x: Vec<f32> = (0..6000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 8) as f32 / 1e7).collect();
        let y: Vec<u32> = (0..1000).map(|i| i % 7).collect();
        let points = Points { features: &x, labels: &y, dimensions: 6 };
        let with = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| shapley(points, points, 5).unwrap())
        };
        assert_eq!(with(1), with(2));
    }

    #[test]
    fn bad_input_is_refused() {
        let good = Points { features: &[0.0, 1.0], labels: &[0, 1], dimensions: 1 };
        let nan = Points { features: &[0.0, f32::NAN], ..good };
        let short = Points { features: &[0.0], ..good };
        let empty = Points { features: &[], labels: &[], dimensions: 1 };
        assert_eq!(shapley(good, good, 0), Err(KnnError::NoNeighbours));
        assert_eq!(shapley(empty, good, 1), Err(KnnError::Empty("training")));
        assert!(matches!(shapley(short, good, 1), Err(KnnError::Shape { .. })));
        assert_eq!(shapley(good, nan, 1), Err(KnnError::NotFinite { set: "test", row: 1 }));
    }
}
