//! Influence features of consecutive rows in int8, with a scale per row and group of 64 numbers (docs/OPS.md, section 8).
//!
//! A query reads every row's feature once, so that its time is the bytes read: int8 is a quarter of f32. Whitened projections ([`crate::influence::whitening`]) make this
//! precise enough: what rounding adds to a score is about a hundredth of the score's own noise, and moves no measure (docs/benchmarks/attribution.md). Quantising and
//! product are ops of the set with step verifiers (`Int8Quantise`, `Int8Matmul`), and what is committed are the quantised bytes.
//!
//! # File
//! `magic, first u64, rows u64, width u64, i8 of every row, f32 scales of every row, BLAKE3 of all before`; numbers little-endian.

use super::files::{CacheError, DIGEST_BYTES, HEADER_BYTES, header, read_whole, write_whole};
use ops::{Ctx, Int8Weights, check_finite, int8::GROUP};
use primitives::{B256, Domain, hash};
use std::path::Path;

const MAGIC: &[u8; 8] = b"olshard3";

/// Rows of a shard file.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::influence) struct Shard {
    /// Number of its first row in the cache.
    pub first: u64,
    /// `[rows, width]`.
    pub features: Int8Weights,
}

impl Shard {
    /// Quantises `[rows, width]` numbers; `None` when one of them is not finite.
    pub fn quantise(ctx: &Ctx, first: u64, width: usize, data: &[f32]) -> Option<Shard> {
        check_finite(ctx, data).ok()?;
        let rows = data.len() / width.max(1);
        Some(Shard { first, features: Int8Weights::quantise(rows, width, data) })
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.features.outputs()
    }

    /// Sets a row's numbers and scales to zero.
    pub fn erase(&mut self, row: usize) {
        self.features.clear_row(row);
    }

    /// Whether that was done. Bits, not numbers: a negative zero would be a trace.
    pub fn is_erased(&self, row: usize) -> bool {
        let (values, scales) = self.features.row(row);
        values.iter().all(|x| *x == 0) && scales.iter().all(|x| x.to_bits() == 0)
    }

    /// Leaf of each row: its place, its quantised numbers and its scales.
    pub fn leaves(&self) -> Vec<B256> {
        let leaf = |row: usize| {
            let mut hasher = hash::hasher(Domain::FeatureShard);
            hasher.update(&(self.first + row as u64).to_le_bytes());
            let (values, scales) = self.features.row(row);
            hasher.update(&bytes_of(&values));
            hasher.update(&bytes_of_scales(&scales));
            B256::new(*hasher.finalize().as_bytes())
        };
        (0..self.rows()).map(leaf).collect()
    }

    /// Writes the file, whole or not at all.
    pub fn write(&self, path: &Path) -> Result<(), CacheError> {
        let (rows, width) = (self.rows(), self.features.inputs());
        let mut bytes = header(MAGIC, self.first, rows, width);
        let mut tail = Vec::with_capacity(4 * rows * width.div_ceil(GROUP));
        for row in 0..rows {
            let (values, scales) = self.features.row(row);
            bytes.extend(bytes_of(&values));
            tail.extend(bytes_of_scales(&scales));
        }
        bytes.append(&mut tail);
        let digest = hash::hash(Domain::FeatureShard, &bytes);
        write_whole(path, &[&bytes, digest.as_slice()])
    }

    /// Reads a file of exactly `rows` rows of `width` from `first`; `None` when it is absent.
    pub fn read(path: &Path, first: u64, rows: usize, width: usize) -> Result<Option<Shard>, CacheError> {
        let groups = width.div_ceil(GROUP);
        let length = HEADER_BYTES + rows * (width + 4 * groups) + DIGEST_BYTES;
        let Some(body) = read_whole(path, &header(MAGIC, first, rows, width), length)? else {
            return Ok(None);
        };
        let (values, scales) = body[HEADER_BYTES..].split_at(rows * width);
        let values: Vec<i8> = values.iter().map(|byte| *byte as i8).collect();
        let scales: Vec<f32> = scales
            .chunks_exact(4)
            .map(|x| f32::from_le_bytes(x.try_into().expect("chunks of four")))
            .collect();
        Ok(Some(Shard { first, features: Int8Weights::from_rows(rows, width, &values, &scales) }))
    }
}

fn bytes_of(values: &[i8]) -> Vec<u8> {
    values.iter().map(|value| *value as u8).collect()
}

fn bytes_of_scales(scales: &[f32]) -> Vec<u8> {
    scales.iter().flat_map(|scale| scale.to_le_bytes()).collect()
}
