//! Damped Gauss-Newton influence for small heads, without forming a gradient or a curvature.
//!
//! Every gradient here is, layer by layer, an outer product `x (x) d`, so the inner product of two is
//! `sum over layers of (x . x') (d . d')`: a kernel. The curvature is `H = (1/n) sum of j j^T` over the *curvature rows* `j` (for a
//! classifier one row per item and class, see [`super::perceptron`]). With `B` the `rank` longest of those rows, `W = B B^T`,
//! `K = J B^T` and `S = K^T K / n`, the inverse of `H` restricted to the span of `B`, and of the damping outside it, is
//!
//! ```text
//! (P H P + damping)^-1 = B^T (S + damping W)^-1 B  +  (1 - B^T W^-1 B) / damping
//! ```
//!
//! exact when `B` spans all rows. `B` is chosen by pivoted Cholesky, always the row that is longest outside the span so far. The influence of training row `u` on query `q` is `g_q (P H P + damping)^-1 g_u / n`, positive
//! when the item helps. A fit keeps one vector of `rank` numbers an item; a query is a kernel row and a
//! matrix-vector product. Products in f32, solves in f64; the same bits for any thread count.

use ops::{Ctx, matmul_nt, matmul_tn, wide};

/// Most rows in the basis.
pub const MAX_RANK: usize = 1 << 13;
/// Rows that the basis is chosen from, for each row of it.
const CANDIDATES: usize = 2;
/// Part of the curvature's trace that the shortest rows may hold together and be left out: a confident classifier has
/// many rows of next to no length.
const NEGLIGIBLE: f64 = 1e-3;
/// A row whose part outside the basis is this much shorter (squared) than the longest row adds nothing but rounding.
const DEPENDENT: f64 = 1e-4;

/// Rank-one gradients: row `r` of layer `l` is `inputs[r] (x) gradients[r]`.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    /// One entry a layer.
    pub layers: Vec<RowsOfLayer>,
    /// Number of rows.
    pub count: usize,
}

/// One layer's factors.
#[derive(Clone, Debug, Default)]
pub struct RowsOfLayer {
    /// Width of an input.
    pub inputs_width: usize,
    /// `[rows, inputs_width]`.
    pub inputs: Vec<f32>,
    /// Width of a gradient.
    pub gradients_width: usize,
    /// `[rows, gradients_width]`.
    pub gradients: Vec<f32>,
}

/// Why influence cannot be fitted.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum DualError {
    /// No rows.
    #[error("there are no {0} rows: influence needs training data")]
    Empty(&'static str),
    /// A rank out of range.
    #[error("a basis of {0} rows is out of range: choose 1 to {MAX_RANK}")]
    BadRank(usize),
    /// Damping that is not a positive number.
    #[error("damping {0} is not positive: choose one from the protocol's grid")]
    BadDamping(f64),
    /// Rows that do not fit together.
    #[error("layer {0} of the rows has the wrong shape")]
    Shape(usize),
    /// NaN or infinity.
    #[error("a gradient is not finite: the model or its data are broken")]
    NotFinite,
    /// The solve failed.
    #[error(transparent)]
    NotPositive(#[from] wide::NotPositiveDefinite),
}

impl Rows {
    pub(super) fn check(&self, like: &Rows, name: &'static str) -> Result<(), DualError> {
        if self.count == 0 {
            return Err(DualError::Empty(name));
        }
        if self.layers.len() != like.layers.len() {
            return Err(DualError::Shape(self.layers.len()));
        }
        for (i, (layer, other)) in self.layers.iter().zip(&like.layers).enumerate() {
            let widths = (layer.inputs_width, layer.gradients_width);
            let fits = layer.inputs.len() == self.count * widths.0
                && layer.gradients.len() == self.count * widths.1
                && widths == (other.inputs_width, other.gradients_width);
            if !fits {
                return Err(DualError::Shape(i));
            }
            if !layer.inputs.iter().chain(&layer.gradients).all(|x| x.is_finite()) {
                return Err(DualError::NotFinite);
            }
        }
        Ok(())
    }

    /// Squared length of each row.
    pub(super) fn squares(&self) -> Vec<f64> {
        let mut all = vec![0.0; self.count];
        let squares = |row: &[f32]| row.iter().fold(0.0, |sum, x| sum + f64::from(*x) * f64::from(*x));
        for layer in &self.layers {
            let inputs = layer.inputs.chunks_exact(layer.inputs_width);
            let gradients = layer.gradients.chunks_exact(layer.gradients_width);
            for (sum, (x, d)) in all.iter_mut().zip(inputs.zip(gradients)) {
                *sum += squares(x) * squares(d);
            }
        }
        all
    }

    pub(super) fn first(&self, count: usize) -> Rows {
        self.pick(&(0..count.min(self.count)).collect::<Vec<_>>())
    }

    /// The rows of those numbers, in that order.
    pub(super) fn pick(&self, rows: &[usize]) -> Rows {
        let take = |from: &[f32], width: usize| {
            let mut to = Vec::with_capacity(rows.len() * width);
            rows.iter().for_each(|r| to.extend_from_slice(&from[r * width..(r + 1) * width]));
            to
        };
        let layers = self
            .layers
            .iter()
            .map(|layer| RowsOfLayer {
                inputs: take(&layer.inputs, layer.inputs_width),
                gradients: take(&layer.gradients, layer.gradients_width),
                ..*layer
            })
            .collect();
        Rows { layers, count: rows.len() }
    }
}

/// Inner products of all rows of `a` with all rows of `b`: `[a, b]`.
pub fn kernel(ctx: &Ctx, a: &Rows, b: &Rows) -> Vec<f32> {
    let mut total = vec![0.0; a.count * b.count];
    let (mut left, mut right) = (Vec::new(), vec![0.0; a.count * b.count]);
    for (at, (x, y)) in a.layers.iter().zip(&b.layers).enumerate() {
        if at == 0 {
            products(ctx, a.count, b.count, x, y, &mut total, &mut right);
            total.iter_mut().zip(&right).for_each(|(x, d)| *x *= d);
        } else {
            left.resize(total.len(), 0.0);
            products(ctx, a.count, b.count, x, y, &mut left, &mut right);
            total.iter_mut().zip(left.iter().zip(&right)).for_each(|(sum, (x, d))| *sum += x * d);
        }
    }
    total
}

/// One layer's part of [`kernel`].
pub(super) fn layer_kernel(ctx: &Ctx, m: usize, n: usize, a: &RowsOfLayer, b: &RowsOfLayer) -> Vec<f32> {
    let (mut left, mut right) = (vec![0.0; m * n], vec![0.0; m * n]);
    products(ctx, m, n, a, b, &mut left, &mut right);
    left.iter_mut().zip(&right).for_each(|(x, d)| *x *= d);
    left
}

/// Inner products of one layer's inputs, and of its gradients, each `[m, n]`.
fn products(
    ctx: &Ctx,
    m: usize,
    n: usize,
    a: &RowsOfLayer,
    b: &RowsOfLayer,
    of_inputs: &mut [f32],
    of_gradients: &mut [f32],
) {
    let (i, g) = (a.inputs_width, a.gradients_width);
    matmul_nt(ctx, m, n, i, &a.inputs, i, &b.inputs, i, of_inputs, n, false);
    matmul_nt(ctx, m, n, g, &a.gradients, g, &b.gradients, g, of_gradients, n, false);
}

/// A fitted model: ask it with [`Dual::scores`].
#[derive(Clone, Debug)]
pub struct Dual {
    pub(super) basis: Rows,
    pub(super) train: Rows,
    /// `[rank, rank]`: what joins two kernel rows inside the basis, items not divided out.
    pub(super) joined: Vec<f64>,
    /// `[train, rank]`: the solved part of each item.
    pub(super) solved: Vec<f32>,
    /// Added to the curvature's diagonal.
    pub(super) damping: f64,
    /// 1 / (damping * items).
    pub(super) outside: f32,
}

impl Dual {
    /// Fits influence of `train` (one row an item) under the curvature of `curvature`'s rows, averaged over the items.
    /// At most `rank` curvature rows make the basis, the longest first.
    pub fn fit(
        ctx: &Ctx,
        curvature: &Rows,
        train: &Rows,
        damping: f64,
        rank: usize,
    ) -> Result<Dual, DualError> {
        if rank == 0 || rank > MAX_RANK {
            return Err(DualError::BadRank(rank));
        }
        if !damping.is_finite() || damping <= 0.0 {
            return Err(DualError::BadDamping(damping));
        }
        curvature.check(curvature, "curvature")?;
        train.check(curvature, "training")?;
        let items = train.count as f64;
        let curvature = curvature.pick(&longest(&curvature.squares()));
        let among = curvature.first(rank * CANDIDATES);
        let chosen = pivots(among.count, &kernel(ctx, &among, &among), rank);
        let (basis, r) = (among.pick(&chosen), chosen.len());
        let k = kernel(ctx, &curvature, &basis);
        let mut s = vec![0.0; r * r];
        matmul_tn(ctx, r, r, curvature.count, &k, r, &k, r, &mut s, r, false);
        let w: Vec<f64> = chosen.iter().flat_map(|c| &k[c * r..(c + 1) * r]).map(|x| f64::from(*x)).collect();
        let inside: Vec<f64> = s.iter().zip(&w).map(|(s, w)| f64::from(*s) / items + damping * w).collect();
        let (inside, outside) = (inverse(ctx, r, inside)?, inverse(ctx, r, w)?);
        let joined: Vec<f64> = inside.iter().zip(&outside).map(|(a, b)| a - b / damping).collect();
        let of_items: Vec<f64> = kernel(ctx, train, &basis).iter().map(|x| f64::from(*x)).collect();
        let mut solved = vec![0.0; train.count * r];
        wide::matmul_nn(ctx, train.count, r, r, &of_items, &joined, &mut solved, false);
        let solved = solved.iter().map(|x| (*x / items) as f32).collect();
        let outside = (1.0 / (damping * items)) as f32;
        Ok(Dual { basis, train: train.clone(), joined, solved, damping, outside })
    }

    /// Influence of every item on every query, `[queries, items]`; positive helps.
    pub fn scores(&self, ctx: &Ctx, queries: &Rows) -> Result<Vec<f32>, DualError> {
        queries.check(&self.basis, "query")?;
        let (m, n, r) = (queries.count, self.train.count, self.basis.count);
        let inside = kernel(ctx, queries, &self.basis);
        let mut scores = kernel(ctx, queries, &self.train);
        scores.iter_mut().for_each(|x| *x *= self.outside);
        matmul_nt(ctx, m, n, r, &inside, r, &self.solved, r, &mut scores, n, true);
        Ok(scores)
    }
}

/// Rows by length, longest first, the earlier one on a tie, without the [`NEGLIGIBLE`] ones.
fn longest(squares: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..squares.len()).collect();
    order.sort_by(|a, b| squares[*b].total_cmp(&squares[*a]).then(a.cmp(b)));
    let total = squares.iter().fold(0.0, |sum, x| sum + x);
    let mut left = total;
    let enough = order.iter().position(|row| {
        left -= squares[*row];
        left <= total * NEGLIGIBLE
    });
    order.truncate(enough.map_or(order.len(), |last| last + 1));
    order
}

/// Rows that pivoted Cholesky picks from the symmetric `gram` (n x n), at most `count`.
fn pivots(n: usize, gram: &[f32], count: usize) -> Vec<usize> {
    let mut left: Vec<f64> = (0..n).map(|i| f64::from(gram[i * n + i])).collect();
    let mut columns: Vec<Vec<f64>> = vec![];
    let mut chosen: Vec<usize> = vec![];
    let mut floor = 0.0;
    while chosen.len() < count.min(n) {
        let best = (0..n).fold(0, |best, i| if left[i] > left[best] { i } else { best });
        if chosen.is_empty() {
            floor = left[best] * DEPENDENT;
        }
        if left[best] <= floor {
            break;
        }
        let mut column: Vec<f64> = gram[best * n..(best + 1) * n].iter().map(|x| f64::from(*x)).collect();
        for before in &columns {
            let factor = before[best];
            column.iter_mut().zip(before).for_each(|(x, b)| *x -= factor * b);
        }
        let scale = 1.0 / left[best].sqrt();
        for (x, left) in column.iter_mut().zip(&mut left) {
            *x *= scale;
            *left -= *x * *x;
        }
        left[best] = f64::NEG_INFINITY;
        columns.push(column);
        chosen.push(best);
    }
    chosen
}

fn inverse(ctx: &Ctx, n: usize, mut matrix: Vec<f64>) -> Result<Vec<f64>, wide::NotPositiveDefinite> {
    wide::cholesky(ctx, n, &mut matrix)?;
    let mut columns = vec![0.0; n * n];
    (0..n).for_each(|i| columns[i * n + i] = 1.0);
    // Row i is column i of the factor's inverse; the product of these rows is the inverse.
    wide::solve_lower(ctx, n, &matrix, &mut columns);
    let mut product = vec![0.0; n * n];
    wide::matmul_nt(ctx, n, n, n, &columns, &columns, &mut product, false);
    Ok(product)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::influence::toy::{WIDTH, ridge, rows, wide_numbers};

    const ITEMS: usize = 24;

    #[test]
    fn influence_of_ridge_regression_is_leave_one_out_but_for_the_items_own_leverage() {
        let ctx = Ctx::single();
        let x = wide_numbers(ITEMS * WIDTH, 1);
        let y = wide_numbers(ITEMS, 2);
        let (damping, items) = (0.05, ITEMS as f64);
        let all: Vec<usize> = (0..ITEMS).collect();
        let w = ridge(&all, &x, &y, damping * items);
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let row = |i: usize| &x[i * WIDTH..(i + 1) * WIDTH];
        let residuals: Vec<f64> = all.iter().map(|i| dot(row(*i), &w) - y[*i]).collect();
        let fitted =
            Dual::fit(&ctx, &rows(&x, &[1.0; ITEMS]), &rows(&x, &residuals), damping, ITEMS).unwrap();
        // The query's "loss" is its prediction: gradient 1.
        let query = wide_numbers(WIDTH, 3);
        let scores = fitted.scores(&ctx, &rows(&query, &[1.0])).unwrap();
        let leverage_of = Dual::fit(&ctx, &rows(&x, &[1.0; ITEMS]), &rows(&x, &[1.0; ITEMS]), damping, ITEMS);
        let leverages = leverage_of.unwrap().scores(&ctx, &rows(&x, &[1.0; ITEMS])).unwrap();
        for i in 0..ITEMS {
            let rest: Vec<usize> = all.iter().copied().filter(|j| *j != i).collect();
            let without = ridge(&rest, &x, &y, damping * items);
            // Removing the item moves the prediction by what the item pulled.
            let moved = dot(&query, &without) - dot(&query, &w);
            let predicted = f64::from(scores[i]) / (1.0 - f64::from(leverages[i * ITEMS + i]));
            assert!((moved - predicted).abs() < 2e-4, "{i}: {moved} {predicted}");
        }
    }

    #[test]
    fn flipping_an_items_label_turns_its_influence() {
        let ctx = Ctx::single();
        let x = wide_numbers(ITEMS * WIDTH, 1);
        let mut d = wide_numbers(ITEMS, 2);
        let query = rows(&x[..WIDTH], &[1.0]);
        let curvature = rows(&x, &[1.0; ITEMS]);
        let score = |d: &[f64]| {
            Dual::fit(&ctx, &curvature, &rows(&x, d), 0.1, ITEMS).unwrap().scores(&ctx, &query).unwrap()[7]
        };
        let before = score(&d);
        d[7] = -d[7];
        assert!((before + score(&d)).abs() < 1e-6 && before.abs() > 1e-4);
    }

    #[test]
    fn threads_change_no_bit_and_bad_input_is_refused() {
        let x = wide_numbers(200 * WIDTH, 1);
        let all = rows(&x, &[1.0; 200]);
        let run = |threads| {
            let ctx = Ctx::single().with_threads(threads);
            Dual::fit(&ctx, &all, &all, 0.1, 60).unwrap().scores(&ctx, &all).unwrap()
        };
        assert_eq!(run(1), run(2));
        let ctx = Ctx::single();
        let fit = |curvature: &Rows, train: &Rows, damping, rank| {
            Dual::fit(&ctx, curvature, train, damping, rank).map(|_| ()).unwrap_err()
        };
        assert_eq!(fit(&all, &all, 0.1, 0), DualError::BadRank(0));
        assert_eq!(fit(&all, &all, -1.0, 5), DualError::BadDamping(-1.0));
        assert_eq!(fit(&all, &rows(&[], &[]), 0.1, 5), DualError::Empty("training"));
        assert_eq!(fit(&all, &Rows { layers: vec![], count: 3 }, 0.1, 5), DualError::Shape(0));
        let nan = rows(&[f64::NAN; WIDTH], &[1.0]);
        assert_eq!(fit(&all, &nan, 0.1, 5), DualError::NotFinite);
    }
}
