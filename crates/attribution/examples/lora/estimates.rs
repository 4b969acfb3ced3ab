//! Scores of every item for every query by the methods beside ours: `[query][item]`, positive helps.

use crate::data::Data;
use anyhow::Result;
use attribution::{
    bm25::Bm25,
    influence::{
        dual::Rows,
        language::Language,
        methods::{DataInf, GaussNewton, Gradients, Method, whole_gradients},
    },
};
use model::{Adapter, Example, Model};
use ops::Ctx;

pub type Scores = Vec<Vec<f64>>;

/// Adds `more` to `sum`, entry by entry.
pub fn add(sum: &mut Scores, more: &Scores) {
    if sum.is_empty() {
        sum.clone_from(more);
        return;
    }
    for (sum, more) in sum.iter_mut().zip(more) {
        sum.iter_mut().zip(more).for_each(|(sum, x)| *sum += x);
    }
}

/// Whole gradients of items and queries under one adapter.
pub struct Whole {
    train: Rows,
    queries: Rows,
    /// Mean squared length of an item's gradient.
    square: f64,
}

impl Whole {
    pub fn new(ctx: &Ctx, base: &Model, adapter: &Adapter, data: &Data) -> Result<Whole> {
        let language = Language::with_adapter(base, adapter);
        let of = |examples: &[Example]| whole_gradients(ctx, &language, &examples.iter().collect::<Vec<_>>());
        let (train, queries) = (of(&data.items)?, of(&data.queries)?);
        let squares = |values: &[f32]| values.iter().fold(0.0, |sum, x| sum + f64::from(*x).powi(2));
        let sum = train.layers.iter().fold(0.0, |sum, layer| sum + squares(&layer.inputs));
        Ok(Whole { square: sum / train.count as f64, train, queries })
    }

    fn of_method(&self, ctx: &Ctx, method: &dyn Method) -> Result<Scores> {
        let scores = method.fit(ctx, &self.train, &self.train)?.scores(ctx, &self.queries)?;
        let row = |row: &[f32]| row.iter().map(|x| f64::from(*x)).collect();
        Ok(scores.chunks_exact(self.train.count).map(row).collect())
    }

    /// Damped Gauss-Newton over all layers together; damping as a ratio of the mean eigenvalue in the span of the items.
    pub fn gauss_newton(&self, ctx: &Ctx, ratio: f64, basis: usize) -> Result<Scores> {
        let damping = ratio * self.square / self.train.count as f64;
        self.of_method(ctx, &GaussNewton { damping, rank: basis })
    }

    /// DataInf as published, layer by layer.
    pub fn data_inf(&self, ctx: &Ctx, damping: f64) -> Result<Scores> {
        self.of_method(ctx, &DataInf { damping })
    }

    pub fn dot(&self, ctx: &Ctx) -> Result<Scores> {
        self.of_method(ctx, &Gradients::Dot)
    }

    pub fn cosine(&self, ctx: &Ctx) -> Result<Scores> {
        self.of_method(ctx, &Gradients::Cosine)
    }
}

/// Overlap of tokens.
pub fn bm25(data: &Data) -> Scores {
    let index = Bm25::new(&data.items.iter().map(|e| &e.tokens[..]).collect::<Vec<_>>());
    data.queries.iter().map(|q| index.scores(&q.tokens)).collect()
}
