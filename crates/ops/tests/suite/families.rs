//! The f64 and int8 families equal plain loops bit for bit; solves solve.

use crate::data::{assert_same, contexts, numbers};
use ops::int8::GROUP;
use ops::{Bits, Ctx, Int8Weights, int8_matmul, math32, wide};
use proptest::prelude::*;

fn wide_numbers(seed: u64, n: usize) -> Vec<f64> {
    numbers(seed, n).iter().map(|v| f64::from(*v)).collect()
}

#[track_caller]
fn assert_same_wide(what: &str, got: &[f64], want: &[f64]) {
    assert!(got.len() == want.len(), "{what}: lengths");
    for (i, (a, b)) in got.iter().zip(want).enumerate() {
        assert_eq!(a.to_bits(), b.to_bits(), "{what}: element {i}: {a:e} is not {b:e}");
    }
}

/// `f(p, acc)` folded over p in blocks of 256.
fn blocks(k: usize, mut have: Option<f64>, f: impl Fn(usize, f64) -> f64) -> f64 {
    for first in (0..k).step_by(256) {
        let acc = (first..k.min(first + 256)).fold(0f64, |acc, p| f(p, acc));
        have = Some(have.map_or(acc, |h| h + acc));
    }
    have.unwrap_or(0.0)
}

/// `s - fold(x[p] y[p])` for the panels of p from `from` to `to`, panels at multiples of 64.
fn panels(s: f64, from: usize, to: usize, f: impl Fn(usize, f64) -> f64) -> f64 {
    let (mut s, mut p) = (s, from);
    while p < to {
        let e = ((p / wide::PANEL + 1) * wide::PANEL).min(to);
        s -= (p..e).fold(0f64, |acc, q| f(q, acc));
        p = e;
    }
    s
}

/// A symmetric positive definite matrix.
fn definite(n: usize, seed: u64) -> Vec<f64> {
    let x = wide_numbers(seed, n * (n + 3));
    let mut a = vec![0f64; n * n];
    wide::matmul_nt(&Ctx::single(), n, n, n + 3, &x, &x, &mut a, false);
    for i in 0..n {
        a[i * n + i] += 0.5;
    }
    a
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn wide_products_and_distances_equal_the_reference(m in 1usize..20, n in 1usize..40, k in 0usize..600, accumulate: bool, seed in 0u64..1000) {
        let (a, b, c0) = (wide_numbers(seed, m * k), wide_numbers(seed + 1, k * n), wide_numbers(seed + 2, m * n));
        let element = |i: usize, j: usize| blocks(k, accumulate.then_some(c0[i * n + j]), |p, acc| a[i * k + p].mul_add(b[p * n + j], acc));
        let want: Vec<f64> = (0..m * n).map(|e| element(e / n, e % n)).collect();
        let (at, bt): (Vec<f64>, Vec<f64>) =
            ((0..m * k).map(|e| a[(e % m) * k + e / m]).collect(), (0..k * n).map(|e| b[(e % k.max(1)) * n + e / k.max(1)]).collect());
        let far = |e: usize| blocks(k, None, |p, acc| { let d = a[e / n * k + p] - bt[e % n * k + p]; d.mul_add(d, acc) });
        let distances: Vec<f64> = (0..m * n).map(far).collect();
        for ctx in contexts() {
            let mut c = c0.clone();
            wide::matmul_nn(&ctx, m, n, k, &a, &b, &mut c, accumulate);
            assert_same_wide("nn", &c, &want);
            c.copy_from_slice(&c0);
            wide::matmul_nt(&ctx, m, n, k, &a, &bt, &mut c, accumulate);
            assert_same_wide("nt", &c, &want);
            c.copy_from_slice(&c0);
            wide::matmul_tn(&ctx, m, n, k, &at, &b, &mut c, accumulate);
            assert_same_wide("tn", &c, &want);
            wide::squared_distances(&ctx, m, n, k, &a, &bt, &mut c);
            assert_same_wide("distances", &c, &distances);
        }
    }

    #[test]
    fn a_wide_product_with_itself_equals_the_reference(n in 1usize..90, k in 0usize..300, seed in 0u64..1000) {
        let a = wide_numbers(seed, n * k);
        let copy = a.clone();
        for ctx in contexts() {
            let (mut own, mut other) = (vec![0f64; n * n], vec![0f64; n * n]);
            wide::matmul_nt(&ctx, n, n, k, &a, &a, &mut own, false);
            wide::matmul_nt(&ctx, n, n, k, &a, &copy, &mut other, false);
            assert_same_wide("with itself", &own, &other);
        }
    }

    #[test]
    fn cholesky_and_solves_equal_the_reference(n in 1usize..150, sides in 1usize..40, seed in 0u64..1000) {
        let a = definite(n, seed);
        let mut l = vec![0f64; n * n];
        for i in 0..n {
            for j in 0..=i {
                let s = panels(a[i * n + j], 0, j, |p, acc| l[i * n + p].mul_add(l[j * n + p], acc));
                l[i * n + j] = if i == j { s.sqrt() } else { s / l[j * n + j] };
            }
        }
        let rhs = wide_numbers(seed + 1, sides * n);
        let (mut lower, mut upper) = (rhs.clone(), rhs.clone());
        for side in 0..sides {
            let (x, y) = (&mut lower[side * n..][..n], &mut upper[side * n..][..n]);
            for i in 0..n {
                x[i] = panels(x[i], 0, i, |p, acc| l[i * n + p].mul_add(x[p], acc)) / l[i * n + i];
            }
            for i in (0..n).rev() {
                y[i] = panels(y[i], i + 1, n, |p, acc| l[p * n + i].mul_add(y[p], acc)) / l[i * n + i];
            }
        }
        for ctx in contexts() {
            let mut f = a.clone();
            wide::cholesky(&ctx, n, &mut f).expect("positive definite");
            assert_same_wide("cholesky", &f, &l);
            let (mut x, mut y) = (rhs.clone(), rhs.clone());
            wide::solve_lower(&ctx, n, &l, &mut x);
            assert_same_wide("lower", &x, &lower);
            wide::solve_lower_transposed(&ctx, n, &l, &mut y);
            assert_same_wide("upper", &y, &upper);
            // The inverse is a solve for every unit vector, and a product of what that gives.
            let mut unit = vec![0f64; n * n];
            unit.iter_mut().step_by(n + 1).for_each(|x| *x = 1.0);
            wide::solve_lower(&ctx, n, &l, &mut unit);
            let mut product = vec![0f64; n * n];
            wide::matmul_nt(&ctx, n, n, n, &unit, &unit, &mut product, false);
            assert_same_wide("inverse", &wide::cholesky_inverse(&ctx, n, &l), &product);
        }
    }

    #[test]
    fn int8_products_equal_the_reference(rows in 1usize..20, n in 1usize..50, k in 1usize..1400, four: bool, accumulate: bool, seed in 0u64..1000) {
        let (x, w, y0) = (numbers(seed, rows * k), numbers(seed + 1, n * k), numbers(seed + 2, rows * n));
        let quantise = |levels: f32, v: &[f32]| -> (Vec<i32>, f32) {
            let a = v.iter().fold(0f32, |a, v| if v.abs() > a { v.abs() } else { a });
            let inverse = if a > 0.0 { levels / a } else { 0.0 };
            (v.iter().map(|v| math32::round_even(v * inverse) as i32).collect(), a / levels)
        };
        let bits = if four { Bits::Four } else { Bits::Eight };
        let mut want = y0.clone();
        for r in 0..rows {
            for j in 0..n {
                let mut acc = 0f32;
                for g in (0..k).step_by(GROUP) {
                    let end = k.min(g + GROUP);
                    let ((qx, sx), (qw, sw)) = (quantise(127.0, &x[r * k + g..r * k + end]), quantise(bits.levels(), &w[j * k + g..j * k + end]));
                    let dot: i32 = qx.iter().zip(&qw).map(|(a, b)| a * b).sum();
                    acc = (sx * sw).mul_add(dot as f32, acc);
                }
                want[r * n + j] = if accumulate { y0[r * n + j] + acc } else { acc };
            }
        }
        let weights = Int8Weights::quantise(bits, n, k, &w);
        let (values, scales): (Vec<_>, Vec<_>) = (0..n).map(|j| weights.row(j)).unzip();
        assert_eq!(Int8Weights::from_rows(bits, n, k, &values.concat(), &scales.concat()), weights);
        for ctx in contexts() {
            let mut y = y0.clone();
            int8_matmul(&ctx, rows, &x, &weights, &mut y, accumulate);
            assert_same("int8", &y, &want);
        }
        // One output goes, the others stay.
        let (mut cleared, gone) = (weights, seed as usize % n);
        cleared.clear_row(gone);
        for j in 0..n {
            let expected = if j == gone { vec![0; k] } else { values[j].clone() };
            assert_eq!(&cleared.row(j).0, &expected);
            assert!(expected.iter().enumerate().all(|(p, value)| cleared.value(j, p) == *value));
        }
    }
}

#[test]
fn int8_holds_at_the_extremes() {
    let (n, k) = (17, 128);
    let x: Vec<f32> = (0..k).map(|i| if i % 2 == 0 { 1.0 } else { -1.0 }).collect();
    let w: Vec<f32> = (0..n * k).map(|i| if i % k % 2 == 0 { -3.0 } else { 3.0 }).collect();
    for (ctx, bits) in contexts().flat_map(|ctx| [(ctx, Bits::Eight), (ctx, Bits::Four)]) {
        let mut y = vec![0f32; n];
        int8_matmul(&ctx, 1, &x, &Int8Weights::quantise(bits, n, k, &w), &mut y, false);
        assert!(y.iter().all(|v| (v + 384.0).abs() < 1e-3), "{y:?}");
    }
}

#[test]
fn ridge_recovers_weights_and_names_the_pivot_when_it_cannot() {
    let (rows, features, targets) = (200, 70, 3);
    let (x, truth) = (wide_numbers(1, rows * features), wide_numbers(2, targets * features));
    let mut y = vec![0f64; rows * targets];
    wide::matmul_nt(&Ctx::single(), rows, targets, features, &x, &truth, &mut y, false);
    let w = wide::ridge(&Ctx::detect(), rows, features, targets, &x, &y, 1e-9).expect("positive definite");
    assert!(w.iter().zip(&truth).all(|(a, b)| (a - b).abs() < 1e-8));
    let flat = vec![1.0; 256 * 2];
    let error = wide::ridge(&Ctx::single(), 256, 2, 1, &flat, &y[..256], 0.0).expect_err("two equal columns");
    assert_eq!(error.pivot, 1);
}
