//! Merkle mountain range: an append-only list whose root is cheap to extend.
//!
//! Used where a log grows for ever and only its peaks stand in the state (a run's checkpoints). The peaks are the
//! perfect binary trees of the binary expansion of the count, largest first; the root hashes the count and the
//! peaks bagged from the right (Todd 2012, "Merkle Mountain Ranges").

use crate::hash::{Domain, hash_parts};
use alloy_primitives::B256;

/// Most peaks a range can have: one per bit of the count.
pub const MAX_PEAKS: usize = 64;

fn node(left: &B256, right: &B256) -> B256 {
    hash_parts(Domain::MmrNode, &[left.as_slice(), right.as_slice()])
}

/// The peaks of a range: all that is needed to append and to take the root.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mmr {
    /// Number of elements appended.
    count: u64,
    /// Peaks, largest first; as many as the count has one-bits.
    peaks: Vec<B256>,
}

impl Mmr {
    /// The empty range.
    pub fn new() -> Mmr {
        Mmr::default()
    }

    /// From stored parts, or `None` when the peaks do not fit the count.
    pub fn from_parts(count: u64, peaks: Vec<B256>) -> Option<Mmr> {
        (peaks.len() == count.count_ones() as usize).then_some(Mmr { count, peaks })
    }

    /// Number of elements.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The peaks, largest first.
    pub fn peaks(&self) -> &[B256] {
        &self.peaks
    }

    /// Appends a leaf digest.
    pub fn append(&mut self, leaf: B256) {
        let mut digest = leaf;
        // Each trailing one-bit of the count is a peak of the height just completed.
        for _ in 0..self.count.trailing_ones() {
            let left = self.peaks.pop().expect("a peak for each one-bit of the count");
            digest = node(&left, &digest);
        }
        self.peaks.push(digest);
        self.count += 1;
    }

    /// Root: the count with the peaks bagged from the right.
    pub fn root(&self) -> B256 {
        let bag =
            self.peaks.iter().rev().copied().reduce(|right, left| node(&left, &right)).unwrap_or_default();
        hash_parts(Domain::MmrRoot, &[&self.count.to_le_bytes(), bag.as_slice()])
    }
}

/// Proof that an element stands in a range: the path inside its mountain, then the other peaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MmrProof {
    /// Position of the element, from 0.
    pub index: u64,
    /// Number of elements in the range.
    pub count: u64,
    /// Siblings inside the mountain, lowest first.
    pub path: Vec<B256>,
    /// All peaks but the element's own, largest first.
    pub other_peaks: Vec<B256>,
}

/// Proof of element `index` of the list of `leaves`, or `None` past its end.
pub fn prove(leaves: &[B256], index: u64) -> Option<MmrProof> {
    let count = leaves.len() as u64;
    let (start, height) = mountain(count, index)?;
    let mut peaks = Mmr::new();
    for leaf in leaves {
        peaks.append(*leaf);
    }
    let own = own_peak(count, height);
    let mut other_peaks = peaks.peaks().to_vec();
    other_peaks.remove(own);
    let mut level = leaves[start as usize..(start + (1u64 << height)) as usize].to_vec();
    let mut position = (index - start) as usize;
    let mut path = Vec::with_capacity(height as usize);
    while level.len() > 1 {
        path.push(level[position ^ 1]);
        level = level.chunks(2).map(|pair| node(&pair[0], &pair[1])).collect();
        position /= 2;
    }
    Some(MmrProof { index, count, path, other_peaks })
}

/// First index and height of the mountain that holds `index`.
fn mountain(count: u64, index: u64) -> Option<(u64, u32)> {
    let mut start = 0u64;
    for height in (0..64).rev() {
        if count >> height & 1 == 1 {
            if index - start < 1 << height {
                return Some((start, height));
            }
            start += 1 << height;
        }
    }
    None
}

/// Place among the peaks of the mountain of this height.
fn own_peak(count: u64, height: u32) -> usize {
    (count >> height).count_ones() as usize - 1
}

impl MmrProof {
    /// Whether `leaf` stands at [`MmrProof::index`] in the range with this `root`.
    pub fn verify(&self, root: &B256, leaf: &B256) -> bool {
        let Some((start, height)) = mountain(self.count, self.index) else { return false };
        if self.path.len() != height as usize
            || self.other_peaks.len() + 1 != self.count.count_ones() as usize
        {
            return false;
        }
        let mut position = self.index - start;
        let mut digest = *leaf;
        for sibling in &self.path {
            digest = if position & 1 == 0 { node(&digest, sibling) } else { node(sibling, &digest) };
            position /= 2;
        }
        let mut peaks = self.other_peaks.clone();
        peaks.insert(own_peak(self.count, height), digest);
        Mmr::from_parts(self.count, peaks).is_some_and(|range| range.root() == *root)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::hash;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_element_proves_and_no_other_does(count in 1u64..80, at: prop::sample::Index, other: prop::sample::Index) {
            let leaves: Vec<_> = (0..count).map(|i| hash(Domain::Item, &i.to_le_bytes())).collect();
            let mut range = Mmr::new();
            for leaf in &leaves {
                range.append(*leaf);
            }
            let (i, j) = (at.index(leaves.len()), other.index(leaves.len()));
            let proof = prove(&leaves, i as u64).expect("in range");
            prop_assert!(proof.verify(&range.root(), &leaves[i]));
            prop_assert_eq!(proof.verify(&range.root(), &leaves[j]), i == j);
            let moved = MmrProof { index: j as u64, ..proof };
            prop_assert_eq!(moved.verify(&range.root(), &leaves[i]), i == j);
        }

        #[test]
        fn every_length_has_its_own_root(a in 0u64..80, b in 0u64..80) {
            let root = |n: u64| { let mut r = Mmr::new(); (0..n).for_each(|i| r.append(hash(Domain::Item, &i.to_le_bytes()))); r.root() };
            prop_assert_eq!(root(a) == root(b), a == b);
        }
    }
}
