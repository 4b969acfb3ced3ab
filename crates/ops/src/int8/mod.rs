//! The int8 family: symmetric weights, one scale per output and group of [`GROUP`] inputs, activations quantised per row and
//! group on the fly, exact integer products.
//!
//! Quantisation of a group `v`: `a = max |v|`, `scale = a / 127`, `q = round_even(v * (127 / a))` (all 0 when `a` is 0). Weights may be kept in four bits, with 7 in
//! the place of 127: half of the bytes to stream, and the same product. The
//! product for a row `x` and an output `j`: from `acc = +0`, for each group in order `acc = fma(sx * sw, dot as f32, acc)`, `dot`
//! being the exact integer dot product of the group (below 2^24, so its conversion is exact too).

mod kernel;
mod vnni;
mod weights;

pub use kernel::{Int8Rows, int8_matmul, int8_rows_matmul};
pub use weights::{Bits, Int8Weights};

/// Inputs that share a scale.
pub const GROUP: usize = 64;
/// Outputs of a packed tile.
pub(crate) const TILE: usize = 16;
/// Largest magnitude of a quantised value in eight bits.
pub(crate) const LEVELS: f32 = Bits::Eight.levels();
