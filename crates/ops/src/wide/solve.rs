//! Cholesky factorisation, triangular solves and ridge regression, in panels.

use super::{PANEL, matmul_tn};
use crate::lanes::multiversion;
use crate::path::Ctx;
use crate::threads::{Shared, for_each_range};

/// A matrix that is not positive definite to working precision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("pivot {pivot} is not positive: the matrix is not positive definite; raise the damping")]
pub struct NotPositiveDefinite {
    /// Index of the first bad pivot.
    pub pivot: usize,
}

// fold from +0 of x[p] * y[p], ascending: one panel's contribution.
#[inline(always)]
fn panel_dot(x: &[f64], y: &[f64]) -> f64 {
    let mut acc = 0f64;
    for (a, b) in x.iter().zip(y) {
        acc = a.mul_add(*b, acc);
    }
    acc
}

// Panel [j0, j1): the rows below (and in) the panel, given the factor's rows of the panel's diagonal block.
multiversion! { fn below_body(n: usize, j0: usize, j1: usize, diagonal: &[f64], rows: &mut [f64]) {
    for row in rows.chunks_exact_mut(n) {
        for j in j0..j1 {
            let d = &diagonal[(j - j0) * n..][..j + 1];
            let s = row[j] - panel_dot(&row[j0..j], &d[j0..j]);
            row[j] = s / d[j];
        }
    }
} }

// rows[i, j] -= fold(rows[i, j0..j1] * factor[j, j0..j1]) for the columns after the panel, j <= i.
multiversion! { fn trailing_body(n: usize, j0: usize, j1: usize, first: usize, panel_t: &[f64], rows: &mut [f64]) {
    // panel_t: (j1 - j0) x n, column j holds L[j, j0..j1].
    const LANES: usize = 16;
    for (r, row) in rows.chunks_exact_mut(n).enumerate() {
        let i = first + r;
        let (left, right) = row.split_at_mut(j1);
        let left = &left[j0..];
        for (t, out) in right[..i + 1 - j1].chunks_mut(LANES).enumerate() {
            let (at, w) = (j1 + t * LANES, out.len());
            let mut acc = [0f64; LANES];
            if w == LANES {
                for (p, x) in left.iter().enumerate() {
                    let y: &[f64; LANES] = panel_t[p * n + at..][..LANES].try_into().expect("LANES long");
                    for l in 0..LANES { acc[l] = x.mul_add(y[l], acc[l]); }
                }
            } else {
                for (p, x) in left.iter().enumerate() {
                    let y = &panel_t[p * n + at..][..w];
                    for l in 0..w { acc[l] = x.mul_add(y[l], acc[l]); }
                }
            }
            for l in 0..w { out[l] -= acc[l]; }
        }
    }
} }

/// Replaces the lower triangle of a symmetric positive definite `a` (`n` x `n`) by its Cholesky factor; the upper is set to +0.
///
/// # Errors
/// [`NotPositiveDefinite`] at the first pivot that is not positive; `a` is then partly overwritten.
///
/// # Panics
/// When `a` is not `n` x `n`.
pub fn cholesky(ctx: &Ctx, n: usize, a: &mut [f64]) -> Result<(), NotPositiveDefinite> {
    assert_eq!(a.len(), n * n, "cholesky: a is n x n");
    let mut panel_t = vec![0f64; PANEL * n];
    for j0 in (0..n).step_by(PANEL) {
        let j1 = (j0 + PANEL).min(n);
        for j in j0..j1 {
            let (above, row) = a.split_at_mut(j * n);
            let row = &mut row[..n];
            for q in j0..j {
                let other = &above[q * n..][..q + 1];
                row[q] = (row[q] - panel_dot(&row[j0..q], &other[j0..q])) / other[q];
            }
            let pivot = row[j] - panel_dot(&row[j0..j], &row[j0..j]);
            if pivot.is_nan() || pivot <= 0.0 || pivot.is_infinite() {
                return Err(NotPositiveDefinite { pivot: j });
            }
            row[j] = pivot.sqrt();
            row[j + 1..].fill(0.0);
        }
        let (head, tail) = a.split_at_mut(j1 * n);
        let diagonal = &head[j0 * n..];
        let rows = n - j1;
        let shared = Shared::new(tail);
        for_each_range(ctx, rows, 4, rows * PANEL * PANEL, |i, k| {
            // SAFETY: ranges of for_each_range are disjoint.
            below_body(ctx, n, j0, j1, diagonal, unsafe { shared.range(i * n, k * n) });
        });
        for (i, row) in tail.chunks_exact(n).enumerate() {
            for p in j0..j1 {
                panel_t[(p - j0) * n + j1 + i] = row[p];
            }
        }
        let shared = Shared::new(tail);
        for_each_range(ctx, rows, 4, rows * rows * PANEL, |i, k| {
            // SAFETY: ranges of for_each_range are disjoint.
            trailing_body(ctx, n, j0, j1, j1 + i, &panel_t, unsafe { shared.range(i * n, k * n) });
        });
    }
    Ok(())
}

// Forward substitution on one right-hand side, panels in order.
multiversion! { fn lower_body(n: usize, l: &[f64], x: &mut [f64]) {
    for i in 0..n {
        let row = &l[i * n..][..i + 1];
        let mut s = x[i];
        let mut p = 0;
        while p < i {
            let e = (p + PANEL).min(i);
            s -= panel_dot(&row[p..e], &x[p..e]);
            p = e;
        }
        x[i] = s / row[i];
    }
} }

// Backward substitution with the transpose: row by row from the last, columns ascending in panels from i + 1's panel.
multiversion! { fn lower_transposed_body(n: usize, l: &[f64], x: &mut [f64]) {
    for i in (0..n).rev() {
        let mut s = x[i];
        let mut p = i + 1;
        while p < n {
            let e = ((p / PANEL + 1) * PANEL).min(n);
            let mut acc = 0f64;
            for q in p..e { acc = l[q * n + i].mul_add(x[q], acc); }
            s -= acc;
            p = e;
        }
        x[i] = s / l[i * n + i];
    }
} }

/// Solves `L x = b` for each of the `rhs.len() / n` right-hand sides, rows of `rhs`, in place.
///
/// # Panics
/// When a slice does not fit the shape.
pub fn solve_lower(ctx: &Ctx, n: usize, l: &[f64], rhs: &mut [f64]) {
    each_side(ctx, n, l, rhs, lower_body);
}

/// Solves `Lt x = b` for each right-hand side, rows of `rhs`, in place.
///
/// # Panics
/// When a slice does not fit the shape.
pub fn solve_lower_transposed(ctx: &Ctx, n: usize, l: &[f64], rhs: &mut [f64]) {
    each_side(ctx, n, l, rhs, lower_transposed_body);
}

/// Solves `L Lt x = b` for each right-hand side, rows of `rhs`, in place.
///
/// # Panics
/// When a slice does not fit the shape.
pub fn solve_cholesky(ctx: &Ctx, n: usize, l: &[f64], rhs: &mut [f64]) {
    solve_lower(ctx, n, l, rhs);
    solve_lower_transposed(ctx, n, l, rhs);
}

fn each_side(
    ctx: &Ctx,
    n: usize,
    l: &[f64],
    rhs: &mut [f64],
    body: impl Fn(&Ctx, usize, &[f64], &mut [f64]) + Sync,
) {
    assert!(
        l.len() == n * n && (n == 0 || rhs.len().is_multiple_of(n)),
        "solve: l is n x n, rhs whole rows of n"
    );
    if n == 0 {
        return;
    }
    let sides = rhs.len() / n;
    let shared = Shared::new(rhs);
    for_each_range(ctx, sides, 1, sides * n * n, |i, j| {
        for side in i..j {
            // SAFETY: ranges of for_each_range are disjoint.
            body(ctx, n, l, unsafe { shared.range(side * n, (side + 1) * n) });
        }
    });
}

/// Ridge regression: the weights `w` (`targets` x `features`) that minimise `|X wt - Y|^2 + lambda |w|^2`.
///
/// `x` is `rows` x `features`, `y` is `rows` x `targets`. `G = Xt X`, `G[i, i] = G[i, i] + lambda`, Cholesky, then a solve for
/// each row of `Yt X`.
///
/// # Errors
/// [`NotPositiveDefinite`] when lambda is too small for the data.
///
/// # Panics
/// When a slice does not fit the shape.
pub fn ridge(
    ctx: &Ctx,
    rows: usize,
    features: usize,
    targets: usize,
    x: &[f64],
    y: &[f64],
    lambda: f64,
) -> Result<Vec<f64>, NotPositiveDefinite> {
    let mut gram = vec![0f64; features * features];
    matmul_tn(ctx, features, features, rows, x, x, &mut gram, false);
    for i in 0..features {
        gram[i * features + i] += lambda;
    }
    let mut w = vec![0f64; targets * features];
    matmul_tn(ctx, targets, features, rows, y, x, &mut w, false);
    cholesky(ctx, features, &mut gram)?;
    solve_cholesky(ctx, features, &gram, &mut w);
    Ok(w)
}
