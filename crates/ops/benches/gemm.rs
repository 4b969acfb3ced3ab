//! Speed of products, beside the processor's measured peak and other libraries: `cargo bench -p ops --bench gemm [-- THREADS]`.
//!
//! Runs of this crate, of the peers and of independent fused multiply-adds in registers alternate, so that a slow moment of a
//! shared machine hits all; the best run of each counts, as the only one that repeats. Peers are shared libraries named in
//! `OPENLEDGER_PEERS` (colon-separated) that export `dnnl_sgemm` or a `cblas_sgemm`; see `peers/README.md`.
#![allow(clippy::print_stdout)]

use ops::{Ctx, Path, Stream, matmul_nn, matmul_nt, matmul_tn};
use peers::{Form, Peer};
use std::hint::black_box;
use std::time::Instant;

mod peers;

/// Shapes (m, n, k): cubes, then the products of a 10.7 M-parameter GPT at 12 x 256 tokens and of larger layers.
const SHAPES: [(usize, usize, usize); 10] = [
    (256, 256, 256),
    (384, 384, 384),
    (512, 512, 512),
    (1024, 1024, 1024),
    (2048, 2048, 2048),
    (3072, 1152, 384),
    (3072, 384, 384),
    (3072, 1536, 384),
    (3072, 384, 1536),
    (512, 4096, 1024),
];
/// Work of one run, and of all runs of a shape.
const RUN_WORK: f64 = 3e8;
const SHAPE_WORK: f64 = 3e10;

fn main() {
    let threads = std::env::args().filter_map(|a| a.parse().ok()).next().unwrap_or(1);
    let ctx = Ctx::new(Path::detect(), threads).expect("a path of this processor");
    let peers = Peer::from_environment();
    let names: Vec<&str> = peers.iter().map(|p| p.name.as_str()).collect();
    println!("path {} threads {threads}; GFLOP/s: ours, peak, {}", ctx.path(), names.join(", "));
    let mut worst: f64 = f64::INFINITY;
    for (m, n, k) in SHAPES {
        for form in [Form::Nn, Form::Nt, Form::Tn] {
            let rates = measure(&ctx, &peers, form, m, n, k);
            let best_peer = rates[2..].iter().copied().fold(0.0, |a, b| if b > a { b } else { a });
            let ratio = rates[0] / best_peer;
            worst = if ratio < worst { ratio } else { worst };
            let list: Vec<String> = rates.iter().map(|r| format!("{r:7.1}")).collect();
            print!("{form:?} {m:>5} {n:>5} {k:>5} {}", list.join(" "));
            println!(
                "   {:5.1} % of peak, {:5.1} % of the best peer",
                100.0 * rates[0] / rates[1],
                100.0 * ratio
            );
        }
    }
    println!("worst ratio to the best peer: {worst:.3}");
}

/// Best rates: ours, peak, each peer.
fn measure(ctx: &Ctx, peers: &[Peer], form: Form, m: usize, n: usize, k: usize) -> Vec<f64> {
    let (mut a, mut b, mut c) = (vec![0f32; m * k], vec![0f32; k * n], vec![0f32; m * n]);
    Stream::new(1, 1).fill_uniform(0, &mut a);
    Stream::new(1, 2).fill_uniform(0, &mut b);
    let work = 2.0 * m as f64 * n as f64 * k as f64;
    let repeats = (RUN_WORK / work).clamp(1.0, 100.0) as usize;
    let runs = (SHAPE_WORK / (work * repeats as f64)).clamp(6.0, 60.0) as usize;
    let mut best = vec![0f64; 2 + peers.len()];
    for run in 0..=runs {
        for (which, best) in best.iter_mut().enumerate() {
            let start = Instant::now();
            let done = match which {
                0 => {
                    // Together, as the passes of a model hold them: workers look out for the next product, as peers' do.
                    ops::team(ctx, || {
                        for _ in 0..repeats {
                            match form {
                                Form::Nn => matmul_nn(ctx, m, n, k, &a, k, &b, n, &mut c, n, false),
                                Form::Nt => matmul_nt(ctx, m, n, k, &a, k, &b, k, &mut c, n, false),
                                Form::Tn => matmul_tn(ctx, m, n, k, &a, m, &b, n, &mut c, n, false),
                            }
                            black_box(&mut c);
                        }
                    });
                    work * repeats as f64
                }
                1 => spin(ctx),
                _ => {
                    for _ in 0..repeats {
                        peers[which - 2].sgemm(form, m, n, k, &a, &b, &mut c);
                        black_box(&mut c);
                    }
                    work * repeats as f64
                }
            };
            let rate = done / start.elapsed().as_secs_f64() / 1e9;
            // The first run warms up.
            if run > 0 && rate > *best {
                *best = rate;
            }
        }
    }
    best
}

/// Independent fused multiply-adds in registers on every thread; returns the operations done.
fn spin(ctx: &Ctx) -> f64 {
    const ROUNDS: usize = 100_000;
    std::thread::scope(|s| {
        for _ in 1..ctx.threads() {
            s.spawn(|| black_box(spin_one(ctx.path(), ROUNDS)));
        }
        black_box(spin_one(ctx.path(), ROUNDS));
    });
    let lanes = if ctx.path() == Path::Avx512 { 16.0 } else { 8.0 };
    ROUNDS as f64 * 12.0 * lanes * 2.0 * ctx.threads() as f64
}

#[cfg(target_arch = "x86_64")]
fn spin_one(path: Path, rounds: usize) -> f32 {
    use std::arch::x86_64::*;
    #[target_feature(enable = "avx512f")]
    fn wide(rounds: usize) -> f32 {
        let mut acc: [__m512; 12] = std::array::from_fn(|i| _mm512_set1_ps(i as f32));
        let (x, y) = (_mm512_set1_ps(0.999), _mm512_set1_ps(0.001));
        for _ in 0..rounds {
            for v in &mut acc {
                *v = _mm512_fmadd_ps(*v, x, y);
            }
        }
        acc.into_iter().map(|v| _mm512_cvtss_f32(v)).sum()
    }
    #[target_feature(enable = "avx2,fma")]
    fn narrow(rounds: usize) -> f32 {
        let mut acc: [__m256; 12] = std::array::from_fn(|i| _mm256_set1_ps(i as f32));
        let (x, y) = (_mm256_set1_ps(0.999), _mm256_set1_ps(0.001));
        for _ in 0..rounds {
            for v in &mut acc {
                *v = _mm256_fmadd_ps(*v, x, y);
            }
        }
        acc.into_iter().map(|v| _mm256_cvtss_f32(v)).sum()
    }
    match path {
        // SAFETY: the caller's context exists, so the processor has the path.
        Path::Avx512 => unsafe { wide(rounds) },
        // SAFETY: as above.
        Path::Avx2 => unsafe { narrow(rounds) },
        Path::Portable => 0.0,
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn spin_one(_: Path, _: usize) -> f32 {
    0.0
}
