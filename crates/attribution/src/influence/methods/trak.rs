//! TRAK-style: random projections of gradients, one covariance over all layers (Park et al., "TRAK: Attributing Model Behavior at Scale",
//! ICML 2023), damped. A rank-one gradient is projected on both sides, `side x side` numbers a layer; the output's weight `1 - p`
//! of the paper is in the loss gradient.

use super::{Fitted, Method};
use crate::influence::dual::{DualError, Rows};
use ops::{Ctx, Stream, matmul_nt, matmul_tn, wide};

/// Widest side of a layer's projection.
pub const MAX_SIDE: usize = 64;

/// TRAK-style scores.
#[derive(Clone, Copy, Debug)]
pub struct Trak {
    /// Numbers that each side of a layer is projected to.
    pub side: usize,
    /// Damping, as a ratio of the covariance's mean eigenvalue.
    pub damping: f64,
    /// Seed of the projections.
    pub seed: u64,
}

struct FittedTrak {
    like: Rows,
    of: Trak,
    /// `[items, width]`: solved features.
    train: Vec<f32>,
}

impl Trak {
    fn side(&self, ctx: &Ctx, rows: usize, width: usize, x: &[f32], stream: u64) -> (Vec<f32>, usize) {
        if width <= self.side {
            return (x.to_vec(), width);
        }
        let mut matrix = vec![0.0; self.side * width];
        Stream::new(self.seed, stream).fill_normal(0, &mut matrix);
        let scale = 1.0 / (self.side as f32).sqrt();
        matrix.iter_mut().for_each(|x| *x *= scale);
        let mut out = vec![0.0; rows * self.side];
        matmul_nt(ctx, rows, self.side, width, x, width, &matrix, width, &mut out, self.side, false);
        (out, self.side)
    }

    /// Projected gradients, `[rows, width]`.
    fn features(&self, ctx: &Ctx, rows: &Rows) -> Vec<f32> {
        let mut parts = vec![];
        for (stream, layer) in (0u64..).zip(&rows.layers) {
            let (x, n) = self.side(ctx, rows.count, layer.inputs_width, &layer.inputs, 2 * stream);
            let (d, m) = self.side(ctx, rows.count, layer.gradients_width, &layer.gradients, 2 * stream + 1);
            parts.push((x, n, d, m));
        }
        let mut out = vec![];
        for row in 0..rows.count {
            for (x, n, d, m) in &parts {
                let d = &d[row * m..(row + 1) * m];
                out.extend(x[row * n..(row + 1) * n].iter().flat_map(|x| d.iter().map(move |d| x * d)));
            }
        }
        out
    }
}

impl Method for Trak {
    fn name(&self) -> String {
        format!("TRAK-style, {0}x{0} a layer, damping {1}", self.side, self.damping)
    }

    fn fit(&self, ctx: &Ctx, _: &Rows, train: &Rows) -> Result<Box<dyn Fitted>, DualError> {
        if !self.damping.is_finite() || self.damping <= 0.0 {
            return Err(DualError::BadDamping(self.damping));
        }
        if self.side == 0 || self.side > MAX_SIDE {
            return Err(DualError::BadRank(self.side));
        }
        train.check(train, "training")?;
        let features = self.features(ctx, train);
        let (n, k) = (train.count, features.len() / train.count);
        let mut covariance = vec![0.0; k * k];
        matmul_tn(ctx, k, k, n, &features, k, &features, k, &mut covariance, k, false);
        let mut covariance: Vec<f64> = covariance.iter().map(|x| f64::from(*x) / n as f64).collect();
        let mean = (0..k).fold(0.0, |sum, i| sum + covariance[i * k + i]) / k as f64;
        let damping = self.damping * if mean > 0.0 { mean } else { 1.0 };
        (0..k).for_each(|i| covariance[i * k + i] += damping);
        wide::cholesky(ctx, k, &mut covariance)?;
        let mut solved: Vec<f64> = features.iter().map(|x| f64::from(*x)).collect();
        wide::solve_cholesky(ctx, k, &covariance, &mut solved);
        let train_rows = solved.iter().map(|x| *x as f32);
        Ok(Box::new(FittedTrak { like: train.first(1), of: *self, train: train_rows.collect() }))
    }
}

impl Fitted for FittedTrak {
    fn scores(&self, ctx: &Ctx, queries: &Rows) -> Result<Vec<f32>, DualError> {
        queries.check(&self.like, "query")?;
        let asked = self.of.features(ctx, queries);
        let k = asked.len() / queries.count;
        let (m, n) = (queries.count, self.train.len() / k);
        let mut scores = vec![0.0; m * n];
        matmul_nt(ctx, m, n, k, &asked, k, &self.train, k, &mut scores, n, false);
        Ok(scores)
    }
}
