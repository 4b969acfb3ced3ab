//! Methods beside each other: fitted on a model's gradients, then asked. One trait, so that every measure treats them alike. [`whole_gradients`] makes
//! such rows of a language model's LoRA factors.
//!
//! [`GaussNewton`] is ours. The others are published baselines, reimplemented over rank-one gradient factors: measures, never paid paths
//! (EK-FAC needs an eigensolver, which has no step verifier).
//!
//! | method | score of item `u` for query `q` | source |
//! |---|---|---|
//! | [`GaussNewton`] | `g_q (P H P + damping)^-1 g_u / n` | Koh, Liang 2017; Martens 2020 |
//! | [`Gradients::Dot`] | `g_q . g_u`; summed over checkpoints it is TracIn | Pruthi et al. 2020 |
//! | [`Gradients::Cosine`] | `g_q . g_u / (\|g_q\| \|g_u\|)` | |
//! | [`DataInf`] | per layer, the mean of the inverses of each item's damped outer product | Kwon et al. 2024 |
//! | [`Trak`] | `f_q (F^T F / n + damping)^-1 f_u` over random projections `f` | Park et al. 2023 |
//! | [`EkFac`] | per layer in the Kronecker eigenbasis with measured second moments | George et al. 2018; Grosse et al. 2023 |

mod data_inf;
mod eigen;
mod ek_fac;
mod trak;
mod whole;

pub use data_inf::DataInf;
pub use eigen::symmetric_eigen;
pub use ek_fac::EkFac;
pub use trak::Trak;
pub use whole::whole_gradients;

use super::dual::{Dual, DualError, Rows, kernel};
use ops::Ctx;

/// A method: knows how to fit.
pub trait Method: Sync {
    /// How it is named in tables.
    fn name(&self) -> String;

    /// Fits on the training items' gradients (one row each) and the curvature's rows.
    ///
    /// # Errors
    /// When rows are empty, of unlike shapes or not finite, or a setting is out of range.
    fn fit(&self, ctx: &Ctx, curvature: &Rows, train: &Rows) -> Result<Box<dyn Fitted>, DualError>;
}

/// A fitted method: answers queries.
pub trait Fitted: Send + Sync {
    /// Scores of every item for every query, `[queries, items]`; positive helps.
    ///
    /// # Errors
    /// When the queries do not fit the training rows.
    fn scores(&self, ctx: &Ctx, queries: &Rows) -> Result<Vec<f32>, DualError>;
}

/// Damped Gauss-Newton influence in dual form.
#[derive(Clone, Copy, Debug)]
pub struct GaussNewton {
    /// Added to the curvature's diagonal.
    pub damping: f64,
    /// Most rows of the basis.
    pub rank: usize,
}

impl Method for GaussNewton {
    fn name(&self) -> String {
        format!("Gauss-Newton, basis {}, damping {}", self.rank, self.damping)
    }

    fn fit(&self, ctx: &Ctx, curvature: &Rows, train: &Rows) -> Result<Box<dyn Fitted>, DualError> {
        Ok(Box::new(Dual::fit(ctx, curvature, train, self.damping, self.rank)?))
    }
}

impl Fitted for Dual {
    fn scores(&self, ctx: &Ctx, queries: &Rows) -> Result<Vec<f32>, DualError> {
        Dual::scores(self, ctx, queries)
    }
}

/// Inner products of gradients, without curvature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gradients {
    /// As they are.
    Dot,
    /// Divided by both lengths.
    Cosine,
}

struct FittedGradients {
    kind: Gradients,
    train: Rows,
}

impl Method for Gradients {
    fn name(&self) -> String {
        match self {
            Gradients::Dot => "gradient dot (TracIn)".into(),
            Gradients::Cosine => "gradient cosine".into(),
        }
    }

    fn fit(&self, _: &Ctx, _: &Rows, train: &Rows) -> Result<Box<dyn Fitted>, DualError> {
        train.check(train, "training")?;
        Ok(Box::new(FittedGradients { kind: *self, train: train.clone() }))
    }
}

impl Fitted for FittedGradients {
    fn scores(&self, ctx: &Ctx, queries: &Rows) -> Result<Vec<f32>, DualError> {
        queries.check(&self.train, "query")?;
        let mut scores = kernel(ctx, queries, &self.train);
        if self.kind == Gradients::Cosine {
            let inverse = |rows: &Rows| -> Vec<f32> {
                rows.squares().iter().map(|s| if *s > 0.0 { (1.0 / s.sqrt()) as f32 } else { 0.0 }).collect()
            };
            let (of_queries, of_items) = (inverse(queries), inverse(&self.train));
            for (row, q) in scores.chunks_exact_mut(self.train.count).zip(of_queries) {
                row.iter_mut().zip(&of_items).for_each(|(x, u)| *x *= q * u);
            }
        }
        Ok(scores)
    }
}

#[cfg(test)]
mod tests;
