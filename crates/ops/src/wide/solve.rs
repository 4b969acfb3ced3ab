//! Cholesky factorisation, triangular solves and ridge regression, in panels.

use super::{PANEL, matmul::upper_times_its_transpose, matmul_tn};
use crate::lanes::multiversion;
use crate::path::Ctx;
use crate::threads::{Shared, for_each_range, for_each_task};

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

/// Columns that are updated together after a panel, and rows.
const LANES: usize = 8;
const ROWS: usize = 6;

// fold(left[r][p] * tile[p, l]) from +0, ascending, for R rows and the LANES columns of one tile.
#[inline(always)]
fn folds<const R: usize>(rows: &[f64], n: usize, j0: usize, j1: usize, tile: &[f64]) -> [[f64; LANES]; R] {
    let mut acc = [[0f64; LANES]; R];
    let left: [&[f64]; R] = std::array::from_fn(|r| &rows[r * n + j0..][..j1 - j0]);
    for (p, y) in tile.chunks_exact(LANES).take(j1 - j0).enumerate() {
        let y: &[f64; LANES] = y.try_into().expect("LANES long");
        for (acc, left) in acc.iter_mut().zip(left) {
            let x = left[p];
            for l in 0..LANES {
                acc[l] = x.mul_add(y[l], acc[l]);
            }
        }
    }
    acc
}

// rows[i, j] -= fold(rows[i, j0..j1] * factor[j, j0..j1]) for the columns after the panel, j <= i. `tiles` holds the panel's columns of the
// rows below it, LANES rows a tile, [tiles, PANEL, LANES]; the first of `rows` is the `first` of those.
multiversion! { fn trailing_body(n: usize, j0: usize, j1: usize, first: usize, tiles: &[f64], rows: &mut [f64]) {
    let count = rows.len() / n;
    let mut r = 0;
    while r < count {
        let group = if r + ROWS <= count { ROWS } else { 1 };
        let rows = &mut rows[r * n..(r + group) * n];
        // The last row of the group reaches furthest; tiles that pass a row's diagonal are cut there.
        for (t, tile) in tiles.chunks_exact(PANEL * LANES).enumerate().take((first + r + group).div_ceil(LANES)) {
            let mut acc = [[0f64; LANES]; ROWS];
            if group == ROWS { acc = folds::<ROWS>(rows, n, j0, j1, tile); } else { acc[0] = folds::<1>(rows, n, j0, j1, tile)[0]; }
            for (k, (row, acc)) in rows.chunks_exact_mut(n).zip(&acc).enumerate() {
                let reach = (first + r + k + 1).saturating_sub(t * LANES).min(LANES);
                let out = &mut row[j1 + t * LANES..][..reach];
                for (out, x) in out.iter_mut().zip(acc) { *out -= x; }
            }
        }
        r += group;
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
    let mut tiles = vec![0f64; PANEL * n.next_multiple_of(LANES)];
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
        for_each_range(ctx, rows, SIDES, rows * PANEL * PANEL, |i, k| {
            // SAFETY: ranges of for_each_range are disjoint.
            let rows = unsafe { shared.range(i * n, k * n) };
            let mut together = [0f64; PANEL * SIDES];
            for rows in rows.chunks_mut(SIDES * n) {
                solve_together(ctx, j1 - j0, &diagonal[j0..], n, rows, n, j0, &mut together);
            }
        });
        for (i, row) in tail.chunks_exact(n).enumerate() {
            let tile = &mut tiles[i / LANES * PANEL * LANES..];
            for (p, x) in row[j0..j1].iter().enumerate() {
                tile[p * LANES + i % LANES] = *x;
            }
        }
        let shared = Shared::new(tail);
        for_each_range(ctx, rows, ROWS, rows * rows * PANEL, |i, k| {
            // SAFETY: ranges of for_each_range are disjoint.
            trailing_body(ctx, n, j0, j1, i, &tiles, unsafe { shared.range(i * n, k * n) });
        });
    }
    Ok(())
}

/// Right-hand sides that are solved together: what each gets is what it would get alone, but no sum waits for the one before.
const SIDES: usize = 32;

// sums[l] - fold(row[q] * x[q, l]) from +0, ascending, for every side `l`; x is [row.len(), SIDES].
#[inline(always)]
fn subtract(sums: &mut [f64; SIDES], row: impl Iterator<Item = f64>, x: &[f64]) {
    let mut acc = [0f64; SIDES];
    for (factor, x) in row.zip(x.chunks_exact(SIDES)) {
        let x: &[f64; SIDES] = x.try_into().expect("SIDES long");
        for l in 0..SIDES {
            acc[l] = factor.mul_add(x[l], acc[l]);
        }
    }
    for l in 0..SIDES {
        sums[l] -= acc[l];
    }
}

#[inline(always)]
fn divide(sums: &mut [f64; SIDES], by: f64) {
    for sum in sums {
        *sum /= by;
    }
}

#[inline(always)]
fn side(x: &mut [f64], i: usize) -> &mut [f64; SIDES] {
    (&mut x[i * SIDES..][..SIDES]).try_into().expect("SIDES long")
}

// Forward substitution on SIDES right-hand sides, [n, SIDES]: panel by panel, each taken from all rows below before the next. Sides are zero
// before `from`, a panel's first row: zeros there stay what they are and take nothing from the rest.
multiversion! { fn lower_body(n: usize, from: usize, l: &[f64], stride: usize, x: &mut [f64]) {
    for j0 in (from..n).step_by(PANEL) {
        let j1 = (j0 + PANEL).min(n);
        for i in j0..n {
            let row = &l[i * stride..][..n];
            let (known, rest) = x.split_at_mut(i.min(j1) * SIDES);
            let sums = side(rest, i - i.min(j1));
            subtract(sums, row[j0..i.min(j1)].iter().copied(), &known[j0 * SIDES..]);
            if i < j1 { divide(sums, row[i]); }
        }
    }
} }

// Backward substitution with the transpose: row by row from the last, columns ascending in panels from i + 1's panel.
multiversion! { fn lower_transposed_body(n: usize, l: &[f64], x: &mut [f64]) {
    for i in (0..n).rev() {
        let (head, known) = x.split_at_mut((i + 1) * SIDES);
        let sums = side(head, i);
        let mut p = i + 1;
        while p < n {
            let e = ((p / PANEL + 1) * PANEL).min(n);
            subtract(sums, (p..e).map(|q| l[q * n + i]), &known[(p - i - 1) * SIDES..]);
            p = e;
        }
        divide(sums, l[i * n + i]);
    }
} }

/// Solves `L x = b` by [`lower_body`] for up to [`SIDES`] right-hand sides, the `n` elements from `at` of rows that lie `width` apart. `l` has rows
/// `stride` apart.
fn solve_together(
    ctx: &Ctx,
    n: usize,
    l: &[f64],
    stride: usize,
    sides: &mut [f64],
    width: usize,
    at: usize,
    together: &mut [f64],
) {
    gather(sides, width, at, together, n);
    lower_body(ctx, n, 0, l, stride, together);
    scatter(together, n, sides, width, at);
}

/// Sides into columns of `[n, SIDES]`. Those that are not there hold zeros, whose solutions nobody reads.
fn gather(sides: &[f64], width: usize, at: usize, together: &mut [f64], n: usize) {
    together.fill(0.0);
    for (s, side) in sides.chunks_exact(width).enumerate() {
        for (to, from) in together.chunks_exact_mut(SIDES).zip(&side[at..at + n]) {
            to[s] = *from;
        }
    }
}

fn scatter(together: &[f64], n: usize, sides: &mut [f64], width: usize, at: usize) {
    for (s, side) in sides.chunks_exact_mut(width).enumerate() {
        for (to, from) in side[at..at + n].iter_mut().zip(together.chunks_exact(SIDES)) {
            *to = from[s];
        }
    }
}

/// Solves `L x = b` for each of the `rhs.len() / n` right-hand sides, rows of `rhs`, in place.
///
/// # Panics
/// When a slice does not fit the shape.
pub fn solve_lower(ctx: &Ctx, n: usize, l: &[f64], rhs: &mut [f64]) {
    each_group(ctx, n, l, rhs, |ctx, x| lower_body(ctx, n, 0, l, n, x));
}

/// Solves `Lt x = b` for each right-hand side, rows of `rhs`, in place.
///
/// # Panics
/// When a slice does not fit the shape.
pub fn solve_lower_transposed(ctx: &Ctx, n: usize, l: &[f64], rhs: &mut [f64]) {
    each_group(ctx, n, l, rhs, |ctx, x| lower_transposed_body(ctx, n, l, x));
}

/// Solves `L Lt x = b` for each right-hand side, rows of `rhs`, in place.
///
/// # Panics
/// When a slice does not fit the shape.
pub fn solve_cholesky(ctx: &Ctx, n: usize, l: &[f64], rhs: &mut [f64]) {
    solve_lower(ctx, n, l, rhs);
    solve_lower_transposed(ctx, n, l, rhs);
}

fn each_group(ctx: &Ctx, n: usize, l: &[f64], rhs: &mut [f64], body: impl Fn(&Ctx, &mut [f64]) + Sync) {
    assert!(
        l.len() == n * n && (n == 0 || rhs.len().is_multiple_of(n)),
        "solve: l is n x n, rhs whole rows of n"
    );
    if n == 0 {
        return;
    }
    let sides = rhs.len() / n;
    let shared = Shared::new(rhs);
    for_each_range(ctx, sides, SIDES, sides * n * n, |i, j| {
        // SAFETY: ranges of for_each_range are disjoint.
        let own = unsafe { shared.range(i * n, j * n) };
        let mut together = vec![0f64; n * SIDES];
        for group in own.chunks_mut(SIDES * n) {
            gather(group, n, 0, &mut together, n);
            body(ctx, &mut together);
            scatter(&together, n, group, n, 0);
        }
    });
}

/// The inverse of `L Lt`, symmetric to the bit, from the lower triangular `l` (`n` x `n`).
///
/// `X`, whose row `j` solves `L x = e_j` ([`solve_lower`]), then `X Xt` ([`super::matmul_nt`]): the bits of these two ops, without the work on the zeros of
/// the one and the other, a third of them.
///
/// # Panics
/// When `l` is not `n` x `n`.
pub fn cholesky_inverse(ctx: &Ctx, n: usize, l: &[f64]) -> Vec<f64> {
    assert_eq!(l.len(), n * n, "cholesky_inverse: l is n x n");
    let mut upper = vec![0f64; n * n];
    let shared = Shared::new(&mut upper);
    for_each_task(ctx, n.div_ceil(SIDES), |group| {
        let (first, end) = (group * SIDES, ((group + 1) * SIDES).min(n));
        let mut x = vec![0f64; n * SIDES];
        for j in first..end {
            x[j * SIDES + j - first] = 1.0;
        }
        lower_body(ctx, n, first / PANEL * PANEL, l, n, &mut x);
        // SAFETY: a group's rows are its own.
        scatter(&x, n, unsafe { shared.range(first * n, end * n) }, n, 0);
    });
    upper_times_its_transpose(ctx, n, &upper)
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
