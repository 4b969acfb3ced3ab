//! The f64 family, for small solves: products, Cholesky, triangular solves, ridge regression, squared distances.
//!
//! Products follow the order of [`crate::matmul`] in f64. Factorisation and solves work in panels of [`PANEL`] columns; a
//! panel's contribution is folded from a fresh +0 by fma in ascending order, then subtracted, panels in order.

mod distance;
mod matmul;
mod solve;

pub use distance::squared_distances;
pub use matmul::{matmul_nn, matmul_nt, matmul_tn};
pub use solve::{
    NotPositiveDefinite, cholesky, cholesky_inverse, ridge, solve_cholesky, solve_lower,
    solve_lower_transposed,
};

/// Columns of a panel in factorisation and solves.
pub const PANEL: usize = 64;
