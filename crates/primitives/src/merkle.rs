//! Merkle trees over lists, with membership and multi-proofs.
//!
//! Shape: left-balanced, as in RFC 9162 section 2.1: each level pairs its nodes from the left and promotes
//! an odd last node unchanged. Leaves enter as digests already taken under a domain of their own, so a leaf
//! can never be read as an inner node ([`Domain::MerkleNode`]). The root hashes the number of leaves with the
//! top node, so two lists of different lengths never share a root and an index past the end proves nothing.

use crate::hash::{Domain, hash_parts};
use alloy_primitives::B256;
use serde::{Deserialize, Serialize};

/// Deepest path a proof may carry: a tree of 2^40 leaves.
pub const MAX_DEPTH: usize = 40;

fn node(left: &B256, right: &B256) -> B256 {
    hash_parts(Domain::MerkleNode, &[left.as_slice(), right.as_slice()])
}

fn bind(count: u64, top: &B256) -> B256 {
    hash_parts(Domain::MerkleRoot, &[&count.to_le_bytes(), top.as_slice()])
}

/// Root of a list of leaf digests. The empty list has a root too.
pub fn root(leaves: &[B256]) -> B256 {
    Tree::new(leaves.to_vec()).root()
}

/// A tree held in memory, from which proofs are taken.
#[derive(Clone, Debug)]
pub struct Tree {
    /// `levels[0]` are the leaves; the last level has one node (none for an empty list).
    levels: Vec<Vec<B256>>,
}

impl Tree {
    /// Builds the tree over `leaves`.
    pub fn new(leaves: Vec<B256>) -> Tree {
        let mut levels = vec![leaves];
        while let Some(below) = levels.last().filter(|level| level.len() > 1) {
            let above = below
                .chunks(2)
                .map(|pair| match pair {
                    [left, right] => node(left, right),
                    [odd] => *odd,
                    _ => unreachable!("chunks of two"),
                })
                .collect();
            levels.push(above);
        }
        Tree { levels }
    }

    /// Number of leaves.
    pub fn count(&self) -> u64 {
        self.levels[0].len() as u64
    }

    /// The leaves, in order.
    pub fn leaves(&self) -> &[B256] {
        &self.levels[0]
    }

    /// The root, which binds the count.
    pub fn root(&self) -> B256 {
        let top = self.levels.last().and_then(|level| level.first()).copied().unwrap_or_default();
        bind(self.count(), &top)
    }

    /// Proof that leaf `index` is in the list, or `None` past the end.
    pub fn prove(&self, index: u64) -> Option<Proof> {
        if index >= self.count() {
            return None;
        }
        let mut path = Vec::new();
        let mut position = usize::try_from(index).ok()?;
        for level in &self.levels[..self.levels.len() - 1] {
            if let Some(sibling) = level.get(position ^ 1) {
                path.push(*sibling);
            }
            position /= 2;
        }
        Some(Proof { index, count: self.count(), path })
    }

    /// One proof for many leaves; `indices` must ascend strictly and lie within the list.
    pub fn prove_many(&self, indices: &[u64]) -> Option<MultiProof> {
        if !ascends(indices) || indices.last().is_some_and(|last| *last >= self.count()) {
            return None;
        }
        let mut nodes = Vec::new();
        let mut known: Vec<usize> = indices.iter().map(|index| *index as usize).collect();
        for level in &self.levels[..self.levels.len() - 1] {
            let mut above = Vec::with_capacity(known.len());
            let mut i = 0;
            while i < known.len() {
                let sibling = known[i] ^ 1;
                if known.get(i + 1) == Some(&sibling) {
                    i += 1;
                } else if let Some(digest) = level.get(sibling) {
                    nodes.push(*digest);
                }
                above.push(sibling / 2);
                i += 1;
            }
            known = above;
        }
        Some(MultiProof { indices: indices.to_vec(), count: self.count(), nodes })
    }
}

fn ascends(indices: &[u64]) -> bool {
    indices.windows(2).all(|pair| pair[0] < pair[1])
}

/// Membership of one leaf: its index, the list's length, and the siblings from the leaf upwards (levels at
/// which the node is promoted carry none).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// Position of the leaf, from 0.
    pub index: u64,
    /// Number of leaves in the list.
    pub count: u64,
    /// Sibling digests, lowest first.
    pub path: Vec<B256>,
}

impl Proof {
    /// Whether `leaf` stands at [`Proof::index`] in the list with this `root`.
    pub fn verify(&self, root: &B256, leaf: &B256) -> bool {
        if self.index >= self.count || self.path.len() > MAX_DEPTH {
            return false;
        }
        let (mut position, mut width, mut digest) = (self.index, self.count, *leaf);
        let mut path = self.path.iter();
        while width > 1 {
            if position ^ 1 < width {
                let Some(sibling) = path.next() else { return false };
                digest = if position & 1 == 0 { node(&digest, sibling) } else { node(sibling, &digest) };
            }
            position /= 2;
            width = width.div_ceil(2);
        }
        path.next().is_none() && bind(self.count, &digest) == *root
    }
}

/// Membership of many leaves at once, sharing the inner nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MultiProof {
    /// Positions of the leaves, ascending.
    pub indices: Vec<u64>,
    /// Number of leaves in the list.
    pub count: u64,
    /// The digests that the leaves do not give, level by level from below, left to right.
    pub nodes: Vec<B256>,
}

impl MultiProof {
    /// Whether `leaves` stand at [`MultiProof::indices`], in that order, in the list with this `root`.
    pub fn verify(&self, root: &B256, leaves: &[B256]) -> bool {
        let bounded = self.indices.last().is_none_or(|last| *last < self.count);
        if leaves.len() != self.indices.len() || leaves.is_empty() || !ascends(&self.indices) || !bounded {
            return false;
        }
        let mut known: Vec<(u64, B256)> = self.indices.iter().copied().zip(leaves.iter().copied()).collect();
        let mut nodes = self.nodes.iter();
        let mut width = self.count;
        while width > 1 {
            let mut above = Vec::with_capacity(known.len());
            let mut i = 0;
            while i < known.len() {
                let (position, digest) = known[i];
                let sibling = position ^ 1;
                let parent = match known.get(i + 1) {
                    Some((next, right)) if *next == sibling => {
                        i += 1;
                        node(&digest, right)
                    }
                    _ if sibling < width => {
                        let Some(other) = nodes.next() else { return false };
                        if position & 1 == 0 { node(&digest, other) } else { node(other, &digest) }
                    }
                    _ => digest,
                };
                above.push((position / 2, parent));
                i += 1;
            }
            known = above;
            width = width.div_ceil(2);
        }
        nodes.next().is_none() && bind(self.count, &known[0].1) == *root
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::hash;
    use proptest::prelude::*;

    fn leaves(count: usize) -> Vec<B256> {
        (0..count).map(|i| hash(Domain::Item, &i.to_le_bytes())).collect()
    }

    #[test]
    fn golden_roots() {
        let golden = |count| root(&leaves(count)).to_string();
        assert_eq!(golden(0), hash_parts(Domain::MerkleRoot, &[&[0; 8], &[0; 32]]).to_string());
        assert_eq!(golden(1), "0xa9fde97fdbe74656163a7fa1a5f46d263acaf1998bc1f4bb93bc86927784b4dd");
        assert_eq!(golden(5), "0xd4be1f37fec7cee7201d1df481d2f7f0f61dc6636f4fd75bd81c88bb7441a6b0");
    }

    proptest! {
        #[test]
        fn every_leaf_proves_and_no_other_leaf_or_place_does(count in 1usize..70, at: prop::sample::Index, other: prop::sample::Index) {
            let list = leaves(count);
            let tree = Tree::new(list.clone());
            let (i, j) = (at.index(count), other.index(count));
            let proof = tree.prove(i as u64).expect("in range");
            prop_assert!(proof.verify(&tree.root(), &list[i]));
            prop_assert_eq!(proof.verify(&tree.root(), &list[j]), i == j);
            let moved = Proof { index: j as u64, ..proof.clone() };
            prop_assert_eq!(moved.verify(&tree.root(), &list[i]), i == j);
            let longer = Proof { count: count as u64 + 1, ..proof };
            prop_assert!(!longer.verify(&tree.root(), &list[i]));
        }

        #[test]
        fn any_set_of_leaves_proves_at_once(count in 1usize..70, picks in prop::collection::btree_set(0usize..70, 1..20)) {
            let list = leaves(count);
            let tree = Tree::new(list.clone());
            let indices: Vec<u64> = picks.iter().filter(|i| **i < count).map(|i| *i as u64).collect();
            prop_assume!(!indices.is_empty());
            let proof = tree.prove_many(&indices).expect("ascending and in range");
            let mut chosen: Vec<B256> = indices.iter().map(|i| list[*i as usize]).collect();
            prop_assert!(proof.verify(&tree.root(), &chosen));
            chosen[0].0[0] ^= 1;
            prop_assert!(!proof.verify(&tree.root(), &chosen));
        }

        #[test]
        fn one_flipped_bit_in_a_path_fails(count in 2usize..70, at: prop::sample::Index, bit in 0usize..256, step: prop::sample::Index) {
            let list = leaves(count);
            let tree = Tree::new(list.clone());
            let i = at.index(count);
            let mut proof = tree.prove(i as u64).expect("in range");
            let step = step.index(proof.path.len());
            proof.path[step].0[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(!proof.verify(&tree.root(), &list[i]));
        }

        #[test]
        fn lists_of_different_length_differ(a in 0usize..40, b in 0usize..40) {
            prop_assert_eq!(root(&leaves(a)) == root(&leaves(b)), a == b);
        }
    }
}
