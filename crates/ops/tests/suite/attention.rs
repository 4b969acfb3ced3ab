//! Attention: any cut of a sequence into calls gives the same bits; gradients agree with finite differences.

use crate::data::{assert_same, contexts, numbers};
use ops::{AttentionGrad, AttentionSeq, AttentionShape, Ctx, attention_bwd, attention_fwd};

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
            k: &k[..end],
            v: &v[..end],
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
fn gradients_agree_with_finite_differences() {
    let (rows, s) = (70, shape(4, 2, 8));
    let (q, k, v) = (numbers(1, rows * s.ldq), numbers(2, rows * s.ldkv), numbers(3, rows * s.ldkv));
    let dout = numbers(4, rows * s.ldo);
    let ctx = Ctx::single();
    let (mut out, mut stats) = (vec![0f32; rows * s.ldo], vec![0f32; s.heads * rows * 2]);
    attention_fwd(
        &ctx,
        &s,
        &mut [AttentionSeq { start: 0, rows, q: &q, k: &k, v: &v, out: &mut out, stats: Some(&mut stats) }],
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
            dq: &mut dq,
            dk: &mut dk,
            dv: &mut dv,
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
