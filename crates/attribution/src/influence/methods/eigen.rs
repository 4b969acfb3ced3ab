//! Eigenvectors of a small symmetric matrix by cyclic Jacobi rotations (Golub, Van Loan: "Matrix Computations", section 8.5).
//! For measures alone: it has no step verifier, so nothing paid may rest on it.

/// Sweeps after which the off-diagonal part has long vanished.
const SWEEPS_MAX: usize = 30;

/// Eigenvalues, and the eigenvectors as rows: `a = sum of value * v v^T`. `a` is `n x n`, row by row, and taken as symmetric.
///
/// # Panics
/// When `a` is not `n x n`.
pub fn symmetric_eigen(n: usize, mut a: Vec<f64>) -> (Vec<f64>, Vec<f64>) {
    assert_eq!(a.len(), n * n, "a square matrix");
    let mut v = vec![0.0; n * n];
    (0..n).for_each(|i| v[i * n + i] = 1.0);
    let whole = a.iter().fold(0.0, |sum, x| sum + x * x);
    for _ in 0..SWEEPS_MAX {
        let off = (0..n * n).filter(|at| at % (n + 1) != 0).fold(0.0, |sum, at| sum + a[at] * a[at]);
        if off <= whole * 1e-24 {
            break;
        }
        for p in 0..n {
            for q in p + 1..n {
                rotate(n, &mut a, &mut v, p, q);
            }
        }
    }
    ((0..n).map(|i| a[i * n + i]).collect(), v)
}

/// One rotation that makes `a[p, q]` vanish.
fn rotate(n: usize, a: &mut [f64], v: &mut [f64], p: usize, q: usize) {
    let apq = a[p * n + q];
    if apq == 0.0 {
        return;
    }
    let theta = (a[q * n + q] - a[p * n + p]) / (2.0 * apq);
    let t = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
    let c = 1.0 / (t * t + 1.0).sqrt();
    let s = t * c;
    let turn = |of: &mut [f64], i: usize, j: usize| {
        let (x, y) = (of[i], of[j]);
        (of[i], of[j]) = (c * x - s * y, s * x + c * y);
    };
    (0..n).for_each(|k| turn(a, k * n + p, k * n + q));
    (0..n).for_each(|k| turn(a, p * n + k, q * n + k));
    (0..n).for_each(|k| turn(v, p * n + k, q * n + k));
}
