//! Reading items: decrypted, and checked against their leaves.

use super::layout::{self, ContributionId, ItemMeta, Row, SegmentRef, Wrapped};
use super::log::Contribution;
use super::{Vault, VaultError};
use crate::crypt::CryptError;
use crate::crypt::item::{CHUNK_BYTES, Opener};
use crate::crypt::keys::{self, Key, Keyring, WRAPPED_BYTES};
use crate::document::item_id;
use bao_tree::io::outboard::PreOrderMemOutboard;
use bao_tree::{BaoTree, ByteRanges, blake3::Hash};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

/// An item, decrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenItem {
    /// Its number within the contribution.
    pub index: u64,
    /// What is known of it.
    pub meta: ItemMeta,
    /// Its text.
    pub text: String,
}

/// Where item keys come from.
pub(super) enum KeySource {
    /// The contribution's own key, opened by its keepers.
    Keepers { key: Key, wrapped: Vec<Wrapped> },
    /// A grant's key; per item number the place in the grant's list and the wrapped key.
    Grant { key: Key, grant: primitives::B256, wrapped: HashMap<u64, (u64, [u8; WRAPPED_BYTES])> },
}

impl KeySource {
    fn item_key(&self, contribution: &ContributionId, index: u64) -> Result<Key, VaultError> {
        let absent = VaultError::NoItem { contribution: *contribution, item: index };
        match self {
            KeySource::Keepers { key, wrapped } => match wrapped.get(index as usize) {
                Some(Some(bytes)) => Ok(keys::unwrap(key, index, contribution.0.as_slice(), bytes)?),
                _ => Err(absent),
            },
            KeySource::Grant { key, grant, wrapped } => match wrapped.get(&index) {
                Some((place, bytes)) => Ok(keys::unwrap(key, *place, grant.as_slice(), bytes)?),
                None => Err(absent),
            },
        }
    }
}

/// The items of one contribution. Keeps the segment it read last, so reading in order reads each pack once.
pub struct Items<'v> {
    vault: &'v Vault,
    contribution: &'v Contribution,
    keys: KeySource,
    opener: Opener,
    rows: Option<(u32, Arc<Vec<Row>>)>,
    pack: Option<(u32, Vec<u8>)>,
}

impl Vault {
    /// The items of a contribution for its keepers.
    ///
    /// # Errors
    /// [`CryptError::NoKey`] or [`CryptError::TooFewKeepers`] when `ring` does not hold enough keepers' secrets.
    pub fn items(&self, id: &ContributionId, ring: &Keyring) -> Result<Items<'_>, VaultError> {
        let name = layout::keys_name(id);
        let bytes = self.store.read(&name)?;
        let object = layout::decode_keys(&bytes).map_err(VaultError::damaged(&name))?;
        let key = object.envelope.open(ring, id.0.as_slice())?;
        self.items_from(id, KeySource::Keepers { key, wrapped: object.wrapped })
    }

    pub(super) fn items_from(&self, id: &ContributionId, keys: KeySource) -> Result<Items<'_>, VaultError> {
        let contribution = self.contribution(id)?;
        Ok(Items { vault: self, contribution, keys, opener: Opener::new()?, rows: None, pack: None })
    }

    /// The public rows of a segment, checked against their hash.
    pub fn rows(&self, segment: &SegmentRef) -> Result<Vec<Row>, VaultError> {
        let name = layout::rows_name(&segment.rows);
        let bytes = self.store.read(&name)?;
        if blake3::hash(&bytes).as_bytes() != &segment.rows.0 {
            return Err(VaultError::Damaged { name, reason: "its hash is another one".into() });
        }
        let rows = layout::decode_rows(&bytes).map_err(VaultError::damaged(&name))?;
        if rows.len() != segment.count as usize {
            return Err(VaultError::Damaged { name, reason: "its number of rows is another one".into() });
        }
        Ok(rows)
    }

    /// A whole pack, checked against its hash.
    pub fn pack(&self, segment: &SegmentRef) -> Result<Vec<u8>, VaultError> {
        let name = layout::pack_name(&segment.pack);
        let bytes = self.store.read(&name)?;
        if blake3::hash(&bytes).as_bytes() != &segment.pack.0 {
            return Err(VaultError::Damaged { name, reason: "its hash is another one".into() });
        }
        Ok(bytes)
    }

    /// Bytes of a pack, verified against its hash by the paths of its bao outboard alone: the rest is not read.
    pub fn pack_range(&self, segment: &SegmentRef, range: Range<u64>) -> Result<Vec<u8>, VaultError> {
        let name = layout::pack_name(&segment.pack);
        let damaged = |reason: String| VaultError::Damaged { name: name.clone(), reason };
        if range.start >= range.end || range.end > segment.pack_bytes {
            return Err(damaged(format!("bytes {}..{} are outside it", range.start, range.end)));
        }
        let tree = BaoTree::new(segment.pack_bytes, layout::BAO_BLOCK);
        let outboard = self.store.read(&layout::outboard_name(&segment.pack))?;
        if outboard.len() as u64 != tree.outboard_size() {
            return Err(damaged("its outboard has another length".into()));
        }
        let block = layout::BAO_BLOCK.bytes() as u64;
        let start = range.start / block * block;
        let end = range.end.next_multiple_of(block).min(segment.pack_bytes);
        let bytes = self.store.read_range(&name, start, (end - start) as usize)?;
        let outboard = PreOrderMemOutboard { root: Hash::from(segment.pack.0), tree, data: outboard };
        let ranges = bao_tree::io::round_up_to_chunks(&ByteRanges::from(range.clone()));
        let window = Window { start, bytes: &bytes };
        // Verifies while encoding; the encoded stream itself is not wanted.
        bao_tree::io::sync::encode_ranges_validated(window, &outboard, &ranges, std::io::sink())
            .map_err(|error| damaged(format!("it does not verify: {error}")))?;
        Ok(bytes[(range.start - start) as usize..(range.end - start) as usize].to_vec())
    }
}

/// Part of a pack at its place, for the verifier.
struct Window<'a> {
    start: u64,
    bytes: &'a [u8],
}

impl bao_tree::io::sync::ReadAt for Window<'_> {
    fn read_at(&self, at: u64, out: &mut [u8]) -> std::io::Result<usize> {
        let outside = || std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
        let from = at.checked_sub(self.start).ok_or_else(outside)? as usize;
        let rest = self.bytes.get(from..).ok_or_else(outside)?;
        let count = rest.len().min(out.len());
        out[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }
}

impl Items<'_> {
    /// Number of items, erased ones included.
    pub fn count(&self) -> u64 {
        self.contribution.items
    }

    fn locate(&mut self, index: u64) -> Result<(u32, usize, Arc<Vec<Row>>), VaultError> {
        let none = VaultError::NoItem { contribution: self.contribution.id, item: index };
        let at = self.contribution.segments.partition_point(|s| s.first <= index).checked_sub(1);
        let Some(at) = at else { return Err(none) };
        let segment = &self.contribution.segments[at];
        let place = (index - segment.first) as usize;
        if place >= segment.count as usize {
            return Err(none);
        }
        let at = at as u32;
        let rows = match &self.rows {
            Some((number, rows)) if *number == at => rows.clone(),
            _ => {
                let rows = Arc::new(self.vault.rows(segment)?);
                self.rows = Some((at, rows.clone()));
                rows
            }
        };
        Ok((at, place, rows))
    }

    /// The key of an item; `None` once it is erased.
    pub(super) fn item_key(&self, index: u64) -> Result<Option<Key>, VaultError> {
        match &self.keys {
            KeySource::Keepers { wrapped, .. } if matches!(wrapped.get(index as usize), Some(None)) => {
                Ok(None)
            }
            keys => keys.item_key(&self.contribution.id, index).map(Some),
        }
    }

    fn segment(&self, at: u32) -> &SegmentRef {
        &self.contribution.segments[at as usize]
    }

    /// What is known of an item.
    ///
    /// # Errors
    /// [`VaultError::Erased`] for an erased item, [`VaultError::Damaged`] when it does not match its leaf.
    pub fn meta(&mut self, index: u64) -> Result<ItemMeta, VaultError> {
        let (at, place, rows) = self.locate(index)?;
        let row = &rows[place];
        let live = row.live.as_ref().ok_or(VaultError::Erased { leaf: row.leaf })?;
        let key = self.keys.item_key(&self.contribution.id, index)?;
        let bytes = self.opener.meta(&key, &live.meta)?;
        let name = layout::rows_name(&self.segment(at).rows);
        let damaged = |reason: String| VaultError::Damaged { name: name.clone(), reason };
        let meta: ItemMeta = serde_json::from_slice(&bytes).map_err(|e| damaged(e.to_string()))?;
        if meta.facts.leaf() != row.leaf {
            return Err(damaged(format!("item {index} does not match its leaf")));
        }
        Ok(meta)
    }

    /// An item whole, checked against its leaf.
    pub fn open(&mut self, index: u64) -> Result<OpenItem, VaultError> {
        let meta = self.meta(index)?;
        let (at, place, rows) = self.locate(index)?;
        let live = rows[place].live.as_ref().ok_or(VaultError::Erased { leaf: rows[place].leaf })?;
        if self.pack.as_ref().is_none_or(|(number, _)| *number != at) {
            self.pack = Some((at, self.vault.pack(self.segment(at))?));
        }
        let name = layout::pack_name(&self.segment(at).pack);
        let pack = self.pack.as_ref().map_or(&[][..], |(_, bytes)| bytes);
        let end = live.offset.saturating_add(live.sealed_bytes());
        let sealed = pack
            .get(live.offset as usize..end as usize)
            .ok_or_else(|| VaultError::Damaged { name: name.clone(), reason: "it is too short".into() })?;
        let key = self.keys.item_key(&self.contribution.id, index)?;
        let bytes = self.opener.text(&key, &live.chunks, sealed)?;
        let damaged = |reason: &str| VaultError::Damaged { name: name.clone(), reason: reason.into() };
        let text = String::from_utf8(bytes).map_err(|_| damaged("an item is not UTF-8"))?;
        if item_id(&text) != meta.facts.item {
            return Err(damaged("an item's text does not match its leaf"));
        }
        Ok(OpenItem { index, meta, text })
    }

    /// Plaintext bytes `range` of an item, reading and verifying only the chunks that hold them.
    pub fn read_range(&mut self, index: u64, range: Range<u64>) -> Result<Vec<u8>, VaultError> {
        let (at, place, rows) = self.locate(index)?;
        let live = rows[place].live.as_ref().ok_or(VaultError::Erased { leaf: rows[place].leaf })?;
        let key = self.keys.item_key(&self.contribution.id, index)?;
        let (first, last) = (range.start / CHUNK_BYTES as u64, range.end.div_ceil(CHUNK_BYTES as u64));
        let which = first as usize..(last as usize).min(live.chunks.len());
        if range.start >= range.end || which.is_empty() {
            return Err(CryptError::Malformed("length (the range lies past its end)").into());
        }
        let before: u64 = live.chunks[..which.start].iter().map(|c| u64::from(*c)).sum();
        let length: u64 = live.chunks[which.clone()].iter().map(|c| u64::from(*c)).sum();
        let start = live.offset + before;
        let sealed = self.vault.pack_range(self.segment(at), start..start + length)?;
        let plain = self.opener.chunks(&key, &live.chunks, which, &sealed)?;
        let from = (range.start - first * CHUNK_BYTES as u64) as usize;
        let to = from + (range.end - range.start) as usize;
        plain
            .get(from..to)
            .map(<[u8]>::to_vec)
            .ok_or_else(|| CryptError::Malformed("length (the range ends past its end)").into())
    }

    /// All items that are left, in order.
    pub fn iter(&mut self) -> impl Iterator<Item = Result<OpenItem, VaultError>> + '_ {
        (0..self.count()).filter_map(move |index| match self.open(index) {
            Err(VaultError::Erased { .. }) => None,
            other => Some(other),
        })
    }
}
