//! The attribution cache of one model and one training set: built once, committed, then asked.
//!
//! # Phases
//! 1. *Plan*: the projections and the clip constant, from a sample of units drawn by the seed; written first, so that a build that was cut off resumes
//!    only the same plan.
//! 2. *Features*: a shard of projected gradients per [`Options::shard_blocks`] blocks, each written whole or not at all.
//!    Shards that are there and whole are kept.
//! 3. *Curvature*: from the features, in the order of the units.
//! 4. *Influence features*: `(F + damping)^-1 g_u`, shard by shard, kept in four bits with a scale per row and group of 64.
//! 5. *Rule*: floor, cap and scale of [`crate::shares`] and every row's own noise, from the scores that a sample of rows give the rest.
//! 6. *Commitment*: the Merkle root over the plan, the projections, the curvature, the noise, the rule and every row's quantised features.
//!
//! Units of novelty 0 have features and scores and shape nothing: neither projections, clip, curvature, sample nor floor.
//!
//! The root is over units, not shards or batches: it is the same for any split, any number of threads, and after a build
//! that was killed. Memory: one block of features, the curvature of all layers, and the features of the sample.

mod build;
mod calibrate;
mod erase;
mod files;
pub(in crate::influence) mod inverse;
mod plan;
mod shard;

pub use build::{Progress, Stage, build};
pub use erase::{Erasure, erase};
pub use files::{CacheError, MAX_UNITS};
pub use plan::{DAMPING_GRID, Options, OptionsError, Unit, UnitMeta};

use plan::Parts;
pub(in crate::influence) use shard::Shard;

use super::{curvature::Scales, projection::Projector};
use crate::shares::Rule;
use primitives::B256;
use serde::{Deserialize, Serialize};

/// What a cache commits to beside its units, and its root.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Commitment {
    /// Merkle root over everything below and every row's quantised features.
    pub root: B256,
    /// The model's weights.
    pub model: B256,
    /// The units: ids, lengths, novelty, owners.
    pub units_root: B256,
    /// Number of units.
    pub units: usize,
    /// Numbers in a feature.
    pub width: usize,
    /// Norm that a token's projected gradient is clipped to.
    pub clip: f64,
    /// Common factor of all scores, so that they are of order one.
    pub unit_scale: f64,
    /// Where scores become weights.
    pub rule: Rule,
    /// What the cache was built with.
    pub options: Options,
}

/// A cache in memory, checked against its root.
#[derive(Clone, Debug)]
pub struct Cache {
    pub(super) commitment: Commitment,
    pub(super) projector: Projector,
    pub(super) scales: Scales,
    pub(super) units: Vec<UnitMeta>,
    /// Which units share a row.
    pub(super) parts: Parts,
    /// Own noise of each row: the standard deviation that the median magnitude of its scores on sampled rows of other documents implies.
    pub(super) noise: Vec<f32>,
    /// Influence features of all rows.
    pub(super) shards: Vec<Shard>,
}

impl Cache {
    /// What the cache commits to.
    pub fn commitment(&self) -> &Commitment {
        &self.commitment
    }

    /// The units, in their committed order.
    pub fn units(&self) -> &[UnitMeta] {
        &self.units
    }

    /// Bytes of features that a query reads.
    pub fn bytes(&self) -> usize {
        self.shards.iter().map(|shard| shard.features.bytes()).sum()
    }
}
