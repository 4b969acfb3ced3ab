//! Names and bytes of a vault's objects (`docs/VAULT.md` describes them for other programs).

use crate::crypt::keys::{PublicKey, Sealed, WRAPPED_BYTES};
use crate::crypt::threshold::Envelope;
use crate::similar::Signature;
use primitives::encoding::{DecodeError, MAX_LENGTH, Reader, Writer};
use primitives::{B256, ItemId};
use serde::{Deserialize, Serialize};

/// Format version of everything here.
pub const VERSION: u32 = 1;
/// Most items of a segment.
pub const MAX_SEGMENT_ITEMS: usize = 8192;
/// Plaintext bytes from which a segment is closed.
pub const SEGMENT_BYTES: usize = 32 << 20;
/// Bytes of a bao block: a range is verified in units of it.
pub const BAO_BLOCK: bao_tree::BlockSize = bao_tree::BlockSize::from_chunk_log(4);

const ROWS_MAGIC: &str = "openledger vault rows v1";
const KEYS_MAGIC: &str = "openledger vault keys v1";
const PENDING_MAGIC: &str = "openledger vault pending v1";
const GRANT_MAGIC: &str = "openledger vault grant v1";
/// Most recipients of one key.
const MAX_SHARES: usize = 255;
/// Most bytes of a sealed key.
const MAX_SEALED_BYTES: usize = 128;

/// Identity of a contribution: its commitment (RULEBOOK R4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ContributionId(pub B256);

impl std::fmt::Display for ContributionId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// A segment's place in the store, public.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentRef {
    /// BLAKE3 of the pack: its encrypted chunks.
    pub pack: B256,
    /// Bytes of the pack.
    pub pack_bytes: u64,
    /// BLAKE3 of the rows object.
    pub rows: B256,
    /// Number of its first item within the contribution.
    pub first: u64,
    /// Number of its items.
    pub count: u32,
}

fn hex(hash: &B256) -> String {
    format!("{hash:x}").trim_start_matches("0x").to_string()
}

/// Name of record `sequence` of the log.
pub fn log_name(sequence: u64) -> String {
    format!("log/{sequence:020}")
}
/// Name of a pack.
pub fn pack_name(pack: &B256) -> String {
    format!("packs/{}", hex(pack))
}
/// Name of a pack's bao outboard.
pub fn outboard_name(pack: &B256) -> String {
    format!("packs/{}.bao", hex(pack))
}
/// Name of a rows object.
pub fn rows_name(rows: &B256) -> String {
    format!("rows/{}", hex(rows))
}
/// Name of a contribution's keys.
pub fn keys_name(contribution: &ContributionId) -> String {
    format!("keys/{}", hex(&contribution.0))
}
/// Name of a grant's keys.
pub fn grant_name(grant: &B256) -> String {
    format!("grants/{}", hex(grant))
}
/// Name of a frozen training set.
pub fn set_name(root: &B256) -> String {
    format!("sets/{}", hex(root))
}
/// Name of an unfinished import.
pub fn pending_name(session: &B256) -> String {
    format!("pending/{}", hex(session))
}

/// One item in a rows object. Everything but the leaf is gone once it is erased.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Salted leaf.
    pub leaf: B256,
    /// What is stored of it, unless erased.
    pub live: Option<LiveRow>,
}

/// The stored part of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveRow {
    /// Where its chunks begin in the pack.
    pub offset: u64,
    /// Lengths of its encrypted chunks.
    pub chunks: Vec<u32>,
    /// Encrypted metadata.
    pub meta: Vec<u8>,
    /// Published signature; none for a text without words.
    pub signature: Option<Signature>,
}

impl LiveRow {
    /// Bytes of its chunks.
    pub fn sealed_bytes(&self) -> u64 {
        self.chunks.iter().map(|c| u64::from(*c)).sum()
    }
}

/// Bytes of a rows object.
pub fn encode_rows(rows: &[Row]) -> Vec<u8> {
    let mut w = Writer::new();
    w.text(ROWS_MAGIC).list(rows, |w, row| {
        w.hash(&row.leaf);
        let Some(live) = &row.live else {
            w.u8(0);
            return;
        };
        w.u8(1).u64(live.offset).list(&live.chunks, |w, length| {
            w.u32(*length);
        });
        w.bytes(&live.meta).bytes(&live.signature.map_or(Vec::new(), |s| s.to_bytes()));
    });
    w.finish()
}

/// The rows of [`encode_rows`].
pub fn decode_rows(bytes: &[u8]) -> Result<Vec<Row>, DecodeError> {
    let mut r = Reader::new(bytes);
    magic(&mut r, ROWS_MAGIC)?;
    let rows = r.list(MAX_SEGMENT_ITEMS, |r| {
        let leaf = r.hash()?;
        let live = match r.u8()? {
            0 => None,
            1 => Some(LiveRow {
                offset: r.u64()?,
                chunks: r
                    .list(crate::document::MAX_ITEM_BYTES / crate::crypt::item::CHUNK_BYTES + 1, |r| {
                        r.u32()
                    })?,
                meta: r.bytes(crate::crypt::item::MAX_META_BYTES + 64)?.to_vec(),
                signature: match r.bytes(crate::similar::signature::LENGTH * 4)? {
                    [] => None,
                    bytes => Some(Signature::from_bytes(bytes).ok_or(DecodeError::OutOfRange("signature"))?),
                },
            }),
            _ => return Err(DecodeError::OutOfRange("row state")),
        };
        Ok(Row { leaf, live })
    })?;
    r.finish()?;
    Ok(rows)
}

fn magic(r: &mut Reader<'_>, expected: &'static str) -> Result<(), DecodeError> {
    if r.text(64)? == expected { Ok(()) } else { Err(DecodeError::OutOfRange(expected)) }
}

/// A wrapped item key; `None` once its item is erased.
pub type Wrapped = Option<[u8; WRAPPED_BYTES]>;

/// The keys object of a contribution: its key in shares, and each item's key wrapped under it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeysObject {
    /// The contribution's key.
    pub envelope: Envelope,
    /// Item keys by item number.
    pub wrapped: Vec<Wrapped>,
}

fn write_sealed(w: &mut Writer, sealed: &Sealed) {
    w.hash(&B256::new(sealed.to.0)).hash(&B256::new(sealed.encapsulated)).bytes(&sealed.ciphertext);
}

fn read_sealed(r: &mut Reader<'_>) -> Result<Sealed, DecodeError> {
    let (to, encapsulated) = (PublicKey(r.hash()?.0), r.hash()?.0);
    Ok(Sealed { to, encapsulated, ciphertext: r.bytes(MAX_SEALED_BYTES)?.to_vec() })
}

fn write_wrapped(w: &mut Writer, wrapped: &Wrapped) {
    match wrapped {
        None => {
            w.u8(0);
        }
        Some(bytes) => {
            let (body, tag) = bytes.split_at(32);
            let tag: [u8; 16] = tag.try_into().expect("48 = 32 + 16");
            w.u8(1).hash(&B256::from_slice(body)).u128(u128::from_le_bytes(tag));
        }
    }
}

fn read_wrapped(r: &mut Reader<'_>) -> Result<Wrapped, DecodeError> {
    match r.u8()? {
        0 => Ok(None),
        1 => {
            let mut bytes = [0; WRAPPED_BYTES];
            bytes[..32].copy_from_slice(r.hash()?.as_slice());
            bytes[32..].copy_from_slice(&r.u128()?.to_le_bytes());
            Ok(Some(bytes))
        }
        _ => Err(DecodeError::OutOfRange("key state")),
    }
}

/// Bytes of a keys object.
pub fn encode_keys(keys: &KeysObject) -> Vec<u8> {
    let mut w = Writer::new();
    w.text(KEYS_MAGIC).u8(keys.envelope.needed).list(&keys.envelope.shares, write_sealed);
    w.list(&keys.wrapped, write_wrapped);
    w.finish()
}

/// The keys of [`encode_keys`].
pub fn decode_keys(bytes: &[u8]) -> Result<KeysObject, DecodeError> {
    let mut r = Reader::new(bytes);
    magic(&mut r, KEYS_MAGIC)?;
    let needed = r.u8()?;
    let shares = r.list(MAX_SHARES, read_sealed)?;
    let wrapped = r.list(MAX_LENGTH, read_wrapped)?;
    r.finish()?;
    Ok(KeysObject { envelope: Envelope { needed, shares }, wrapped })
}

/// Bytes of an unfinished import: its written segments, and its keys as a keys object whose context is the session.
pub fn encode_pending(segments: &[SegmentRef], keys: &[u8]) -> Vec<u8> {
    let mut w = Writer::new();
    w.text(PENDING_MAGIC).list(segments, |w, segment| {
        let SegmentRef { pack, pack_bytes, rows, first, count } = segment;
        w.hash(pack).u64(*pack_bytes).hash(rows).u64(*first).u32(*count);
    });
    let mut bytes = w.finish();
    // Last and without a length: a million keys are past the limit of a byte string.
    bytes.extend_from_slice(keys);
    bytes
}

/// The segments and keys of [`encode_pending`].
pub fn decode_pending(bytes: &[u8]) -> Result<(Vec<SegmentRef>, Vec<u8>), DecodeError> {
    let mut r = Reader::new(bytes);
    magic(&mut r, PENDING_MAGIC)?;
    let segments = r.list(MAX_LENGTH, |r| {
        Ok(SegmentRef {
            pack: r.hash()?,
            pack_bytes: r.u64()?,
            rows: r.hash()?,
            first: r.u64()?,
            count: r.u32()?,
        })
    })?;
    Ok((segments, bytes[bytes.len() - r.remaining()..].to_vec()))
}

/// A grant's keys: its own key sealed to the grantee, and item keys wrapped under it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantObject {
    /// The grant's key.
    pub sealed: Sealed,
    /// Contribution, item number, and the key wrapped with the entry's place in this list as its index.
    pub entries: Vec<(ContributionId, u64, Wrapped)>,
}

/// Bytes of a grant's keys.
pub fn encode_grant(grant: &GrantObject) -> Vec<u8> {
    let mut w = Writer::new();
    write_sealed(w.text(GRANT_MAGIC), &grant.sealed);
    w.list(&grant.entries, |w, (contribution, item, wrapped)| {
        write_wrapped(w.hash(&contribution.0).u64(*item), wrapped);
    });
    w.finish()
}

/// The keys of [`encode_grant`].
pub fn decode_grant(bytes: &[u8]) -> Result<GrantObject, DecodeError> {
    let mut r = Reader::new(bytes);
    magic(&mut r, GRANT_MAGIC)?;
    let sealed = read_sealed(&mut r)?;
    let entries = r.list(MAX_LENGTH, |r| Ok((ContributionId(r.hash()?), r.u64()?, read_wrapped(r)?)))?;
    r.finish()?;
    Ok(GrantObject { sealed, entries })
}

/// What the vault keeps of an item beside its text, encrypted under the item's key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ItemMeta {
    /// What the leaf commits to.
    #[serde(flatten)]
    pub facts: crate::document::ItemFacts,
    /// Where it came from.
    pub source: String,
    /// Its name, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Natural contributor, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Authors as the source names them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub authors: Vec<String>,
    /// Estimated tokens.
    pub tokens: u64,
    /// ISO 639-3 code, when the guess is reliable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// Novelty at its commit, in ppm.
    pub nu_ppm: u32,
    /// The earlier item it repeats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duplicate: Option<DuplicateOf>,
    /// What screening found and the policy let pass or redacted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<crate::screen::Kind>,
}

impl ItemMeta {
    /// Hash of the text.
    pub fn item(&self) -> ItemId {
        self.facts.item
    }
}

/// The earlier item that an item repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DuplicateOf {
    /// Its leaf.
    pub leaf: B256,
    /// How it matched.
    pub kind: crate::similar::DuplicateKind,
    /// How similar, in ppm.
    pub similarity_ppm: u32,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn row(live: bool) -> Row {
        let live = live.then(|| LiveRow {
            offset: 7,
            chunks: vec![40, 50],
            meta: vec![1, 2, 3],
            signature: Some(Signature([5; crate::similar::signature::LENGTH])),
        });
        Row { leaf: B256::repeat_byte(9), live }
    }

    #[test]
    fn rows_keys_and_grants_round_trip() {
        let rows = vec![row(true), row(false)];
        assert_eq!(decode_rows(&encode_rows(&rows)), Ok(rows));
        let sealed = Sealed { to: PublicKey([1; 32]), encapsulated: [2; 32], ciphertext: vec![3; 49] };
        let envelope = Envelope { needed: 1, shares: vec![sealed.clone()] };
        let keys = KeysObject { envelope, wrapped: vec![Some([4; WRAPPED_BYTES]), None] };
        assert_eq!(decode_keys(&encode_keys(&keys)), Ok(keys));
        let entries = vec![(ContributionId(B256::ZERO), 3, Some([4; WRAPPED_BYTES]))];
        let grant = GrantObject { sealed, entries };
        assert_eq!(decode_grant(&encode_grant(&grant)), Ok(grant));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(mut bytes in prop::collection::vec(any::<u8>(), 0..300), at: prop::sample::Index) {
            let _ = (decode_rows(&bytes), decode_keys(&bytes), decode_grant(&bytes));
            let mut valid = encode_rows(&[row(true)]);
            let at = at.index(valid.len());
            valid.truncate(at);
            prop_assert!(decode_rows(&valid).is_err());
            valid.append(&mut bytes);
            let _ = decode_rows(&valid);
        }
    }
}
