//! The damped Gauss-Newton curvature of the projected gradients, layer by layer, and its inverse.
//!
//! `F_l = sum over units of g_ul g_ul^T`, block-diagonal over layers. It is accumulated in blocks of [`BLOCK_UNITS`] units in the
//! order of the units, each block's product added to the sum, so that the bits do not depend on shards.
//! The damping of a layer is a ratio times the mean of the block's eigenvalues (its trace over its width). The inverse comes from
//! Cholesky, one triangular solve and a product in f64 ([`wide::cholesky_inverse`]); anyone can check it by the residual of `(F + damping) * inverse - 1`.

use super::projection::Projector;
use ops::{Ctx, matmul, matmul_nn, wide};
use std::ops::Range;

/// Units whose outer products are summed before they are added to the rest; the unit of every shard.
pub const BLOCK_UNITS: usize = 256;

/// Why the curvature cannot be inverted.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CurvatureError {
    /// No unit has any gradient at this layer.
    #[error("the gradients of layer {0} are all zero: the model or the units carry nothing to attribute")]
    Silent(String),
    /// The damped matrix is not positive definite to working precision.
    #[error("the curvature of layer {layer} cannot be factored ({source}): use a larger damping")]
    NotPositive {
        /// Name of the layer.
        layer: String,
        /// The pivot that failed.
        source: wide::NotPositiveDefinite,
    },
}

/// The sum as it grows.
#[derive(Clone, Debug)]
pub struct Accumulator {
    blocks: Vec<Range<usize>>,
    /// On and below the diagonal.
    sums: Vec<Vec<f32>>,
    width: usize,
    units: u64,
}

impl Accumulator {
    /// Zero.
    pub fn new(projector: &Projector) -> Accumulator {
        let blocks: Vec<Range<usize>> = projector.blocks().collect();
        let sums = blocks.iter().map(|block| vec![0.0; block.len() * block.len()]).collect();
        Accumulator { blocks, sums, width: projector.width(), units: 0 }
    }

    /// Adds the outer products of one block of features, `[units, width]`; every block but the last has [`BLOCK_UNITS`].
    pub fn add(&mut self, ctx: &Ctx, features: &[f32]) {
        let units = features.len() / self.width;
        assert!(
            units <= BLOCK_UNITS && self.units.is_multiple_of(BLOCK_UNITS as u64),
            "blocks are {BLOCK_UNITS} units, the last one at most"
        );
        for (block, sum) in self.blocks.iter().zip(&mut self.sums) {
            let (n, w) = (block.len(), self.width);
            matmul::add_moment(ctx, n, units, &features[block.start..], w, sum, n);
        }
        self.units += units as u64;
    }

    /// Damps and inverts, layer by layer: a sum makes room for the next inverse.
    pub fn invert(self, ctx: &Ctx, projector: &Projector, damping: f64) -> Result<Inverse, CurvatureError> {
        let Accumulator { blocks, sums, width, units: _ } = self;
        let (mut matrices, mut means) = (vec![], vec![]);
        for (i, (block, sum)) in blocks.iter().zip(sums).enumerate() {
            let n = block.len();
            let name = || projector.layers()[i].name.clone();
            let mut matrix: Vec<f64> = sum.iter().map(|x| f64::from(*x)).collect();
            let trace = (0..n).fold(0.0, |total, j| total + matrix[j * n + j]);
            let mean = trace / n as f64;
            if mean.is_nan() || mean <= 0.0 {
                return Err(CurvatureError::Silent(name()));
            }
            for j in 0..n {
                matrix[j * n + j] += damping * mean;
            }
            wide::cholesky(ctx, n, &mut matrix)
                .map_err(|source| CurvatureError::NotPositive { layer: name(), source })?;
            let product = wide::cholesky_inverse(ctx, n, &matrix);
            // Times the mean eigenvalue, so that the numbers are near one whatever the number of units.
            matrices.push(product.iter().map(|x| (x * mean) as f32).collect());
            means.push(mean);
        }
        Ok(Inverse { scales: Scales { blocks, means, width }, matrices })
    }
}

/// Mean eigenvalue of each layer's curvature: what of the curvature scores need.
#[derive(Clone, Debug, PartialEq)]
pub struct Scales {
    blocks: Vec<Range<usize>>,
    means: Vec<f64>,
    width: usize,
}

impl Scales {
    pub(super) fn new(blocks: Vec<Range<usize>>, means: Vec<f64>, width: usize) -> Scales {
        Scales { blocks, means, width }
    }

    /// Each layer's range in a feature.
    pub fn blocks(&self) -> &[Range<usize>] {
        &self.blocks
    }

    /// One a layer.
    pub fn means(&self) -> &[f64] {
        &self.means
    }

    /// Mean over layers of the mean eigenvalues: the common factor that keeps scores of order one.
    pub fn mean(&self) -> f64 {
        self.means.iter().fold(0.0, |sum, mean| sum + mean) / self.means.len() as f64
    }

    /// Length of a feature with each layer divided by its mean eigenvalue: what a query's scores are divided by, so
    /// that a long answer's are comparable with a short one's. It depends on the answer alone.
    pub fn length(&self, ctx: &Ctx, feature: &[f32], unit: f64) -> f64 {
        let of_layer = |(block, mean): (&Range<usize>, &f64)| {
            ops::sum_squares(ctx, &feature[block.clone()]) * (unit / mean)
        };
        self.blocks.iter().zip(&self.means).fold(0.0, |sum, both| sum + of_layer(both)).sqrt()
    }
}

/// `mean_l * (F_l + damping_l)^-1` of every layer.
#[derive(Clone, Debug)]
pub struct Inverse {
    scales: Scales,
    /// Symmetric to the bit: every entry is the same sum of products in the same order as its mirror.
    matrices: Vec<Vec<f32>>,
}

impl Inverse {
    /// From what a file holds.
    #[cfg(test)]
    pub(super) fn from_parts(scales: Scales, matrices: Vec<Vec<f32>>) -> Inverse {
        Inverse { scales, matrices }
    }

    /// The mean eigenvalues that matrices are multiplied by.
    pub fn scales(&self) -> &Scales {
        &self.scales
    }

    /// The same, without the matrices.
    pub fn into_scales(self) -> Scales {
        self.scales
    }

    /// One a layer, row by row.
    pub fn matrices(&self) -> &[Vec<f32>] {
        &self.matrices
    }

    /// Multiplies each feature of `[units, width]` by the inverse, layer by layer, and divides layer `l` by its
    /// mean eigenvalue `mean_l`, scaled by `unit` so that the numbers stay in f32's range.
    pub fn apply(&self, ctx: &Ctx, features: &[f32], unit: f64) -> Vec<f32> {
        let Scales { blocks, means, width } = &self.scales;
        let rows = features.len() / width;
        let mut out = vec![0.0; features.len()];
        for ((block, matrix), mean) in blocks.iter().zip(&self.matrices).zip(means) {
            let (n, w) = (block.len(), *width);
            let scaled: Vec<f32> = matrix.iter().map(|x| (f64::from(*x) * (unit / mean)) as f32).collect();
            matmul_nn(
                ctx,
                rows,
                n,
                n,
                &features[block.start..],
                w,
                &scaled,
                n,
                &mut out[block.start..],
                w,
                false,
            );
        }
        out
    }

    /// Largest absolute entry of `(F + damping) * inverse - 1` over all layers: the check of the inverse.
    pub fn residual(&self, ctx: &Ctx, sums: &Accumulator, damping: f64) -> f64 {
        let mut worst = 0.0f64;
        for (i, block) in self.scales.blocks.iter().enumerate() {
            let n = block.len();
            let mut sum = sums.sums[i].clone();
            matmul::mirror(n, &mut sum, n);
            let mut matrix: Vec<f64> = sum.iter().map(|x| f64::from(*x) / self.scales.means[i]).collect();
            for j in 0..n {
                matrix[j * n + j] += damping;
            }
            let inverse: Vec<f64> = self.matrices[i].iter().map(|x| f64::from(*x)).collect();
            let mut product = vec![0.0; n * n];
            wide::matmul_nn(ctx, n, n, n, &matrix, &inverse, &mut product, false);
            for (at, x) in product.iter().enumerate() {
                let expected = if at % (n + 1) == 0 { 1.0 } else { 0.0 };
                worst = if (x - expected).abs() > worst { (x - expected).abs() } else { worst };
            }
        }
        worst
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::influence::{
        taps::Tapped as _,
        toy::{Toy, numbers},
    };

    #[test]
    fn the_residual_tells_an_inverse_from_one_that_was_changed() {
        let ctx = Ctx::single();
        let projector = Projector::new(Toy::new(1).layers(), 3, 5).expect("a rank in range");
        let mut sums = Accumulator::new(&projector);
        sums.add(&ctx, &numbers(BLOCK_UNITS * projector.width(), 1));
        sums.add(&ctx, &numbers(40 * projector.width(), 2));
        let mut inverse = sums.clone().invert(&ctx, &projector, 0.1).expect("a positive matrix");
        assert!(inverse.residual(&ctx, &sums, 0.1) < 1e-5);
        assert!(inverse.residual(&ctx, &sums, 0.2) > 1e-2);
        inverse.matrices[0][1] += 0.01;
        assert!(inverse.residual(&ctx, &sums, 0.1) > 1e-3);
    }
}
