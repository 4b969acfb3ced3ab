//! Mislabelled rows: one label in ten is changed, and a valuation should rank the changed ones last.
//!
//! KNN-Shapley values rows for a nearest-neighbour classifier. The *actual model* is the perceptron that is trained: its out-of-fold loss
//! (folds trained by our own engine, each row scored by models that never saw it) is what it has to say about a row itself.

use crate::{Row, data::Digits, timed};
use anyhow::{Context as _, Result};
use attribution::{
    metrics::auc,
    valuation::knn::{self, Points},
};
use model::{
    optimizer::OptimizerOptions,
    tabular::{Perceptron, PerceptronTraining, Rows},
};
use ops::{Ctx, Stream};

const NEIGHBOURS: usize = 5;
const FOLDS: usize = 5;
/// Times the rows are dealt into folds anew.
const DEALS: u64 = 3;

/// Which labels are wrong, and all labels.
fn flipped(clean: &[u32]) -> (Vec<bool>, Vec<u32>) {
    let stream = Stream::new(2026, 1);
    let mut order: Vec<usize> = (0..clean.len()).collect();
    order.sort_by_key(|i| stream.word(*i as u64));
    let mut wrong = vec![false; clean.len()];
    order[..clean.len() / 10].iter().for_each(|i| wrong[*i] = true);
    let other = |i: usize, y: u32| (y + 1 + Stream::new(2026, 2).below(i as u64, 9) as u32) % 10;
    let labels = clean.iter().enumerate().map(|(i, y)| if wrong[i] { other(i, *y) } else { *y }).collect();
    (wrong, labels)
}

/// Mean out-of-fold loss of each row under the perceptron 64-64-10.
fn out_of_fold(ctx: &Ctx, x: &[f32], labels: &[u32]) -> Result<Vec<f64>> {
    let model = Perceptron::initial(&[64, 64, 10], 1)?;
    let rows = Rows::new(&model, x.to_vec(), labels.to_vec())?;
    let mut sums = vec![0.0; labels.len()];
    for deal in 0..DEALS {
        let stream = Stream::new(deal, 3);
        let mut order: Vec<usize> = (0..labels.len()).collect();
        order.sort_by_key(|i| stream.word(*i as u64));
        for fold in 0..FOLDS {
            let (out, kept): (Vec<usize>, Vec<usize>) = order
                .iter()
                .enumerate()
                .map(|(place, i)| (place % FOLDS == fold, *i))
                .fold((vec![], vec![]), |(mut out, mut kept), (is_out, i)| {
                    if is_out {
                        out.push(i)
                    } else {
                        kept.push(i)
                    }
                    (out, kept)
                });
            let mut model = Perceptron::initial(&[64, 64, 10], deal * FOLDS as u64 + fold as u64)?;
            let options = PerceptronTraining {
                epochs: 12,
                batch: 25,
                rate: 0.05,
                optimizer: OptimizerOptions::Sgd { momentum: 0.9, weight_decay: 1e-3 },
                seed: deal,
            };
            model.train(ctx, &rows.pick(&kept), &options);
            for (i, loss) in out.iter().zip(model.losses(ctx, &rows.pick(&out))) {
                sums[*i] += f64::from(loss);
            }
        }
    }
    Ok(sums)
}

pub fn rows(ctx: &Ctx, digits: &Digits) -> Result<Vec<Row>> {
    let (x, clean) = &digits.train;
    let (wrong, labels) = flipped(clean);
    let row = |method: &str, suspicion: &[f64], time: f64| -> Result<Row> {
        let value = auc(suspicion, &wrong).context("labels of both kinds")?;
        Ok(Row {
            who: "ours",
            task: "mislabels",
            method: method.into(),
            value,
            low: value,
            high: value,
            fit_seconds: time,
            query_seconds: 0.0,
        })
    };
    let train = Points { features: x, labels: &labels, dimensions: 64 };
    let test = Points { features: &digits.held_out.0, labels: &digits.held_out.1, dimensions: 64 };
    let (values, knn_time) = timed(|| knn::shapley(train, test, NEIGHBOURS));
    let low: Vec<f64> = values?.iter().map(|v| -v).collect();
    let (losses, model_time) = timed(|| out_of_fold(&ctx.with_threads(1), x, &labels));
    Ok(vec![
        row("KNN-Shapley (AUC), 697 trusted points", &low, knn_time)?,
        row("out-of-fold loss of the perceptron (AUC)", &losses?, model_time)?,
    ])
}
