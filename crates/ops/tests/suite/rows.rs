//! Row and element ops equal plain loops bit for bit, on every path and thread count.

use crate::data::{assert_same, contexts, numbers};
use crate::reference as r;
use ops::*;
use proptest::prelude::*;

/// Example ends from lengths.
fn ends(lens: &[usize]) -> Vec<usize> {
    lens.iter()
        .scan(0, |end, len| {
            *end += len;
            Some(*end)
        })
        .collect()
}

fn shapes() -> impl Strategy<Value = (Vec<usize>, usize, u64)> {
    (prop::collection::vec(0usize..300, 1..4), 1usize..70, 0u64..1000)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn layer_norm_equals_the_reference((lens, dim, seed) in shapes(), add: bool, bias: bool) {
        let ends = ends(&lens);
        let examples = Examples::new(&ends).expect("ascending");
        let rows = examples.rows();
        let (x, dy, w, b) = (numbers(seed, rows * dim), numbers(seed + 1, rows * dim), numbers(seed + 2, dim), numbers(seed + 3, dim));
        let (dx0, g0) = (numbers(seed + 4, rows * dim), numbers(seed + 5, dim));
        let b = bias.then_some(b.as_slice());
        let (mut want_y, mut want_s, mut want_dx, mut h) = (vec![], vec![], dx0.clone(), vec![]);
        for i in 0..rows {
            let (x, dy) = (&x[i * dim..][..dim], &dy[i * dim..][..dim]);
            let (y, mean, rec) = r::layer_norm(x, 1e-5, &w, b);
            let hr: Vec<f32> = x.iter().map(|x| (x - mean) * rec).collect();
            let g: Vec<f32> = (0..dim).map(|j| dy[j] * w[j]).collect();
            for (d, v) in want_dx[i * dim..].iter_mut().zip(r::norm_bwd(&hr, rec, &g, true)) {
                *d = if add { *d + v } else { v };
            }
            want_y.extend(y);
            want_s.extend([mean, rec]);
            h.extend(hr);
        }
        let (mut want_dw, mut want_db) = (g0.clone(), g0.clone());
        r::columns(&ends, dim, |i, j, acc| dy[i * dim + j].mul_add(h[i * dim + j], acc), &mut want_dw);
        r::columns(&ends, dim, |i, j, acc| acc + dy[i * dim + j], &mut want_db);
        for ctx in contexts() {
            let (mut y, mut s) = (vec![0f32; rows * dim], vec![0f32; rows * 2]);
            layer_norm_fwd(&ctx, dim, 1e-5, &x, &w, b, &mut y, &mut s);
            assert_same("y", &y, &want_y);
            assert_same("stats", &s, &want_s);
            let (mut dx, mut dw, mut db) = (dx0.clone(), g0.clone(), g0.clone());
            layer_norm_bwd(&ctx, examples, dim, &x, &w, &s, &dy, &mut dx, add, &mut dw, Some(&mut db));
            assert_same("dx", &dx, &want_dx);
            assert_same("dw", &dw, &want_dw);
            assert_same("db", &db, &want_db);
            let mut sums = g0.clone();
            column_sums(&ctx, examples, dim, &dy, dim, &mut sums);
            assert_same("column sums", &sums, &want_db);
        }
    }

    #[test]
    fn rms_norm_equals_the_reference((lens, dim, seed) in shapes(), add: bool) {
        let ends = ends(&lens);
        let examples = Examples::new(&ends).expect("ascending");
        let rows = examples.rows();
        let (x, dy, w) = (numbers(seed, rows * dim), numbers(seed + 1, rows * dim), numbers(seed + 2, dim));
        let (dx0, g0) = (numbers(seed + 4, rows * dim), numbers(seed + 5, dim));
        let (mut want_y, mut want_s, mut want_dx, mut h) = (vec![], vec![], dx0.clone(), vec![]);
        for i in 0..rows {
            let (x, dy) = (&x[i * dim..][..dim], &dy[i * dim..][..dim]);
            let (y, rec) = r::rms_norm(x, 1e-6, &w);
            let hr: Vec<f32> = x.iter().map(|x| x * rec).collect();
            let g: Vec<f32> = (0..dim).map(|j| dy[j] * w[j]).collect();
            for (d, v) in want_dx[i * dim..].iter_mut().zip(r::norm_bwd(&hr, rec, &g, false)) {
                *d = if add { *d + v } else { v };
            }
            want_y.extend(y);
            want_s.push(rec);
            h.extend(hr);
        }
        let mut want_dw = g0.clone();
        r::columns(&ends, dim, |i, j, acc| dy[i * dim + j].mul_add(h[i * dim + j], acc), &mut want_dw);
        for ctx in contexts() {
            let (mut y, mut s) = (vec![0f32; rows * dim], vec![0f32; rows]);
            rms_norm_fwd(&ctx, dim, 1e-6, &x, &w, &mut y, &mut s);
            assert_same("y", &y, &want_y);
            assert_same("stats", &s, &want_s);
            let (mut dx, mut dw) = (dx0.clone(), g0.clone());
            rms_norm_bwd(&ctx, examples, dim, &x, &w, &s, &dy, &mut dx, add, &mut dw);
            assert_same("dx", &dx, &want_dx);
            assert_same("dw", &dw, &want_dw);
        }
    }

    #[test]
    fn softmax_and_cross_entropy_equal_the_reference(rows in 0usize..20, n in 1usize..300, seed in 0u64..1000) {
        let x: Vec<f32> = numbers(seed, rows * n).iter().map(|v| v * 8.0).collect();
        let d0 = numbers(seed + 1, rows * n);
        let targets: Vec<u32> = (0..rows).map(|i| if i % 5 == 4 { IGNORED_TARGET } else { (i * 7 % n) as u32 }).collect();
        let dloss = numbers(seed + 2, rows);
        let (mut p, mut d, mut loss, mut stats, mut dlogits) = (x.clone(), d0.clone(), vec![], vec![], x.clone());
        for i in 0..rows {
            let row = i * n..(i + 1) * n;
            let (m, rec) = r::softmax(&mut p[row.clone()]);
            let p = &p[row.clone()];
            let inner = r::dot(p, &d[row.clone()]);
            for (d, p) in d[row.clone()].iter_mut().zip(p) {
                *d = *p * (*d - inner);
            }
            let e: Vec<f32> = x[row.clone()].iter().map(|v| math32::exp(*v - m)).collect();
            let z = r::sum(&e);
            let t = targets[i] as usize;
            loss.push(if targets[i] == IGNORED_TARGET { 0.0 } else { (math32::ln(z) + m) - x[row.start + t] });
            stats.extend([m, rec]);
            for j in 0..n {
                let one = e[j] * rec;
                dlogits[row.start + j] = if targets[i] == IGNORED_TARGET { 0.0 } else if j == t { (one - 1.0) * dloss[i] } else { one * dloss[i] };
            }
        }
        for ctx in contexts() {
            let (mut y, mut dy) = (x.clone(), d0.clone());
            softmax_fwd(&ctx, n, &mut y);
            assert_same("softmax", &y, &p);
            softmax_bwd(&ctx, n, &p, &mut dy);
            assert_same("softmax_bwd", &dy, &d);
            let (mut l, mut s, mut dl) = (vec![0f32; rows], vec![0f32; rows * 2], x.clone());
            cross_entropy_fwd(&ctx, n, &x, &targets, &mut l, &mut s);
            assert_same("loss", &l, &loss);
            assert_same("stats", &s, &stats);
            cross_entropy_bwd(&ctx, n, &targets, &s, &dloss, &mut dl);
            assert_same("dlogits", &dl, &dlogits);
        }
    }

    #[test]
    fn element_ops_equal_the_reference(n in 0usize..40_000, seed in 0u64..1000) {
        let (x, u, d) = (numbers(seed, n), numbers(seed + 1, n), numbers(seed + 2, n));
        let x: Vec<f32> = x.iter().map(|v| v * 6.0).collect();
        let map = |f: &dyn Fn(usize) -> f32| -> Vec<f32> { (0..n).map(f).collect() };
        for ctx in contexts().filter(|c| c.path() != Path::Portable || n < 4000) {
            let check = |name: &str, run: &dyn Fn(&mut [f32]), want: &dyn Fn(usize) -> f32| {
                let mut y = d.clone();
                run(&mut y);
                assert_same(name, &y, &map(want));
            };
            check("add", &|y| add(&ctx, &x, y), &|i| d[i] + x[i]);
            check("multiply", &|y| multiply(&ctx, &x, y), &|i| d[i] * x[i]);
            check("add_scaled", &|y| add_scaled(&ctx, 0.3, &x, y), &|i| 0.3f32.mul_add(x[i], d[i]));
            check("scale", &|y| scale(&ctx, 0.3, y), &|i| d[i] * 0.3);
            check("gelu_fwd", &|y| gelu_fwd(&ctx, &x, y), &|i| activation::gelu(x[i]));
            check("gelu_bwd", &|y| gelu_bwd(&ctx, &x, y), &|i| d[i] * activation::gelu_derivative(x[i]));
            check("silu_fwd", &|y| silu_fwd(&ctx, &x, y), &|i| activation::silu(x[i]));
            check("silu_bwd", &|y| silu_bwd(&ctx, &x, y), &|i| d[i] * activation::silu_derivative(x[i]));
            check("relu_fwd", &|y| relu_fwd(&ctx, &x, y), &|i| if x[i] > 0.0 { x[i] } else { 0.0 });
            check("relu_bwd", &|y| relu_bwd(&ctx, &x, y), &|i| if x[i] > 0.0 { d[i] } else { 0.0 });
            check("swiglu_fwd", &|y| swiglu_fwd(&ctx, &x, &u, y), &|i| activation::silu(x[i]) * u[i]);
            let (mut dg, mut du) = (vec![0f32; n], vec![0f32; n]);
            swiglu_bwd(&ctx, &x, &u, &d, &mut dg, &mut du);
            assert_same("dgate", &dg, &map(&|i| d[i] * u[i] * activation::silu_derivative(x[i])));
            assert_same("dup", &du, &map(&|i| d[i] * activation::silu(x[i])));
        }
    }

    #[test]
    fn embedding_equals_the_reference(lens in prop::collection::vec(0usize..600, 1..4), dim in 1usize..20, vocab in 1usize..20, seed in 0u64..1000) {
        let ends = ends(&lens);
        let examples = Examples::new(&ends).expect("ascending");
        let rows = examples.rows();
        let stream = Stream::new(seed, 0);
        let ids: Vec<u32> = (0..rows as u64).map(|i| stream.below(i, vocab as u64) as u32).collect();
        let (table, dy, g0) = (numbers(seed, vocab * dim), numbers(seed + 1, rows * dim), numbers(seed + 2, vocab * dim));
        let mut want = g0.clone();
        for range in examples.ranges() {
            for id in 0..vocab {
                for j in 0..dim {
                    let mut total: Option<f32> = None;
                    for first in range.clone().step_by(256) {
                        let mut block = (first..range.end.min(first + 256)).filter(|row| ids[*row] as usize == id).peekable();
                        if block.peek().is_some() {
                            let part = block.fold(0f32, |acc, row| acc + dy[row * dim + j]);
                            total = Some(total.map_or(part, |t| t + part));
                        }
                    }
                    if let Some(total) = total {
                        want[id * dim + j] += total;
                    }
                }
            }
        }
        for ctx in contexts() {
            let mut out = dy.clone();
            embedding_fwd(&ctx, &ids, dim, &table, &mut out, true);
            let sum: Vec<f32> = (0..rows * dim).map(|i| dy[i] + table[ids[i / dim] as usize * dim + i % dim]).collect();
            assert_same("gather", &out, &sum);
            let mut grad = g0.clone();
            embedding_bwd(&ctx, examples, &ids, dim, &dy, &mut grad);
            assert_same("scatter", &grad, &want);
        }
    }

    #[test]
    fn rope_equals_the_reference_and_turns_back(rows in 1usize..30, heads in 1usize..4, half in 1usize..20, rest in 0usize..3, seed in 0u64..1000) {
        let head_dim = 2 * half + rest;
        let ld = heads * head_dim + 2;
        let table = RopeTable::new(&rope_frequencies(2 * half, 10_000.0), 64);
        let positions: Vec<u32> = (0..rows as u32).map(|i| i * 7 % 64).collect();
        let x = numbers(seed, rows * ld);
        for (pairs, at) in [(RopePairs::Halves, (1, half)), (RopePairs::Neighbours, (2, 1))] {
            let mut want = x.clone();
            for row in 0..rows {
                for head in 0..heads {
                    for i in 0..half {
                        let t = positions[row] as usize * half + i;
                        let (c, s) = (table.cos()[t], table.sin()[t]);
                        let a = row * ld + head * head_dim + i * at.0;
                        let (u, v) = (x[a], x[a + at.1]);
                        want[a] = u.mul_add(c, -(v * s));
                        want[a + at.1] = v.mul_add(c, u * s);
                    }
                }
            }
            for ctx in contexts() {
                let mut y = x.clone();
                rope_fwd(&ctx, &table, pairs, &positions, heads, head_dim, &mut y, ld);
                assert_same("rope", &y, &want);
                rope_bwd(&ctx, &table, pairs, &positions, heads, head_dim, &mut y, ld);
                assert!(y.iter().zip(&x).all(|(a, b)| (a - b).abs() < 1e-5));
            }
        }
    }

    #[test]
    fn optimisers_equal_the_reference(n in 0usize..3000, step in 1u64..1000, seed in 0u64..1000) {
        let (w, g, m, v) = (numbers(seed, n), numbers(seed + 1, n), numbers(seed + 2, n), numbers(seed + 3, n));
        let v: Vec<f32> = v.iter().map(|v| v * v).collect();
        let h = AdamW { lr: 1e-3, beta1: 0.9, beta2: 0.99, eps: 1e-8, weight_decay: 0.1 };
        let c = |beta: f32| (1.0 - optimizer::power(f64::from(beta), step)) as f32;
        let (c1, c2) = (c(h.beta1), c(h.beta2));
        let m1: Vec<f32> = (0..n).map(|i| (g[i] - m[i]).mul_add(1.0 - h.beta1, m[i])).collect();
        let v1: Vec<f32> = (0..n).map(|i| v[i].mul_add(h.beta2, (g[i] * g[i]) * (1.0 - h.beta2))).collect();
        let w1: Vec<f32> = (0..n).map(|i| w[i] * (1.0 - h.lr * h.weight_decay) - (h.lr * (m1[i] / c1)) / ((v1[i] / c2).sqrt() + h.eps)).collect();
        let m2: Vec<f32> = (0..n).map(|i| m[i].mul_add(0.9, 0.01f32.mul_add(w[i], g[i]))).collect();
        let w2: Vec<f32> = (0..n).map(|i| (-0.1f32).mul_add(m2[i], w[i])).collect();
        for ctx in contexts() {
            let (mut wa, mut ma, mut va) = (w.clone(), m.clone(), v.clone());
            adamw_step(&ctx, &h, step, &mut wa, &g, &mut ma, &mut va);
            assert_same("adamw m", &ma, &m1);
            assert_same("adamw v", &va, &v1);
            assert_same("adamw w", &wa, &w1);
            let (mut wa, mut ma) = (w.clone(), m.clone());
            sgd_step(&ctx, 0.1, 0.9, 0.01, &mut wa, &g, &mut ma);
            assert_same("sgd m", &ma, &m2);
            assert_same("sgd w", &wa, &w2);
        }
    }
}

#[test]
fn newton_schulz_is_the_same_everywhere_and_makes_singular_values_alike() {
    let (rows, cols) = (40, 24);
    let x = numbers(9, rows * cols);
    let mut results = contexts().map(|ctx| {
        let mut y = x.clone();
        newton_schulz(&ctx, rows, cols, &mut y);
        y
    });
    let first = results.next().expect("a path");
    results.for_each(|y| assert_same("newton_schulz", &y, &first));
    let mut gram = vec![0f32; cols * cols];
    matmul_tn(&Ctx::single(), cols, cols, rows, &first, cols, &first, cols, &mut gram, cols, false);
    assert!(
        (0..cols).all(|i| (0.3..1.6).contains(&gram[i * cols + i])),
        "diagonal of the Gram matrix near 1"
    );
}

#[test]
fn reductions_are_the_same_everywhere_and_close_to_exact() {
    let x = numbers(3, 50_001);
    let exact: f64 = x.iter().map(|v| f64::from(*v) * f64::from(*v)).sum();
    let values: Vec<(f64, f64)> = contexts().map(|ctx| (sum_squares(&ctx, &x), sum(&ctx, &x))).collect();
    assert!(
        values
            .iter()
            .all(|v| v.0.to_bits() == values[0].0.to_bits() && v.1.to_bits() == values[0].1.to_bits())
    );
    assert!((values[0].0 - exact).abs() < 1e-9 * exact);
    let (mut a, mut b) = (x[..100].to_vec(), x[100..].to_vec());
    let norm = clip_global_norm(&Ctx::single(), &mut [&mut a, &mut b], 1.0);
    assert!((norm * norm - exact).abs() < 1e-9 * exact);
    a.extend(b);
    assert!((sum_squares(&Ctx::single(), &a) - 1.0).abs() < 1e-5);
}

#[test]
fn nan_and_infinity_are_found_where_they_are() {
    let mut x = numbers(1, 10_000);
    let ctx = Ctx::detect();
    assert_eq!(check_finite(&ctx, &x), Ok(()));
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        x[8_123] = bad;
        assert_eq!(check_finite(&ctx, &x), Err(NonFinite { index: 8_123 }));
    }
}
