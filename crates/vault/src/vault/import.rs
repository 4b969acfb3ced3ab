//! Importing: documents to committed items.
//!
//! Per document: screen by the Datanet's policy, check the licence, skip what this owner already has in this Datanet, assess
//! novelty against everything committed before, encrypt, append to the open segment. A segment is written when it is full; the
//! contribution becomes true with its record in the log. Everything left out is in the report with its reason.

use super::batch::Batch;
use super::layout::{self, ContributionId};
use super::log::{Contribution, Event};
use super::report::{ImportReport, Progress};
use super::{Novelty, Vault, VaultError};
use crate::crypt::keys::Keyring;
use crate::crypt::{CryptError, random};
use crate::datanet::Datanet;
use crate::document::{self, Document};
use crate::read::ReadError;
use crate::screen::{self, Kind, Verdict};
use crate::similar::Index;
use primitives::{Address, B256, DatanetId, merkle};
use std::collections::HashSet;

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
    /// Bytes of text after which a segment is written; [`layout::SEGMENT_BYTES`] unless there is a reason.
    pub segment_bytes: usize,
}

impl ImportOptions {
    /// An import of `owner` into `datanet`, for documents that state their licence.
    pub fn new(datanet: DatanetId, owner: Address, now: u64) -> ImportOptions {
        ImportOptions { datanet, owner, licence: None, now, segment_bytes: layout::SEGMENT_BYTES }
    }

    /// What an interrupted import is found by: the same owner, Datanet and licence.
    pub(super) fn session(&self) -> B256 {
        let mut hasher = blake3::Hasher::new_derive_key("openledger vault import session v1");
        hasher.update(self.datanet.0.as_slice()).update(self.owner.as_slice());
        hasher.update(self.licence.as_deref().unwrap_or("").as_bytes());
        B256::new(*hasher.finalize().as_bytes())
    }
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
        let mut report = ImportReport { compared_with_all, ..ImportReport::default() };
        let mut batch = Batch::new()?;
        let session = options.session();
        let outcome = (|| {
            batch.resume(self, &session, options, ring, &mut novelty, &mut report)?;
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
                let admitted = admit(&datanet, document, fallback.as_deref(), &mut report);
                let Some((document, findings)) = admitted else { continue };
                batch.add(document, findings, options, &mut novelty, &mut report)?;
                if batch.is_full(options.segment_bytes) {
                    batch.flush(self, &mut report)?;
                    batch.checkpoint(self, &datanet.keepers, &session)?;
                }
            }
            batch.flush(self, &mut report)?;
            self.commit(batch, &datanet, options, &mut report)?;
            Ok(self.store.remove(&layout::pending_name(&session))?)
        })();
        // After a failure the index knows items that were never committed; it is built anew when next needed.
        if outcome.is_ok() {
            self.novelty = Some(novelty);
        }
        outcome.map(|()| report)
    }

    fn commit(
        &mut self,
        batch: Batch,
        datanet: &Datanet,
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
        let object = layout::encode_keys(&batch.keys_object(&datanet.keepers, &id.0)?);
        self.store.create(&layout::keys_name(&id), &object)?;
        report.stored_bytes += object.len() as u64;
        let contribution = Contribution {
            id,
            datanet: datanet.id,
            owner: options.owner,
            root,
            salt,
            signatures: merkle::root(&batch.signatures),
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
        if self.novelty.as_ref().is_some_and(|novelty| novelty.complete) {
            return Ok(true);
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
    datanet: &Datanet,
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
            return report.refuse(&document.source, format!("screening found {kind}"));
        }
    }
    let kinds: Vec<Kind> = findings.iter().map(|f| f.kind).collect();
    report.flag(&document.source, &kinds);
    Some((document, kinds))
}
