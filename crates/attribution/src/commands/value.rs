//! `attribute value`: exact KNN-Shapley of labelled rows, lowest first, a screen for wrong labels.

use super::{CommandError, data};
use crate::valuation::knn::{Points, shapley};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// What to value.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ValueRequest {
    /// Training rows, as [`data::rows`] reads them.
    pub train: PathBuf,
    /// Rows that are trusted.
    pub test: PathBuf,
    /// K.
    pub neighbours: usize,
}

/// One training row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RowValue {
    /// Row of the file, the first after the header being 0.
    pub row: u32,
    /// Its label.
    pub label: String,
    /// Its Shapley value.
    pub value: f64,
}

/// Values of all rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ValueReport {
    /// Lowest value first: the first are the likeliest to be wrong.
    pub rows: Vec<RowValue>,
    /// Utility of all rows together, which the values add up to.
    pub total: f64,
}

/// Values training rows.
pub fn value(request: &ValueRequest) -> Result<ValueReport, CommandError> {
    let train = data::rows(&request.train, vec![])?;
    let test = data::rows(&request.test, train.names.clone())?;
    fn points(rows: &data::Rows) -> Points<'_> {
        Points { features: &rows.features, labels: &rows.labels, dimensions: rows.dimensions }
    }
    let values = shapley(points(&train), points(&test), request.neighbours)?;
    let total = values.iter().fold(0.0, |sum, value| sum + value);
    let label = |row: usize| train.names[train.labels[row] as usize].clone();
    let mut rows: Vec<RowValue> = values
        .iter()
        .enumerate()
        .map(|(row, value)| RowValue { row: row as u32, label: label(row), value: *value })
        .collect();
    rows.sort_by(|a, b| a.value.total_cmp(&b.value).then(a.row.cmp(&b.row)));
    Ok(ValueReport { rows, total })
}
