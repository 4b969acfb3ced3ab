//! Floor 2: who does an answer owe, and how sure are we.
//!
//! - [`influence`]: how much each training unit moved the model toward an answer, and the cache that makes it quick to ask.
//! - [`commands`]: `openledger attribute ...` as functions on plain files, with reports as JSON and pages.
//! - [`shares`]: the one place where scores become integers; from there on money is exact.
//! - [`spans`]: which documents an answer repeats word for word. Corroboration, never influence.
//! - [`valuation`]: worth of data for a model's quality: KNN-Shapley, truncated Shapley, Banzhaf, clusters.
//! - [`metrics`]: how good an attribution is: LDS with intervals, AUC, removal curves, source identification.
//! - [`bm25`]: the text-retrieval baseline that every measure of influence is shown beside.
//!
//! Nothing here knows the ledger.

pub mod bm25;
pub mod commands;
pub mod influence;
pub mod metrics;
pub mod shares;
pub mod spans;
pub mod valuation;
