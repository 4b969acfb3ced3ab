//! Bytes and time of each step verifier: `cargo bench -p ops --bench verifier`. Prints the table of `docs/benchmarks/ops.md`.
//!
//! For each op the costliest leaf of any of its tensors, in the cases that the tests use, and a product over a vocabulary of 49,152.
#![allow(clippy::print_stdout)]

use ops::verify::{Claim, Op, OpKind, Opening, Shape, Tensor, Trace, Verdict, verify};
use ops::{Ctx, Stream, matmul_nt};
use std::time::Instant;

#[allow(dead_code)]
#[path = "../tests/suite/cases.rs"]
mod cases;
#[allow(dead_code)]
#[path = "../tests/suite/data.rs"]
mod data;

fn main() {
    println!("| op | leaves opened | bytes | time, ms |\n|---|---|---|---|");
    for kind in OpKind::ALL {
        let case = cases::case(*kind, &Ctx::single());
        let trace = Trace::new(case.op, case.inputs).expect("a case");
        let mut worst = (0, 0, 0.0);
        for tensor in 0..trace.tensors().len() {
            let def = &trace.program().tensors[tensor];
            if def.rule.is_none() {
                continue;
            }
            let row = def.by_row.then_some(0);
            for leaf in [0, def.shape.leaves() / 2, def.shape.leaves() - 1] {
                let (claim, openings) = trace.claim(tensor, leaf, row).expect("a claim");
                let cost = cost(&claim, &openings);
                worst = (
                    worst.0.max(cost.0),
                    worst.1.max(cost.1),
                    if cost.2 > worst.2 { cost.2 } else { worst.2 },
                );
            }
        }
        println!("| {} | {} | {} | {:.2} |", kind.name(), worst.0, worst.1, worst.2);
    }
    let (claim, openings) = logits();
    let (leaves, bytes, ms) = cost(&claim, &openings);
    println!("| MatmulNt, 64 x 49,152 logits of width 384 | {leaves} | {bytes} | {ms:.2} |");
}

/// Leaves, bytes, and milliseconds of the best of a few verdicts.
fn cost(claim: &Claim, openings: &[Opening]) -> (usize, usize, f64) {
    let mut best = f64::INFINITY;
    for _ in 0..3 {
        let start = Instant::now();
        assert_eq!(verify(claim, openings), Ok(Verdict::Right));
        let ms = start.elapsed().as_secs_f64() * 1e3;
        best = if ms < best { ms } else { best };
    }
    (openings.len(), openings.iter().map(Opening::size).sum(), best)
}

/// A leaf of the second k-block of the logits of 64 tokens.
fn logits() -> (Claim, Vec<Opening>) {
    let (m, n, k) = (64, 49_152, 384);
    let (mut a, mut b) = (vec![0f32; m * k], vec![0f32; n * k]);
    Stream::new(1, 1).fill_normal(0, &mut a);
    Stream::new(1, 2).fill_normal(0, &mut b);
    let (ctx, mut blocks) = (Ctx::detect(), vec![0f32; 2 * m * n]);
    let (first, second) = blocks.split_at_mut(m * n);
    matmul_nt(&ctx, m, n, 256, &a, k, &b, k, first, n, false);
    second.copy_from_slice(first);
    matmul_nt(&ctx, m, n, k - 256, &a[256..], k, &b[256..], k, second, n, true);
    let c = blocks[m * n..].to_vec();
    let shape = Shape::matrix(m as u64, n as u64);
    let tensors = vec![
        Tensor::from_f32(Shape::matrix(m as u64, k as u64), &a),
        Tensor::from_f32(Shape::matrix(n as u64, k as u64), &b),
        Tensor::from_f32(shape.times(2), &blocks),
        Tensor::from_f32(shape, &c),
    ];
    let op = Op::MatmulNt { m: m as u64, n: n as u64, k: k as u64, accumulate: false };
    Trace::from_tensors(op, tensors).and_then(|trace| trace.claim(2, 768 + 401, None)).expect("a leaf")
}
