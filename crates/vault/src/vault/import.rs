//! Importing: documents to committed items.
//!
//! Per document: screen by the Datanet's policy, check the licence, skip what this owner already has in this Datanet, assess
//! novelty against everything committed before, encrypt, append to the open segment. A segment is written when it is full; the
//! contribution becomes true with its record in the log. Everything left out is in the report with its reason.

use super::layout::{self, ContributionId, DuplicateOf, ItemMeta, LiveRow, Row, SegmentRef};
use super::log::{Contribution, Event};
use super::{Novelty, Vault, VaultError};
use crate::crypt::item::Sealer;
use crate::crypt::keys::{self, Key, Keyring, new_key};
use crate::crypt::threshold::Envelope;
use crate::crypt::{CryptError, random};
use crate::document::{self, Document, ItemFacts};
use crate::read::ReadError;
use crate::screen::{self, Kind, Verdict};
use crate::similar::{DuplicateKind, Index, PPM, signature, words};
use crate::store::StoreError;
use bao_tree::io::outboard::PreOrderMemOutboard;
use primitives::{Address, B256, DatanetId, merkle};
use serde::Serialize;
use std::collections::{BTreeMap, HashSet};

/// Most problems of one kind that a report lists; the rest is counted.
pub const MAX_LISTED: usize = 1000;

/// What to import as.
#[derive(Clone, Debug)]
pub struct ImportOptions {
    /// Into which Datanet.
    pub datanet: DatanetId,
    /// On whose behalf.
    pub owner: Address,
    /// SPDX expression of documents that state none. Without it such documents are refused.
    pub licence: Option<String>,
    /// Seconds since 1970.
    pub now: u64,
}

/// How far an import is.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'a> {
    /// Documents seen.
    pub documents: u64,
    /// Bytes of text seen.
    pub bytes: u64,
    /// The document at hand.
    pub source: &'a str,
}

/// A document that did not go in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// Which.
    pub source: String,
    /// Why.
    pub reason: String,
}

/// What an import did, for the data's owner to read.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ImportReport {
    /// The contribution; none when nothing new came in.
    pub contribution: Option<ContributionId>,
    /// Merkle root over its items.
    pub root: Option<B256>,
    /// Items committed.
    pub items: u64,
    /// Bytes of their texts.
    pub bytes: u64,
    /// Estimated tokens.
    pub tokens: u64,
    /// Bytes stored for them.
    pub stored_bytes: u64,
    /// Documents this owner already had here, left out.
    pub already_present: u64,
    /// Items that repeat an earlier one word for word: novelty 0.
    pub exact_duplicates: u64,
    /// Items that nearly repeat an earlier one: novelty 0.
    pub near_duplicates: u64,
    /// Mean novelty over the bytes, in ppm.
    pub mean_nu_ppm: u32,
    /// Whether novelty was checked against all earlier items' texts; false when some could be compared by their signatures only.
    pub compared_with_all: bool,
    /// Findings that were kept or redacted, by kind.
    pub findings: BTreeMap<Kind, u64>,
    /// Items with something redacted.
    pub redacted: u64,
    /// Items and bytes per licence.
    pub licences: BTreeMap<String, (u64, u64)>,
    /// Items per language; `und` where no guess is reliable.
    pub languages: BTreeMap<String, u64>,
    /// Documents refused, with reasons (at most [`MAX_LISTED`]).
    pub refused: Vec<LeftOut>,
    /// How many were refused in all.
    pub refused_count: u64,
    /// Files and rows that could not be read (at most [`MAX_LISTED`]).
    pub errors: Vec<LeftOut>,
    /// How many could not be read in all.
    pub error_count: u64,
}

/// An import under way.
struct Batch {
    sealer: Sealer,
    key: Key,
    keys: Vec<Key>,
    leaves: Vec<B256>,
    segments: Vec<SegmentRef>,
    rows: Vec<Row>,
    pack: Vec<u8>,
    plain: usize,
    nu_bytes: u128,
}

impl Vault {
    /// Imports documents as one contribution.
    ///
    /// `ring` opens earlier items, so that novelty is compared with their texts; without their keys their published
    /// signatures are used, and the report says so.
    ///
    /// # Errors
    /// When the store or the keys fail; nothing is committed then, and the same call can be made again. Documents that
    /// cannot be read or are refused are no errors: they are in the report.
    pub fn import(
        &mut self,
        documents: impl Iterator<Item = Result<Document, ReadError>>,
        options: &ImportOptions,
        ring: &Keyring,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<ImportReport, VaultError> {
        let datanet = self.datanet(&options.datanet)?.clone();
        let fallback = options.licence.as_deref().map(crate::licence::normal).transpose()?;
        let compared_with_all = self.load_novelty(ring)?;
        let mut novelty = self.novelty.take().expect("loaded just now");
        let before = novelty.index.len();
        let mut report = ImportReport { compared_with_all, ..ImportReport::default() };
        let mut batch = Batch::new()?;
        let outcome = (|| {
            let (mut seen, mut bytes) = (0u64, 0u64);
            for document in documents {
                let document = match document {
                    Ok(document) => document,
                    Err(error) => {
                        report.error(&error);
                        continue;
                    }
                };
                seen += 1;
                bytes += document.text.len() as u64;
                progress(Progress { documents: seen, bytes, source: &document.source });
                match admit(&datanet, document, fallback.as_deref(), &mut report) {
                    Some((document, findings)) => {
                        batch.add(document, findings, options, &mut novelty, &mut report)?;
                        if batch.plain >= layout::SEGMENT_BYTES
                            || batch.rows.len() >= layout::MAX_SEGMENT_ITEMS
                        {
                            batch.flush(self, &mut report)?;
                        }
                    }
                    None => continue,
                }
            }
            batch.flush(self, &mut report)?;
            self.commit(batch, &datanet, options, &mut report)
        })();
        // After a failure the index knows items that were never committed; it is built anew when next needed.
        if outcome.is_ok() {
            self.novelty = Some(novelty);
        } else {
            debug_assert!(novelty.index.len() >= before);
        }
        outcome.map(|()| report)
    }

    fn commit(
        &mut self,
        batch: Batch,
        datanet: &crate::datanet::Datanet,
        options: &ImportOptions,
        report: &mut ImportReport,
    ) -> Result<(), VaultError> {
        if batch.leaves.is_empty() {
            return Ok(());
        }
        report.mean_nu_ppm = (batch.nu_bytes / u128::from(report.bytes.max(1))) as u32;
        let root = merkle::root(&batch.leaves);
        let salt = B256::new(random()?);
        let id = ContributionId(document::commitment(&root, &salt, &options.owner));
        let context = id.0.as_slice();
        let envelope = Envelope::seal(&datanet.keepers, context, &batch.key)?;
        let wrapped = batch
            .keys
            .iter()
            .enumerate()
            .map(|(index, key)| Some(keys::wrap(&batch.key, index as u64, context, key)))
            .collect();
        let object = layout::encode_keys(&layout::KeysObject { envelope, wrapped });
        self.store.create(&layout::keys_name(&id), &object)?;
        report.stored_bytes += object.len() as u64;
        let contribution = Contribution {
            id,
            datanet: datanet.id,
            owner: options.owner,
            root,
            salt,
            items: batch.leaves.len() as u64,
            bytes: report.bytes,
            tokens: report.tokens,
            licences: report.licences.keys().cloned().collect(),
            segments: batch.segments,
        };
        self.record(options.now, Event::Contributed(contribution))?;
        report.contribution = Some(id);
        report.root = Some(root);
        Ok(())
    }

    /// Builds the novelty index from everything committed. False when some texts could not be opened with `ring`.
    fn load_novelty(&mut self, ring: &Keyring) -> Result<bool, VaultError> {
        if let Some(novelty) = &self.novelty {
            return Ok(novelty.complete);
        }
        let mut novelty =
            Novelty { index: Index::new(), leaves: Vec::new(), present: HashSet::new(), complete: true };
        for contribution in &self.contributions {
            let mut items = match self.items(&contribution.id, ring) {
                Ok(items) => Some(items),
                Err(VaultError::Crypt(CryptError::NoKey { .. } | CryptError::TooFewKeepers { .. })) => None,
                Err(error) => return Err(error),
            };
            novelty.complete &= items.is_some();
            for segment in &contribution.segments {
                for (place, row) in self.rows(segment)?.into_iter().enumerate() {
                    let Some(live) = row.live else { continue };
                    match &mut items {
                        Some(items) => {
                            let item = items.open(segment.first + place as u64)?;
                            novelty.index.insert(&item.text);
                            let key = (contribution.datanet, contribution.owner, item.meta.facts.item);
                            novelty.present.insert(key);
                        }
                        None => match live.signature {
                            Some(signature) => {
                                novelty.index.observe(signature);
                            }
                            None => continue,
                        },
                    }
                    novelty.leaves.push(row.leaf);
                }
            }
        }
        let complete = novelty.complete;
        self.novelty = Some(novelty);
        Ok(complete)
    }
}

/// Screens a document and settles its licence; `None` when it is refused.
fn admit(
    datanet: &crate::datanet::Datanet,
    mut document: Document,
    fallback: Option<&str>,
    report: &mut ImportReport,
) -> Option<(Document, Vec<Kind>)> {
    let stated = document.licence.as_deref().map(crate::licence::normal).transpose();
    let licence = match (stated, fallback) {
        (Err(error), _) => return report.refuse(&document.source, error.to_string()),
        (Ok(Some(licence)), _) => licence,
        (Ok(None), Some(fallback)) => fallback.to_string(),
        (Ok(None), None) => {
            let reason = "states no licence; name one for the whole import if they share it";
            return report.refuse(&document.source, reason.into());
        }
    };
    if !crate::licence::accepted(&licence, &datanet.licences) {
        return report
            .refuse(&document.source, format!("its licence {licence} is not one this Datanet accepts"));
    }
    document.licence = Some(licence);
    let findings = screen::screen(&document.text);
    match screen::apply(&datanet.screening, &document.text, document.prompt_bytes, &findings) {
        Verdict::Keep => {}
        Verdict::Redacted { text, prompt_bytes } => {
            report.redacted += 1;
            document.text = text;
            document.prompt_bytes = prompt_bytes;
        }
        Verdict::Reject(kind) => {
            let name = serde_json::to_string(&kind).unwrap_or_default();
            return report.refuse(&document.source, format!("screening: {}", name.trim_matches('"')));
        }
    }
    let kinds: Vec<Kind> = findings.iter().map(|f| f.kind).collect();
    for kind in &kinds {
        *report.findings.entry(*kind).or_insert(0) += 1;
    }
    Some((document, kinds))
}

impl Batch {
    fn new() -> Result<Batch, VaultError> {
        Ok(Batch {
            sealer: Sealer::new()?,
            key: new_key()?,
            keys: Vec::new(),
            leaves: Vec::new(),
            segments: Vec::new(),
            rows: Vec::new(),
            pack: Vec::new(),
            plain: 0,
            nu_bytes: 0,
        })
    }

    fn add(
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
        match duplicate.map(|d| d.kind) {
            Some(DuplicateKind::Exact) => report.exact_duplicates += 1,
            Some(DuplicateKind::Near | DuplicateKind::Published) => report.near_duplicates += 1,
            None => {}
        }
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
        let signature = signature::signature(&words::distinct_shingles(&words));
        let leaf = meta.facts.leaf();
        self.rows.push(Row { leaf, live: Some(LiveRow { offset, chunks, meta: sealed, signature }) });
        self.leaves.push(leaf);
        novelty.leaves.push(leaf);
        self.keys.push(key);
        self.plain += document.text.len();
        Ok(())
    }

    /// Writes the open segment.
    fn flush(&mut self, vault: &Vault, report: &mut ImportReport) -> Result<(), VaultError> {
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

/// Writes pack, outboard and rows; returns their place and bytes.
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

impl ImportReport {
    fn error(&mut self, error: &ReadError) {
        self.error_count += 1;
        if self.errors.len() < MAX_LISTED {
            self.errors.push(LeftOut { source: error.path().into(), reason: error.to_string() });
        }
    }

    fn refuse<T>(&mut self, source: &str, reason: String) -> Option<T> {
        self.refused_count += 1;
        if self.refused.len() < MAX_LISTED {
            self.refused.push(LeftOut { source: source.into(), reason });
        }
        None
    }

    fn count(&mut self, meta: &ItemMeta) {
        self.items += 1;
        self.bytes += meta.facts.bytes;
        self.tokens += meta.tokens;
        let licence = self.licences.entry(meta.facts.licence.clone()).or_insert((0, 0));
        licence.0 += 1;
        licence.1 += meta.facts.bytes;
        let language = meta.language.clone().unwrap_or_else(|| "und".into());
        *self.languages.entry(language).or_insert(0) += 1;
    }

    /// Mean novelty as a fraction, for display.
    pub fn mean_nu(&self) -> f64 {
        f64::from(self.mean_nu_ppm) / f64::from(PPM)
    }
}
