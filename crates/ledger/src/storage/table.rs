//! Typed tables over slots. A slot is `BLAKE3(Slot; table || key || word index)`, so tables cannot collide and keys are
//! spread evenly over the state tree.

use super::State;
use crate::{
    error::{Error, Result, ensure},
    record::{Field, Record},
};
use alloy_primitives::{Address, B256, U256};
use interfaces::errors::ILedger;
use primitives::{BatchId, DatanetId, Domain, ItemId, ModelId, RunId, hash::hash_parts};
use std::marker::PhantomData;

pub use crate::tables::TableId;

/// A key of a table: fixed-width parts, big-endian.
pub trait Key {
    /// Appends the key's bytes.
    fn write(&self, out: &mut Vec<u8>);
}

macro_rules! field_keys {
    ($($t:ty),*) => {$(impl Key for $t { fn write(&self, out: &mut Vec<u8>) { self.put(out) } })*};
}
field_keys!(u8, u16, u32, u64, u128, U256, Address, B256, BatchId, DatanetId, ItemId, ModelId, RunId);

impl Key for () {
    fn write(&self, _: &mut Vec<u8>) {}
}
impl<A: Key, B: Key> Key for (A, B) {
    fn write(&self, out: &mut Vec<u8>) {
        self.0.write(out);
        self.1.write(out);
    }
}
impl<A: Key, B: Key, C: Key> Key for (A, B, C) {
    fn write(&self, out: &mut Vec<u8>) {
        self.0.write(out);
        self.1.write(out);
        self.2.write(out);
    }
}

/// Slot of word `index` of `key` in `table`.
pub fn slot(table: TableId, key: &impl Key, index: u32) -> B256 {
    let mut bytes = Vec::with_capacity(72);
    key.write(&mut bytes);
    hash_parts(Domain::Slot, &[&(table as u16).to_be_bytes(), &bytes, &index.to_be_bytes()])
}

/// Records by key.
#[derive(Debug)]
pub struct Table<K, R>(TableId, PhantomData<(K, R)>);

impl<K: Key, R: Record> Table<K, R> {
    /// The table with this id; declared once, in [`crate::tables`].
    pub const fn new(id: TableId) -> Self {
        Table(id, PhantomData)
    }

    /// The slots of a record, for proofs.
    pub fn slots(&self, key: &K) -> Vec<B256> {
        (0..R::WORDS as u32).map(|index| slot(self.0, key, index)).collect()
    }

    /// The record under `key`.
    pub fn get(&self, state: &mut State, key: &K) -> Result<Option<R>> {
        let mut bytes = Vec::with_capacity(R::WORDS * 32);
        for slot in self.slots(key) {
            let word = state.load(slot)?;
            bytes.extend_from_slice(word.as_slice());
            if bytes.len() == 32 && bytes[0] == 0 && !state.missed() {
                return Ok(None);
            }
        }
        if bytes[0] == 0 {
            return Ok(None);
        }
        match R::unpack(&bytes[1..1 + R::SIZE]) {
            Some(record) => Ok(Some(record)),
            None => Err(Error::Inconsistent("a stored record does not decode")),
        }
    }

    /// Writes the record.
    pub fn put(&self, state: &mut State, key: &K, record: &R) -> Result<()> {
        let mut bytes = Vec::with_capacity(R::WORDS * 32);
        bytes.push(1);
        record.pack(&mut bytes);
        bytes.resize(R::WORDS * 32, 0);
        for (slot, word) in self.slots(key).into_iter().zip(bytes.chunks_exact(32)) {
            state.store(slot, B256::from_slice(word))?;
        }
        Ok(())
    }

    /// Removes the record.
    pub fn remove(&self, state: &mut State, key: &K) -> Result<()> {
        for slot in self.slots(key) {
            state.store(slot, B256::ZERO)?;
        }
        Ok(())
    }
}

/// One word by key; absent and zero are the same.
#[derive(Debug)]
pub struct WordTable<K>(TableId, PhantomData<K>);

impl<K: Key> WordTable<K> {
    /// The table with this id.
    pub const fn new(id: TableId) -> Self {
        WordTable(id, PhantomData)
    }

    /// The slot of `key`, for proofs.
    pub fn slot(&self, key: &K) -> B256 {
        slot(self.0, key, 0)
    }

    /// The word as a number.
    pub fn get(&self, state: &mut State, key: &K) -> Result<U256> {
        Ok(U256::from_be_bytes(state.load(self.slot(key))?.0))
    }

    /// The word as it is.
    pub fn get_word(&self, state: &mut State, key: &K) -> Result<B256> {
        state.load(self.slot(key))
    }

    /// Writes a number.
    pub fn set(&self, state: &mut State, key: &K, value: U256) -> Result<()> {
        state.store(self.slot(key), B256::new(value.to_be_bytes()))
    }

    /// Writes a word.
    pub fn set_word(&self, state: &mut State, key: &K, value: B256) -> Result<()> {
        state.store(self.slot(key), value)
    }
}

/// Bits by key and index, 256 to a word: claimed leaves, used nonces.
#[derive(Debug)]
pub struct Flags<K>(TableId, PhantomData<K>);

impl<K: Key + Clone> Flags<K> {
    /// The table with this id.
    pub const fn new(id: TableId) -> Self {
        Flags(id, PhantomData)
    }

    fn place(&self, key: &K, index: u64) -> (B256, usize) {
        (slot(self.0, &(key.clone(), index / 256), 0), (index % 256) as usize)
    }

    /// Whether bit `index` is set.
    pub fn is_set(&self, state: &mut State, key: &K, index: u64) -> Result<bool> {
        let (slot, bit) = self.place(key, index);
        Ok(U256::from_be_bytes(state.load(slot)?.0).bit(bit))
    }

    /// Sets bit `index`; tells whether it was clear before.
    pub fn set(&self, state: &mut State, key: &K, index: u64) -> Result<bool> {
        let (slot, bit) = self.place(key, index);
        let mut word = U256::from_be_bytes(state.load(slot)?.0);
        if word.bit(bit) {
            return Ok(false);
        }
        word.set_bit(bit, true);
        state.store(slot, B256::new(word.to_be_bytes()))?;
        Ok(true)
    }
}

/// Longest text the state holds; longer ones stand as a hash, their payload in the transaction.
pub const MAX_TEXT_BYTES: usize = 1024;

/// Texts by key: the first word holds the length in bytes plus one, the next words the bytes.
#[derive(Debug)]
pub struct TextTable<K>(TableId, PhantomData<K>);

impl<K: Key> TextTable<K> {
    /// The table with this id.
    pub const fn new(id: TableId) -> Self {
        TextTable(id, PhantomData)
    }

    /// The text under `key`.
    pub fn get(&self, state: &mut State, key: &K) -> Result<Option<String>> {
        let head = U256::from_be_bytes(state.load(slot(self.0, key, 0))?.0);
        let Some(length) = usize::try_from(head).ok().and_then(|head| head.checked_sub(1)) else {
            return Ok(None);
        };
        if length > MAX_TEXT_BYTES {
            return Err(Error::Inconsistent("a stored text is longer than texts can be"));
        }
        let mut bytes = Vec::with_capacity(length.next_multiple_of(32));
        for index in 0..length.div_ceil(32) as u32 {
            bytes.extend_from_slice(state.load(slot(self.0, key, index + 1))?.as_slice());
        }
        bytes.truncate(length);
        String::from_utf8(bytes).map(Some).map_err(|_| Error::Inconsistent("a stored text is not UTF-8"))
    }

    /// Writes the text under a key that holds none, or one of the same length or shorter.
    pub fn set(&self, state: &mut State, key: &K, text: &str) -> Result<()> {
        ensure(text.len() <= MAX_TEXT_BYTES, || {
            Error::rejected(ILedger::TextTooLong {
                bytesGiven: U256::from(text.len()),
                bytesAllowed: U256::from(MAX_TEXT_BYTES),
            })
        })?;
        let before = U256::from_be_bytes(state.load(slot(self.0, key, 0))?.0).saturating_to::<usize>();
        state.store(slot(self.0, key, 0), B256::new(U256::from(text.len() + 1).to_be_bytes()))?;
        let chunks: Vec<&[u8]> = text.as_bytes().chunks(32).collect();
        let words = before.min(MAX_TEXT_BYTES + 1).saturating_sub(1).div_ceil(32).max(chunks.len());
        for index in 0..words {
            let mut word = [0u8; 32];
            if let Some(chunk) = chunks.get(index) {
                word[..chunk.len()].copy_from_slice(chunk);
            }
            state.store(slot(self.0, key, index as u32 + 1), B256::new(word))?;
        }
        Ok(())
    }
}
