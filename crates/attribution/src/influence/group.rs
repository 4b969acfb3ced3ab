//! Whole groups: contributors as sums, and what removing a whole group does beyond first order.
//!
//! [`Contributors`] folds every item's influence vector into one dense matrix a layer and contributor, so that a query costs one product
//! of a few thousand numbers a contributor, however many items there are.
//!
//! [`Dual::without`] is the Newton step for removing all items of a group at once. With `A = H + damping`, `J` the group's curvature rows
//! and `g` the sum of its gradients, the curvature that remains is `A - J^T J / n`, and by Woodbury
//!
//! ```text
//! q (A - J^T J / n)^-1 g / n = ( q A^-1 g + (q A^-1 J^T) (n - J A^-1 J^T)^-1 (J A^-1 g) ) / n
//! ```
//!
//! (Koh, Ang, Teo, Liang: "On the Accuracy of Influence Functions for Measuring Group Effects", NeurIPS 2019: sums underestimate in proportion to
//! the curvature that the group carries). For ridge regression it is the exact effect of retraining without the group.

use super::dual::{Dual, DualError, Rows, RowsOfLayer, kernel};
use ops::{Ctx, matmul_nn, matmul_nt, matmul_tn, wide};

/// Most curvature rows of a group that is removed at once.
pub const MAX_GROUP_ROWS: usize = 1 << 13;

/// Influence of contributors, folded from their items.
#[derive(Clone, Debug)]
pub struct Contributors {
    /// Per layer `[contributors, inputs_width * gradients_width]`.
    layers: Vec<Vec<f32>>,
    count: usize,
    like: Rows,
}

/// Sum over rows of `weight * x (x) d`, `[inputs_width, gradients_width]`, added to `out`.
fn add_dense(ctx: &Ctx, of: &RowsOfLayer, weights: &[f32], out: &mut [f32]) {
    let (n, m) = (of.inputs_width, of.gradients_width);
    let mut inputs = of.inputs.clone();
    for (row, weight) in inputs.chunks_exact_mut(n).zip(weights) {
        row.iter_mut().for_each(|x| *x *= weight);
    }
    matmul_tn(ctx, n, m, weights.len(), &inputs, n, &of.gradients, m, out, m, true);
}

impl Dual {
    /// Folds the items of each contributor: `owner_of[item]` is below `count`.
    ///
    /// # Panics
    /// When there is not one owner an item, or one is out of range.
    pub fn contributors(&self, ctx: &Ctx, owner_of: &[u32], count: usize) -> Contributors {
        assert_eq!(owner_of.len(), self.train.count, "one owner an item");
        let r = self.basis.count;
        let mut layers: Vec<Vec<f32>> = self
            .train
            .layers
            .iter()
            .map(|layer| vec![0.0; count * layer.inputs_width * layer.gradients_width])
            .collect();
        for owner in 0..count {
            let items: Vec<usize> = (0..owner_of.len()).filter(|i| owner_of[*i] as usize == owner).collect();
            let mut inside = vec![0.0; r];
            for item in &items {
                let solved = &self.solved[item * r..(item + 1) * r];
                inside.iter_mut().zip(solved).for_each(|(sum, x)| *sum += x);
            }
            let (own, outside) = (self.train.pick(&items), vec![self.outside; items.len()]);
            for ((dense, basis), own) in layers.iter_mut().zip(&self.basis.layers).zip(&own.layers) {
                let width = own.inputs_width * own.gradients_width;
                let dense = &mut dense[owner * width..(owner + 1) * width];
                add_dense(ctx, basis, &inside, dense);
                add_dense(ctx, own, &outside, dense);
            }
        }
        assert!(owner_of.iter().all(|owner| (*owner as usize) < count), "owners are 0..{count}");
        Contributors { layers, count, like: self.train.first(1) }
    }

    /// `a (P H P + damping)^-1 b^T` for all rows of both.
    fn product(&self, ctx: &Ctx, a: &Rows, b: &Rows) -> Vec<f64> {
        let (m, n, r) = (a.count, b.count, self.basis.count);
        let wide_kernel =
            |x: &Rows, y: &Rows| kernel(ctx, x, y).iter().map(|x| f64::from(*x)).collect::<Vec<_>>();
        let (of_a, of_b) = (wide_kernel(a, &self.basis), wide_kernel(b, &self.basis));
        let mut joined = vec![0.0; m * r];
        wide::matmul_nn(ctx, m, r, r, &of_a, &self.joined, &mut joined, false);
        let mut product: Vec<f64> = wide_kernel(a, b).iter().map(|x| x / self.damping).collect();
        wide::matmul_nt(ctx, m, n, r, &joined, &of_b, &mut product, true);
        product
    }

    /// What removing all `members` (items) at once takes from each query: positive means that the group helps. `curvature` holds the members'
    /// own curvature rows.
    ///
    /// # Errors
    /// When a query or the rows do not fit, the group has more than [`MAX_GROUP_ROWS`] curvature rows, or it carries all of the curvature.
    pub fn without(
        &self,
        ctx: &Ctx,
        queries: &Rows,
        members: &[usize],
        curvature: &Rows,
    ) -> Result<Vec<f64>, DualError> {
        queries.check(&self.train, "query")?;
        if members.is_empty() {
            return Ok(vec![0.0; queries.count]);
        }
        if curvature.count > MAX_GROUP_ROWS {
            return Err(DualError::BadRank(curvature.count));
        }
        curvature.check(&self.train, "curvature")?;
        let (items, rows) = (self.train.count as f64, curvature.count);
        let of_group = self.train.pick(members);
        let sum = |values: Vec<f64>| -> Vec<f64> {
            values.chunks_exact(members.len()).map(|row| row.iter().fold(0.0, |sum, x| sum + x)).collect()
        };
        let direct = sum(self.product(ctx, queries, &of_group));
        let mut pulled = sum(self.product(ctx, curvature, &of_group));
        let mut left: Vec<f64> = self.product(ctx, curvature, curvature).iter().map(|x| -x).collect();
        (0..rows).for_each(|i| left[i * rows + i] += items);
        wide::cholesky(ctx, rows, &mut left)?;
        wide::solve_cholesky(ctx, rows, &left, &mut pulled);
        let through = self.product(ctx, queries, curvature);
        let bent = through
            .chunks_exact(rows)
            .map(|row| row.iter().zip(&pulled).fold(0.0, |sum, (a, b)| sum + a * b));
        Ok(direct.iter().zip(bent).map(|(d, b)| (d + b) / items).collect())
    }
}

impl Contributors {
    /// From dense matrices of each layer, `[count, inputs * outputs]`; `like` has the layers' shapes.
    pub(super) fn new(layers: Vec<Vec<f32>>, count: usize, like: Rows) -> Contributors {
        Contributors { layers, count, like }
    }

    /// Influence of every contributor on every query, `[queries, contributors]`.
    ///
    /// # Errors
    /// When the queries do not fit the training rows.
    pub fn scores(&self, ctx: &Ctx, queries: &Rows) -> Result<Vec<f32>, DualError> {
        queries.check(&self.like, "query")?;
        let mut scores = vec![0.0; queries.count * self.count];
        for (dense, of) in self.layers.iter().zip(&queries.layers) {
            let (n, m) = (of.inputs_width, of.gradients_width);
            // All queries' inputs through all contributors' matrices when there are few queries, dense gradients otherwise.
            let mut gradients = vec![0.0; queries.count * n * m];
            for (q, out) in gradients.chunks_exact_mut(n * m).enumerate() {
                let (x, d) = (&of.inputs[q * n..(q + 1) * n], &of.gradients[q * m..(q + 1) * m]);
                matmul_nn(ctx, n, m, 1, x, 1, d, m, out, m, false);
            }
            let (k, c) = (n * m, self.count);
            matmul_nt(ctx, queries.count, c, k, &gradients, k, dense, k, &mut scores, c, true);
        }
        Ok(scores)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::influence::{
        perceptron::{Dense, Perceptron},
        toy::{WIDTH, numbers, ridge, rows, wide_numbers},
    };

    const ITEMS: usize = 30;

    #[test]
    fn removing_a_group_from_ridge_regression_is_retraining_without_it_and_the_sum_falls_short() {
        let ctx = Ctx::single();
        let (x, y) = (wide_numbers(ITEMS * WIDTH, 1), wide_numbers(ITEMS, 2));
        let damping = 0.05;
        let all: Vec<usize> = (0..ITEMS).collect();
        let w = ridge(&all, &x, &y, damping * ITEMS as f64);
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let row = |i: usize| &x[i * WIDTH..(i + 1) * WIDTH];
        let residuals: Vec<f64> = all.iter().map(|i| dot(row(*i), &w) - y[*i]).collect();
        let ones = rows(&x, &[1.0; ITEMS]);
        let fitted = Dual::fit(&ctx, &ones, &rows(&x, &residuals), damping, ITEMS).unwrap();
        let query = wide_numbers(WIDTH, 3);
        for group in [vec![4usize], vec![0, 1, 2, 3, 4], (0..12).collect()] {
            let rest: Vec<usize> = all.iter().copied().filter(|i| !group.contains(i)).collect();
            let moved = dot(&query, &ridge(&rest, &x, &y, damping * ITEMS as f64)) - dot(&query, &w);
            let asked = rows(&query, &[1.0]);
            let corrected = fitted.without(&ctx, &asked, &group, &ones.pick(&group)).unwrap()[0];
            assert!((moved - corrected).abs() < 2e-4, "{} items: {moved} {corrected}", group.len());
            let plain: f64 = {
                let scores = fitted.scores(&ctx, &asked).unwrap();
                group.iter().map(|i| f64::from(scores[*i])).sum()
            };
            assert!((plain - moved).abs() > (corrected - moved).abs(), "{plain} {corrected} {moved}");
        }
        assert_eq!(fitted.without(&ctx, &rows(&query, &[1.0]), &[], &ones).unwrap(), [0.0]);
    }

    #[test]
    fn contributors_are_the_sums_of_their_items() {
        let ctx = Ctx::single();
        let dense = |inputs: usize, outputs: usize, seed| Dense {
            weight: numbers(inputs * outputs, seed),
            bias: numbers(outputs, seed + 1),
        };
        let model = Perceptron::new(vec![dense(6, 7, 1), dense(7, 3, 5)]).unwrap();
        let (x, y) = (numbers(40 * 6, 9), (0..40).map(|i| i % 3).collect::<Vec<u32>>());
        let fitted =
            Dual::fit(&ctx, &model.curvature(&ctx, &x), &model.gradients(&ctx, &x, &y), 0.05, 30).unwrap();
        let queries = model.gradients(&ctx, &numbers(5 * 6, 77), &[0, 1, 2, 0, 1]);
        let owner_of: Vec<u32> = (0..40).map(|i| i * i % 4).collect();
        let got = fitted.contributors(&ctx, &owner_of, 4).scores(&ctx, &queries).unwrap();
        let items = fitted.scores(&ctx, &queries).unwrap();
        for (q, of_items) in items.chunks_exact(40).enumerate() {
            for owner in 0..4u32 {
                let sum: f32 =
                    of_items.iter().zip(&owner_of).filter(|(_, o)| **o == owner).map(|(s, _)| s).sum();
                assert!((got[q * 4 + owner as usize] - sum).abs() < 1e-4 * (1.0 + sum.abs()));
            }
        }
    }
}
