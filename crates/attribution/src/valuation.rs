//! Worth of training data for a model's quality, rather than for one answer.
//!
//! - [`knn`]: exact KNN-Shapley, a screen for mislabelled or poisoned rows.
//! - [`in_run`]: Shapley values accumulated while a model is trained, from the taps of its backward passes.
//! - [`semivalues`]: Shapley by truncated permutations and Banzhaf by reused samples, for any game over few players.
//! - [`clusters`]: near-duplicates as one player, the first committed taking the credit.
//!
//! None of these pays an answer: the Shapley value rewards self-copies, leave-one-out pays an original nothing once
//! a copy exists (RULEBOOK R2). They rank data and divide rewards for a measured improvement.

pub mod clusters;
pub mod in_run;
pub mod knn;
pub mod semivalues;
