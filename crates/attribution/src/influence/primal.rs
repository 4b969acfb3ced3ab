//! Damped Gauss-Newton influence of models of one layer (logistic regression, a linear probe), exactly: with a few hundred parameters the
//! curvature itself is smaller than the dual form of [`super::dual`].
//!
//! Curvature rows of one item share its input `x`, so the block of outputs `a` and `b` is `sum over items of w x x^T` with
//! `w = sum over the item's rows of d_a d_b`: one small product for each pair of outputs. The damped curvature is factored once, in f64; a query is
//! two triangular solves and a product with the items.

use super::{
    dual::{DualError, Rows, RowsOfLayer},
    group::Contributors,
    methods::{Fitted, Method},
};
use ops::{Ctx, matmul_nt, matmul_tn, wide};

/// Most parameters.
pub const MAX_PARAMETERS: usize = 1 << 12;

/// A factored curvature and the items it came from.
#[derive(Clone, Debug)]
pub struct Primal {
    train: Rows,
    /// Lower Cholesky factor, `[parameters, parameters]`; parameter `i * outputs + a` joins input `i` and output `a`.
    lower: Vec<f64>,
    /// The factor's transpose with rows and columns in reverse, which is lower too: both solves then read rows.
    reversed: Vec<f64>,
}

impl Primal {
    /// Fits `train` (one row an item) under the curvature of `curvature`'s rows, averaged over the items.
    ///
    /// # Errors
    /// When the model has more than one layer or too many parameters, damping is not positive, or rows do not fit or are not finite.
    pub fn fit(ctx: &Ctx, curvature: &Rows, train: &Rows, damping: f64) -> Result<Primal, DualError> {
        if !damping.is_finite() || damping <= 0.0 {
            return Err(DualError::BadDamping(damping));
        }
        curvature.check(curvature, "curvature")?;
        train.check(curvature, "training")?;
        let [layer] = &curvature.layers[..] else { return Err(DualError::Shape(curvature.layers.len())) };
        let parameters = layer.inputs_width * layer.gradients_width;
        if parameters > MAX_PARAMETERS {
            return Err(DualError::BadRank(parameters));
        }
        let mut lower = gram(ctx, layer, train.count as f64);
        (0..parameters).for_each(|i| lower[i * parameters + i] += damping);
        wide::cholesky(ctx, parameters, &mut lower)?;
        let mut reversed = vec![0.0; parameters * parameters];
        for (i, row) in lower.chunks_exact(parameters).enumerate() {
            for (j, x) in row[..=i].iter().enumerate() {
                reversed[(parameters - 1 - j) * parameters + parameters - 1 - i] = *x;
            }
        }
        Ok(Primal { train: train.clone(), lower, reversed })
    }

    fn layer(&self) -> &RowsOfLayer {
        &self.train.layers[0]
    }

    /// Solves for every row of `[rows, parameters]`, in place.
    fn solve(&self, ctx: &Ctx, rows: &mut [f64]) {
        let layer = self.layer();
        let n = layer.inputs_width * layer.gradients_width;
        wide::solve_lower(ctx, n, &self.lower, rows);
        rows.chunks_exact_mut(n).for_each(<[f64]>::reverse);
        wide::solve_lower(ctx, n, &self.reversed, rows);
        rows.chunks_exact_mut(n).for_each(<[f64]>::reverse);
    }

    /// Influence of every item on every query, `[queries, items]`; positive helps.
    ///
    /// # Errors
    /// When the queries do not fit the training rows.
    pub fn scores(&self, ctx: &Ctx, queries: &Rows) -> Result<Vec<f32>, DualError> {
        queries.check(&self.train, "query")?;
        let (layer, q, n) = (self.layer(), queries.count, self.train.count);
        let (inputs, outputs) = (layer.inputs_width, layer.gradients_width);
        let mut solved = dense(&queries.layers[0]);
        self.solve(ctx, &mut solved);
        // Of query and output: the numbers that an item's input is multiplied with.
        let mut by_output = vec![0.0f32; q * outputs * inputs];
        for (of_query, out) in
            solved.chunks_exact(inputs * outputs).zip(by_output.chunks_exact_mut(inputs * outputs))
        {
            for (i, row) in of_query.chunks_exact(outputs).enumerate() {
                row.iter().enumerate().for_each(|(a, x)| out[a * inputs + i] = (*x / n as f64) as f32);
            }
        }
        let width = q * outputs;
        let mut through = vec![0.0f32; n * width];
        matmul_nt(
            ctx,
            n,
            width,
            inputs,
            &layer.inputs,
            inputs,
            &by_output,
            inputs,
            &mut through,
            width,
            false,
        );
        let mut scores = vec![0.0f32; q * n];
        for (item, (row, d)) in
            through.chunks_exact(width).zip(layer.gradients.chunks_exact(outputs)).enumerate()
        {
            for (query, part) in row.chunks_exact(outputs).enumerate() {
                scores[query * n + item] = part.iter().zip(d).fold(0.0, |sum, (x, d)| x.mul_add(*d, sum));
            }
        }
        Ok(scores)
    }

    /// Folds the items of each contributor: `owner_of[item]` is below `count`.
    ///
    /// # Panics
    /// When there is not one owner an item, or one is out of range.
    pub fn contributors(&self, ctx: &Ctx, owner_of: &[u32], count: usize) -> Contributors {
        assert_eq!(owner_of.len(), self.train.count, "one owner an item");
        let layer = self.layer();
        let parameters = layer.inputs_width * layer.gradients_width;
        let mut sums = vec![0.0; count * parameters];
        for (row, owner) in dense(layer).chunks_exact(parameters).zip(owner_of) {
            let sum = &mut sums[*owner as usize * parameters..][..parameters];
            sum.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
        }
        self.solve(ctx, &mut sums);
        let items = self.train.count as f64;
        Contributors::new(
            vec![sums.iter().map(|x| (*x / items) as f32).collect()],
            count,
            self.train.first(1),
        )
    }
}

/// Each row's gradient in full, `[rows, inputs * outputs]`.
fn dense(layer: &RowsOfLayer) -> Vec<f64> {
    let rows = layer
        .inputs
        .chunks_exact(layer.inputs_width)
        .zip(layer.gradients.chunks_exact(layer.gradients_width));
    rows.flat_map(|(x, d)| x.iter().flat_map(move |x| d.iter().map(move |d| f64::from(*x) * f64::from(*d))))
        .collect()
}

/// `sum of j j^T / items` over the rows, `[parameters, parameters]`.
fn gram(ctx: &Ctx, layer: &RowsOfLayer, items: f64) -> Vec<f64> {
    let (n, m) = (layer.inputs_width, layer.gradients_width);
    // Rows that follow each other with one input are one group.
    let mut inputs: Vec<f32> = vec![];
    let mut moments: Vec<f32> = vec![];
    for (x, d) in layer.inputs.chunks_exact(n).zip(layer.gradients.chunks_exact(m)) {
        if inputs.len() < n || inputs[inputs.len() - n..] != *x {
            inputs.extend(x);
            moments.resize(moments.len() + m * m, 0.0);
        }
        let start = moments.len() - m * m;
        for (row, a) in moments[start..].chunks_exact_mut(m).zip(d) {
            row.iter_mut().zip(d).for_each(|(sum, b)| *sum += a * b);
        }
    }
    let groups = inputs.len() / n;
    let mut out = vec![0.0; n * m * n * m];
    let (mut weighted, mut blocks) = (vec![0.0; groups * m * n], vec![0.0; m * n * n]);
    for a in 0..m {
        // The blocks of `a` with every `b` up to it are one product: small ones alone would wait for each other.
        let width = (a + 1) * n;
        let rows =
            weighted.chunks_exact_mut(width).zip(inputs.chunks_exact(n)).zip(moments.chunks_exact(m * m));
        for ((to, from), moments) in rows {
            for (to, weight) in to.chunks_exact_mut(n).zip(&moments[a * m..=a * m + a]) {
                to.iter_mut().zip(from).for_each(|(to, from)| *to = weight * from);
            }
        }
        matmul_tn(ctx, width, n, groups, &weighted, width, &inputs, n, &mut blocks, n, false);
        for (b, block) in blocks.chunks_exact(n * n).take(a + 1).enumerate() {
            for (i, row) in block.chunks_exact(n).enumerate() {
                for (j, x) in row.iter().enumerate() {
                    let value = f64::from(*x) / items;
                    out[(i * m + a) * n * m + j * m + b] = value;
                    out[(j * m + b) * n * m + i * m + a] = value;
                }
            }
        }
    }
    out
}

/// Exact Gauss-Newton influence of one layer, as a method.
#[derive(Clone, Copy, Debug)]
pub struct ExactGaussNewton {
    /// Added to the curvature's diagonal.
    pub damping: f64,
}

impl Method for ExactGaussNewton {
    fn name(&self) -> String {
        format!("Gauss-Newton, exact, damping {}", self.damping)
    }

    fn fit(&self, ctx: &Ctx, curvature: &Rows, train: &Rows) -> Result<Box<dyn Fitted>, DualError> {
        Ok(Box::new(Primal::fit(ctx, curvature, train, self.damping)?))
    }
}

impl Fitted for Primal {
    fn scores(&self, ctx: &Ctx, queries: &Rows) -> Result<Vec<f32>, DualError> {
        Primal::scores(self, ctx, queries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::influence::{
        dual::Dual,
        perceptron::{Dense, Perceptron},
        toy::numbers,
    };

    const ITEMS: usize = 40;

    fn model(weight: Vec<f32>, bias: Vec<f32>) -> Perceptron {
        Perceptron::new(vec![Dense { weight, bias }]).unwrap()
    }

    fn data() -> (Vec<f32>, Vec<u32>) {
        (numbers(ITEMS * 4, 9), (0..ITEMS as u32).map(|i| i * 7 % 3).collect())
    }

    #[test]
    fn it_equals_the_dual_form_over_all_rows_and_contributors_are_sums() {
        let (ctx, model, (x, y)) = (Ctx::single(), model(numbers(12, 1), numbers(3, 2)), data());
        let (curvature, train) = (model.curvature(&ctx, &x), model.gradients(&ctx, &x, &y));
        let queries = model.gradients(&ctx, &numbers(5 * 4, 77), &[0, 1, 2, 0, 1]);
        let primal = Primal::fit(&ctx, &curvature, &train, 0.05).unwrap();
        let got = primal.scores(&ctx, &queries).unwrap();
        let dual = Dual::fit(&ctx, &curvature, &train, 0.05, 3 * ITEMS).unwrap();
        for (a, b) in got.iter().zip(dual.scores(&ctx, &queries).unwrap()) {
            assert!((a - b).abs() < 2e-3 * (0.1 + b.abs()), "{a} {b}");
        }
        let owner_of: Vec<u32> = (0..ITEMS as u32).map(|i| i % 4).collect();
        let folded = primal.contributors(&ctx, &owner_of, 4).scores(&ctx, &queries).unwrap();
        for (q, of_items) in got.chunks_exact(ITEMS).enumerate() {
            for owner in 0..4 {
                let sum: f32 = of_items.iter().skip(owner).step_by(4).sum();
                assert!((folded[q * 4 + owner] - sum).abs() < 1e-4 * (1.0 + sum.abs()));
            }
        }
    }

    /// Minimises mean cross-entropy plus `damping / 2 |w|^2` over `keep` (divided by all items), by Newton steps of the model's own
    /// curvature from `start`; one step is leave-one-out Newton.
    fn newton(start: &[f64], keep: &[usize], damping: f64, steps: usize) -> Vec<f64> {
        let (ctx, (x, y)) = (Ctx::single(), data());
        let mut w = start.to_vec();
        let picked: Vec<f32> = keep.iter().flat_map(|i| &x[i * 4..i * 4 + 4]).copied().collect();
        let labels: Vec<u32> = keep.iter().map(|i| y[*i]).collect();
        for _ in 0..steps {
            let at = unpack(&w);
            let gradients = dense(&at.gradients(&ctx, &picked, &labels).layers[0]);
            let mut step: Vec<f64> = w.iter().map(|w| w * damping).collect();
            for row in gradients.chunks_exact(15) {
                step.iter_mut().zip(row).for_each(|(sum, g)| *sum += g / ITEMS as f64);
            }
            let mut h = gram(&ctx, &at.curvature(&ctx, &picked).layers[0], ITEMS as f64);
            (0..15).for_each(|i| h[i * 15 + i] += damping);
            wide::cholesky(&ctx, 15, &mut h).unwrap();
            wide::solve_cholesky(&ctx, 15, &h, &mut step);
            w.iter_mut().zip(&step).for_each(|(w, s)| *w -= s);
        }
        w
    }

    /// Parameters `[input, output]`, the bias being the last input.
    fn unpack(w: &[f64]) -> Perceptron {
        let weight = (0..3).flat_map(|a| (0..4).map(move |i| (i, a))).map(|(i, a)| w[i * 3 + a] as f32);
        model(weight.collect(), w[12..].iter().map(|x| *x as f32).collect())
    }

    #[test]
    fn removing_an_item_of_logistic_regression_with_its_own_curvature_is_leave_one_out_newton() {
        let (ctx, (x, y), damping) = (Ctx::single(), data(), 0.05);
        let all: Vec<usize> = (0..ITEMS).collect();
        let best = newton(&[0.0; 15], &all, damping, 20);
        let at = unpack(&best);
        let (curvature, train) = (at.curvature(&ctx, &x), at.gradients(&ctx, &x, &y));
        let fitted = Dual::fit(&ctx, &curvature, &train, damping, 3 * ITEMS).unwrap();
        let query = at.gradients(&ctx, &numbers(4, 77), &[1]);
        let asked = dense(&query.layers[0]);
        for item in [0, 7, 23, 39] {
            let rest: Vec<usize> = all.iter().copied().filter(|i| *i != item).collect();
            let moved = newton(&best, &rest, damping, 1);
            // To first order in the query: its gradient times how far the weights move.
            let expected: f64 =
                asked.iter().zip(moved.iter().zip(&best)).map(|(g, (a, b))| g * (a - b)).sum();
            let own: Vec<usize> = (3 * item..3 * item + 3).collect();
            let got = fitted.without(&ctx, &query, &[item], &curvature.pick(&own)).unwrap()[0];
            assert!((got - expected).abs() < 2e-3 * (0.01 + expected.abs()), "{item}: {got} {expected}");
        }
    }

    #[test]
    fn more_layers_and_bad_damping_are_refused() {
        let (ctx, model, (x, y)) = (Ctx::single(), model(numbers(12, 1), numbers(3, 2)), data());
        let rows = model.gradients(&ctx, &x, &y);
        let refused = |rows: &Rows, damping| Primal::fit(&ctx, rows, rows, damping).map(|_| ()).unwrap_err();
        assert_eq!(refused(&rows, 0.0), DualError::BadDamping(0.0));
        let twice = Rows { layers: vec![rows.layers[0].clone(), rows.layers[0].clone()], count: rows.count };
        assert_eq!(refused(&twice, 0.1), DualError::Shape(2));
    }
}
