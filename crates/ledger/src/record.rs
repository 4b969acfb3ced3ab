//! How typed values become 32-byte words.
//!
//! A record's fields are packed big-endian one after another behind a tag byte of 1, and the bytes are cut into words.
//! The tag tells a record that holds only zeros from one that was never written. Integers are big-endian here, unlike
//! in [`primitives::encoding`], so that a stored word reads in a debugger as Solidity's would.

use alloy_primitives::{Address, B256, U256};
use primitives::{Amount, BatchId, DatanetId, ItemId, ModelId, RunId};

/// A value of fixed width inside a record.
pub trait Field: Sized {
    /// Bytes it takes.
    const SIZE: usize;
    /// Appends its bytes.
    fn put(&self, out: &mut Vec<u8>);
    /// Reads it from exactly [`Field::SIZE`] bytes; `None` when no value has these bytes.
    fn take(bytes: &[u8]) -> Option<Self>;
}

macro_rules! integer_fields {
    ($($t:ty),*) => {$(
        impl Field for $t {
            const SIZE: usize = size_of::<$t>();
            fn put(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_be_bytes());
            }
            fn take(bytes: &[u8]) -> Option<Self> {
                bytes.try_into().ok().map(<$t>::from_be_bytes)
            }
        }
    )*};
}
integer_fields!(u8, u16, u32, u64, u128);

impl Field for bool {
    const SIZE: usize = 1;
    fn put(&self, out: &mut Vec<u8>) {
        out.push(*self as u8);
    }
    fn take(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [0] => Some(false),
            [1] => Some(true),
            _ => None,
        }
    }
}

impl Field for Amount {
    const SIZE: usize = 16;
    fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
    }
    fn take(bytes: &[u8]) -> Option<Self> {
        u128::take(bytes).map(Amount)
    }
}

impl Field for U256 {
    const SIZE: usize = 32;
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_be_bytes::<32>());
    }
    fn take(bytes: &[u8]) -> Option<Self> {
        U256::try_from_be_slice(bytes)
    }
}

impl Field for Address {
    const SIZE: usize = 20;
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.as_slice());
    }
    fn take(bytes: &[u8]) -> Option<Self> {
        Address::try_from(bytes).ok()
    }
}

impl Field for B256 {
    const SIZE: usize = 32;
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.as_slice());
    }
    fn take(bytes: &[u8]) -> Option<Self> {
        B256::try_from(bytes).ok()
    }
}

macro_rules! id_fields {
    ($($t:ident),*) => {$(
        impl Field for $t {
            const SIZE: usize = 32;
            fn put(&self, out: &mut Vec<u8>) {
                self.0.put(out);
            }
            fn take(bytes: &[u8]) -> Option<Self> {
                B256::take(bytes).map($t)
            }
        }
    )*};
}
id_fields!(BatchId, DatanetId, ItemId, ModelId, RunId);

/// A value stored in as many words as its type needs, always the same number.
pub trait Record: Sized {
    /// Packed bytes, without the tag.
    const SIZE: usize;
    /// Words it takes, tag included.
    const WORDS: usize = (Self::SIZE + 1).div_ceil(32);
    /// Appends the packed fields.
    fn pack(&self, out: &mut Vec<u8>);
    /// Reads the packed fields.
    fn unpack(bytes: &[u8]) -> Option<Self>;
}

/// Declares a struct that is a [`Record`]; the fields' order is the layout.
#[macro_export]
macro_rules! record {
    ($(#[$meta:meta])* pub struct $name:ident { $($(#[$fmeta:meta])* pub $field:ident : $ty:ty,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name { $($(#[$fmeta])* pub $field: $ty,)* }

        impl $crate::record::Record for $name {
            const SIZE: usize = 0 $(+ <$ty as $crate::record::Field>::SIZE)*;

            fn pack(&self, out: &mut Vec<u8>) {
                // Destructured without `..`: a new field cannot be forgotten.
                let $name { $($field,)* } = self;
                $($crate::record::Field::put($field, out);)*
            }

            fn unpack(bytes: &[u8]) -> Option<Self> {
                let mut rest = bytes;
                $(
                    let (head, tail) = rest.split_at_checked(<$ty as $crate::record::Field>::SIZE)?;
                    let $field = <$ty as $crate::record::Field>::take(head)?;
                    rest = tail;
                )*
                let _ = rest;
                Some($name { $($field,)* })
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    record! {
        /// One field of each kind.
        pub struct Sample {
            pub a: u8,
            pub b: u64,
            pub c: Amount,
            pub d: Address,
            pub e: B256,
            pub f: bool,
            pub g: U256,
        }
    }

    proptest! {
        #[test]
        fn what_is_packed_is_unpacked(a: u8, b: u64, c: u128, d: [u8; 20], e: [u8; 32], f: bool, g: [u8; 32]) {
            let sample = Sample { a, b, c: Amount(c), d: d.into(), e: e.into(), f, g: U256::from_be_bytes(g) };
            let mut bytes = Vec::new();
            sample.pack(&mut bytes);
            prop_assert_eq!(bytes.len(), Sample::SIZE);
            prop_assert_eq!(Sample::unpack(&bytes), Some(sample));
        }
    }

    #[test]
    fn a_flag_that_is_neither_true_nor_false_is_not_read() {
        assert_eq!(bool::take(&[2]), None);
        assert_eq!(Sample::WORDS, (1usize + 1 + 8 + 16 + 20 + 32 + 1 + 32).div_ceil(32));
    }
}
