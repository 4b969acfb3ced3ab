//! Optimiser steps: AdamW, SGD with momentum, and the orthogonalisation of Muon.

use crate::elementwise::{UNIT, add_scaled, scale};
use crate::lanes::multiversion;
use crate::matmul::{self, matmul_nn};
use crate::path::Ctx;
use crate::reduce::sum_squares;
use crate::threads::{Shared, for_each_range};

/// Hyperparameters of AdamW (Loshchilov and Hutter, "Decoupled weight decay regularization").
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamW {
    /// Learning rate.
    pub lr: f32,
    /// Decay of the first moment.
    pub beta1: f32,
    /// Decay of the second moment.
    pub beta2: f32,
    /// Added to the root of the second moment.
    pub eps: f32,
    /// Decoupled weight decay.
    pub weight_decay: f32,
}

multiversion! { fn adamw_body(h: AdamW, c1: f32, c2: f32, w: &mut [f32], g: &[f32], m: &mut [f32], v: &mut [f32]) {
    let (keep, a1, a2) = (1.0 - h.lr * h.weight_decay, 1.0 - h.beta1, 1.0 - h.beta2);
    for (((w, g), m), v) in w.iter_mut().zip(g).zip(m).zip(v) {
        let g = *g;
        *m = (g - *m).mul_add(a1, *m);
        *v = (*v).mul_add(h.beta2, (g * g) * a2);
        *w = (*w * keep) - (h.lr * (*m / c1)) / ((*v / c2).sqrt() + h.eps);
    }
} }

/// One AdamW step, in place, on weights `w`, first moment `m`, second moment `v`. `step` counts from 1.
///
/// `m = fma(g - m, 1 - beta1, m)`, `v = fma(v, beta2, (g g)(1 - beta2))`, `w = w (1 - lr wd) - lr (m / c1) / (sqrt(v / c2) + eps)`
/// with `c = 1 - beta^step`, the power by repeated multiplication in f64.
///
/// # Panics
/// When the lengths differ or `step` is zero.
pub fn adamw_step(ctx: &Ctx, h: &AdamW, step: u64, w: &mut [f32], g: &[f32], m: &mut [f32], v: &mut [f32]) {
    let n = w.len();
    assert!(g.len() == n && m.len() == n && v.len() == n, "adamw: equally long slices");
    assert!(step > 0, "adamw: steps count from 1");
    let c1 = (1.0 - power(f64::from(h.beta1), step)) as f32;
    let c2 = (1.0 - power(f64::from(h.beta2), step)) as f32;
    let (w, m, v) = (Shared::new(w), Shared::new(m), Shared::new(v));
    for_each_range(ctx, n, UNIT, n, |i, j| {
        // SAFETY: ranges of for_each_range are disjoint.
        let (w, m, v) = unsafe { (w.range(i, j), m.range(i, j), v.range(i, j)) };
        adamw_body(ctx, *h, c1, c2, w, &g[i..j], m, v);
    });
}

/// x^n by squaring, low bit first: the order of multiplications is part of the specification.
pub fn power(x: f64, mut n: u64) -> f64 {
    let (mut result, mut square) = (1.0, x);
    while n > 0 {
        if n & 1 == 1 {
            result *= square;
        }
        square *= square;
        n >>= 1;
    }
    result
}

multiversion! { fn sgd_body(lr: f32, momentum: f32, weight_decay: f32, w: &mut [f32], g: &[f32], m: &mut [f32]) {
    for ((w, g), m) in w.iter_mut().zip(g).zip(m) {
        *m = (*m).mul_add(momentum, weight_decay.mul_add(*w, *g));
        *w = (-lr).mul_add(*m, *w);
    }
} }

/// SGD with momentum and L2 decay, in place: `m = fma(m, momentum, fma(wd, w, g))`, `w = fma(-lr, m, w)`.
///
/// # Panics
/// When the lengths differ.
pub fn sgd_step(
    ctx: &Ctx,
    lr: f32,
    momentum: f32,
    weight_decay: f32,
    w: &mut [f32],
    g: &[f32],
    m: &mut [f32],
) {
    let n = w.len();
    assert!(g.len() == n && m.len() == n, "sgd: equally long slices");
    let (w, m) = (Shared::new(w), Shared::new(m));
    for_each_range(ctx, n, UNIT, n, |i, j| {
        // SAFETY: ranges of for_each_range are disjoint.
        let (w, m) = unsafe { (w.range(i, j), m.range(i, j)) };
        sgd_body(ctx, lr, momentum, weight_decay, w, &g[i..j], m);
    });
}

/// Coefficients of Muon's quintic iteration (K. Jordan, "Muon").
pub const MUON_COEFFICIENTS: [f32; 3] = [3.4445, -4.7750, 2.0315];
/// Iterations that Muon makes.
pub const MUON_ITERATIONS: usize = 5;

/// Newton-Schulz: replaces `x` (`rows` x `cols`) by a matrix near its orthogonal factor.
///
/// `x` is first divided by its Frobenius norm plus 1e-7, then [`MUON_ITERATIONS`] times `A = X Xt`, `B = b A + c A A`,
/// `X = a X + B X`, each product a matmul op and each sum one fma; with more rows than columns on the transpose.
///
/// # Panics
/// When `x` is not `rows` x `cols`.
pub fn newton_schulz(ctx: &Ctx, rows: usize, cols: usize, x: &mut [f32]) {
    assert_eq!(x.len(), rows * cols, "newton_schulz: x is rows x cols");
    let norm = sum_squares(ctx, x).sqrt() as f32;
    scale(ctx, 1.0 / (norm + 1e-7), x);
    if rows > cols {
        let mut flipped = vec![0f32; x.len()];
        transpose(rows, cols, x, &mut flipped);
        iterate(ctx, cols, rows, &mut flipped);
        transpose(cols, rows, &flipped, x);
    } else {
        iterate(ctx, rows, cols, x);
    }
}

fn iterate(ctx: &Ctx, n: usize, k: usize, x: &mut [f32]) {
    let [a, b, c] = MUON_COEFFICIENTS;
    let (mut gram, mut poly, mut next) = (vec![0f32; n * n], vec![0f32; n * n], vec![0f32; n * k]);
    for _ in 0..MUON_ITERATIONS {
        matmul::gram(ctx, n, k, x, k, &mut gram, n);
        matmul::square(ctx, n, &gram, n, &mut poly, n);
        scale(ctx, c, &mut poly);
        add_scaled(ctx, b, &gram, &mut poly);
        matmul_nn(ctx, n, k, n, &poly, n, x, k, &mut next, k, false);
        add_scaled(ctx, a, x, &mut next);
        x.copy_from_slice(&next);
    }
}

/// `out[j, i] = x[i, j]`, `x` being `rows` x `cols`.
///
/// # Panics
/// When a slice does not fit the shape.
pub fn transpose(rows: usize, cols: usize, x: &[f32], out: &mut [f32]) {
    assert!(x.len() == rows * cols && out.len() == x.len(), "transpose: rows x cols");
    for i0 in (0..rows).step_by(2 * SQUARE) {
        for j0 in (0..cols).step_by(SQUARE) {
            // Two squares fill a cache line of each row that they are written to.
            for i0 in [i0, i0 + SQUARE] {
                if i0 + SQUARE <= rows && j0 + SQUARE <= cols {
                    turn(rows, cols, &x[i0 * cols + j0..], &mut out[j0 * rows + i0..]);
                } else {
                    for i in i0..(i0 + SQUARE).min(rows) {
                        for j in j0..(j0 + SQUARE).min(cols) {
                            out[j * rows + i] = x[i * cols + j];
                        }
                    }
                }
            }
        }
    }
}

/// Rows and columns that are turned in registers.
const SQUARE: usize = 8;

#[inline(always)]
fn turn(rows: usize, cols: usize, x: &[f32], out: &mut [f32]) {
    let square: [[f32; SQUARE]; SQUARE] =
        std::array::from_fn(|i| x[i * cols..][..SQUARE].try_into().expect("SQUARE long"));
    for j in 0..SQUARE {
        let row: [f32; SQUARE] = std::array::from_fn(|i| square[i][j]);
        out[j * rows..][..SQUARE].copy_from_slice(&row);
    }
}
