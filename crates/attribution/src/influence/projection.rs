//! Gradients as short vectors: both sides of every layer's outer product are projected first.
//!
//! A layer's gradient is `sum over rows of x_t (x) d_t`. With random `P` (rank x inputs) and `Q` (rank x outputs) its
//! projection is `sum of (P x_t) (x) (Q d_t)`, rank * rank numbers, without ever forming the gradient. Entries of `P` and `Q`
//! are `+1/sqrt(rank)` or `-1/sqrt(rank)` by the bits of a counter-based stream under the committed seed; a side no
//! wider than the rank is kept as it is. A cache whitens what it projects first ([`super::whitening`]).
//!
//! Row `t` is scaled by `min(1, clip / n_t)`, where `n_t^2 = sum over layers of |P x_t|^2 |Q d_t|^2` is its projected gradient's
//! squared norm: one constant for the model, whatever the item (RULEBOOK R2a).

use super::taps::{Layer, TapError, Tapped};
use ops::{Ctx, Stream, check_finite, matmul_nn, matmul_tn, transpose};
use std::ops::Range;

/// Widest projection.
pub const MAX_RANK: usize = 128;
/// Widest layer side.
pub const MAX_LAYER_SIDE: usize = 1 << 20;
/// Most layers.
pub const MAX_LAYERS: usize = 1 << 12;
/// Most numbers in one feature.
pub const MAX_WIDTH: usize = 1 << 22;

/// Why a feature cannot be computed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum FeatureError {
    /// The model refused the item.
    #[error(transparent)]
    Tap(#[from] TapError),
    /// NaN or infinity in an activation or gradient.
    #[error("layer {layer} gives a gradient that is not finite: the model's weights or the item are broken")]
    NotFinite {
        /// Name of the layer.
        layer: String,
    },
    /// A rank of zero or past the limit, layers past their limits, or a feature past its limit.
    #[error(
        "a projection of rank {rank} over {layers} layers is out of range: choose a rank of 1 to {MAX_RANK}"
    )]
    BadRank {
        /// The rank asked for.
        rank: usize,
        /// Attributed layers.
        layers: usize,
    },
    /// A model that hands out taps unlike its layers.
    #[error("the model's tap of layer {0} does not have the layer's shape")]
    BadTap(usize),
}

/// One side of a layer.
#[derive(Clone, Debug)]
struct Side {
    width: usize,
    rank: usize,
    /// `[width, rank]`, the layout that products read without turning it; none when the side is kept as it is.
    matrix: Option<Vec<f32>>,
}

impl Side {
    fn new(width: usize, rank: usize, seed: u64, stream: u64) -> Side {
        if width <= rank {
            return Side { width, rank: width, matrix: None };
        }
        let stream = Stream::new(seed, stream);
        let unit = 1.0 / (rank as f32).sqrt();
        let count = rank * width;
        let mut matrix = Vec::with_capacity(count);
        for index in 0..count.div_ceil(32) as u64 {
            let word = stream.word(index);
            let left = (count - matrix.len()).min(32);
            matrix.extend((0..left).map(|bit| if word >> bit & 1 == 1 { unit } else { -unit }));
        }
        let mut turned = vec![0.0; count];
        transpose(rank, width, &matrix, &mut turned);
        Side { width, rank, matrix: Some(turned) }
    }

    fn project(&self, ctx: &Ctx, rows: usize, x: &[f32]) -> Vec<f32> {
        let Some(matrix) = &self.matrix else { return x.to_vec() };
        let mut out = vec![0.0; rows * self.rank];
        let (n, k) = (self.rank, self.width);
        matmul_nn(ctx, rows, n, k, x, k, matrix, n, &mut out, n, false);
        out
    }
}

/// The projections of all layers of a model.
#[derive(Clone, Debug)]
pub struct Projector {
    layers: Vec<Layer>,
    rank: usize,
    sides: Vec<(Side, Side)>,
    /// Where each layer starts in a feature, and the total width.
    starts: Vec<usize>,
}

/// One item's projected rows, of which features are sums.
#[derive(Clone, Debug)]
pub struct Rows {
    /// Number of rows.
    pub count: usize,
    /// Projected inputs and gradients of each layer.
    layers: Vec<(Vec<f32>, Vec<f32>)>,
    /// Norm of each row's projected gradient over all layers, before clipping.
    pub norms: Vec<f64>,
}

impl Projector {
    /// Projections of `layers` to `rank` on each side, drawn under `seed`.
    pub fn new(layers: Vec<Layer>, rank: usize, seed: u64) -> Result<Projector, FeatureError> {
        let bad = || FeatureError::BadRank { rank, layers: layers.len() };
        let side_fits = |side: usize| (1..=MAX_LAYER_SIDE).contains(&side);
        let layers_fit = (1..=MAX_LAYERS).contains(&layers.len())
            && layers.iter().all(|layer| side_fits(layer.inputs) && side_fits(layer.outputs));
        if rank == 0 || rank > MAX_RANK || !layers_fit {
            return Err(bad());
        }
        let sides: Vec<(Side, Side)> = (0u64..)
            .zip(&layers)
            .map(|(i, l)| {
                (Side::new(l.inputs, rank, seed, 2 * i), Side::new(l.outputs, rank, seed, 2 * i + 1))
            })
            .collect();
        let mut starts = vec![0];
        for (inputs, outputs) in &sides {
            starts.push(starts[starts.len() - 1] + inputs.rank * outputs.rank);
        }
        if starts[layers.len()] > MAX_WIDTH {
            return Err(bad());
        }
        Ok(Projector { layers, rank, sides, starts })
    }

    /// Dimensions that a wider side is projected to.
    pub fn rank(&self) -> usize {
        self.rank
    }

    fn each_side(&self) -> impl Iterator<Item = &Side> {
        self.sides.iter().flat_map(|(inputs, gradients)| [inputs, gradients])
    }

    /// The matrices of all projected sides, inputs before gradients, `[width, rank]` each.
    pub(super) fn matrices(&self) -> impl Iterator<Item = &[f32]> {
        self.each_side().filter_map(|side| side.matrix.as_deref())
    }

    /// Numbers in all matrices together.
    pub(super) fn matrices_len(&self) -> usize {
        self.matrices().map(<[f32]>::len).sum()
    }

    /// The same sides with other matrices: `of` gets a side's number, its width and its matrix turned to `[rank, width]`, and gives one of that shape.
    pub(super) fn map_matrices(mut self, of: impl Fn(usize, usize, Vec<f32>) -> Vec<f32>) -> Projector {
        let sides = self.sides.iter_mut().flat_map(|(inputs, gradients)| [inputs, gradients]);
        for (number, side) in sides.enumerate() {
            let (width, rank) = (side.width, side.rank);
            if let Some(matrix) = &mut side.matrix {
                let mut rows = vec![0.0; rank * width];
                transpose(width, rank, matrix, &mut rows);
                transpose(rank, width, &of(number, width, rows), matrix);
            }
        }
        self
    }

    /// The same sides with matrices as [`Projector::matrices`] gave them.
    ///
    /// # Panics
    /// When `data` does not have [`Projector::matrices_len`] numbers.
    pub(super) fn with_matrices(mut self, mut data: &[f32]) -> Projector {
        assert_eq!(data.len(), self.matrices_len(), "matrices of these sides");
        let sides = self.sides.iter_mut().flat_map(|(inputs, gradients)| [inputs, gradients]);
        for matrix in sides.filter_map(|side| side.matrix.as_mut()) {
            let (own, rest) = data.split_at(matrix.len());
            matrix.copy_from_slice(own);
            data = rest;
        }
        self
    }

    /// Numbers in a feature.
    pub fn width(&self) -> usize {
        self.starts[self.layers.len()]
    }

    /// Each layer's range in a feature.
    pub fn blocks(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        self.starts.windows(2).map(|pair| pair[0]..pair[1])
    }

    /// The attributed layers.
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// Both sides of a layer's rows, projected: `[rows, rank]` each, and their ranks.
    pub(crate) fn sides(
        &self,
        ctx: &Ctx,
        layer: usize,
        inputs: &[f32],
        gradients: &[f32],
    ) -> Option<((Vec<f32>, usize), (Vec<f32>, usize))> {
        let (x, d) = self.sides.get(layer)?;
        let rows = inputs.len() / x.width;
        Some(((x.project(ctx, rows, inputs), x.rank), (d.project(ctx, rows, gradients), d.rank)))
    }

    /// Runs one item through the model and projects every row.
    pub fn rows<M: Tapped>(&self, ctx: &Ctx, model: &M, item: &M::Item) -> Result<Rows, FeatureError> {
        let mut layers = vec![(vec![], vec![]); self.layers.len()];
        let mut failure = None;
        let mut count = None;
        model.backward(ctx, item, &mut |tap| {
            let Some((inputs, outputs)) = self.sides.get(tap.layer) else {
                failure = Some(FeatureError::BadTap(tap.layer));
                return;
            };
            let rows = tap.inputs.len() / inputs.width;
            let fits = tap.inputs.len() == rows * inputs.width && tap.gradients.len() == rows * outputs.width;
            if !fits || *count.get_or_insert(rows) != rows {
                failure = Some(FeatureError::BadTap(tap.layer));
                return;
            }
            let pair = (inputs.project(ctx, rows, tap.inputs), outputs.project(ctx, rows, tap.gradients));
            if check_finite(ctx, &pair.0).is_err() || check_finite(ctx, &pair.1).is_err() {
                failure = Some(FeatureError::NotFinite { layer: self.layers[tap.layer].name.clone() });
            }
            layers[tap.layer] = pair;
        })?;
        if let Some(failure) = failure {
            return Err(failure);
        }
        let count = count.unwrap_or(0);
        let missing = |(i, (inputs, _)): (usize, &(Vec<f32>, Vec<f32>))| {
            (inputs.len() != count * self.sides[i].0.rank).then_some(i)
        };
        if let Some(layer) = layers.iter().enumerate().find_map(missing) {
            return Err(FeatureError::BadTap(layer));
        }
        let norms = (0..count).map(|t| self.norm(&layers, t)).collect();
        Ok(Rows { count, layers, norms })
    }

    fn norm(&self, layers: &[(Vec<f32>, Vec<f32>)], row: usize) -> f64 {
        let squares = |values: &[f32], rank: usize| {
            values[row * rank..][..rank].iter().fold(0.0, |sum, x| f64::from(*x) * f64::from(*x) + sum)
        };
        let of_layer = |(side, pair): (&(Side, Side), &(Vec<f32>, Vec<f32>))| {
            squares(&pair.0, side.0.rank) * squares(&pair.1, side.1.rank)
        };
        self.sides.iter().zip(layers).fold(0.0, |sum, both| sum + of_layer(both)).sqrt()
    }

    /// Sum of the projected gradients of `range` of the rows, each clipped to `clip`, written to `out`.
    pub fn feature(&self, ctx: &Ctx, rows: &Rows, range: Range<usize>, clip: f64, out: &mut [f32]) {
        assert_eq!(out.len(), self.width(), "a feature has the projector's width");
        let factors: Vec<f32> = rows.norms[range.clone()]
            .iter()
            .map(|norm| if *norm > clip { (clip / norm) as f32 } else { 1.0 })
            .collect();
        for ((sides, pair), block) in self.sides.iter().zip(&rows.layers).zip(self.blocks()) {
            let (m, n, k) = (sides.0.rank, sides.1.rank, range.len());
            let mut inputs = pair.0[range.start * m..range.end * m].to_vec();
            for (row, factor) in inputs.chunks_exact_mut(m).zip(&factors) {
                row.iter_mut().for_each(|x| *x *= factor);
            }
            let gradients = &pair.1[range.start * n..range.end * n];
            matmul_tn(ctx, m, n, k, &inputs, m, gradients, n, &mut out[block], n, false);
        }
    }
}
