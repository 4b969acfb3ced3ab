//! Append-only lists of words by key: the first word holds the length, the next ones the elements.

use super::{Key, State, TableId, slot};
use crate::error::{Error, Result};
use alloy_primitives::{B256, U256};
use std::marker::PhantomData;

/// Lists by key.
#[derive(Debug)]
pub struct ListTable<K>(TableId, PhantomData<K>);

impl<K: Key> ListTable<K> {
    /// The table with this id.
    pub const fn new(id: TableId) -> Self {
        ListTable(id, PhantomData)
    }

    fn head(&self, key: &K) -> B256 {
        slot(self.0, key, 0)
    }

    fn place(&self, key: &K, index: u64) -> Result<B256> {
        let index = u32::try_from(index).ok().and_then(|index| index.checked_add(1));
        Ok(slot(self.0, key, index.ok_or_else(Error::overflow)?))
    }

    /// Number of elements.
    pub fn len(&self, state: &mut State, key: &K) -> Result<u64> {
        Ok(U256::from_be_bytes(state.load(self.head(key))?.0).saturating_to())
    }

    /// Element `index`, or `None` past the end.
    pub fn get(&self, state: &mut State, key: &K, index: u64) -> Result<Option<B256>> {
        if index >= self.len(state, key)? {
            return Ok(None);
        }
        state.load(self.place(key, index)?).map(Some)
    }

    /// Appends an element; tells its index.
    pub fn push(&self, state: &mut State, key: &K, element: B256) -> Result<u64> {
        let index = self.len(state, key)?;
        state.store(self.place(key, index)?, element)?;
        state.store(self.head(key), B256::new(U256::from(index + 1).to_be_bytes()))?;
        Ok(index)
    }

    /// Forgets all elements. Their words stay until they are written over, so that this costs one write.
    pub fn clear(&self, state: &mut State, key: &K) -> Result<()> {
        state.store(self.head(key), B256::ZERO)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_come_back_in_order_and_a_cleared_list_starts_over() {
        let list = ListTable::<u64>::new(TableId::DatanetList);
        let mut state = State::new();
        let key = 7;
        for i in 0..5u8 {
            assert_eq!(list.push(&mut state, &key, B256::repeat_byte(i)), Ok(i as u64));
        }
        assert_eq!(list.get(&mut state, &key, 3), Ok(Some(B256::repeat_byte(3))));
        assert_eq!(list.get(&mut state, &key, 5), Ok(None));
        assert_eq!(list.len(&mut state, &8), Ok(0));
        list.clear(&mut state, &key).expect("no meter runs");
        assert_eq!(list.get(&mut state, &key, 0), Ok(None));
        assert_eq!(list.push(&mut state, &key, B256::ZERO), Ok(0));
    }
}
