//! Quantised weights in the layout that kernels stream.

use super::{GROUP, TILE};
use crate::lanes::greater;
use crate::math32::round_even;

/// Consecutive inputs of an output that lie side by side.
const QUAD: usize = 4;
/// Values compared side by side.
const LANES: usize = 16;

/// How wide a quantised weight is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bits {
    /// -7 to 7.
    Four,
    /// -127 to 127.
    Eight,
}

impl Bits {
    /// Largest magnitude of a value.
    pub const fn levels(self) -> f32 {
        match self {
            Bits::Four => 7.0,
            Bits::Eight => 127.0,
        }
    }

    /// Bytes of a group of a tile.
    pub(crate) const fn tile_bytes(self) -> usize {
        match self {
            Bits::Four => GROUP * TILE / 2,
            Bits::Eight => GROUP * TILE,
        }
    }

    /// A byte of zeros.
    const fn zero(self) -> i8 {
        match self {
            Bits::Four => (FOUR_BITS_ZERO << 4 | FOUR_BITS_ZERO) as i8,
            Bits::Eight => 0,
        }
    }
}

/// What is added to a value of four bits, so that it is stored without a sign.
pub(crate) const FOUR_BITS_ZERO: u8 = 8;

/// Weights of a linear layer, `outputs` x `inputs`, as int8 with a scale per output and group.
///
/// Packed by tiles of 16 outputs: for each run of four inputs, 16 outputs x 4 inputs; padded with zeros to whole tiles and groups. In four bits two runs share
/// their bytes, the first in the lower halves, each value 8 larger than it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Int8Weights {
    bits: Bits,
    outputs: usize,
    inputs: usize,
    packed: Vec<i8>,
    scales: Vec<f32>,
}

impl Int8Weights {
    fn zeros(bits: Bits, outputs: usize, inputs: usize) -> Self {
        let (tiles, groups) = (outputs.div_ceil(TILE), inputs.div_ceil(GROUP));
        let packed = vec![bits.zero(); tiles * groups * bits.tile_bytes()];
        Int8Weights { bits, outputs, inputs, packed, scales: vec![0f32; tiles * groups * TILE] }
    }

    /// Quantises `w`, `outputs` x `inputs` row-major.
    ///
    /// # Panics
    /// When `w` does not have that shape.
    pub fn quantise(bits: Bits, outputs: usize, inputs: usize, w: &[f32]) -> Self {
        assert_eq!(w.len(), outputs * inputs, "int8: w is outputs x inputs");
        let mut weights = Int8Weights::zeros(bits, outputs, inputs);
        let groups = weights.groups();
        let mut q = [0i8; GROUP];
        for j in 0..outputs {
            for g in 0..groups {
                let group = &w[j * inputs + g * GROUP..j * inputs + ((g + 1) * GROUP).min(inputs)];
                weights.scales[(j / TILE * groups + g) * TILE + j % TILE] =
                    quantise_group(bits.levels(), group, &mut q);
                for (p, quad) in q[..group.len()].chunks(QUAD).enumerate() {
                    weights.put(groups, j, g * GROUP + p * QUAD, quad);
                }
            }
        }
        weights
    }

    /// From what [`Int8Weights::row`] gave: `values`, `outputs` x `inputs`, and `scales`, `outputs` x groups, both row-major.
    ///
    /// # Panics
    /// When they do not have these shapes, or a value is no number of four bits where it should be.
    pub fn from_rows(bits: Bits, outputs: usize, inputs: usize, values: &[i8], scales: &[f32]) -> Self {
        let mut weights = Int8Weights::zeros(bits, outputs, inputs);
        let groups = weights.groups();
        assert!(values.len() == outputs * inputs && scales.len() == outputs * groups, "int8: shapes of rows");
        assert!(bits == Bits::Eight || values.iter().all(|q| (-8..8).contains(q)), "int8: four bits");
        for j in 0..outputs {
            for (p, quad) in values[j * inputs..(j + 1) * inputs].chunks(QUAD).enumerate() {
                weights.put(groups, j, p * QUAD, quad);
            }
            for (g, scale) in scales[j * groups..(j + 1) * groups].iter().enumerate() {
                weights.scales[(j / TILE * groups + g) * TILE + j % TILE] = *scale;
            }
        }
        weights
    }

    /// Sets a run of at most four values of output `j` from input `p` on, a multiple of four.
    fn put(&mut self, groups: usize, j: usize, p: usize, quad: &[i8]) {
        let (at, upper) = packed_index(self.bits, groups, j, p);
        let bytes = &mut self.packed[at..][..quad.len()];
        match self.bits {
            Bits::Eight => bytes.copy_from_slice(quad),
            Bits::Four => {
                for (byte, value) in bytes.iter_mut().zip(quad) {
                    let half = (*value as u8).wrapping_add(FOUR_BITS_ZERO);
                    let (half, keep) = if upper { (half << 4, 0x0f) } else { (half, 0xf0) };
                    *byte = (*byte as u8 & keep | half) as i8;
                }
            }
        }
    }

    /// Quantised weights of output `j`, one an input, and their scales, one a group.
    pub fn row(&self, j: usize) -> (Vec<i8>, Vec<f32>) {
        let groups = self.groups();
        let mut values = vec![0i8; self.inputs];
        for (p, quad) in values.chunks_mut(QUAD).enumerate() {
            let (at, upper) = packed_index(self.bits, groups, j, p * QUAD);
            quad.copy_from_slice(&self.packed[at..][..quad.len()]);
            if self.bits == Bits::Four {
                quad.iter_mut().for_each(|byte| *byte = four_bits(*byte, upper));
            }
        }
        (values, (0..groups).map(|g| self.scale(j, g)).collect())
    }

    /// Sets the weights and scales of output `j` to zero.
    pub fn clear_row(&mut self, j: usize) {
        let groups = self.groups();
        for p in (0..self.inputs).step_by(QUAD) {
            self.put(groups, j, p, &[0; QUAD][..QUAD.min(self.inputs - p)]);
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
        let (at, upper) = packed_index(self.bits, self.groups(), j, p);
        match self.bits {
            Bits::Eight => self.packed[at],
            Bits::Four => four_bits(self.packed[at], upper),
        }
    }

    /// How wide values are.
    pub fn bits(&self) -> Bits {
        self.bits
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

/// Place of a value, and whether it is in the upper half of its byte.
fn packed_index(bits: Bits, groups: usize, j: usize, p: usize) -> (usize, bool) {
    let run = j / TILE * groups * (GROUP / QUAD) + p / QUAD;
    // Groups are whole pairs of runs.
    let (place, upper) = match bits {
        Bits::Eight => (run, false),
        Bits::Four => (run / 2, run % 2 == 1),
    };
    (place * QUAD * TILE + j % TILE * QUAD + p % QUAD, upper)
}

/// The value of four bits in a half of a byte.
fn four_bits(byte: i8, upper: bool) -> i8 {
    let half = if upper { byte as u8 >> 4 } else { byte as u8 & 0xf };
    half.wrapping_sub(FOUR_BITS_ZERO) as i8
}

/// Groups of a tile in eight bits, from four.
pub(crate) fn widen(four: &[i8]) -> Vec<i8> {
    const RUN: usize = QUAD * TILE;
    let mut eight = vec![0i8; 2 * four.len()];
    for (bytes, runs) in four.as_chunks::<RUN>().0.iter().zip(eight.as_chunks_mut::<{ 2 * RUN }>().0) {
        for (i, byte) in bytes.iter().enumerate() {
            runs[i] = four_bits(*byte, false);
            runs[RUN + i] = four_bits(*byte, true);
        }
    }
    eight
}

/// Quantises up to [`GROUP`] values to `levels` and returns their scale; the rest of `q` is left alone.
#[inline(always)]
pub(crate) fn quantise_group(levels: f32, v: &[f32], q: &mut [i8; GROUP]) -> f32 {
    // The largest magnitude does not depend on the order; lanes let it be found side by side.
    let mut lanes = [0f32; LANES];
    let (chunks, rest) = v.as_chunks::<LANES>();
    for chunk in chunks {
        for (lane, x) in lanes.iter_mut().zip(chunk) {
            *lane = greater(*lane, f32::from_bits(x.to_bits() & 0x7fff_ffff));
        }
    }
    let a = lanes.into_iter().chain(rest.iter().map(|x| x.abs())).fold(0f32, greater);
    let inverse = if a > 0.0 { levels / a } else { 0.0 };
    for (q, x) in q.iter_mut().zip(v) {
        *q = round_even(*x * inverse) as i8;
    }
    a / levels
}
