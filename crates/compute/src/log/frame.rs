//! Header and groups as bytes.

use super::{LogError, MAX_GROUP_BYTES, store::Store};
use alloy_primitives::{Address, B256};
use primitives::encoding::Reader;

const MAGIC: &[u8; 8] = b"OLRECEI2";
/// Magic, operator, model, key, check.
const HEADER_BYTES: usize = 8 + 20 + 32 + 32 + 8;
/// Marker, length, check.
const FRAME_BYTES: usize = 8 + 4 + 8;

/// Makes and recognises groups of one log.
#[derive(Clone, Debug)]
pub struct Frames {
    key: [u8; 32],
    marker: [u8; 8],
}

fn check(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 8] {
    let mut hasher = blake3::Hasher::new_keyed(key);
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().as_bytes()[..8].try_into().expect("eight of 32")
}

impl Frames {
    fn new(key: [u8; 32]) -> Frames {
        Frames { key, marker: check(&key, &[b"openledger log marker v1"]) }
    }

    /// A group around `payload`.
    pub fn frame(&self, payload: &[u8]) -> Vec<u8> {
        let length = (payload.len() as u32).to_le_bytes();
        let mut frame = Vec::with_capacity(FRAME_BYTES + payload.len());
        frame.extend_from_slice(&self.marker);
        frame.extend_from_slice(&length);
        frame.extend_from_slice(&check(&self.key, &[&length, payload]));
        frame.extend_from_slice(payload);
        frame
    }

    /// The payload of the group at `at` and where it ends; `None` when no whole group stands there.
    pub fn read(&self, store: &dyn Store, at: u64, end: u64) -> Result<Option<(Vec<u8>, u64)>, LogError> {
        if at + FRAME_BYTES as u64 > end {
            return Ok(None);
        }
        let head = store.read(at, FRAME_BYTES)?;
        let length = u32::from_le_bytes(head[8..12].try_into().expect("four bytes"));
        let start = at + FRAME_BYTES as u64;
        let stop = start + u64::from(length);
        if head[..8] != self.marker || length as usize > MAX_GROUP_BYTES || stop > end {
            return Ok(None);
        }
        let payload = store.read(start, length as usize)?;
        let good = check(&self.key, &[&head[8..12], &payload]) == head[12..];
        Ok(good.then_some((payload, stop)))
    }

    /// Fails unless what follows `at` can be one torn group: not more than a group, and no whole group in it.
    pub fn require_torn(&self, store: &dyn Store, at: u64, end: u64) -> Result<(), LogError> {
        let damaged = |why: &str| Err(LogError::Damaged { at, why: why.into() });
        let rest = end - at;
        if rest > (MAX_GROUP_BYTES + FRAME_BYTES) as u64 {
            return damaged("more follows than one unfinished write can leave");
        }
        let bytes = store.read(at, rest as usize)?;
        for (offset, window) in bytes.windows(8).enumerate().skip(1) {
            if window == self.marker && self.read(store, at + offset as u64, end)?.is_some() {
                return damaged("a whole group follows");
            }
        }
        Ok(())
    }
}

/// Reads the header, or writes it where there is none yet. Returns where the groups start.
pub fn open(store: &mut dyn Store, operator: Address, model: B256) -> Result<(Frames, u64), LogError> {
    let length = store.len()?;
    let present = store.read(0, (length as usize).min(HEADER_BYTES))?;
    if present.len() < HEADER_BYTES {
        // A header that was never finished: nothing can follow it.
        store.truncate(0)?;
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(|error| std::io::Error::other(error.to_string()))?;
        let mut header = Vec::with_capacity(HEADER_BYTES);
        header.extend_from_slice(MAGIC);
        header.extend_from_slice(operator.as_slice());
        header.extend_from_slice(model.as_slice());
        header.extend_from_slice(&key);
        header.extend_from_slice(&check(&key, &[&header.clone()]));
        store.append(&header)?;
        store.sync()?;
        return Ok((Frames::new(key), HEADER_BYTES as u64));
    }
    let damaged = |why: &str| LogError::Damaged { at: 0, why: why.into() };
    let key: [u8; 32] = present[60..92].try_into().expect("32 bytes");
    if check(&key, &[&present[..92]]) != present[92..] {
        if length == HEADER_BYTES as u64 {
            // Torn inside the header's own write: nothing was acknowledged yet.
            store.truncate(0)?;
            return open(store, operator, model);
        }
        return Err(damaged("the header's check fails"));
    }
    if present[..8] != *MAGIC {
        return Err(damaged("this is not a receipt log of this version"));
    }
    let mut reader = Reader::new(&present[8..60]);
    let (theirs, their_model) = (
        reader.address().map_err(|error| LogError::from((0, error)))?,
        reader.hash().map_err(|error| LogError::from((0, error)))?,
    );
    if (theirs, their_model) != (operator, model) {
        return Err(LogError::NotOurs { operator: theirs, model: their_model });
    }
    Ok((Frames::new(key), HEADER_BYTES as u64))
}
