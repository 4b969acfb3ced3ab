//! Mountain ranges ([`primitives::mmr`]) by key: the first word holds the count, word `h + 1` the peak of height `h`.
//!
//! The peaks that stand are those of the count's one-bits; words of other heights are left over from smaller counts
//! and mean nothing.

use super::{Key, State, TableId, slot};
use crate::{
    error::{Error, Result},
    gas,
};
use alloy_primitives::{B256, U256};
use primitives::mmr::Mmr;
use std::marker::PhantomData;

/// Ranges by key.
#[derive(Debug)]
pub struct RangeTable<K>(TableId, PhantomData<K>);

impl<K: Key> RangeTable<K> {
    /// The table with this id.
    pub const fn new(id: TableId) -> Self {
        RangeTable(id, PhantomData)
    }

    /// The range under `key`; empty when nothing was appended.
    pub fn get(&self, state: &mut State, key: &K) -> Result<Mmr> {
        let count: u64 = U256::from_be_bytes(state.load(slot(self.0, key, 0))?.0).saturating_to();
        let mut peaks = Vec::with_capacity(count.count_ones() as usize);
        for height in (0..64).rev().filter(|height| count >> height & 1 == 1) {
            peaks.push(state.load(slot(self.0, key, height + 1))?);
        }
        Mmr::from_parts(count, peaks)
            .ok_or(Error::Inconsistent("a range has other peaks than its count says"))
    }

    /// Appends a leaf; tells the range as it is then.
    pub fn append(&self, state: &mut State, key: &K, leaf: B256) -> Result<Mmr> {
        let mut range = self.get(state, key)?;
        let height = range.count().trailing_ones();
        state.charge(gas::HASH_WORD * 3 * (u64::from(height) + 1))?;
        range.append(leaf);
        let peak = *range.peaks().last().expect("a range with an element has a peak");
        state.store(slot(self.0, key, height + 1), peak)?;
        state.store(slot(self.0, key, 0), B256::new(U256::from(range.count()).to_be_bytes()))?;
        Ok(range)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_range_has_the_root_of_one_in_memory() {
        let table = RangeTable::<u64>::new(TableId::AcceptedRange);
        let (mut state, mut memory) = (State::new(), Mmr::new());
        for i in 0..70u8 {
            let leaf = B256::repeat_byte(i);
            memory.append(leaf);
            assert_eq!(table.append(&mut state, &1, leaf), Ok(memory.clone()));
            assert_eq!(table.get(&mut state, &1).map(|range| range.root()), Ok(memory.root()));
        }
    }
}
