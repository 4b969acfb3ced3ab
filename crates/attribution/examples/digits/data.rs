//! The digits as arrays, and what retraining on subsets did.

use crate::npz::Array;
use attribution::{
    influence::perceptron::{Dense, Perceptron},
    metrics::Retraining,
};
use std::collections::BTreeMap;

pub type Arrays = BTreeMap<String, Array>;

/// Values and labels of a part of the data.
pub type Part = (Vec<f32>, Vec<u32>);

pub struct Digits {
    pub train: Part,
    pub test: Part,
    /// Neither trained on nor queried: what a valuation may trust.
    pub held_out: Part,
    pub subsets: Vec<Vec<u32>>,
}

pub fn digits(data: &Arrays) -> Digits {
    let part = |x: &str, y: &str| (data[x].f32(), data[y].u32());
    let subsets = (0..data["subsets"].shape[0])
        .map(|s| {
            let flags = data["subsets"].part(s);
            (0u32..).zip(&flags.values).filter(|(_, flag)| **flag > 0.0).map(|(i, _)| i).collect()
        })
        .collect();
    Digits { train: part("Xtr", "Ytr"), test: part("Xte", "Yte"), held_out: part("Xho", "Yho"), subsets }
}

/// Minus the loss, `[subset][query]`, averaged over seeds when there are any.
pub fn truth(digits: &Digits, loss: &Array) -> Retraining {
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

pub fn perceptron(models: &Arrays, prefix: &str, index: usize) -> Perceptron {
    let part = |i: usize| models[&format!("{prefix}p{i}")].part(index).f32();
    let dense = |w: usize, inputs: usize, outputs: usize| Dense {
        weight: transposed(inputs, outputs, &part(w)),
        bias: part(w + 1),
    };
    Perceptron::new(vec![dense(0, 64, 64), dense(2, 64, 10)]).expect("widths chain")
}

pub fn rows(scores: &[f32], items: usize) -> Vec<Vec<f64>> {
    scores.chunks_exact(items).map(|row| row.iter().map(|x| f64::from(*x)).collect()).collect()
}
