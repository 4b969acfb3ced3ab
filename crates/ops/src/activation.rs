//! Activations, forward and backward.
//!
//! GELU is the tanh form: `0.5 x (1 + tanh(u))`, `u = c (x + 0.044715 x^3)`, `c = sqrt(2/pi)`.

use crate::elementwise::{UNIT, zip_map};
use crate::lanes::multiversion;
use crate::math32::{sigmoid, tanh};
use crate::path::Ctx;
use crate::threads::{Shared, for_each_range};

const GELU_C: f32 = 0.797_884_6;
const GELU_CUBE: f32 = 0.044_715;

/// GELU of one element, in the order of operations that defines it.
#[inline(always)]
pub fn gelu(x: f32) -> f32 {
    let u = GELU_C * (GELU_CUBE * x * x).mul_add(x, x);
    0.5 * x * (1.0 + tanh(u))
}

/// Derivative of [`gelu`].
#[inline(always)]
pub fn gelu_derivative(x: f32) -> f32 {
    let u = GELU_C * (GELU_CUBE * x * x).mul_add(x, x);
    let t = tanh(u);
    let du = GELU_C * (3.0 * GELU_CUBE * x).mul_add(x, 1.0);
    0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * du
}

/// `x * sigmoid(x)`.
#[inline(always)]
pub fn silu(x: f32) -> f32 {
    x * sigmoid(x)
}

/// Derivative of [`silu`].
#[inline(always)]
pub fn silu_derivative(x: f32) -> f32 {
    let s = sigmoid(x);
    s * (x * (1.0 - s) + 1.0)
}

multiversion! { fn gelu_fwd_body(x: &[f32], y: &mut [f32]) {
    for (y, x) in y.iter_mut().zip(x) { *y = gelu(*x); }
} }
multiversion! { fn gelu_bwd_body(x: &[f32], d: &mut [f32]) {
    for (d, x) in d.iter_mut().zip(x) { *d *= gelu_derivative(*x); }
} }
multiversion! { fn silu_fwd_body(x: &[f32], y: &mut [f32]) {
    for (y, x) in y.iter_mut().zip(x) { *y = silu(*x); }
} }
multiversion! { fn silu_bwd_body(x: &[f32], d: &mut [f32]) {
    for (d, x) in d.iter_mut().zip(x) { *d *= silu_derivative(*x); }
} }
multiversion! { fn relu_fwd_body(x: &[f32], y: &mut [f32]) {
    for (y, x) in y.iter_mut().zip(x) { *y = if *x > 0.0 { *x } else { 0.0 }; }
} }
multiversion! { fn relu_bwd_body(x: &[f32], d: &mut [f32]) {
    for (d, x) in d.iter_mut().zip(x) { *d = if *x > 0.0 { *d } else { 0.0 }; }
} }
multiversion! { fn swiglu_fwd_body(gate: &[f32], up: &[f32], y: &mut [f32]) {
    for ((y, g), u) in y.iter_mut().zip(gate).zip(up) { *y = silu(*g) * *u; }
} }
multiversion! { fn swiglu_bwd_body(gate: &[f32], up: &[f32], dy: &[f32], dgate: &mut [f32], dup: &mut [f32]) {
    for ((((dg, du), g), u), d) in dgate.iter_mut().zip(dup).zip(gate).zip(up).zip(dy) {
        *dg = *d * *u * silu_derivative(*g);
        *du = *d * silu(*g);
    }
} }

/// `y[i] = gelu(x[i])`.
pub fn gelu_fwd(ctx: &Ctx, x: &[f32], y: &mut [f32]) {
    zip_map(ctx, x, y, gelu_fwd_body);
}

/// `d[i] = d[i] * gelu'(x[i])`: the output's gradient becomes the input's in place.
pub fn gelu_bwd(ctx: &Ctx, x: &[f32], d: &mut [f32]) {
    zip_map(ctx, x, d, gelu_bwd_body);
}

/// `y[i] = silu(x[i])`.
pub fn silu_fwd(ctx: &Ctx, x: &[f32], y: &mut [f32]) {
    zip_map(ctx, x, y, silu_fwd_body);
}

/// `d[i] = d[i] * silu'(x[i])`, in place.
pub fn silu_bwd(ctx: &Ctx, x: &[f32], d: &mut [f32]) {
    zip_map(ctx, x, d, silu_bwd_body);
}

/// `y[i] = x[i]` if it is positive, else +0.
pub fn relu_fwd(ctx: &Ctx, x: &[f32], y: &mut [f32]) {
    zip_map(ctx, x, y, relu_fwd_body);
}

/// `d[i] = d[i]` where `x[i]` is positive, else +0; in place.
pub fn relu_bwd(ctx: &Ctx, x: &[f32], d: &mut [f32]) {
    zip_map(ctx, x, d, relu_bwd_body);
}

/// `y[i] = silu(gate[i]) * up[i]`.
///
/// # Panics
/// When the lengths differ.
pub fn swiglu_fwd(ctx: &Ctx, gate: &[f32], up: &[f32], y: &mut [f32]) {
    assert!(gate.len() == y.len() && up.len() == y.len(), "swiglu: equally long slices");
    let shared = Shared::new(y);
    for_each_range(ctx, y.len(), UNIT, y.len(), |start, end| {
        // SAFETY: ranges of for_each_range are disjoint.
        swiglu_fwd_body(ctx, &gate[start..end], &up[start..end], unsafe { shared.range(start, end) });
    });
}

/// Gradients of [`swiglu_fwd`]: `dgate[i] = (dy[i] * up[i]) * silu'(gate[i])`, `dup[i] = dy[i] * silu(gate[i])`.
///
/// # Panics
/// When the lengths differ.
pub fn swiglu_bwd(ctx: &Ctx, gate: &[f32], up: &[f32], dy: &[f32], dgate: &mut [f32], dup: &mut [f32]) {
    let n = dy.len();
    assert!(
        gate.len() == n && up.len() == n && dgate.len() == n && dup.len() == n,
        "swiglu: equally long slices"
    );
    let (dg, du) = (Shared::new(dgate), Shared::new(dup));
    for_each_range(ctx, n, UNIT, n, |s, e| {
        // SAFETY: ranges of for_each_range are disjoint.
        let (dg, du) = unsafe { (dg.range(s, e), du.range(s, e)) };
        swiglu_bwd_body(ctx, &gate[s..e], &up[s..e], &dy[s..e], dg, du);
    });
}
