//! Bandwidth of products with few rows, as in decoding: `cargo bench -p ops --bench stream [-- THREADS]`.
//!
//! Prints bytes of weights per second against a plain read of the same memory, best of alternating runs.
#![allow(clippy::print_stdout)]

use ops::{
    Bits, Ctx, Int8Weights, PackedWeights, Path, Stream, int8_matmul, matmul_nn, matmul_nt, matmul_packed,
    sum_squares,
};
use std::hint::black_box;
use std::time::Instant;

fn main() {
    let threads = std::env::args().filter_map(|a| a.parse().ok()).next().unwrap_or(1);
    let ctx = Ctx::new(Path::detect(), threads).expect("a path of this processor");
    println!(
        "path {} threads {threads}; GB/s of weights: plain read, nn, nt, packed, int8 (and its speed against packed)",
        ctx.path()
    );
    for (n, k) in [(1152, 384), (1536, 384), (384, 1536), (2048, 2048), (4096, 4096), (8192, 4096)] {
        let mut w = vec![0f32; n * k];
        Stream::new(1, 1).fill_uniform(0, &mut w);
        let (packed, int8) = (PackedWeights::new(n, k, &w), Int8Weights::quantise(Bits::Eight, n, k, &w));
        for rows in [1, 4, 8, 16] {
            let (x, mut y) = (vec![0.5f32; rows * k], vec![0f32; rows * n]);
            let bytes = (n * k * 4) as f64;
            let mut time = [f64::INFINITY; 5];
            let repeats = (2e7 / bytes).clamp(1.0, 100.0) as usize;
            for _ in 0..40 {
                for (which, time) in time.iter_mut().enumerate() {
                    let start = Instant::now();
                    for _ in 0..repeats {
                        match which {
                            0 => drop(black_box(sum_squares(&ctx, &w))),
                            1 => matmul_nn(&ctx, rows, n, k, &x, k, &w, n, &mut y, n, false),
                            2 => matmul_nt(&ctx, rows, n, k, &x, k, &w, k, &mut y, n, false),
                            3 => matmul_packed(&ctx, rows, &x, k, &packed, &mut y, n, false),
                            _ => int8_matmul(&ctx, rows, &x, &int8, &mut y, false),
                        }
                        black_box(&mut y);
                    }
                    let elapsed = start.elapsed().as_secs_f64() / repeats as f64;
                    *time = if elapsed < *time { elapsed } else { *time };
                }
            }
            let rate = |t: f64, bytes: f64| bytes / t / 1e9;
            println!(
                "{n:>5} x {k:>5} rows {rows:>2}: {:6.1} {:6.1} {:6.1} {:6.1} {:6.1} ({:.2}x)",
                rate(time[0], bytes),
                rate(time[1], bytes),
                rate(time[2], bytes),
                rate(time[3], bytes),
                rate(time[4], int8.bytes() as f64),
                time[3] / time[4]
            );
        }
    }
}
