//! How a query grows with the number of units: synthetic features of 10^3 to 10^6 units, one answer against all, beside a plain read of the
//! same memory.
//!
//! `cargo run --release -p attribution --example scale -- [WIDTH] [LARGEST]`

use anyhow::Result;
use ops::{Ctx, matmul_nt};
use std::time::Instant;

fn median(mut run: impl FnMut()) -> f64 {
    let mut times: Vec<f64> = (0..5)
        .map(|_| {
            let start = Instant::now();
            run();
            start.elapsed().as_secs_f64()
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[2]
}

/// Reads all numbers with as many threads as the context has: what the memory gives.
fn read(ctx: &Ctx, numbers: &[f32]) -> f32 {
    const LANES: usize = 64;
    let part = |numbers: &[f32]| {
        let mut sums = [0f32; LANES];
        for chunk in numbers.chunks_exact(LANES) {
            sums.iter_mut().zip(chunk).for_each(|(sum, x)| *sum += x);
        }
        sums.iter().fold(0.0, |all, x| all + x)
    };
    std::thread::scope(|scope| {
        let parts = numbers.chunks(numbers.len().div_ceil(ctx.threads()));
        let handles: Vec<_> = parts.map(|numbers| scope.spawn(move || part(numbers))).collect();
        handles.into_iter().fold(0.0, |sum, handle| sum + handle.join().unwrap_or(f32::NAN))
    })
}

#[allow(clippy::print_stdout)]
fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1).map(|x| x.parse::<usize>());
    let width = arguments.next().transpose()?.unwrap_or(1024);
    let largest = arguments.next().transpose()?.unwrap_or(1_000_000);
    let ctx = Ctx::detect();
    println!("{} threads, {}, {width} numbers ({} bytes) a unit", ctx.threads(), ctx.path(), 4 * width);
    println!("| units | bytes | query | GB/s | plain read GB/s | build of scores, 64 queries together |");
    println!("|---|---|---|---|---|---|");
    let mut units = 1000;
    while units <= largest {
        let mut features = vec![0f32; units * width];
        let stream = ops::Stream::new(1, 2);
        // A few thousand numbers over and over: what they are does not matter, only that they are there.
        let mut pattern = vec![0f32; 4096];
        stream.fill_normal(0, &mut pattern);
        features.chunks_mut(4096).for_each(|chunk| chunk.copy_from_slice(&pattern[..chunk.len()]));
        let queries = vec![0.5f32; 64 * width];
        let mut scores = vec![0f32; 64 * units];
        let ask = |count: usize, scores: &mut [f32]| {
            matmul_nt(
                &ctx,
                count,
                units,
                width,
                &queries[..count * width],
                width,
                &features,
                width,
                scores,
                units,
                false,
            );
        };
        let one = median(|| ask(1, &mut scores[..units]));
        let many = median(|| ask(64, &mut scores));
        let mut sink = 0.0;
        let plain = median(|| sink += read(&ctx, &features));
        anyhow::ensure!(f32::is_finite(sink), "numbers are finite");
        let bytes = (4 * units * width) as f64;
        println!(
            "| {units} | {:.1} MB | {:.3} ms | {:.1} | {:.1} | {:.1} ms |",
            bytes / 1e6,
            one * 1e3,
            bytes / one / 1e9,
            bytes / plain / 1e9,
            many * 1e3
        );
        units *= 10;
    }
    Ok(())
}
