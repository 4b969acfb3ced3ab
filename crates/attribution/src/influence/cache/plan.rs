//! What a cache is built from.

use primitives::{B256, Domain, encoding::Writer, hash};
use serde::{Deserialize, Serialize};

/// The protocol's grid of damping ratios, times the mean eigenvalue of a layer's curvature (RULEBOOK R2e).
pub const DAMPING_GRID: [f64; 7] = [0.001, 0.01, 0.03, 0.1, 0.3, 1.0, 10.0];

/// Choices of a build; all enter the root but the last.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Options {
    /// Dimensions that each side of a layer is projected to.
    pub rank: usize,
    /// Index in [`DAMPING_GRID`], chosen on held-out retrainings.
    pub damping: usize,
    /// Seed of projections and samples, from a beacon drawn after the training descriptor was registered.
    pub seed: u64,
    /// Tokens of a full unit.
    pub unit_tokens: u32,
    /// A token's gradient is clipped at this multiple, in hundredths, of the sample's median norm.
    pub clip_percent: u32,
    /// The floor of all units is this multiple, in hundredths, of the median score that units of the sample give each other.
    pub floor_percent: u32,
    /// A unit's own floor is this multiple, in hundredths, of its own noise: the standard deviation that the median magnitude of its scores on sampled units
    /// of other documents implies.
    pub own_floor_percent: u32,
    /// The cap, in hundredths of the same median.
    pub cap_percent: u32,
    /// Units whose scores set the rule.
    pub sample: usize,
    /// Blocks of 256 units in a shard file; does not enter the root.
    pub shard_blocks: usize,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            rank: 48,
            damping: 4,
            seed: 0,
            unit_tokens: 256,
            clip_percent: 300,
            floor_percent: 100,
            own_floor_percent: 550,
            cap_percent: 20_000,
            sample: 256,
            shard_blocks: 2,
        }
    }
}

/// An option out of range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the option `{option}` is out of range: {limit}")]
pub struct OptionsError {
    /// Which.
    pub option: &'static str,
    /// What it may be.
    pub limit: &'static str,
}

impl Options {
    /// The damping ratio.
    pub fn damping_ratio(&self) -> f64 {
        DAMPING_GRID[self.damping]
    }

    pub(super) fn check(&self) -> Result<(), OptionsError> {
        let limits = [
            ("rank", (1..=super::super::projection::MAX_RANK).contains(&self.rank), "1 to 128"),
            ("damping", self.damping < DAMPING_GRID.len(), "an index in the protocol's grid"),
            ("unit_tokens", (1..=1 << 20).contains(&self.unit_tokens), "1 to 2^20"),
            ("clip_percent", (1..=1_000_000).contains(&self.clip_percent), "1 to 1,000,000"),
            ("floor_percent", self.floor_percent <= 1_000_000, "at most 1,000,000"),
            ("own_floor_percent", self.own_floor_percent <= 10_000, "at most 10,000"),
            ("cap_percent", (1..=100_000_000).contains(&self.cap_percent), "1 to 100,000,000"),
            ("sample", (1..=1024).contains(&self.sample), "1 to 1,024"),
            ("shard_blocks", (1..=1 << 16).contains(&self.shard_blocks), "1 to 65,536"),
        ];
        match limits.into_iter().find(|(_, good, _)| !good) {
            Some((option, _, limit)) => Err(OptionsError { option, limit }),
            None => Ok(()),
        }
    }

    pub(super) fn encode(&self, into: &mut Writer) {
        let Options {
            rank,
            damping: _,
            seed,
            unit_tokens,
            clip_percent,
            floor_percent,
            own_floor_percent,
            cap_percent,
            sample,
            shard_blocks: _,
        } = *self;
        into.u64(rank as u64).f64_bits(self.damping_ratio()).u64(seed).u32(unit_tokens).u32(clip_percent);
        into.u32(floor_percent).u32(own_floor_percent).u32(cap_percent).u64(sample as u64);
    }
}

/// What is known of a unit beside its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitMeta {
    /// Commits to its content.
    pub id: B256,
    /// The document it was cut from, numbered in commit order.
    pub document: u32,
    /// Index of its owner.
    pub owner: u32,
    /// Its length.
    pub tokens: u32,
    /// Novelty in parts of [`crate::shares::NOVELTY_ONE`].
    pub novelty: u32,
}

/// A training unit: at most [`Options::unit_tokens`] consecutive tokens, cut by the protocol.
///
/// Consecutive units that borrow one and the same item share one feature (a *row* of the cache): they are the parts that several documents
/// have in it (see [`crate::influence::language::pack`]). A part's score is the row's, by its tokens.
#[derive(Clone, Copy, Debug)]
pub struct Unit<'a, Item: ?Sized> {
    /// What the model is run on.
    pub item: &'a Item,
    /// What else is known.
    pub meta: UnitMeta,
}

/// Commits to the units in their order.
pub(super) fn units_root(units: &[UnitMeta]) -> B256 {
    let leaf = |unit: &UnitMeta| {
        let UnitMeta { id, document, owner, tokens, novelty } = unit;
        let mut writer = Writer::new();
        writer.hash(id).u32(*document).u32(*owner).u32(*tokens).u32(*novelty);
        hash::hash(Domain::ItemLeaf, writer.as_bytes())
    };
    primitives::merkle::root(&units.iter().map(leaf).collect::<Vec<_>>())
}

/// Which consecutive units share a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::influence) struct Parts {
    /// First unit of each row, and the number of units.
    starts: Vec<usize>,
}

impl Parts {
    /// Rows of units that borrow one item.
    pub fn of<Item: ?Sized>(units: &[Unit<'_, Item>]) -> Parts {
        let shared = |i: usize| i > 0 && std::ptr::eq(units[i - 1].item, units[i].item);
        let mut starts: Vec<usize> = (0..units.len()).filter(|i| !shared(*i)).collect();
        starts.push(units.len());
        Parts { starts }
    }

    /// From the number of units of each row.
    pub fn from_counts(counts: &[u32]) -> Parts {
        let mut starts = vec![0];
        for count in counts {
            starts.push(starts[starts.len() - 1] + *count as usize);
        }
        Parts { starts }
    }

    /// Number of units of each row.
    pub fn counts(&self) -> Vec<u32> {
        self.starts.windows(2).map(|pair| (pair[1] - pair[0]) as u32).collect()
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.starts.len() - 1
    }

    /// Units of each row.
    pub fn each(&self) -> impl Iterator<Item = std::ops::Range<usize>> + '_ {
        self.starts.windows(2).map(|pair| pair[0]..pair[1])
    }

    /// Units of row `row`.
    pub fn units(&self, row: usize) -> std::ops::Range<usize> {
        self.starts[row]..self.starts[row + 1]
    }
}

/// Tokens of the units, and their novelty by tokens.
pub(super) fn tokens_and_novelty(units: &[UnitMeta]) -> (u64, f64) {
    let tokens: u64 = units.iter().map(|unit| u64::from(unit.tokens)).sum();
    let novel: u64 = units.iter().map(|unit| u64::from(unit.tokens) * u64::from(unit.novelty)).sum();
    (tokens, novel as f64 / tokens.max(1) as f64 / f64::from(crate::shares::NOVELTY_ONE))
}
