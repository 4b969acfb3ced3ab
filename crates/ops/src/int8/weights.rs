//! Quantised weights in the layout that kernels stream.

use super::{GROUP, LEVELS, TILE};
use crate::lanes::greater;
use crate::math32::round_even;

/// Consecutive inputs of an output that lie side by side.
const QUAD: usize = 4;
/// Values compared side by side.
const LANES: usize = 16;

/// Weights of a linear layer, `outputs` x `inputs`, as int8 with a scale per output and group.
///
/// Packed by tiles of 16 outputs: for each run of four inputs, 16 outputs x 4 inputs; padded with zeros to whole tiles and groups.
#[derive(Clone, Debug, PartialEq)]
pub struct Int8Weights {
    outputs: usize,
    inputs: usize,
    packed: Vec<i8>,
    scales: Vec<f32>,
}

impl Int8Weights {
    /// Quantises `w`, `outputs` x `inputs` row-major.
    ///
    /// # Panics
    /// When `w` does not have that shape.
    pub fn quantise(outputs: usize, inputs: usize, w: &[f32]) -> Self {
        assert_eq!(w.len(), outputs * inputs, "int8: w is outputs x inputs");
        let (tiles, groups) = (outputs.div_ceil(TILE), inputs.div_ceil(GROUP));
        let mut packed = vec![0i8; tiles * groups * GROUP * TILE];
        let mut scales = vec![0f32; tiles * groups * TILE];
        let mut q = [0i8; GROUP];
        for j in 0..outputs {
            for g in 0..groups {
                let group = &w[j * inputs + g * GROUP..j * inputs + ((g + 1) * GROUP).min(inputs)];
                scales[(j / TILE * groups + g) * TILE + j % TILE] = quantise_group(group, &mut q);
                for (p, v) in q[..group.len()].iter().enumerate() {
                    packed[packed_index(groups, j, g * GROUP + p)] = *v;
                }
            }
        }
        Int8Weights { outputs, inputs, packed, scales }
    }

    /// From what [`Int8Weights::row`] gave: `values`, `outputs` x `inputs`, and `scales`, `outputs` x groups, both row-major.
    ///
    /// # Panics
    /// When they do not have these shapes.
    pub fn from_rows(outputs: usize, inputs: usize, values: &[i8], scales: &[f32]) -> Self {
        let (tiles, groups) = (outputs.div_ceil(TILE), inputs.div_ceil(GROUP));
        assert!(values.len() == outputs * inputs && scales.len() == outputs * groups, "int8: shapes of rows");
        let mut packed = vec![0i8; tiles * groups * GROUP * TILE];
        let mut packed_scales = vec![0f32; tiles * groups * TILE];
        for j in 0..outputs {
            for (p, quad) in values[j * inputs..(j + 1) * inputs].chunks(QUAD).enumerate() {
                packed[packed_index(groups, j, p * QUAD)..][..quad.len()].copy_from_slice(quad);
            }
            for (g, scale) in scales[j * groups..(j + 1) * groups].iter().enumerate() {
                packed_scales[(j / TILE * groups + g) * TILE + j % TILE] = *scale;
            }
        }
        Int8Weights { outputs, inputs, packed, scales: packed_scales }
    }

    /// Quantised weights of output `j`, one an input, and their scales, one a group.
    pub fn row(&self, j: usize) -> (Vec<i8>, Vec<f32>) {
        let groups = self.groups();
        let mut values = vec![0i8; self.inputs];
        for (p, quad) in values.chunks_mut(QUAD).enumerate() {
            quad.copy_from_slice(&self.packed[packed_index(groups, j, p * QUAD)..][..quad.len()]);
        }
        (values, (0..groups).map(|g| self.scale(j, g)).collect())
    }

    /// Sets the weights and scales of output `j` to zero.
    pub fn clear_row(&mut self, j: usize) {
        let groups = self.groups();
        for p in 0..self.inputs {
            self.packed[packed_index(groups, j, p)] = 0;
        }
        for g in 0..groups {
            self.scales[(j / TILE * groups + g) * TILE + j % TILE] = 0.0;
        }
    }

    /// Rows of the weight matrix.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// Columns of the weight matrix.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Groups of a row.
    pub fn groups(&self) -> usize {
        self.inputs.div_ceil(GROUP)
    }

    /// Bytes that a product streams.
    pub fn bytes(&self) -> usize {
        self.packed.len() + self.scales.len() * 4
    }

    /// Quantised weight of output `j`, input `p`.
    pub fn value(&self, j: usize, p: usize) -> i8 {
        self.packed[packed_index(self.groups(), j, p)]
    }

    /// Scale of output `j`, group `g`.
    pub fn scale(&self, j: usize, g: usize) -> f32 {
        self.scales[(j / TILE * self.groups() + g) * TILE + j % TILE]
    }

    pub(crate) fn packed(&self) -> &[i8] {
        &self.packed
    }

    pub(crate) fn scales(&self) -> &[f32] {
        &self.scales
    }
}

fn packed_index(groups: usize, j: usize, p: usize) -> usize {
    (j / TILE * groups * GROUP + p / 4 * 4) * TILE + j % TILE * 4 + p % 4
}

/// Quantises up to [`GROUP`] values and returns their scale; the rest of `q` is left alone.
#[inline(always)]
pub(crate) fn quantise_group(v: &[f32], q: &mut [i8; GROUP]) -> f32 {
    // The largest magnitude does not depend on the order; lanes let it be found side by side.
    let mut lanes = [0f32; LANES];
    let (chunks, rest) = v.as_chunks::<LANES>();
    for chunk in chunks {
        for (lane, x) in lanes.iter_mut().zip(chunk) {
            *lane = greater(*lane, f32::from_bits(x.to_bits() & 0x7fff_ffff));
        }
    }
    let a = lanes.into_iter().chain(rest.iter().map(|x| x.abs())).fold(0f32, greater);
    let inverse = if a > 0.0 { LEVELS / a } else { 0.0 };
    for (q, x) in q.iter_mut().zip(v) {
        *q = round_even(*x * inverse) as i8;
    }
    a / LEVELS
}
