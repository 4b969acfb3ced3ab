//! Measures attribution against retraining on scikit-learn's digits: the table of docs/benchmarks/attribution.md.
//!
//! `OPENLEDGER_DATA=<folder> cargo run --release -p attribution --example digits`; the folder holds `digits/*.npz` as that page describes.

mod npz;

use anyhow::{Context as _, Result};
use attribution::{
    influence::{
        dual::Dual,
        perceptron::{Dense, Perceptron},
    },
    metrics::{Retraining, auc, lds},
    valuation::knn::{self, Points},
};
use npz::Array;
use ops::Ctx;
use std::{collections::BTreeMap, path::PathBuf, time::Instant};

type Arrays = BTreeMap<String, Array>;

struct Digits {
    train: (Vec<f32>, Vec<u32>),
    test: (Vec<f32>, Vec<u32>),
    subsets: Vec<Vec<u32>>,
}

fn digits(data: &Arrays) -> Digits {
    let part = |x: &str, y: &str| (data[x].f32(), data[y].u32());
    let subsets = (0..data["subsets"].shape[0])
        .map(|s| {
            let flags = data["subsets"].part(s);
            (0u32..).zip(&flags.values).filter(|(_, flag)| **flag > 0.0).map(|(i, _)| i).collect()
        })
        .collect();
    Digits { train: part("Xtr", "Ytr"), test: part("Xte", "Yte"), subsets }
}

/// Minus the loss, `[subset][query]`, averaged over seeds when there are any.
fn truth(digits: &Digits, loss: &Array) -> Retraining {
    let (subsets, queries) = (digits.subsets.len(), digits.test.1.len());
    let seeds = loss.values.len() / (subsets * queries);
    let at = |s: usize, q: usize| {
        let of_seed = |seed: usize| -loss.values[(seed * subsets + s) * queries + q];
        (0..seeds).map(of_seed).sum::<f64>() / seeds as f64
    };
    let quality = (0..subsets).map(|s| (0..queries).map(|q| at(s, q)).collect()).collect();
    Retraining { subsets: digits.subsets.clone(), quality }
}

fn transposed(rows: usize, columns: usize, x: &[f32]) -> Vec<f32> {
    (0..columns).flat_map(|c| (0..rows).map(move |r| x[r * columns + c])).collect()
}

fn perceptron(models: &Arrays, prefix: &str, index: usize) -> Perceptron {
    let part = |i: usize| models[&format!("{prefix}p{i}")].part(index).f32();
    let dense = |w: usize, inputs: usize, outputs: usize| Dense {
        weight: transposed(inputs, outputs, &part(w)),
        bias: part(w + 1),
    };
    Perceptron::new(vec![dense(0, 64, 64), dense(2, 64, 10)]).expect("widths chain")
}

/// Median of five runs.
fn timed<T>(mut run: impl FnMut() -> T) -> (T, f64) {
    let mut times = vec![];
    let mut last = None;
    for _ in 0..5 {
        let start = Instant::now();
        last = Some(run());
        times.push(start.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    (last.expect("five runs"), times[2])
}

fn rows(scores: &[f32], items: usize) -> Vec<Vec<f64>> {
    scores.chunks_exact(items).map(|row| row.iter().map(|x| f64::from(*x)).collect()).collect()
}

/// LDS of the mean over `models` of damped Gauss-Newton influence, with the time to fit and to ask all queries.
fn gauss_newton(
    ctx: &Ctx,
    digits: &Digits,
    truth: &Retraining,
    models: &[Perceptron],
    damping: f64,
    rank: usize,
) -> Result<String> {
    let (x, y) = &digits.train;
    let (fitted, fit) = timed(|| -> Result<Vec<Dual>> {
        let fit =
            |m: &Perceptron| Dual::fit(ctx, &m.curvature(ctx, x), &m.gradients(ctx, x, y), damping, rank);
        models.iter().map(|m| Ok(fit(m)?)).collect()
    });
    let fitted = fitted?;
    let (scores, ask) = timed(|| -> Result<Vec<f32>> {
        let mut sum = vec![0.0; y.len() * digits.test.1.len()];
        for (dual, model) in fitted.iter().zip(models) {
            let queries = model.gradients(ctx, &digits.test.0, &digits.test.1);
            sum.iter_mut().zip(dual.scores(ctx, &queries)?).for_each(|(sum, x)| *sum += x);
        }
        Ok(sum)
    });
    let report = lds(&rows(&scores?, y.len()), truth, 1)?;
    let l = report.lds;
    Ok(format!(
        "{:.3} [{:.3}, {:.3}]  fit {:.1} ms  100 queries {:.2} ms",
        l.value,
        l.low,
        l.high,
        fit * 1e3,
        ask * 1e3
    ))
}

fn knn_shapley(digits: &Digits) -> Result<String> {
    let (x, clean) = &digits.train;
    // One label in ten is wrong, by a fixed rule.
    let flipped: Vec<bool> = (0..clean.len()).map(|i| i * 7 % 10 == 3).collect();
    let labels: Vec<u32> = clean
        .iter()
        .zip(&flipped)
        .enumerate()
        .map(|(i, (y, f))| if *f { (y + 1 + i as u32 % 9) % 10 } else { *y })
        .collect();
    let train = Points { features: x, labels: &labels, dimensions: 64 };
    let test = Points { features: &digits.test.0, labels: &digits.test.1, dimensions: 64 };
    let (values, time) = timed(|| knn::shapley(train, test, 5));
    let low: Vec<f64> = values?.iter().map(|v| -v).collect();
    Ok(format!("AUC {:.4}  {:.2} ms", auc(&low, &flipped).context("no flips")?, time * 1e3))
}

#[allow(clippy::print_stdout)]
fn main() -> Result<()> {
    let folder =
        PathBuf::from(std::env::var("OPENLEDGER_DATA").context("set OPENLEDGER_DATA to the data folder")?)
            .join("digits");
    let load = |name: &str| npz::read(&folder.join(name));
    let digits = digits(&load("data.npz")?);
    let (full, loss) = (load("mlp_full.npz")?, load("mlp_gt.npz")?);
    let mlp = truth(&digits, &loss["loss"]);
    let ctx = Ctx::detect();
    println!("digits, {} threads, {}", ctx.threads(), ctx.path());
    println!("KNN-Shapley, mislabels         {}", knn_shapley(&digits)?);
    let models: Vec<Perceptron> = (0..10).map(|m| perceptron(&full, "", m)).collect();
    for (count, rank) in [(1, 200), (1, 300), (1, 400), (1, 1000), (5, 300), (5, 400), (10, 300), (10, 600)] {
        for damping in [0.002, 0.003, 0.005] {
            let line = gauss_newton(&ctx, &digits, &mlp, &models[..count], damping, rank)?;
            println!("MLP, {count} models, rank {rank:4}, {damping}  {line}");
        }
    }
    let lr = load("lr.npz")?;
    let w = &lr["W"];
    let weight: Vec<f32> = w.f32().chunks_exact(65).flat_map(|row| &row[..64]).copied().collect();
    let bias: Vec<f32> = w.f32().chunks_exact(65).map(|row| row[64]).collect();
    let logistic = Perceptron::new(vec![Dense { weight, bias }]).expect("widths chain");
    let truth = truth(&digits, &lr["loss"]);
    for rank in [300, 650, 1000] {
        let line = gauss_newton(&ctx, &digits, &truth, std::slice::from_ref(&logistic), 1e-3, rank)?;
        println!("logistic regression, rank {rank:4}   {line}");
    }
    Ok(())
}
