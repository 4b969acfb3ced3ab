//! Products equal plain loops bit for bit, on every path, thread count, shape, stride and form.

use crate::data::{assert_same, contexts, numbers};
use crate::reference;
use ops::{
    Ctx, Examples, PackedWeights, matmul, matmul_nn, matmul_nt, matmul_packed, matmul_tn, matmul_tn_each,
    matmul_tn_examples, transpose,
};
use proptest::prelude::*;

/// A product in all three forms and with every stride against the reference.
fn check(m: usize, n: usize, k: usize, pad: usize, accumulate: bool, seed: u64) {
    let (a, b) = (numbers(seed, m * k), numbers(seed + 1, k * n));
    let before = numbers(seed + 2, m * (n + pad));
    let ldc = n + pad;
    let mut want = before.clone();
    reference::matmul(m, n, k, &a, &b, &mut want, ldc, accumulate);
    let spread = |x: &[f32], rows: usize, cols: usize| {
        let mut wide = vec![f32::NAN; rows * (cols + pad)];
        for r in 0..rows {
            wide[r * (cols + pad)..][..cols].copy_from_slice(&x[r * cols..][..cols]);
        }
        wide
    };
    let (mut at, mut bt) = (vec![0f32; m * k], vec![0f32; k * n]);
    transpose(m, k, &a, &mut at);
    transpose(k, n, &b, &mut bt);
    let (wa, wb, wat, wbt) = (spread(&a, m, k), spread(&b, k, n), spread(&at, k, m), spread(&bt, n, k));
    let packed = PackedWeights::new(n, k, &bt);
    for ctx in contexts() {
        let name = format!("{ctx:?} {m} x {n} x {k} pad {pad} accumulate {accumulate}");
        let mut c = before.clone();
        matmul_nn(&ctx, m, n, k, &wa, k + pad, &wb, n + pad, &mut c, ldc, accumulate);
        assert_same(&format!("nn {name}"), &c, &want);
        c.copy_from_slice(&before);
        matmul_nt(&ctx, m, n, k, &wa, k + pad, &wbt, k + pad, &mut c, ldc, accumulate);
        assert_same(&format!("nt {name}"), &c, &want);
        c.copy_from_slice(&before);
        matmul_packed(&ctx, m, &wa, k + pad, &packed, &mut c, ldc, accumulate);
        assert_same(&format!("packed {name}"), &c, &want);
        c.copy_from_slice(&before);
        matmul_tn(&ctx, m, n, k, &wat, m + pad, &wb, n + pad, &mut c, ldc, accumulate);
        assert_same(&format!("tn {name}"), &c, &want);
    }
}

#[test]
fn products_equal_the_reference_around_the_edges_of_a_block() {
    for k in [0, 1, 255, 256, 257, 512, 1000] {
        for (m, n) in [(1, 33), (8, 16), (9, 17), (14, 32), (15, 31), (29, 65)] {
            check(m, n, k, 0, false, 1);
            check(m, n, k, 3, true, 2);
        }
    }
}

#[test]
fn products_large_enough_to_split_equal_the_reference() {
    for (m, n, k) in [(97, 70, 300), (70, 130, 257), (520, 40, 64), (3, 1100, 70)] {
        check(m, n, k, 0, false, 3);
        check(m, n, k, 1, true, 4);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn products_equal_the_reference(m in 1usize..40, n in 1usize..80, k in 0usize..600, pad in 0usize..5, accumulate: bool, seed in 0u64..1000) {
        check(m, n, k, pad, accumulate, seed);
    }

    #[test]
    fn half_of_a_symmetric_product_has_the_bits_of_the_whole(n in 1usize..330, k in 0usize..300, pad in 0usize..4, seed in 0u64..1000) {
        let (lda, ldc) = (k + pad, n + pad);
        let a = numbers(seed, n * lda);
        let mut at = vec![0f32; n * lda];
        transpose(n, lda, &a, &mut at);
        for ctx in contexts() {
            // [gram, square, moment], then the same by ops for any matrices.
            let mut own = vec![vec![0f32; n * ldc]; 3];
            let mut want = own.clone();
            matmul::gram(&ctx, n, k, &a, lda, &mut own[0], ldc);
            matmul_nt(&ctx, n, n, k, &a, lda, &a, lda, &mut want[0], ldc, false);
            let symmetric = own[0].clone();
            matmul::square(&ctx, n, &symmetric, ldc, &mut own[1], ldc);
            let whole = want[0].clone();
            matmul_nn(&ctx, n, n, n, &whole, ldc, &whole, ldc, &mut want[1], ldc, false);
            for _ in 0..2 {
                matmul::add_moment(&ctx, n, k, &at, n, &mut own[2], ldc);
                matmul_tn(&ctx, n, n, k, &at, n, &at, n, &mut want[2], ldc, true);
            }
            matmul::mirror(n, &mut own[2], ldc);
            for (own, want) in own.iter().zip(&want) {
                assert_same(&format!("{ctx:?} {n} x {n} x {k} pad {pad}"), own, want);
            }
        }
    }

    #[test]
    fn a_batch_gradient_is_the_ordered_sum_of_its_examples(
        m in 1usize..30, n in 1usize..50, lens in prop::collection::vec(0usize..400, 1..6), accumulate: bool, seed in 0u64..1000,
    ) {
        let ends: Vec<usize> = lens.iter().scan(0, |end, len| { *end += len; Some(*end) }).collect();
        let examples = Examples::new(&ends).expect("ascending");
        let rows = examples.rows();
        let (a, b, before) = (numbers(seed, rows * m), numbers(seed + 1, rows * n), numbers(seed + 2, m * n));
        let mut want = if accumulate { before.clone() } else { vec![0f32; m * n] };
        let mut first = !accumulate;
        let mut each = Vec::new();
        for range in examples.ranges() {
            let mut at = vec![0f32; range.len() * m];
            transpose(range.len(), m, &a[range.start * m..range.end * m], &mut at);
            let mut product = vec![0f32; m * n];
            reference::matmul(m, n, range.len(), &at, &b[range.start * n..], &mut product, n, false);
            if !range.is_empty() {
                for (w, p) in want.iter_mut().zip(&product) {
                    *w = if first { *p } else { *w + *p };
                }
                first = false;
            }
            each.extend(product);
        }
        for ctx in contexts() {
            let mut c = before.clone();
            matmul_tn_examples(&ctx, m, n, examples, &a, m, &b, n, &mut c, n, accumulate);
            assert_same("examples", &c, &want);
            let mut parts = vec![0f32; ends.len() * m * n];
            matmul_tn_each(&ctx, m, n, examples, &a, m, &b, n, &mut parts);
            assert_same("each", &parts, &each);
        }
    }
}

#[test]
fn a_row_does_not_depend_on_its_batch() {
    let (m, n, k) = (37, 100, 384);
    let (a, b) = (numbers(5, m * k), numbers(6, k * n));
    let ctx = Ctx::detect();
    let mut whole = vec![0f32; m * n];
    matmul_nn(&ctx, m, n, k, &a, k, &b, n, &mut whole, n, false);
    for batch in 1..20 {
        let mut rows = vec![0f32; batch * n];
        matmul_nn(&ctx, batch, n, k, &a[5 * k..], k, &b, n, &mut rows, n, false);
        assert_same("batch", &rows, &whole[5 * n..(5 + batch) * n]);
    }
}
