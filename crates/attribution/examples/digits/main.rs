//! Measures attribution against retraining on scikit-learn's digits: the tables of docs/benchmarks/attribution.md.
//!
//! `OPENLEDGER_DATA=<folder> cargo run --release -p attribution --example digits [-- FILE.json]`; the folder holds `digits/*.npz` as that
//! page describes. With a file name, the rows are also written there as JSON, for `benches/peers`.

mod data;
mod mislabels;
mod npz;

use anyhow::{Context as _, Result};
use attribution::{
    influence::{
        dual::{Dual, Rows},
        group::Contributors,
        methods::{DataInf, EkFac, Fitted, GaussNewton, Gradients, Method, Trak},
        perceptron::{Dense, Perceptron},
        primal::{ExactGaussNewton, Primal},
    },
    metrics::{Retraining, lds},
};
use data::{Digits, rows};
use ops::Ctx;
use serde::Serialize;
use std::{path::PathBuf, time::Instant};

/// Owners that items are dealt to for contributor queries.
const CONTRIBUTORS: usize = 32;

/// One row of a table.
#[derive(Clone, Debug, Serialize)]
struct Row {
    /// Who: `ours`, or the project measured beside.
    who: &'static str,
    /// On which model.
    task: &'static str,
    method: String,
    /// LDS and its 95 % interval, or an AUC.
    value: f64,
    low: f64,
    high: f64,
    fit_seconds: f64,
    /// Of 100 queries together.
    query_seconds: f64,
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

/// A task: models, data, and what retraining did.
struct Task<'a> {
    name: &'static str,
    digits: &'a Digits,
    truth: &'a Retraining,
}

impl Task<'_> {
    /// LDS of the mean over `models`, with the time to fit (gradients included) and to ask all queries.
    fn measure(&self, ctx: &Ctx, models: &[Perceptron], method: &dyn Method) -> Result<Row> {
        let (x, y) = &self.digits.train;
        let fit = |m: &Perceptron| -> Result<Box<dyn Fitted>> {
            let train = m.gradients(ctx, x, y);
            // Only the methods with curvature pay for its rows.
            let curvature = if method.name().starts_with("Gauss") || method.name().starts_with("EK") {
                m.curvature(ctx, x)
            } else {
                Rows::default()
            };
            Ok(method.fit(ctx, &curvature, &train)?)
        };
        let (fitted, fit) = timed(|| models.iter().map(fit).collect::<Result<Vec<_>>>());
        let fitted = fitted?;
        let (scores, ask) = timed(|| -> Result<Vec<f32>> {
            let mut sum = vec![0.0; y.len() * self.digits.test.1.len()];
            for (fitted, model) in fitted.iter().zip(models) {
                let queries = model.gradients(ctx, &self.digits.test.0, &self.digits.test.1);
                sum.iter_mut().zip(fitted.scores(ctx, &queries)?).for_each(|(sum, x)| *sum += x);
            }
            Ok(sum)
        });
        let lds = lds(&rows(&scores?, y.len()), self.truth, 1)?.lds;
        let plural = if models.len() == 1 { "" } else { "s" };
        Ok(Row {
            who: "ours",
            task: self.name,
            method: format!("{}, {} model{plural}", method.name(), models.len()),
            value: lds.value,
            low: lds.low,
            high: lds.high,
            fit_seconds: fit,
            query_seconds: ask,
        })
    }

    /// The damping of `grid` with the highest LDS on every other retraining, and a task whose truth is the rest.
    fn chosen(
        &self,
        ctx: &Ctx,
        models: &[Perceptron],
        rank: usize,
        grid: &[f64],
    ) -> Result<(f64, Retraining)> {
        let part = |odd: usize| {
            let pick = |i: &usize| i % 2 == odd;
            let of = |i: usize| (self.truth.subsets[i].clone(), self.truth.quality[i].clone());
            let (subsets, quality) = (0..self.truth.subsets.len()).filter(pick).map(of).unzip();
            Retraining { subsets, quality }
        };
        let tuning = part(0);
        let task = Task { truth: &tuning, ..*self };
        let mut best = (f64::NEG_INFINITY, grid[0]);
        for damping in grid {
            let row = task.measure(ctx, models, &GaussNewton { damping: *damping, rank })?;
            if row.value > best.0 {
                best = (row.value, *damping);
            }
        }
        Ok((best.1, part(1)))
    }
}

/// Contributor totals: what a query costs once items are folded.
fn contributors(
    ctx: &Ctx,
    digits: &Digits,
    model: &Perceptron,
    fold: impl Fn(&[u32]) -> Contributors,
) -> Result<f64> {
    let owner_of: Vec<u32> = (0..digits.train.1.len()).map(|i| (i % CONTRIBUTORS) as u32).collect();
    let folded = fold(&owner_of);
    // One thread, and queries together: what one answer costs on a busy server.
    let single = ctx.with_threads(1);
    let (scores, time) = timed(|| {
        let queries = model.gradients(&single, &digits.test.0, &digits.test.1);
        folded.scores(&single, &queries)
    });
    scores?;
    Ok(time / digits.test.1.len() as f64)
}

#[allow(clippy::print_stdout)]
fn print(row: &Row) {
    println!(
        "{:10} {:58} {:.3} [{:.3}, {:.3}]  fit {:8.1} ms  100 queries {:7.2} ms",
        row.task,
        row.method,
        row.value,
        row.low,
        row.high,
        row.fit_seconds * 1e3,
        row.query_seconds * 1e3
    );
}

#[allow(clippy::print_stdout)]
fn main() -> Result<()> {
    let folder =
        PathBuf::from(std::env::var("OPENLEDGER_DATA").context("set OPENLEDGER_DATA to the data folder")?)
            .join("digits");
    let digits = data::digits(&npz::read(&folder.join("data.npz"))?);
    let (full, loss) = (npz::read(&folder.join("mlp_full.npz"))?, npz::read(&folder.join("mlp_gt.npz"))?);
    let ctx = Ctx::detect();
    println!("digits, {} threads, {}", ctx.threads(), ctx.path());
    let mut table = vec![];
    let mut add = |row: Row| {
        print(&row);
        table.push(row);
    };
    for row in mislabels::rows(&ctx, &digits)? {
        add(row);
    }

    let truth = data::truth(&digits, &loss["loss"]);
    let task = Task { name: "MLP", digits: &digits, truth: &truth };
    let models: Vec<Perceptron> = (0..10).map(|m| data::perceptron(&full, "", m)).collect();
    for method in [
        &Gradients::Cosine as &dyn Method,
        &DataInf { damping: 0.1 },
        &Trak { side: 16, damping: 0.1, seed: 1 },
        &Trak { side: 22, damping: 1.0, seed: 1 },
        &EkFac { damping: 0.1 },
        &EkFac { damping: 1.0 },
    ] {
        add(task.measure(&ctx, &models[..1], method)?);
    }
    let checkpoints: Vec<Perceptron> =
        (0..4).map(|c| data::perceptron(&full, &format!("ck{c}_"), 0)).collect();
    add(Row { method: "TracIn, 4 checkpoints".into(), ..task.measure(&ctx, &checkpoints, &Gradients::Dot)? });
    for (count, rank) in [(1, 200), (1, 250), (1, 300), (1, 400), (5, 300), (5, 400), (10, 300)] {
        add(task.measure(&ctx, &models[..count], &GaussNewton { damping: 0.003, rank })?);
    }
    // A smaller basis wants more damping.
    add(task.measure(&ctx, &models[..1], &GaussNewton { damping: 0.005, rank: 200 })?);
    let grid = [0.001, 0.002, 0.003, 0.005, 0.01, 0.03];
    let (damping, held_out) = task.chosen(&ctx, &models[..5], 300, &grid)?;
    let held_out = Task { name: "MLP, held-out retrainings", truth: &held_out, ..task };
    add(held_out.measure(&ctx, &models[..5], &GaussNewton { damping, rank: 300 })?);
    let (x, y) = &digits.train;
    let dual = Dual::fit(&ctx, &models[0].curvature(&ctx, x), &models[0].gradients(&ctx, x, y), 0.003, 300)?;
    let cost = contributors(&ctx, &digits, &models[0], |o| dual.contributors(&ctx, o, CONTRIBUTORS))?;
    println!("MLP, one query of {CONTRIBUTORS} contributors: {:.2} us", cost * 1e6);

    let lr = npz::read(&folder.join("lr.npz"))?;
    let w = &lr["W"];
    let weight: Vec<f32> = w.f32().chunks_exact(65).flat_map(|row| &row[..64]).copied().collect();
    let bias: Vec<f32> = w.f32().chunks_exact(65).map(|row| row[64]).collect();
    let logistic = [Perceptron::new(vec![Dense { weight, bias }]).context("widths chain")?];
    let truth = data::truth(&digits, &lr["loss"]);
    let task = Task { name: "logistic", digits: &digits, truth: &truth };
    add(task.measure(&ctx, &logistic, &ExactGaussNewton { damping: 1e-3 })?);
    for rank in [100, 200, 300, 400] {
        add(task.measure(&ctx, &logistic, &GaussNewton { damping: 1e-3, rank })?);
    }
    for method in [&EkFac { damping: 0.1 } as &dyn Method, &DataInf { damping: 0.1 }, &Gradients::Cosine] {
        add(task.measure(&ctx, &logistic, method)?);
    }
    let (x, y) = &digits.train;
    let curvature = logistic[0].curvature(&ctx, x);
    let exact = Primal::fit(&ctx, &curvature, &logistic[0].gradients(&ctx, x, y), 1e-3)?;
    let cost = contributors(&ctx, &digits, &logistic[0], |o| exact.contributors(&ctx, o, CONTRIBUTORS))?;
    println!("logistic, one query of {CONTRIBUTORS} contributors: {:.2} us", cost * 1e6);
    if let Some(path) = std::env::args().nth(1) {
        std::fs::write(path, serde_json::to_string_pretty(&table)?)?;
    }
    Ok(())
}
