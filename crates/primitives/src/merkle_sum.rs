//! Merkle-sum trees: a list of (key, amount) whose root binds both the list and the total.
//!
//! A settlement batch pays by such a tree (RULEBOOK R14). Each node carries the sum of what lies below it,
//! hashed with its children's sums, so a proof of one leaf also shows that the total is at least what the
//! leaves on its path add up to, and a tree that promises more than its total cannot be built: the sums are
//! recomputed on the way up and must end in the total of the root.

use crate::hash::{Domain, hash_parts};
use alloy_primitives::B256;
use serde::{Deserialize, Serialize};

/// A node: the digest and the sum of everything below it, in the smallest unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SumNode {
    /// Digest of the subtree.
    pub digest: B256,
    /// Total of the subtree.
    pub sum: u128,
}

/// The leaf for `key` (a digest of what is paid: account, kind) and its amount.
pub fn leaf(key: &B256, amount: u128) -> SumNode {
    SumNode { digest: hash_parts(Domain::SumLeaf, &[key.as_slice(), &amount.to_le_bytes()]), sum: amount }
}

fn parent(left: &SumNode, right: &SumNode) -> Option<SumNode> {
    let sum = left.sum.checked_add(right.sum)?;
    let digest = hash_parts(
        Domain::SumNode,
        &[left.digest.as_slice(), &left.sum.to_le_bytes(), right.digest.as_slice(), &right.sum.to_le_bytes()],
    );
    Some(SumNode { digest, sum })
}

fn bind(count: u64, top: &SumNode) -> B256 {
    hash_parts(Domain::SumRoot, &[&count.to_le_bytes(), &top.sum.to_le_bytes(), top.digest.as_slice()])
}

/// A tree held in memory.
#[derive(Clone, Debug)]
pub struct SumTree {
    levels: Vec<Vec<SumNode>>,
}

impl SumTree {
    /// Builds the tree, or `None` when the total does not fit in 128 bits.
    pub fn new(leaves: Vec<SumNode>) -> Option<SumTree> {
        let mut levels = vec![leaves];
        while let Some(below) = levels.last().filter(|level| level.len() > 1) {
            let above = below
                .chunks(2)
                .map(|pair| match pair {
                    [left, right] => parent(left, right),
                    [odd] => Some(*odd),
                    _ => unreachable!("chunks of two"),
                })
                .collect::<Option<Vec<_>>>()?;
            levels.push(above);
        }
        Some(SumTree { levels })
    }

    /// Number of leaves.
    pub fn count(&self) -> u64 {
        self.levels[0].len() as u64
    }

    fn top(&self) -> SumNode {
        let empty = SumNode { digest: B256::ZERO, sum: 0 };
        self.levels.last().and_then(|level| level.first()).copied().unwrap_or(empty)
    }

    /// Sum of all leaves.
    pub fn total(&self) -> u128 {
        self.top().sum
    }

    /// The root, which binds count and total.
    pub fn root(&self) -> B256 {
        bind(self.count(), &self.top())
    }

    /// Proof of leaf `index`, or `None` past the end.
    pub fn prove(&self, index: u64) -> Option<SumProof> {
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
        Some(SumProof { index, count: self.count(), path })
    }
}

/// Membership of one leaf, with the sums beside its path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SumProof {
    /// Position of the leaf, from 0.
    pub index: u64,
    /// Number of leaves.
    pub count: u64,
    /// Siblings, lowest first.
    pub path: Vec<SumNode>,
}

impl SumProof {
    /// Whether `leaf` stands at [`SumProof::index`] in the tree with this `root` and `total`.
    pub fn verify(&self, root: &B256, total: u128, leaf: &SumNode) -> bool {
        if self.index >= self.count || self.path.len() > crate::merkle::MAX_DEPTH {
            return false;
        }
        let (mut position, mut width, mut here) = (self.index, self.count, *leaf);
        let mut path = self.path.iter();
        while width > 1 {
            if position ^ 1 < width {
                let Some(sibling) = path.next() else { return false };
                let joined = if position & 1 == 0 { parent(&here, sibling) } else { parent(sibling, &here) };
                let Some(joined) = joined else { return false };
                here = joined;
            }
            position /= 2;
            width = width.div_ceil(2);
        }
        path.next().is_none() && here.sum == total && bind(self.count, &here) == *root
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::hash;
    use proptest::prelude::*;

    fn tree(amounts: &[u64]) -> (Vec<SumNode>, SumTree) {
        let leaves: Vec<_> = amounts
            .iter()
            .enumerate()
            .map(|(i, a)| leaf(&hash(Domain::Item, &i.to_le_bytes()), *a as u128))
            .collect();
        (leaves.clone(), SumTree::new(leaves).expect("u64 amounts cannot overflow"))
    }

    proptest! {
        #[test]
        fn the_total_is_the_sum_and_every_leaf_proves(amounts in prop::collection::vec(any::<u64>(), 1..60), at: prop::sample::Index) {
            let (leaves, tree) = tree(&amounts);
            let total: u128 = amounts.iter().map(|a| *a as u128).sum();
            prop_assert_eq!(tree.total(), total);
            let i = at.index(leaves.len());
            let proof = tree.prove(i as u64).expect("in range");
            prop_assert!(proof.verify(&tree.root(), total, &leaves[i]));
            prop_assert!(!proof.verify(&tree.root(), total + 1, &leaves[i]));
            let more = leaf(&hash(Domain::Item, &i.to_le_bytes()), amounts[i] as u128 + 1);
            prop_assert!(!proof.verify(&tree.root(), total, &more));
        }

        #[test]
        fn a_sibling_sum_cannot_be_shifted(amounts in prop::collection::vec(1u64..u64::MAX / 2, 2..60), at: prop::sample::Index, step: prop::sample::Index) {
            let (leaves, tree) = tree(&amounts);
            let i = at.index(leaves.len());
            let mut proof = tree.prove(i as u64).expect("in range");
            let step = step.index(proof.path.len());
            proof.path[step].sum -= 1;
            prop_assert!(!proof.verify(&tree.root(), tree.total() - 1, &leaves[i]));
            prop_assert!(!proof.verify(&tree.root(), tree.total(), &leaves[i]));
        }
    }

    #[test]
    fn an_overflowing_total_is_refused() {
        let leaf = leaf(&B256::ZERO, u128::MAX);
        assert!(SumTree::new(vec![leaf, leaf]).is_none());
    }
}
