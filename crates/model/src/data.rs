//! Training data: numbered examples, and the order in which steps take them.
//!
//! Which example stands at slot `s` of step `t` is a function of (seed, order, number of items) alone, so a resumed run and a
//! replay need no memory of where they were.

use crate::batch::Example;
use crate::commitment::example_hash;
use ops::Stream;
use primitives::encoding::Writer;
use primitives::hash::{Domain, hash};
use primitives::{B256, merkle};
use serde::{Deserialize, Serialize};

/// Stream of [`Order::Random`] draws.
pub const DRAW_STREAM: u64 = 3 << 32;
/// First stream of [`Order::Shuffled`]: epoch `e` uses `SHUFFLE_STREAM + e`.
pub const SHUFFLE_STREAM: u64 = 4 << 32;

/// Why data cannot be trained on.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// Nothing to train on.
    #[error("the training data is empty: give at least one example with two tokens")]
    Empty,
    /// A text shorter than a window.
    #[error("the text has {tokens} tokens, a window needs {needed}: give more text or a shorter context")]
    Short {
        /// Tokens there are.
        tokens: usize,
        /// Tokens a window and its last target take.
        needed: usize,
    },
    /// An example that could not be fetched.
    #[error("example {index} could not be read: {reason}")]
    Read {
        /// Its number.
        index: u64,
        /// Why.
        reason: String,
    },
}

/// Numbered examples that a run trains on.
pub trait TrainingData {
    /// How many there are.
    fn count(&self) -> u64;

    /// Example `index`, always the same.
    ///
    /// # Errors
    /// When it cannot be read.
    fn example(&self, index: u64) -> Result<Example, DataError>;

    /// Commitment to all examples.
    fn root(&self) -> B256;
}

/// Examples held in memory.
#[derive(Clone, Debug)]
pub struct Items {
    examples: Vec<Example>,
    root: B256,
}

impl Items {
    /// Holds examples; the root is the Merkle root of their hashes.
    ///
    /// # Errors
    /// When there is none.
    pub fn new(examples: Vec<Example>) -> Result<Items, DataError> {
        if examples.iter().all(|e| e.tokens.is_empty()) {
            return Err(DataError::Empty);
        }
        let hashes: Vec<B256> = examples.iter().map(|e| example_hash(&e.tokens, &e.targets)).collect();
        Ok(Items { examples, root: merkle::root(&hashes) })
    }

    /// The examples.
    pub fn examples(&self) -> &[Example] {
        &self.examples
    }
}

impl TrainingData for Items {
    fn count(&self) -> u64 {
        self.examples.len() as u64
    }

    fn example(&self, index: u64) -> Result<Example, DataError> {
        let found = usize::try_from(index).ok().and_then(|i| self.examples.get(i));
        found.cloned().ok_or_else(|| DataError::Read { index, reason: "there is no such example".into() })
    }

    fn root(&self) -> B256 {
        self.root
    }
}

/// One long text; example `i` is the window of `context` tokens from token `i`.
#[derive(Clone, Debug)]
pub struct Windows {
    tokens: Vec<u32>,
    context: usize,
    root: B256,
}

impl Windows {
    /// Windows over a text.
    ///
    /// # Errors
    /// When the text is shorter than a window.
    pub fn new(tokens: Vec<u32>, context: usize) -> Result<Windows, DataError> {
        if context == 0 || tokens.len() <= context {
            return Err(DataError::Short { tokens: tokens.len(), needed: context + 1 });
        }
        let mut w = Writer::new();
        w.u64(context as u64).u64(tokens.len() as u64);
        let mut bytes = w.finish();
        bytes.extend(tokens.iter().flat_map(|t| t.to_le_bytes()));
        let root = hash(Domain::TrainingSet, &bytes);
        Ok(Windows { tokens, context, root })
    }
}

impl TrainingData for Windows {
    fn count(&self) -> u64 {
        (self.tokens.len() - self.context) as u64
    }

    fn example(&self, index: u64) -> Result<Example, DataError> {
        let start = usize::try_from(index).ok().filter(|_| index < self.count());
        let start =
            start.ok_or_else(|| DataError::Read { index, reason: "there is no such window".into() })?;
        Ok(Example::next_token(&self.tokens[start..start + self.context + 1]))
    }

    fn root(&self) -> B256 {
        self.root
    }
}

/// In which order examples are taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// As they are numbered, again from the first after the last.
    Sequential,
    /// Every example once an epoch, each epoch in its own order.
    #[default]
    Shuffled,
    /// Each slot draws any example (nanoGPT's way with windows).
    Random,
}

/// The order of a run.
#[derive(Clone, Debug)]
pub struct Sampler {
    order: Order,
    seed: u64,
    count: u64,
    epoch: Option<(u64, Vec<u64>)>,
}

impl Sampler {
    /// The order over `count` examples under a seed.
    ///
    /// # Errors
    /// When there are none.
    pub fn new(order: Order, seed: u64, count: u64) -> Result<Sampler, DataError> {
        if count == 0 { Err(DataError::Empty) } else { Ok(Sampler { order, seed, count, epoch: None }) }
    }

    /// Number of the example at a slot, slots being counted through all steps from 0.
    pub fn at(&mut self, slot: u64) -> u64 {
        match self.order {
            Order::Sequential => slot % self.count,
            Order::Random => Stream::new(self.seed, DRAW_STREAM).below(slot, self.count),
            Order::Shuffled => {
                let (epoch, place) = (slot / self.count, (slot % self.count) as usize);
                if self.epoch.as_ref().is_none_or(|(e, _)| *e != epoch) {
                    self.epoch = Some((epoch, permutation(self.seed, epoch, self.count)));
                }
                self.epoch.as_ref().map_or(0, |(_, order)| order[place])
            }
        }
    }
}

/// Fisher and Yates, from the last place down.
fn permutation(seed: u64, epoch: u64, count: u64) -> Vec<u64> {
    let stream = Stream::new(seed, SHUFFLE_STREAM + epoch);
    let mut order: Vec<u64> = (0..count).collect();
    for place in (1..count).rev() {
        order.swap(place as usize, stream.below(place, place + 1) as usize);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn an_epoch_takes_every_example_once_and_the_next_in_another_order() {
        let mut s = Sampler::new(Order::Shuffled, 7, 100).expect("not empty");
        let epochs: Vec<Vec<u64>> = (0..2).map(|e| (0..100).map(|i| s.at(e * 100 + i)).collect()).collect();
        for epoch in &epochs {
            assert_eq!(epoch.iter().copied().collect::<BTreeSet<_>>().len(), 100);
        }
        assert_ne!(epochs[0], epochs[1]);
    }

    #[test]
    fn a_slot_is_the_same_whichever_slots_were_asked_before() {
        for order in [Order::Sequential, Order::Shuffled, Order::Random] {
            let mut a = Sampler::new(order, 3, 17).expect("not empty");
            let forward: Vec<u64> = (0..60).map(|i| a.at(i)).collect();
            let mut b = Sampler::new(order, 3, 17).expect("not empty");
            let backward: Vec<u64> = (0..60).rev().map(|i| b.at(i)).collect();
            assert!(forward.iter().eq(backward.iter().rev()), "{order:?}");
        }
    }

    #[test]
    fn empty_and_short_data_are_refused() {
        assert!(matches!(Items::new(Vec::new()), Err(DataError::Empty)));
        assert!(matches!(Windows::new(vec![1, 2, 3], 3), Err(DataError::Short { .. })));
        assert!(Windows::new(vec![1, 2, 3, 4], 3).is_ok());
    }
}
