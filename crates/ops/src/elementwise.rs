//! Element by element: each output depends on one element of each input.

use crate::lanes::multiversion;
use crate::path::Ctx;
use crate::threads::{Shared, for_each_range};

/// Granularity of a split, in elements: a whole number of cache lines.
pub(crate) const UNIT: usize = 1024;

multiversion! { fn add_body(x: &[f32], y: &mut [f32]) {
    for (y, x) in y.iter_mut().zip(x) { *y += *x; }
} }
multiversion! { fn multiply_body(x: &[f32], y: &mut [f32]) {
    for (y, x) in y.iter_mut().zip(x) { *y *= *x; }
} }
multiversion! { fn add_scaled_body(s: f32, x: &[f32], y: &mut [f32]) {
    for (y, x) in y.iter_mut().zip(x) { *y = s.mul_add(*x, *y); }
} }
multiversion! { fn scale_body(s: f32, y: &mut [f32]) {
    for y in y.iter_mut() { *y *= s; }
} }
multiversion! { fn add_bias_body(bias: &[f32], y: &mut [f32]) {
    for row in y.chunks_exact_mut(bias.len()) {
        for (y, b) in row.iter_mut().zip(bias) { *y += *b; }
    }
} }

/// `y[i] = x[i]`.
///
/// # Panics
/// When the lengths differ.
pub fn copy(ctx: &Ctx, x: &[f32], y: &mut [f32]) {
    zip_map(ctx, x, y, |_, x, y| y.copy_from_slice(x));
}

/// `y[i] = +0`.
pub fn clear(ctx: &Ctx, y: &mut [f32]) {
    let shared = Shared::new(y);
    for_each_range(ctx, y.len(), UNIT, y.len(), |start, end| {
        // SAFETY: ranges of for_each_range are disjoint.
        unsafe { shared.range(start, end) }.fill(0.0);
    });
}

/// `y[i] = y[i] + x[i]`.
///
/// # Panics
/// When the lengths differ.
pub fn add(ctx: &Ctx, x: &[f32], y: &mut [f32]) {
    zip_map(ctx, x, y, add_body);
}

/// `y[i] = y[i] * x[i]`.
///
/// # Panics
/// When the lengths differ.
pub fn multiply(ctx: &Ctx, x: &[f32], y: &mut [f32]) {
    zip_map(ctx, x, y, multiply_body);
}

/// `y[i] = fma(s, x[i], y[i])`.
///
/// # Panics
/// When the lengths differ.
pub fn add_scaled(ctx: &Ctx, s: f32, x: &[f32], y: &mut [f32]) {
    zip_map(ctx, x, y, |ctx, x, y| add_scaled_body(ctx, s, x, y));
}

/// `y[i] = y[i] * s`.
pub fn scale(ctx: &Ctx, s: f32, y: &mut [f32]) {
    let shared = Shared::new(y);
    for_each_range(ctx, y.len(), UNIT, y.len(), |start, end| {
        // SAFETY: ranges of for_each_range are disjoint.
        scale_body(ctx, s, unsafe { shared.range(start, end) });
    });
}

/// `y[r, j] = y[r, j] + bias[j]` for every row of `y` (`rows` x `bias.len()`).
///
/// # Panics
/// When `y` is not a whole number of rows.
pub fn add_bias(ctx: &Ctx, bias: &[f32], y: &mut [f32]) {
    let n = bias.len();
    if n == 0 {
        return;
    }
    assert_eq!(y.len() % n, 0, "add_bias: y must be whole rows of {n}");
    let shared = Shared::new(y);
    for_each_range(ctx, y.len() / n, 1, y.len(), |start, end| {
        // SAFETY: ranges of for_each_range are disjoint.
        add_bias_body(ctx, bias, unsafe { shared.range(start * n, end * n) });
    });
}

/// Runs a body over equal ranges of an input and an output.
pub(crate) fn zip_map(ctx: &Ctx, x: &[f32], y: &mut [f32], body: impl Fn(&Ctx, &[f32], &mut [f32]) + Sync) {
    assert_eq!(x.len(), y.len(), "input and output must be equally long");
    let shared = Shared::new(y);
    for_each_range(ctx, x.len(), UNIT, x.len(), |start, end| {
        // SAFETY: ranges of for_each_range are disjoint.
        body(ctx, &x[start..end], unsafe { shared.range(start, end) });
    });
}
