//! An import's items on their way into segments.

use super::import::ImportOptions;
use super::layout::{self, DuplicateOf, ItemMeta, KeysObject, LiveRow, Row, SegmentRef};
use super::report::ImportReport;
use super::{Novelty, Vault, VaultError};
use crate::crypt::item::Sealer;
use crate::crypt::keys::{self, Key, Keyring, new_key};
use crate::crypt::random;
use crate::crypt::threshold::{Envelope, Keepers};
use crate::document::{self, Document, ItemFacts};
use crate::screen::Kind;
use crate::similar::words;
use crate::store::StoreError;
use bao_tree::io::outboard::PreOrderMemOutboard;
use primitives::B256;

/// An import under way.
pub(super) struct Batch {
    sealer: Sealer,
    /// The contribution's key.
    pub(super) key: Key,
    /// Item keys by number.
    pub(super) keys: Vec<Key>,
    pub(super) leaves: Vec<B256>,
    /// Hashes of the items' signatures.
    pub(super) signatures: Vec<B256>,
    /// Written segments.
    pub(super) segments: Vec<SegmentRef>,
    /// The open segment: its rows, its pack, and bytes of its texts.
    rows: Vec<Row>,
    pack: Vec<u8>,
    plain: usize,
    /// Sum over the items of novelty times bytes.
    pub(super) nu_bytes: u128,
}

impl Batch {
    pub(super) fn new() -> Result<Batch, VaultError> {
        Ok(Batch {
            sealer: Sealer::new()?,
            key: new_key()?,
            keys: Vec::new(),
            leaves: Vec::new(),
            signatures: Vec::new(),
            segments: Vec::new(),
            rows: Vec::new(),
            pack: Vec::new(),
            plain: 0,
            nu_bytes: 0,
        })
    }

    pub(super) fn add(
        &mut self,
        document: Document,
        findings: Vec<Kind>,
        options: &ImportOptions,
        novelty: &mut Novelty,
        report: &mut ImportReport,
    ) -> Result<(), VaultError> {
        let item = document::item_id(&document.text);
        if !novelty.present.insert((options.datanet, options.owner, item)) {
            report.already_present += 1;
            return Ok(());
        }
        let words = words::words(&document.text);
        let assessment = novelty.index.insert_words(&words);
        let duplicate = assessment.duplicate.map(|d| DuplicateOf {
            leaf: novelty.leaves[d.of as usize],
            kind: d.kind,
            similarity_ppm: d.similarity_ppm,
        });
        let meta = ItemMeta {
            facts: ItemFacts {
                item,
                salt: B256::new(random()?),
                owner: options.owner,
                licence: document.licence.unwrap_or_default(),
                bytes: document.text.len() as u64,
                prompt_bytes: document.prompt_bytes as u64,
            },
            source: document.source,
            title: document.title,
            group: document.group,
            authors: document.authors,
            tokens: document::estimate_tokens(&document.text),
            language: document::guess_language(&document.text).map(String::from),
            nu_ppm: assessment.nu_ppm,
            duplicate,
            findings,
        };
        report.count(&meta);
        self.nu_bytes += u128::from(meta.nu_ppm) * u128::from(meta.facts.bytes);
        let key = new_key()?;
        let offset = self.pack.len() as u64;
        let chunks = self.sealer.text(&key, document.text.as_bytes(), &mut self.pack)?;
        let plain = serde_json::to_vec(&meta).expect("metadata has only string keys");
        let sealed = self.sealer.meta(&key, &plain)?;
        let signature = novelty.index.signature(assessment.number).copied();
        let leaf = meta.facts.leaf();
        self.rows.push(Row { leaf, live: Some(LiveRow { offset, chunks, meta: sealed, signature }) });
        self.signatures.push(signature.map_or(B256::ZERO, |s| s.leaf()));
        self.leaves.push(leaf);
        novelty.leaves.push(leaf);
        self.keys.push(key);
        self.plain += document.text.len();
        Ok(())
    }

    /// Whether the open segment has reached a limit.
    pub(super) fn is_full(&self, segment_bytes: usize) -> bool {
        self.plain >= segment_bytes || self.rows.len() >= layout::MAX_SEGMENT_ITEMS
    }

    /// Item keys wrapped under the contribution's key, bound to `context`.
    pub(super) fn keys_object(&self, keepers: &Keepers, context: &B256) -> Result<KeysObject, VaultError> {
        let envelope = Envelope::seal(keepers, context.as_slice(), &self.key)?;
        let wrap =
            |(index, key): (usize, &Key)| Some(keys::wrap(&self.key, index as u64, context.as_slice(), key));
        Ok(KeysObject { envelope, wrapped: self.keys.iter().enumerate().map(wrap).collect() })
    }

    /// Notes the written segments and their keys, so that the same import can go on after them.
    pub(super) fn checkpoint(
        &self,
        vault: &Vault,
        keepers: &Keepers,
        session: &B256,
    ) -> Result<(), VaultError> {
        let keys = layout::encode_keys(&self.keys_object(keepers, session)?);
        let pending = layout::encode_pending(&self.segments, &keys);
        Ok(vault.store.replace(&layout::pending_name(session), &pending)?)
    }

    /// Takes up what an interrupted import of this session stored; nothing when there is none or `ring` cannot open it.
    pub(super) fn resume(
        &mut self,
        vault: &Vault,
        session: &B256,
        options: &ImportOptions,
        ring: &Keyring,
        novelty: &mut Novelty,
        report: &mut ImportReport,
    ) -> Result<(), VaultError> {
        let name = layout::pending_name(session);
        let bytes = match vault.store.read(&name) {
            Ok(bytes) => bytes,
            Err(StoreError::NotFound(_)) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let (segments, keys) = layout::decode_pending(&bytes).map_err(VaultError::damaged(&name))?;
        if vault.were_committed(&segments) {
            // It ended after all: only the removal of its checkpoint is missing.
            return Ok(vault.store.remove(&name)?);
        }
        let object = layout::decode_keys(&keys).map_err(VaultError::damaged(&name))?;
        let Ok(key) = object.envelope.open(ring, session.as_slice()) else { return Ok(()) };
        let mut opener = crate::crypt::item::Opener::new()?;
        for segment in segments {
            let (rows, pack) = (vault.rows(&segment)?, vault.pack(&segment)?);
            for (place, row) in rows.into_iter().enumerate() {
                let index = segment.first + place as u64;
                let damaged =
                    |reason: &str| VaultError::Damaged { name: name.clone(), reason: reason.into() };
                let wrapped = object.wrapped.get(index as usize).copied().flatten();
                let (Some(live), Some(wrapped)) = (row.live, wrapped) else {
                    return Err(damaged("it names an item without its key"));
                };
                let item_key = keys::unwrap(&key, index, session.as_slice(), &wrapped)?;
                let meta: ItemMeta = serde_json::from_slice(&opener.meta(&item_key, &live.meta)?)
                    .map_err(|error| damaged(&error.to_string()))?;
                let end = live.offset.saturating_add(live.sealed_bytes()) as usize;
                let sealed =
                    pack.get(live.offset as usize..end).ok_or_else(|| damaged("a pack is too short"))?;
                let text = opener.text(&item_key, &live.chunks, sealed)?;
                novelty.index.insert_words(&words::words(&String::from_utf8_lossy(&text)));
                novelty.leaves.push(row.leaf);
                novelty.present.insert((options.datanet, options.owner, meta.facts.item));
                self.nu_bytes += u128::from(meta.nu_ppm) * u128::from(meta.facts.bytes);
                self.signatures.push(live.signature.map_or(B256::ZERO, |s| s.leaf()));
                self.leaves.push(row.leaf);
                self.keys.push(item_key);
                report.resumed += 1;
                report.count(&meta);
            }
            self.segments.push(segment);
        }
        self.key = key;
        Ok(())
    }

    /// Writes the open segment.
    pub(super) fn flush(&mut self, vault: &Vault, report: &mut ImportReport) -> Result<(), VaultError> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let count = self.rows.len() as u32;
        let first = self.leaves.len() as u64 - u64::from(count);
        let (segment, bytes) = write_segment(vault, &self.pack, &self.rows, first)?;
        report.stored_bytes += bytes;
        self.segments.push(segment);
        self.rows.clear();
        self.pack.clear();
        self.plain = 0;
        Ok(())
    }
}

/// Writes pack, outboard and rows; returns their place and the bytes written.
pub(super) fn write_segment(
    vault: &Vault,
    pack: &[u8],
    rows: &[Row],
    first: u64,
) -> Result<(SegmentRef, u64), VaultError> {
    let outboard = PreOrderMemOutboard::create(pack, layout::BAO_BLOCK);
    let hash = B256::new(*outboard.root.as_bytes());
    let encoded = layout::encode_rows(rows);
    let rows_hash = B256::new(*blake3::hash(&encoded).as_bytes());
    let write = |name: &str, bytes: &[u8]| match vault.store.create(name, bytes) {
        // Content-addressed: whatever has this name has these bytes.
        Err(StoreError::Exists(_)) => Ok(()),
        other => other,
    };
    write(&layout::pack_name(&hash), pack)?;
    write(&layout::outboard_name(&hash), &outboard.data)?;
    write(&layout::rows_name(&rows_hash), &encoded)?;
    let segment = SegmentRef {
        pack: hash,
        pack_bytes: pack.len() as u64,
        rows: rows_hash,
        first,
        count: rows.len() as u32,
    };
    Ok((segment, (pack.len() + outboard.data.len() + encoded.len()) as u64))
}
