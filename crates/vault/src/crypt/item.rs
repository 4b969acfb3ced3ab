//! The item format: chunks, each compressed and encrypted for itself, so that any range can be read alone.
//!
//! Chunk i holds plaintext bytes `[65,536 i, 65,536 (i + 1))`. Its plaintext frame is one byte (0: stored, 1: zstd)
//! and the payload; it is encrypted under the item's key with the nonce `i (8 bytes, little-endian), purpose 0, last (0 or 1)`, zeros to 24 bytes. The
//! last chunk says so, hence a shortened item does not decrypt. An empty text is one empty chunk. An item's metadata is a
//! frame of its own under purpose 1.

use super::CryptError;
use super::keys::{Key, TAG_BYTES, nonce};
use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{KeyInit, XChaCha20Poly1305};
use std::ops::Range;
use zeroize::Zeroizing;

/// Plaintext bytes of a chunk.
pub const CHUNK_BYTES: usize = 1 << 16;
/// Most bytes of an encrypted chunk: flag, payload, tag.
pub const MAX_SEALED_CHUNK_BYTES: usize = 1 + CHUNK_BYTES + TAG_BYTES;
/// Most bytes of an item's metadata, plain.
pub const MAX_META_BYTES: usize = 1 << 20;
/// zstd level: the fastest that still halves text; a higher one halves the speed for a tenth of the size.
const LEVEL: i32 = 1;
/// Payloads below this are stored as they are: zstd's frame would eat the gain.
const MIN_COMPRESSED_BYTES: usize = 64;

const PURPOSE_TEXT: u8 = 0;
const PURPOSE_META: u8 = 1;
const STORED: u8 = 0;
const ZSTD: u8 = 1;

/// Encrypts items; holds the compressor's memory between them.
pub struct Sealer {
    zstd: zstd::bulk::Compressor<'static>,
    frame: Zeroizing<Vec<u8>>,
}

impl Sealer {
    /// A sealer.
    pub fn new() -> Result<Sealer, CryptError> {
        let zstd = zstd::bulk::Compressor::new(LEVEL).map_err(|_| CryptError::Compression)?;
        Ok(Sealer { zstd, frame: Zeroizing::new(Vec::new()) })
    }

    /// Appends the encrypted chunks of `text` to `out`; returns their lengths.
    pub fn text(&mut self, key: &Key, text: &[u8], out: &mut Vec<u8>) -> Result<Vec<u32>, CryptError> {
        let cipher = XChaCha20Poly1305::new((&**key).into());
        let count = text.len().div_ceil(CHUNK_BYTES).max(1);
        let mut lengths = Vec::with_capacity(count);
        for i in 0..count {
            let chunk = &text[i * CHUNK_BYTES..text.len().min((i + 1) * CHUNK_BYTES)];
            let nonce = nonce(PURPOSE_TEXT, i as u64, i + 1 == count);
            lengths.push(self.chunk(&cipher, &nonce, chunk, out)?);
        }
        Ok(lengths)
    }

    /// An item's metadata, encrypted.
    pub fn meta(&mut self, key: &Key, meta: &[u8]) -> Result<Vec<u8>, CryptError> {
        if meta.len() > MAX_META_BYTES {
            return Err(CryptError::Malformed("metadata (past 1 MiB)"));
        }
        let cipher = XChaCha20Poly1305::new((&**key).into());
        let mut out = Vec::new();
        self.chunk(&cipher, &nonce(PURPOSE_META, 0, true), meta, &mut out)?;
        Ok(out)
    }

    fn chunk(
        &mut self,
        cipher: &XChaCha20Poly1305,
        nonce: &chacha20poly1305::XNonce,
        chunk: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<u32, CryptError> {
        let start = out.len();
        self.frame.clear();
        if chunk.len() >= MIN_COMPRESSED_BYTES {
            self.frame.reserve(zstd::zstd_safe::compress_bound(chunk.len()));
            self.zstd.compress_to_buffer(chunk, &mut *self.frame).map_err(|_| CryptError::Compression)?;
        }
        if self.frame.is_empty() || self.frame.len() >= chunk.len() {
            out.push(STORED);
            out.extend_from_slice(chunk);
        } else {
            out.push(ZSTD);
            out.extend_from_slice(&self.frame);
        }
        let tag = cipher
            .encrypt_inout_detached(nonce, b"", (&mut out[start..]).into())
            .expect("a chunk is below the cipher's limit");
        out.extend_from_slice(&tag);
        Ok((out.len() - start) as u32)
    }
}

/// Decrypts items; holds the decompressor's memory between them.
pub struct Opener {
    zstd: zstd::bulk::Decompressor<'static>,
}

impl Opener {
    /// An opener.
    pub fn new() -> Result<Opener, CryptError> {
        let zstd = zstd::bulk::Decompressor::new().map_err(|_| CryptError::Compression)?;
        Ok(Opener { zstd })
    }

    /// The whole text of an item: `sealed` are its chunks one after the other, `lengths` their lengths.
    pub fn text(&mut self, key: &Key, lengths: &[u32], sealed: &[u8]) -> Result<Vec<u8>, CryptError> {
        if lengths.iter().map(|l| u64::from(*l)).sum::<u64>() != sealed.len() as u64 || lengths.is_empty() {
            return Err(CryptError::Malformed("chunk table"));
        }
        self.chunks(key, lengths, 0..lengths.len(), sealed)
    }

    /// Chunks `which` of an item whose table is `lengths`; `sealed` holds just these.
    pub fn chunks(
        &mut self,
        key: &Key,
        lengths: &[u32],
        which: Range<usize>,
        sealed: &[u8],
    ) -> Result<Vec<u8>, CryptError> {
        let cipher = XChaCha20Poly1305::new((&**key).into());
        let (mut out, mut at) = (Vec::new(), 0);
        for i in which {
            let length = *lengths.get(i).ok_or(CryptError::Malformed("chunk table"))? as usize;
            let chunk = sealed.get(at..at + length).ok_or(CryptError::Malformed("length"))?;
            at += length;
            let last = i + 1 == lengths.len();
            let before = out.len();
            self.chunk(&cipher, &nonce(PURPOSE_TEXT, i as u64, last), chunk, CHUNK_BYTES, &mut out)?;
            // All but the last are full, or byte ranges would not be where they are said to be.
            if !last && out.len() - before != CHUNK_BYTES {
                return Err(CryptError::Malformed("chunk"));
            }
        }
        if at == sealed.len() { Ok(out) } else { Err(CryptError::Malformed("length")) }
    }

    /// What [`Sealer::meta`] encrypted.
    pub fn meta(&mut self, key: &Key, sealed: &[u8]) -> Result<Vec<u8>, CryptError> {
        let cipher = XChaCha20Poly1305::new((&**key).into());
        let mut out = Vec::new();
        self.chunk(&cipher, &nonce(PURPOSE_META, 0, true), sealed, MAX_META_BYTES, &mut out)?;
        Ok(out)
    }

    fn chunk(
        &mut self,
        cipher: &XChaCha20Poly1305,
        nonce: &chacha20poly1305::XNonce,
        sealed: &[u8],
        limit: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), CryptError> {
        if sealed.len() < 1 + TAG_BYTES || sealed.len() > 1 + limit + TAG_BYTES {
            return Err(CryptError::Malformed("chunk"));
        }
        let (body, tag) = sealed.split_at(sealed.len() - TAG_BYTES);
        let mut frame = Zeroizing::new(body.to_vec());
        let tag: [u8; TAG_BYTES] = tag.try_into().expect("split at sixteen bytes");
        cipher
            .decrypt_inout_detached(nonce, b"", frame.as_mut_slice().into(), &tag.into())
            .map_err(|_| CryptError::Wrong("a chunk"))?;
        match frame[0] {
            STORED => out.extend_from_slice(&frame[1..]),
            ZSTD => {
                // Never more than the limit, whatever the frame claims.
                let plain = self.zstd.decompress(&frame[1..], limit).map_err(|_| CryptError::Compression)?;
                out.extend_from_slice(&plain);
            }
            _ => return Err(CryptError::Malformed("chunk")),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::keys::new_key;
    use super::*;
    use proptest::prelude::*;

    fn sealed(text: &[u8]) -> (Key, Vec<u32>, Vec<u8>) {
        let key = new_key().unwrap();
        let mut out = Vec::new();
        let lengths = Sealer::new().unwrap().text(&key, text, &mut out).unwrap();
        (key, lengths, out)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn what_is_sealed_is_opened(seed: u8, length in prop_oneof![0usize..300, 65_530usize..65_542, 131_000usize..200_000]) {
            let text: Vec<u8> = (0..length).map(|i| (i / 7 * 31 % 251) as u8 ^ seed).collect();
            let (key, lengths, bytes) = sealed(&text);
            prop_assert_eq!(Opener::new().unwrap().text(&key, &lengths, &bytes), Ok(text));
        }

        #[test]
        fn one_flipped_bit_is_refused(at: prop::sample::Index, bit in 0u8..8) {
            let (key, lengths, mut bytes) = sealed(&[b'a'; 70_000]);
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            prop_assert!(Opener::new().unwrap().text(&key, &lengths, &bytes).is_err());
        }
    }

    #[test]
    fn chunks_cannot_be_dropped_swapped_or_repeated() {
        let text: Vec<u8> = (0..3 * CHUNK_BYTES).map(|i| (i % 253) as u8).collect();
        let (key, lengths, bytes) = sealed(&text);
        let mut opener = Opener::new().unwrap();
        let cut = (bytes.len() - lengths[2] as usize, &lengths[..2]);
        assert_eq!(opener.text(&key, cut.1, &bytes[..cut.0]), Err(CryptError::Wrong("a chunk")));
        let (a, b) = (lengths[0] as usize, lengths[1] as usize);
        let swapped = [&bytes[a..a + b], &bytes[..a], &bytes[a + b..]].concat();
        assert!(opener.text(&key, &[lengths[1], lengths[0], lengths[2]], &swapped).is_err());
    }

    #[test]
    fn a_range_is_read_from_its_chunks_alone() {
        let text: Vec<u8> = (0..3 * CHUNK_BYTES).map(|i| (i % 253) as u8).collect();
        let (key, lengths, bytes) = sealed(&text);
        let (start, end) = (lengths[0] as usize, (lengths[0] + lengths[1]) as usize);
        let middle = Opener::new().unwrap().chunks(&key, &lengths, 1..2, &bytes[start..end]).unwrap();
        assert_eq!(middle, text[CHUNK_BYTES..2 * CHUNK_BYTES]);
    }

    #[test]
    fn a_chunk_that_would_grow_past_its_limit_is_refused() {
        // A bomb: 16 MiB of zeros in a frame of some hundred bytes, under the right key.
        let key = new_key().unwrap();
        let bomb = zstd::bulk::compress(&vec![0u8; 16 << 20], 1).unwrap();
        let mut frame = vec![ZSTD];
        frame.extend_from_slice(&bomb);
        let cipher = XChaCha20Poly1305::new((&*key).into());
        let tag = cipher
            .encrypt_inout_detached(&nonce(PURPOSE_TEXT, 0, true), b"", frame.as_mut_slice().into())
            .unwrap();
        frame.extend_from_slice(&tag);
        let lengths = [frame.len() as u32];
        assert_eq!(Opener::new().unwrap().text(&key, &lengths, &frame), Err(CryptError::Compression));
    }

    #[test]
    fn metadata_cannot_be_taken_for_text() {
        let key = new_key().unwrap();
        let meta = Sealer::new().unwrap().meta(&key, b"{}").unwrap();
        assert_eq!(Opener::new().unwrap().meta(&key, &meta).unwrap(), b"{}");
        assert!(Opener::new().unwrap().text(&key, &[meta.len() as u32], &meta).is_err());
    }
}
