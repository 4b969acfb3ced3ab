//! Rotary position embedding, in place.
//!
//! A head's first `rotated` elements form `rotated / 2` pairs; pair `i` of a row at position `p` is turned by the
//! angle `p * frequency[i]`: `(a, b) -> (a cos - b sin, b cos + a sin)`, each as `fma(a, cos, -(b * sin))` and
//! `fma(b, cos, a * sin)`. The backward pass turns by the opposite angle.

use crate::lanes::multiversion;
use crate::math64;
use crate::path::Ctx;
use crate::threads::{Shared, for_each_range};

/// Which elements of a head form a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RopePairs {
    /// Element `i` with `i + rotated / 2` (Llama, Qwen, GPT-NeoX).
    Halves,
    /// Element `2 i` with `2 i + 1` (GPT-J).
    Neighbours,
}

/// Cosines and sines of every position and pair, `positions` x `rotated / 2`.
#[derive(Clone, Debug, PartialEq)]
pub struct RopeTable {
    pairs: usize,
    cos: Vec<f32>,
    sin: Vec<f32>,
}

/// `frequency[i] = theta ^ (-2 i / rotated)` for the `rotated / 2` pairs, in f64.
pub fn rope_frequencies(rotated: usize, theta: f64) -> Vec<f64> {
    (0..rotated / 2).map(|i| math64::pow(theta, -2.0 * i as f64 / rotated as f64)).collect()
}

impl RopeTable {
    /// The table of positions `0..positions`; the angle `p * frequency` is computed in f64 and rounded once.
    pub fn new(frequencies: &[f64], positions: usize) -> Self {
        let pairs = frequencies.len();
        let (mut cos, mut sin) =
            (Vec::with_capacity(positions * pairs), Vec::with_capacity(positions * pairs));
        for p in 0..positions {
            for f in frequencies {
                let angle = p as f64 * f;
                cos.push(math64::cos(angle) as f32);
                sin.push(math64::sin(angle) as f32);
            }
        }
        RopeTable { pairs, cos, sin }
    }

    /// Positions in the table.
    pub fn positions(&self) -> usize {
        self.cos.len().checked_div(self.pairs).unwrap_or(0)
    }

    /// Cosines, `positions` x `pairs`.
    pub fn cos(&self) -> &[f32] {
        &self.cos
    }

    /// Sines, `positions` x `pairs`.
    pub fn sin(&self) -> &[f32] {
        &self.sin
    }

    /// Pairs that are turned, half the rotated width.
    pub fn pairs(&self) -> usize {
        self.pairs
    }
}

multiversion! { fn halves_body(x: &mut [f32], cos: &[f32], sin: &[f32], sign: f32) {
    let (a, b) = x.split_at_mut(cos.len());
    for (((a, b), c), s) in a.iter_mut().zip(b).zip(cos).zip(sin) {
        let s = *s * sign;
        let (x, y) = (*a, *b);
        *a = x.mul_add(*c, -(y * s));
        *b = y.mul_add(*c, x * s);
    }
} }

multiversion! { fn neighbours_body(x: &mut [f32], cos: &[f32], sin: &[f32], sign: f32) {
    for ((pair, c), s) in x.as_chunks_mut::<2>().0.iter_mut().zip(cos).zip(sin) {
        let s = *s * sign;
        let [x, y] = *pair;
        *pair = [x.mul_add(*c, -(y * s)), y.mul_add(*c, x * s)];
    }
} }

/// Turns `heads` heads of `head_dim` in each row of `x` (row stride `ld`), row `r` at `positions[r]`.
///
/// # Panics
/// When a slice does not fit, or a position is not in the table.
pub fn rope_fwd(
    ctx: &Ctx,
    table: &RopeTable,
    pairs: RopePairs,
    positions: &[u32],
    heads: usize,
    head_dim: usize,
    x: &mut [f32],
    ld: usize,
) {
    turn(ctx, table, pairs, positions, heads, head_dim, x, ld, 1.0);
}

/// Gradient of [`rope_fwd`]: the same rows turned back.
///
/// # Panics
/// As [`rope_fwd`].
pub fn rope_bwd(
    ctx: &Ctx,
    table: &RopeTable,
    pairs: RopePairs,
    positions: &[u32],
    heads: usize,
    head_dim: usize,
    dx: &mut [f32],
    ld: usize,
) {
    turn(ctx, table, pairs, positions, heads, head_dim, dx, ld, -1.0);
}

fn turn(
    ctx: &Ctx,
    table: &RopeTable,
    pairs: RopePairs,
    positions: &[u32],
    heads: usize,
    head_dim: usize,
    x: &mut [f32],
    ld: usize,
    sign: f32,
) {
    let (rows, n) = (positions.len(), table.pairs);
    assert!(heads * head_dim <= ld && 2 * n <= head_dim, "rope: heads fit a row, pairs fit a head");
    assert!(rows == 0 || x.len() >= (rows - 1) * ld + heads * head_dim, "rope: x holds the rows");
    assert!(positions.iter().all(|p| (*p as usize) < table.positions()), "rope: positions are in the table");
    let shared = Shared::new(x);
    for_each_range(ctx, rows, 1, rows * heads * head_dim, |i, j| {
        for row in i..j {
            let p = positions[row] as usize * n;
            let (cos, sin) = (&table.cos[p..p + n], &table.sin[p..p + n]);
            for head in 0..heads {
                let at = row * ld + head * head_dim;
                // SAFETY: rows of for_each_range are disjoint.
                let x = unsafe { shared.range(at, at + 2 * n) };
                match pairs {
                    RopePairs::Halves => halves_body(ctx, x, cos, sin, sign),
                    RopePairs::Neighbours => neighbours_body(ctx, x, cos, sin, sign),
                }
            }
        }
    });
}
