//! Attention: any cut of a sequence into calls gives the same bits; gradients agree with finite differences.

use crate::data::{assert_same, contexts, numbers};
use crate::reference;
use ops::{
    AttentionGrad, AttentionSeq, AttentionShape, Ctx, KeysValues, KvCache, QkvGradients, attention_bwd,
    attention_fwd,
};

fn shape(heads: usize, kv_heads: usize, head_dim: usize) -> AttentionShape {
    let (ldq, ldkv, ldo) = (heads * head_dim + 3, kv_heads * head_dim + 1, heads * head_dim);
    AttentionShape { heads, kv_heads, head_dim, scale: 1.0 / (head_dim as f32).sqrt(), ldq, ldkv, ldo }
}

fn run(ctx: &Ctx, s: &AttentionShape, cuts: &[usize], q: &[f32], k: &[f32], v: &[f32]) -> Vec<f32> {
    let total: usize = cuts.iter().sum();
    let mut out = vec![0f32; total * s.ldo];
    let mut start = 0;
    for rows in cuts.iter().copied() {
        let end = (start + rows) * s.ldkv;
        let seq = AttentionSeq {
            start,
            rows,
            q: &q[start * s.ldq..],
            kv: KeysValues::Rows { k: &k[..end], v: &v[..end] },
            out: &mut out[start * s.ldo..],
            stats: None,
        };
        attention_fwd(ctx, s, &mut [seq]);
        start += rows;
    }
    out
}

#[test]
fn decode_and_prefill_in_any_chunks_agree_to_the_bit() {
    let (total, s) = (330, shape(4, 2, 16));
    let (q, k, v) = (numbers(1, total * s.ldq), numbers(2, total * s.ldkv), numbers(3, total * s.ldkv));
    let whole = run(&Ctx::single(), &s, &[total], &q, &k, &v);
    for ctx in contexts() {
        for cuts in [vec![1; total], vec![256, 74], vec![63, 1, 65, 100, 101], vec![total]] {
            assert_same(&format!("{ctx:?} {}", cuts.len()), &run(&ctx, &s, &cuts, &q, &k, &v), &whole);
        }
    }
}

#[test]
fn a_cache_gives_the_bits_of_rows() {
    for head_dim in [16, 300] {
        cached(head_dim);
    }
}

fn cached(head_dim: usize) {
    let (total, s) = (330, shape(4, 2, head_dim));
    let (q, k, v) = (numbers(1, total * s.ldq), numbers(2, total * s.ldkv), numbers(3, total * s.ldkv));
    let whole = run(&Ctx::single(), &s, &[total], &q, &k, &v);
    let mut cache = KvCache::new(s.kv_heads, s.head_dim);
    for position in 0..total {
        cache.reserve(position + 1);
        cache.set(position, &k[position * s.ldkv..], &v[position * s.ldkv..]);
    }
    let kv = KeysValues::Cached(&cache);
    for ctx in contexts() {
        for (start, rows) in [(0, total), (0, 1), (7, 3), (200, 17), (329, 1)] {
            let mut out = vec![0f32; rows * s.ldo];
            let q = &q[start * s.ldq..];
            attention_fwd(&ctx, &s, &mut [AttentionSeq { start, rows, q, kv, out: &mut out, stats: None }]);
            assert_same(&format!("{ctx:?} {start} {rows}"), &out, &whole[start * s.ldo..][..rows * s.ldo]);
        }
    }
}

#[test]
fn gradients_agree_with_finite_differences() {
    let (rows, s) = (70, shape(4, 2, 8));
    let (q, k, v) = (numbers(1, rows * s.ldq), numbers(2, rows * s.ldkv), numbers(3, rows * s.ldkv));
    let dout = numbers(4, rows * s.ldo);
    let ctx = Ctx::single();
    let (mut out, mut stats) = (vec![0f32; rows * s.ldo], vec![0f32; s.heads * rows * 2]);
    attention_fwd(
        &ctx,
        &s,
        &mut [AttentionSeq {
            start: 0,
            rows,
            q: &q,
            kv: KeysValues::Rows { k: &k, v: &v },
            out: &mut out,
            stats: Some(&mut stats),
        }],
    );
    let (mut dq, mut dk, mut dv) = (vec![0f32; q.len()], vec![0f32; k.len()], vec![0f32; v.len()]);
    attention_bwd(
        &ctx,
        &s,
        &mut [AttentionGrad {
            rows,
            q: &q,
            k: &k,
            v: &v,
            stats: &stats,
            dout: &dout,
            gradients: QkvGradients::Apart { dq: &mut dq, dk: &mut dk, dv: &mut dv },
        }],
    );
    let loss = |q: &[f32], k: &[f32], v: &[f32]| -> f64 {
        run(&ctx, &s, &[rows], q, k, v).iter().zip(&dout).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    };
    for i in [0, 5, 17 * s.ldkv + 3, 69 * s.ldkv + 15, 33 * s.ldkv + 9] {
        for (which, grad) in [(0, &dq), (1, &dk), (2, &dv)] {
            let eval = |h: f32| {
                let (mut q, mut k, mut v) = (q.clone(), k.clone(), v.clone());
                [&mut q, &mut k, &mut v][which][i] += h;
                loss(&q, &k, &v)
            };
            let numeric = (eval(1e-2) - eval(-1e-2)) / 2e-2;
            assert!(
                (numeric - f64::from(grad[i])).abs() < 2e-3 * (1.0 + numeric.abs()),
                "{which} {i}: {numeric} {}",
                grad[i]
            );
        }
    }
}

#[test]
fn attention_equals_the_reference() {
    for (rows, heads, kv_heads, d) in [(1, 1, 1, 1), (65, 4, 2, 8), (300, 3, 1, 20), (130, 2, 2, 300)] {
        let s = shape(heads, kv_heads, d);
        let (q, k, v) = (numbers(1, rows * s.ldq), numbers(2, rows * s.ldkv), numbers(3, rows * s.ldkv));
        let (mut want, mut want_stats) = (vec![0f32; rows * s.ldo], vec![0f32; heads * rows * 2]);
        for h in 0..heads {
            let cut = |x: &[f32], ld: usize, head: usize| -> Vec<Vec<f32>> {
                (0..rows).map(|r| x[r * ld + head * d..][..d].to_vec()).collect()
            };
            let kv = h / (heads / kv_heads);
            let (q, k, v) = (cut(&q, s.ldq, h), cut(&k, s.ldkv, kv), cut(&v, s.ldkv, kv));
            for r in 0..rows {
                let (o, m, z) = reference::attend(d, s.scale, &q[r], &k[..=r], &v[..=r]);
                want[r * s.ldo + h * d..][..d].copy_from_slice(&o);
                want_stats[(h * rows + r) * 2..][..2].copy_from_slice(&[m, z]);
            }
        }
        for ctx in contexts() {
            let (mut out, mut stats) = (vec![0f32; rows * s.ldo], vec![0f32; heads * rows * 2]);
            attention_fwd(
                &ctx,
                &s,
                &mut [AttentionSeq {
                    start: 0,
                    rows,
                    q: &q,
                    kv: KeysValues::Rows { k: &k, v: &v },
                    out: &mut out,
                    stats: Some(&mut stats),
                }],
            );
            assert_same("out", &out, &want);
            assert_same("stats", &stats, &want_stats);
        }
    }
}

#[test]
fn attention_gradients_equal_the_reference() {
    for (rows, heads, kv_heads, d) in [(1, 1, 1, 2), (65, 4, 2, 8), (130, 3, 1, 17)] {
        let s = shape(heads, kv_heads, d);
        let (q, k, v) = (numbers(1, rows * s.ldq), numbers(2, rows * s.ldkv), numbers(3, rows * s.ldkv));
        let dout = numbers(4, rows * s.ldo);
        let cut = |x: &[f32], ld: usize, head: usize| -> Vec<Vec<f32>> {
            (0..rows).map(|r| x[r * ld + head * d..][..d].to_vec()).collect()
        };
        let product = |x: &[f32], y: &[f32]| {
            let mut o = [0f32];
            reference::matmul(1, 1, d, x, y, &mut o, 1, false);
            o[0]
        };
        let (mut want_dq, mut want_dk, mut want_dv) =
            (vec![0f32; q.len()], vec![0f32; k.len()], vec![0f32; v.len()]);
        let mut stats = vec![0f32; heads * rows * 2];
        for h in 0..heads {
            let kv = h / (heads / kv_heads);
            let (qh, kh, vh, oh) =
                (cut(&q, s.ldq, h), cut(&k, s.ldkv, kv), cut(&v, s.ldkv, kv), cut(&dout, s.ldo, h));
            let (mut p, mut ds) = (vec![], vec![]);
            for r in 0..rows {
                let mut row: Vec<f32> = (0..=r).map(|j| product(&qh[r], &kh[j]) * s.scale).collect();
                let (m, z) = reference::softmax(&mut row);
                stats[(h * rows + r) * 2..][..2].copy_from_slice(&[m, z]);
                let dp: Vec<f32> = (0..=r).map(|j| product(&oh[r], &vh[j])).collect();
                let inner = reference::dot(&row, &dp);
                ds.push((0..=r).map(|j| (row[j] * (dp[j] - inner)) * s.scale).collect::<Vec<f32>>());
                p.push(row);
            }
            for c in 0..d {
                for r in 0..rows {
                    let mut o = 0f32;
                    for first in (0..=r).step_by(256) {
                        let acc =
                            (first..=r.min(first + 255)).fold(0f32, |acc, j| ds[r][j].mul_add(kh[j][c], acc));
                        o += acc;
                    }
                    want_dq[r * s.ldq + h * d + c] = o;
                }
                for j in 0..rows {
                    for first in (0..rows).step_by(64) {
                        let block = || (first..rows.min(first + 64)).filter(|r| *r >= j);
                        let at = j * s.ldkv + kv * d + c;
                        want_dk[at] += block().fold(0f32, |acc, r| ds[r][j].mul_add(qh[r][c], acc));
                        want_dv[at] += block().fold(0f32, |acc, r| p[r][j].mul_add(oh[r][c], acc));
                    }
                }
            }
        }
        for ctx in contexts() {
            let (mut dq, mut dk, mut dv) = (vec![0f32; q.len()], vec![0f32; k.len()], vec![0f32; v.len()]);
            attention_bwd(
                &ctx,
                &s,
                &mut [AttentionGrad {
                    rows,
                    q: &q,
                    k: &k,
                    v: &v,
                    stats: &stats,
                    dout: &dout,
                    gradients: QkvGradients::Apart { dq: &mut dq, dk: &mut dk, dv: &mut dv },
                }],
            );
            assert_same("dq", &dq, &want_dq);
            assert_same("dk", &dk, &want_dk);
            assert_same("dv", &dv, &want_dv);
        }
    }
}

#[test]
fn joined_gradients_are_those_apart() {
    let (rows, heads, kv_heads, d) = (130, 4, 2, 8);
    let (wide, narrow) = (heads * d, kv_heads * d);
    let ld = wide + 2 * narrow + 3;
    let s = AttentionShape { heads, kv_heads, head_dim: d, scale: 0.3, ldq: ld, ldkv: ld, ldo: wide };
    let (qkv, dout) = (numbers(1, rows * ld), numbers(2, rows * wide));
    let (k, v) = (&qkv[wide..], &qkv[wide + narrow..]);
    let (mut out, mut stats) = (vec![0f32; rows * wide], vec![0f32; heads * rows * 2]);
    let kv = KeysValues::Rows { k, v };
    let forward = AttentionSeq { start: 0, rows, q: &qkv, kv, out: &mut out, stats: Some(&mut stats) };
    attention_fwd(&Ctx::single(), &s, &mut [forward]);
    let backward = |ctx: &Ctx, gradients: QkvGradients<'_>| {
        let grad = AttentionGrad { rows, q: &qkv, k, v, stats: &stats, dout: &dout, gradients };
        attention_bwd(ctx, &s, &mut [grad]);
    };
    let mut apart = [(); 3].map(|()| vec![0f32; rows * ld]);
    let [dq, dk, dv] = &mut apart;
    backward(&Ctx::single(), QkvGradients::Apart { dq, dk, dv });
    for ctx in contexts() {
        let mut joined = vec![f32::NAN; rows * ld];
        backward(&ctx, QkvGradients::Joined(&mut joined));
        for (row, joined) in joined.chunks(ld).enumerate() {
            let mut first = 0;
            for (apart, width) in apart.iter().zip([wide, narrow, narrow]) {
                let expected = &apart[row * ld..][..width];
                assert_same(&format!("{ctx:?} row {row}"), &joined[first..first + width], expected);
                first += width;
            }
            assert!(joined[first..].iter().all(|x| x.is_nan()), "what is not a gradient stays");
        }
    }
}
