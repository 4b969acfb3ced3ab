//! Influence features of consecutive rows in four bits, with a scale per row and group of 64 numbers (docs/OPS.md, section 8).
//!
//! A query reads every row's feature once, so that its time is the bytes read, and the noise of a score is that of projecting gradients to few dimensions. Four bits add little to
//! that noise: rank 48 in four bits says more than rank 32 in eight, in about the same bytes (docs/benchmarks/attribution.md). Quantising and
//! product are ops of the set with step verifiers (`Int4Quantise`, `Int8Matmul`), and what is committed are the quantised bytes.
//!
//! # File
//! `magic, first u64, rows u64, width u64, values of every row, f32 scales of every row, BLAKE3 of all before`; numbers little-endian. Two values share a byte, the first in its lower
//! half, each 8 larger than it is; a row begins with a byte of its own.

use super::files::{CacheError, DIGEST_BYTES, HEADER_BYTES, header, read_whole, write_whole};
use ops::{Bits, Ctx, Int8Weights, check_finite, int8::GROUP};
use primitives::{B256, Domain, hash};
use std::path::Path;

const MAGIC: &[u8; 8] = b"olshard4";
/// What is added to a value, so that it is stored without a sign.
const ZERO: u8 = 8;

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
        Some(Shard { first, features: Int8Weights::quantise(Bits::Four, rows, width, data) })
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
        let row_bytes = width.div_ceil(2);
        let length = HEADER_BYTES + rows * (row_bytes + 4 * groups) + DIGEST_BYTES;
        let Some(body) = read_whole(path, &header(MAGIC, first, rows, width), length)? else {
            return Ok(None);
        };
        let (bytes, scales) = body[HEADER_BYTES..].split_at(rows * row_bytes);
        let value = |half: u8| half.wrapping_sub(ZERO) as i8;
        let mut values = Vec::with_capacity(rows * width);
        for row in bytes.chunks_exact(row_bytes.max(1)) {
            let pairs = row.iter().flat_map(|byte| [value(byte & 0xf), value(byte >> 4)]);
            values.extend(pairs.take(width));
        }
        let scales: Vec<f32> = scales
            .chunks_exact(4)
            .map(|x| f32::from_le_bytes(x.try_into().expect("chunks of four")))
            .collect();
        Ok(Some(Shard { first, features: Int8Weights::from_rows(Bits::Four, rows, width, &values, &scales) }))
    }
}

/// Values as they are stored and hashed.
pub(super) fn bytes_of(values: &[i8]) -> Vec<u8> {
    let half = |value: i8| (value as u8).wrapping_add(ZERO) & 0xf;
    let byte = |pair: &[i8]| half(pair[0]) | half(pair.get(1).copied().unwrap_or(0)) << 4;
    values.chunks(2).map(byte).collect()
}

fn bytes_of_scales(scales: &[f32]) -> Vec<u8> {
    scales.iter().flat_map(|scale| scale.to_le_bytes()).collect()
}
