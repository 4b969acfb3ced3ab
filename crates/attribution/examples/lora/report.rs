//! From scores and retrainings to a table: settings are chosen on every other pair of halves, what is reported comes from the rest.

use crate::{data::Data, estimates::Scores, training::Half};
use anyhow::Result;
use attribution::metrics::{Interval, Retraining, lds, spearman};
use serde::Serialize;

/// Retrainings of one kind (items or sources), averaged over seeds.
pub struct Truth {
    /// Even pairs choose, odd pairs report.
    parts: [Retraining; 2],
    by_source: bool,
    /// Mean rank correlation of one seed's losses with another's; none with one seed.
    agreement: Option<f64>,
    seeds: usize,
}

impl Truth {
    /// `halves[seed][number]`.
    pub fn new(halves: &[Vec<Half>], by_source: bool) -> Truth {
        let (count, seeds) = (halves[0].len(), halves.len());
        let quality = |number: usize| -> Vec<f64> {
            let queries = halves[0][number].losses.len();
            let mean =
                |q: usize| halves.iter().map(|seed| -seed[number].losses[q]).sum::<f64>() / seeds as f64;
            (0..queries).map(mean).collect()
        };
        let part = |odd: usize| {
            let numbers = || (0..count).filter(|n| n / 2 % 2 == odd);
            Retraining {
                subsets: numbers().map(|n| halves[0][n].members.clone()).collect(),
                quality: numbers().map(quality).collect(),
            }
        };
        Truth { parts: [part(0), part(1)], by_source, agreement: agreement(halves), seeds }
    }

    /// How far one seed's losses foretell another's, and what that leaves to a perfect predictor of their expectation: the root of the mean losses'
    /// reliability (Spearman and Brown). Nothing with one seed.
    pub fn ceilings(&self, what: &str) -> String {
        let Some(r) = self.agreement else { return String::new() };
        let n = self.seeds as f64;
        let ceiling = (n * r / (1.0 + (n - 1.0) * r)).max(0.0).sqrt();
        format!(
            "halves of the {what}: losses under one seed rank with another's at {r:.3}; a perfect predictor of their mean reaches about {ceiling:.3}\n"
        )
    }

    fn lds(&self, data: &Data, scores: &Scores, part: usize) -> Result<Interval> {
        let totals: Scores = match self.by_source {
            false => scores.clone(),
            true => scores.iter().map(|row| by_source(data, row)).collect(),
        };
        Ok(lds(&totals, &self.parts[part], 1)?.lds)
    }
}

fn by_source(data: &Data, scores: &[f64]) -> Vec<f64> {
    let mut totals = vec![0.0; data.sources.len()];
    data.source_of.iter().zip(scores).for_each(|(source, score)| totals[*source as usize] += score);
    totals
}

fn agreement(halves: &[Vec<Half>]) -> Option<f64> {
    let mut all = vec![];
    for (i, a) in halves.iter().enumerate() {
        for b in &halves[..i] {
            for q in 0..a[0].losses.len() {
                let of = |halves: &[Half]| halves.iter().map(|h| h.losses[q]).collect::<Vec<_>>();
                all.push(spearman(&of(a), &of(b)));
            }
        }
    }
    (!all.is_empty()).then(|| all.iter().sum::<f64>() / all.len() as f64)
}

/// One method as it was chosen and measured.
#[derive(Serialize)]
pub struct Row {
    pub method: String,
    /// The setting with the highest sum of both LDS on the pairs that choose.
    pub setting: String,
    /// On the pairs that report.
    pub item: Interval,
    pub source: Interval,
}

/// Collects rows.
pub struct Report<'a> {
    pub data: &'a Data,
    pub items: Truth,
    pub sources: Truth,
    pub rows: Vec<Row>,
}

impl Report<'_> {
    /// Adds a method by its settings; returns the number of the chosen one.
    pub fn add(&mut self, method: &str, settings: &[(String, Scores)]) -> Result<usize> {
        let mut best = (0, f64::NEG_INFINITY);
        for (number, (setting, scores)) in settings.iter().enumerate() {
            let item = self.items.lds(self.data, scores, 0)?.value;
            let source = self.sources.lds(self.data, scores, 0)?.value;
            eprintln!("{method}, {setting}: item {item:.3}, source {source:.3} (pairs that choose)");
            if item + source > best.1 {
                best = (number, item + source);
            }
        }
        let (setting, scores) = &settings[best.0];
        let row = Row {
            method: method.into(),
            setting: setting.clone(),
            item: self.items.lds(self.data, scores, 1)?,
            source: self.sources.lds(self.data, scores, 1)?,
        };
        self.rows.push(row);
        Ok(best.0)
    }

    /// The rows as a table.
    pub fn table(&self) -> String {
        let interval = |i: &Interval| format!("{:.3} [{:.3}, {:.3}]", i.value, i.low, i.high);
        let line = |r: &Row| {
            format!("| {} | {} | {} | {} |\n", r.method, r.setting, interval(&r.item), interval(&r.source))
        };
        let head = "| method | chosen | item LDS [95 %] | source LDS [95 %] |\n|---|---|---|---|\n";
        self.rows.iter().fold(head.into(), |text, row| text + &line(row))
    }
}
