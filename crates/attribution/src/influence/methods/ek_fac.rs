//! EK-FAC: a layer's curvature is diagonal in the basis of Kronecker products of the eigenvectors of its inputs' and its gradients' second
//! moments, with the second moments of the curvature rows measured along that basis (George et al., "Fast Approximate Natural Gradient
//! Descent in a Kronecker-factored Eigenbasis", 2018; Grosse et al. 2023, section 3.1). Damping is a ratio of a layer's mean eigenvalue.

use super::{Fitted, Method, symmetric_eigen};
use crate::influence::dual::{DualError, Rows, RowsOfLayer};
use ops::{Ctx, matmul_nt, matmul_tn};

/// EK-FAC with damping as a ratio of the layer's mean eigenvalue (0.1 is usual).
#[derive(Clone, Copy, Debug)]
pub struct EkFac {
    /// The ratio.
    pub damping: f64,
}

/// Eigenvectors of both sides, as rows, and `1 / (eigenvalue + damping)` of each pair.
struct Layer {
    inputs: Vec<f32>,
    gradients: Vec<f32>,
    inverse: Vec<f32>,
}

struct FittedEkFac {
    like: Rows,
    layers: Vec<Layer>,
    /// `[items, all pairs of all layers]`, each divided by its damped eigenvalue.
    train: Vec<f32>,
}

/// Eigenvectors of `x^T x`, as rows of f32.
fn eigenvectors(ctx: &Ctx, rows: usize, width: usize, x: &[f32]) -> Vec<f32> {
    let mut moment = vec![0.0; width * width];
    matmul_tn(ctx, width, width, rows, x, width, x, width, &mut moment, width, false);
    symmetric_eigen(width, moment.iter().map(|x| f64::from(*x)).collect())
        .1
        .iter()
        .map(|x| *x as f32)
        .collect()
}

fn project(ctx: &Ctx, rows: usize, width: usize, x: &[f32], basis: &[f32]) -> Vec<f32> {
    let mut out = vec![0.0; rows * width];
    matmul_nt(ctx, rows, width, width, x, width, basis, width, &mut out, width, false);
    out
}

impl Layer {
    fn new(ctx: &Ctx, rows: usize, items: usize, of: &RowsOfLayer, damping: f64) -> Layer {
        let (n, m) = (of.inputs_width, of.gradients_width);
        let inputs = eigenvectors(ctx, rows, n, &of.inputs);
        let gradients = eigenvectors(ctx, rows, m, &of.gradients);
        let squared = |x: Vec<f32>| x.iter().map(|x| x * x).collect::<Vec<_>>();
        let x = squared(project(ctx, rows, n, &of.inputs, &inputs));
        let d = squared(project(ctx, rows, m, &of.gradients, &gradients));
        let mut values = vec![0.0; n * m];
        matmul_tn(ctx, n, m, rows, &x, n, &d, m, &mut values, m, false);
        let mean = values.iter().fold(0.0, |sum, v| sum + f64::from(*v)) / items as f64 / (n * m) as f64;
        let damped = |v: f32| f64::from(v) / items as f64 + damping * if mean > 0.0 { mean } else { 1.0 };
        Layer { inputs, gradients, inverse: values.iter().map(|v| (1.0 / damped(*v)) as f32).collect() }
    }
}

/// Gradients in the eigenbasis of all layers, `[rows, pairs]`.
fn rotated(ctx: &Ctx, layers: &[Layer], rows: &Rows) -> Vec<f32> {
    let width: usize = layers.iter().map(|l| l.inverse.len()).sum();
    let mut out = vec![0.0; rows.count * width];
    let mut start = 0;
    for (layer, of) in layers.iter().zip(&rows.layers) {
        let (n, m) = (of.inputs_width, of.gradients_width);
        let x = project(ctx, rows.count, n, &of.inputs, &layer.inputs);
        let d = project(ctx, rows.count, m, &of.gradients, &layer.gradients);
        for (row, (x, d)) in out.chunks_exact_mut(width).zip(x.chunks_exact(n).zip(d.chunks_exact(m))) {
            for (pairs, x) in row[start..start + n * m].chunks_exact_mut(m).zip(x) {
                pairs.iter_mut().zip(d).for_each(|(out, d)| *out = x * d);
            }
        }
        start += n * m;
    }
    out
}

impl Method for EkFac {
    fn name(&self) -> String {
        format!("EK-FAC, damping {}", self.damping)
    }

    fn fit(&self, ctx: &Ctx, curvature: &Rows, train: &Rows) -> Result<Box<dyn Fitted>, DualError> {
        if !self.damping.is_finite() || self.damping <= 0.0 {
            return Err(DualError::BadDamping(self.damping));
        }
        curvature.check(curvature, "curvature")?;
        train.check(curvature, "training")?;
        let layers: Vec<Layer> = curvature
            .layers
            .iter()
            .map(|of| Layer::new(ctx, curvature.count, train.count, of, self.damping))
            .collect();
        let mut rows = rotated(ctx, &layers, train);
        let inverse: Vec<f32> = layers.iter().flat_map(|l| l.inverse.iter().copied()).collect();
        for row in rows.chunks_exact_mut(inverse.len()) {
            row.iter_mut().zip(&inverse).for_each(|(x, i)| *x *= i);
        }
        Ok(Box::new(FittedEkFac { like: train.first(1), layers, train: rows }))
    }
}

impl Fitted for FittedEkFac {
    fn scores(&self, ctx: &Ctx, queries: &Rows) -> Result<Vec<f32>, DualError> {
        queries.check(&self.like, "query")?;
        let asked = rotated(ctx, &self.layers, queries);
        let k = asked.len() / queries.count;
        let (m, n) = (queries.count, self.train.len() / k);
        let mut scores = vec![0.0; m * n];
        matmul_nt(ctx, m, n, k, &asked, k, &self.train, k, &mut scores, n, false);
        Ok(scores)
    }
}
