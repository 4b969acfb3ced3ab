//! Canonical encoding of what is hashed or signed outside the Ethereum formats.
//!
//! Integers are little-endian and fixed-width; byte strings and lists carry a `u32` length; there are no
//! optional fields and no alternatives, so a value has exactly one encoding and a decoder accepts only it.
//! Golden vectors stand in the tests; a change of any of them is a change of the protocol.

use alloy_primitives::{Address, B256};

/// Longest byte string or list a [`Reader`] accepts.
pub const MAX_LENGTH: usize = 1 << 24;

/// Writes values in canonical form.
#[derive(Clone, Debug, Default)]
pub struct Writer(Vec<u8>);

impl Writer {
    /// An empty encoding.
    pub fn new() -> Writer {
        Writer::default()
    }

    /// One byte.
    pub fn u8(&mut self, value: u8) -> &mut Writer {
        self.0.push(value);
        self
    }

    /// Four bytes, little-endian.
    pub fn u32(&mut self, value: u32) -> &mut Writer {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    /// Eight bytes, little-endian.
    pub fn u64(&mut self, value: u64) -> &mut Writer {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    /// Sixteen bytes, little-endian.
    pub fn u128(&mut self, value: u128) -> &mut Writer {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    /// The bits of a float, so that -0 and 0 differ and NaN payloads are kept.
    pub fn f32_bits(&mut self, value: f32) -> &mut Writer {
        self.u32(value.to_bits())
    }

    /// The bits of a double.
    pub fn f64_bits(&mut self, value: f64) -> &mut Writer {
        self.u64(value.to_bits())
    }

    /// 32 bytes without a length.
    pub fn hash(&mut self, value: &B256) -> &mut Writer {
        self.0.extend_from_slice(value.as_slice());
        self
    }

    /// 20 bytes without a length.
    pub fn address(&mut self, value: &Address) -> &mut Writer {
        self.0.extend_from_slice(value.as_slice());
        self
    }

    /// A length and the bytes.
    ///
    /// # Panics
    /// Past [`MAX_LENGTH`]: callers bound what they encode.
    pub fn bytes(&mut self, value: &[u8]) -> &mut Writer {
        assert!(
            value.len() <= MAX_LENGTH,
            "byte string of {} bytes past the encodable {MAX_LENGTH}",
            value.len()
        );
        self.u32(value.len() as u32);
        self.0.extend_from_slice(value);
        self
    }

    /// A text as its UTF-8 bytes.
    pub fn text(&mut self, value: &str) -> &mut Writer {
        self.bytes(value.as_bytes())
    }

    /// A list's length and its elements.
    pub fn list<T>(&mut self, values: &[T], mut each: impl FnMut(&mut Writer, &T)) -> &mut Writer {
        assert!(
            values.len() <= MAX_LENGTH,
            "list of {} elements past the encodable {MAX_LENGTH}",
            values.len()
        );
        self.u32(values.len() as u32);
        for value in values {
            each(self, value);
        }
        self
    }

    /// The encoding so far.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Ends the encoding.
    pub fn finish(self) -> Vec<u8> {
        self.0
    }
}

/// Why bytes are not a canonical encoding.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Fewer bytes than the value needs.
    #[error("the encoding ends {0} bytes early")]
    Truncated(usize),
    /// A length past the limit.
    #[error("a length of {0} is past the limit of {1}")]
    TooLong(usize, usize),
    /// Bytes after the value.
    #[error("{0} bytes follow the value")]
    Trailing(usize),
    /// A text that is not UTF-8.
    #[error("a text is not UTF-8")]
    NotText,
    /// A tag or field outside its range.
    #[error("{0} is out of range")]
    OutOfRange(&'static str),
}

/// Reads canonical values; every length is checked before anything is allocated.
#[derive(Clone, Debug)]
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Reads from the start of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader(bytes)
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        if count > self.0.len() {
            return Err(DecodeError::Truncated(count - self.0.len()));
        }
        let (head, tail) = self.0.split_at(count);
        self.0 = tail;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        Ok(self.take(N)?.try_into().expect("take returned N bytes"))
    }

    /// One byte.
    pub fn u8(&mut self) -> Result<u8, DecodeError> {
        Ok(self.array::<1>()?[0])
    }

    /// Four bytes.
    pub fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_le_bytes)
    }

    /// Eight bytes.
    pub fn u64(&mut self) -> Result<u64, DecodeError> {
        self.array().map(u64::from_le_bytes)
    }

    /// Sixteen bytes.
    pub fn u128(&mut self) -> Result<u128, DecodeError> {
        self.array().map(u128::from_le_bytes)
    }

    /// The bits of a float.
    pub fn f32_bits(&mut self) -> Result<f32, DecodeError> {
        self.u32().map(f32::from_bits)
    }

    /// The bits of a double.
    pub fn f64_bits(&mut self) -> Result<f64, DecodeError> {
        self.u64().map(f64::from_bits)
    }

    /// 32 bytes.
    pub fn hash(&mut self) -> Result<B256, DecodeError> {
        self.array().map(B256::new)
    }

    /// 20 bytes.
    pub fn address(&mut self) -> Result<Address, DecodeError> {
        self.array().map(Address::new)
    }

    /// A length, at most `limit`.
    pub fn length(&mut self, limit: usize) -> Result<usize, DecodeError> {
        let length = self.u32()? as usize;
        if length > limit { Err(DecodeError::TooLong(length, limit)) } else { Ok(length) }
    }

    /// A byte string of at most `limit` bytes.
    pub fn bytes(&mut self, limit: usize) -> Result<&'a [u8], DecodeError> {
        let length = self.length(limit)?;
        self.take(length)
    }

    /// A text of at most `limit` bytes.
    pub fn text(&mut self, limit: usize) -> Result<&'a str, DecodeError> {
        std::str::from_utf8(self.bytes(limit)?).map_err(|_| DecodeError::NotText)
    }

    /// A list of at most `limit` elements.
    pub fn list<T>(
        &mut self,
        limit: usize,
        mut each: impl FnMut(&mut Reader<'a>) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, DecodeError> {
        let length = self.length(limit)?;
        // Every element takes at least a byte, so a hostile length cannot reserve more than was sent.
        let mut values = Vec::with_capacity(length.min(self.0.len()));
        for _ in 0..length {
            values.push(each(self)?);
        }
        Ok(values)
    }

    /// Bytes not yet read.
    pub fn remaining(&self) -> usize {
        self.0.len()
    }

    /// Ends reading: anything left over is an error.
    pub fn finish(self) -> Result<(), DecodeError> {
        if self.0.is_empty() { Ok(()) } else { Err(DecodeError::Trailing(self.0.len())) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn golden_vector_of_every_kind() {
        let mut w = Writer::new();
        w.u8(1).u32(2).u64(3).u128(4).f32_bits(-0.0).text("né").list(&[7u32, 8], |w, v| {
            w.u32(*v);
        });
        let hex = alloy_primitives::hex::encode(w.as_bytes());
        assert_eq!(
            hex,
            "01020000000300000000000000040000000000000000000000000000000000008003000000\
             6ec3a9020000000700000008000000"
        );
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(a: u64, b: u128, bytes: Vec<u8>, list: Vec<u32>) {
            let mut w = Writer::new();
            w.u64(a).u128(b).bytes(&bytes).list(&list, |w, v| { w.u32(*v); });
            let encoded = w.finish();
            let mut r = Reader::new(&encoded);
            prop_assert_eq!(r.u64(), Ok(a));
            prop_assert_eq!(r.u128(), Ok(b));
            prop_assert_eq!(r.bytes(MAX_LENGTH), Ok(&bytes[..]));
            prop_assert_eq!(r.list(MAX_LENGTH, |r| r.u32()), Ok(list));
            prop_assert_eq!(r.finish(), Ok(()));
        }

        #[test]
        fn every_prefix_of_an_encoding_is_refused(bytes in prop::collection::vec(any::<u8>(), 1..50), cut in 0usize..53) {
            let mut w = Writer::new();
            w.bytes(&bytes);
            let encoded = w.finish();
            prop_assume!(cut < encoded.len());
            prop_assert!(Reader::new(&encoded[..cut]).bytes(MAX_LENGTH).is_err());
        }

        #[test]
        fn a_hostile_length_is_refused_before_allocation(length in 1000u32..) {
            let encoded = length.to_le_bytes();
            prop_assert!(Reader::new(&encoded).list(999, |r| r.u8()).is_err());
            prop_assert!(Reader::new(&encoded).bytes(usize::MAX).is_err());
        }
    }
}
