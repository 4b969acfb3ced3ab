//! What an import says of itself, for the data's owner to read.

use super::layout::{ContributionId, ItemMeta};
use crate::read::ReadError;
use crate::screen::Kind;
use crate::similar::{DuplicateKind, PPM};
use primitives::B256;
use serde::Serialize;
use std::collections::BTreeMap;

/// Most problems of one kind that a report lists; the rest is counted.
pub const MAX_LISTED: usize = 1000;

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

/// A document, and what is to be said of it: why it did not go in, or what was found in it.
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
    /// Items of them that an interrupted import had stored already.
    pub resumed: u64,
    /// Bytes stored by this call.
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
    /// The documents they were found in, each with its kinds (at most [`MAX_LISTED`]).
    pub flagged: Vec<LeftOut>,
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

impl ImportReport {
    pub(super) fn error(&mut self, error: &ReadError) {
        self.error_count += 1;
        if self.errors.len() < MAX_LISTED {
            self.errors.push(LeftOut { source: error.path().into(), reason: error.to_string() });
        }
    }

    pub(super) fn refuse<T>(&mut self, source: &str, reason: String) -> Option<T> {
        self.refused_count += 1;
        if self.refused.len() < MAX_LISTED {
            self.refused.push(LeftOut { source: source.into(), reason });
        }
        None
    }

    /// Notes what was found in a document that goes in.
    pub(super) fn flag(&mut self, source: &str, kinds: &[Kind]) {
        let mut counts: BTreeMap<Kind, u64> = BTreeMap::new();
        kinds.iter().for_each(|kind| *counts.entry(*kind).or_insert(0) += 1);
        if !kinds.is_empty() && self.flagged.len() < MAX_LISTED {
            let reason: Vec<_> = counts.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
            self.flagged.push(LeftOut { source: source.into(), reason: reason.join(", ") });
        }
        for (kind, count) in counts {
            *self.findings.entry(kind).or_insert(0) += count;
        }
    }

    /// Counts an item that goes in.
    pub(super) fn count(&mut self, meta: &ItemMeta) {
        match meta.duplicate.map(|d| d.kind) {
            Some(DuplicateKind::Exact) => self.exact_duplicates += 1,
            Some(DuplicateKind::Near | DuplicateKind::Published) => self.near_duplicates += 1,
            None => {}
        }
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
