//! Reductions of whole tensors, global-norm clipping and the check for NaN and infinity.

use crate::elementwise::scale;
use crate::lanes::multiversion;
use crate::path::Ctx;
use crate::threads::{Shared, for_each_task};

/// Elements of one chunk of a tensor reduction: a chunk is one 64x64 tile's worth.
pub const CHUNK: usize = 4096;
const LANES: usize = 8;

// Sum and sum of squares in f64: 8 stripes, then a tree; squares of f32 are exact in f64.
#[inline(always)]
fn fold(mut s: [f64; LANES]) -> f64 {
    let mut width = LANES / 2;
    while width > 0 {
        for i in 0..width {
            s[i] += s[i + width];
        }
        width /= 2;
    }
    s[0]
}

multiversion! { fn squares_body(x: &[f32]) -> f64 {
    let mut acc = [0f64; LANES];
    let (chunks, rest) = x.as_chunks::<LANES>();
    for chunk in chunks {
        for i in 0..LANES { let v = f64::from(chunk[i]); acc[i] = v.mul_add(v, acc[i]); }
    }
    for (a, v) in acc.iter_mut().zip(rest) { let v = f64::from(*v); *a = v.mul_add(v, *a); }
    fold(acc)
} }

multiversion! { fn sum_body(x: &[f32]) -> f64 {
    let mut acc = [0f64; LANES];
    let (chunks, rest) = x.as_chunks::<LANES>();
    for chunk in chunks {
        for i in 0..LANES { acc[i] += f64::from(chunk[i]); }
    }
    for (a, v) in acc.iter_mut().zip(rest) { *a += f64::from(*v); }
    fold(acc)
} }

multiversion! { fn finite_body(x: &[f32]) -> bool {
    // An exponent of all ones is NaN or infinity.
    let mut bad = 0u32;
    for v in x { bad |= u32::from(v.to_bits() & 0x7f80_0000 == 0x7f80_0000); }
    bad == 0
} }

/// Sum of squares in f64: chunks of [`CHUNK`] elements, each in 8 stripes and a tree; chunks added in order.
pub fn sum_squares(ctx: &Ctx, x: &[f32]) -> f64 {
    chunked(ctx, x, squares_body)
}

/// Sum in f64, in the order of [`sum_squares`].
pub fn sum(ctx: &Ctx, x: &[f32]) -> f64 {
    chunked(ctx, x, sum_body)
}

fn chunked(ctx: &Ctx, x: &[f32], body: impl Fn(&Ctx, &[f32]) -> f64 + Sync) -> f64 {
    let chunks = x.len().div_ceil(CHUNK);
    let mut partial = vec![0f64; chunks];
    let shared = Shared::new(&mut partial);
    const GROUP: usize = 16;
    for_each_task(ctx, chunks.div_ceil(GROUP), |g| {
        for i in g * GROUP..((g + 1) * GROUP).min(chunks) {
            // SAFETY: each chunk belongs to one task.
            let slot = unsafe { shared.range(i, i + 1) };
            slot[0] = body(ctx, &x[i * CHUNK..((i + 1) * CHUNK).min(x.len())]);
        }
    });
    let mut total = 0f64;
    for p in partial {
        total += p;
    }
    total
}

/// Factor that brings a gradient of squared norm `squares` to at most `norm_max`: 1 if it is already there.
pub fn clip_factor(squares: f64, norm_max: f32) -> f32 {
    let norm = squares.sqrt();
    if norm > f64::from(norm_max) { (f64::from(norm_max) / norm) as f32 } else { 1.0 }
}

/// Clips tensors to a global norm in place and returns the norm before: sums of squares are added in the order given.
pub fn clip_global_norm(ctx: &Ctx, tensors: &mut [&mut [f32]], norm_max: f32) -> f64 {
    let mut squares = 0f64;
    for tensor in tensors.iter() {
        squares += sum_squares(ctx, tensor);
    }
    let factor = clip_factor(squares, norm_max);
    if factor != 1.0 {
        for tensor in tensors.iter_mut() {
            scale(ctx, factor, tensor);
        }
    }
    squares.sqrt()
}

/// An output that holds NaN or infinity: the step that made it is invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "element {index} is NaN or infinite: the step is invalid; lower the learning rate or check the input data"
)]
pub struct NonFinite {
    /// Index of the first such element.
    pub index: usize,
}

/// Checks that every element is finite.
///
/// # Errors
/// [`NonFinite`] with the first element that is not.
pub fn check_finite(ctx: &Ctx, x: &[f32]) -> Result<(), NonFinite> {
    for (c, chunk) in x.chunks(CHUNK).enumerate() {
        if !finite_body(ctx, chunk) {
            let offset = chunk.iter().position(|v| !v.is_finite()).unwrap_or(0);
            return Err(NonFinite { index: c * CHUNK + offset });
        }
    }
    Ok(())
}
