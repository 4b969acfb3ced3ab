//! A ledger that is read from a node without trusting it.
//!
//! Everything starts from the genesis document. A node hands over words of state with proofs, and the certificate by which a quorum of
//! the genesis' validators finalized the state root they are proven against. Over those words the ledger's own code runs: a view asked
//! of a [`Snapshot`] is computed here, not by the node. A word the view needs and that is not proven yet is noted; the reader runs again
//! once it is fetched, as a node's executor does ([decision 2](../../../docs/decisions/0002-misses-are-noted-not-raised.md)).
//!
//! All words of a snapshot are of one block. What a proof does not carry is a [`LightError::Lie`], which names the node and what it
//! claimed. What a node can still do is to be silent, or to show an older state that was final once: its age is shown.

mod event;
mod snapshot;

pub use snapshot::Snapshot;

use crate::rpc::Client;
use alloy_primitives::{B256, Bytes, U256};
use anyhow::Context as _;
use chain::light::{FinalityProof, LightClient, VerifiedHeader, WordEvidence};
use ledger::{Genesis, State};
use serde::Deserialize;
use serde_json::json;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

/// Most words that one snapshot holds.
const MAX_SLOTS: usize = 4096;
/// Most rounds of fetching; each brings words that the round before did not know to need.
const MAX_ROUNDS: usize = 64;
/// Largest genesis document that is read.
const MAX_GENESIS_BYTES: u64 = 16 << 20;

/// Why the ledger could not be read.
#[derive(Debug, thiserror::Error)]
pub enum LightError {
    /// The node claimed something that no certificate carries.
    #[error("the node at {node} lies or is broken: {claim}")]
    Lie {
        /// Where it answers.
        node: String,
        /// What it claimed.
        claim: String,
    },
    /// The node gave nothing to check.
    #[error("the node at {node} proves nothing: {reason}")]
    Silent {
        /// Where it answers.
        node: String,
        /// Why.
        reason: String,
    },
    /// The reader asks for more words than a snapshot holds.
    #[error("more than {MAX_SLOTS} words in {MAX_ROUNDS} rounds are needed: ask for less at once")]
    TooMuch,
}

/// A node, and what the genesis says of who may finalize.
pub struct LightLedger {
    client: Client,
    light: LightClient,
    genesis: Genesis,
    slots: BTreeSet<B256>,
    state: State,
    header: Option<VerifiedHeader>,
}

/// `openledger_getProof`'s answer, as far as it is used.
#[derive(Deserialize)]
struct Proofs {
    finality: Bytes,
    words: Vec<ProvenWord>,
}

#[derive(Deserialize)]
struct ProvenWord {
    bytes: Bytes,
}

impl LightLedger {
    /// The ledger that began with `genesis`, read from the node of `client`.
    pub fn new(client: Client, genesis: Genesis) -> anyhow::Result<LightLedger> {
        let light = LightClient::new(genesis.clone()).context("this genesis starts no ledger")?;
        let (slots, state) = (BTreeSet::new(), State::new());
        Ok(LightLedger { client, light, genesis, slots, state, header: None })
    }

    /// The document that is trusted.
    pub fn genesis(&self) -> &Genesis {
        &self.genesis
    }

    /// Where the node answers.
    pub fn node(&self) -> &str {
        self.client.url()
    }

    /// The block whose state the last [`LightLedger::read`] saw, if it needed any.
    pub fn header(&self) -> Option<&VerifiedHeader> {
        self.header.as_ref()
    }

    /// Runs `reader` over proven state, again and again until no word is missing. Its last run alone counts.
    pub async fn read<T>(&mut self, mut reader: impl FnMut(&Snapshot) -> T) -> Result<T, LightError> {
        for _ in 0..MAX_ROUNDS {
            let env = self.header.as_ref().map(|header| header.env(&self.genesis));
            let snapshot = Snapshot::new(self.state.clone(), env);
            let value = reader(&snapshot);
            let missed = snapshot.into_missed();
            if missed.is_empty() {
                return Ok(value);
            }
            self.slots.extend(missed);
            if self.slots.len() > MAX_SLOTS {
                break;
            }
            self.fetch().await?;
        }
        Err(LightError::TooMuch)
    }

    /// Forgets the snapshot: the next read is of the newest block.
    pub fn renew(&mut self) {
        self.slots.clear();
        self.state = State::new();
        self.header = None;
    }

    fn lie(&self, claim: impl Into<String>) -> LightError {
        LightError::Lie { node: self.node().into(), claim: claim.into() }
    }

    fn silent(&self, reason: impl std::fmt::Display) -> LightError {
        LightError::Silent { node: self.node().into(), reason: reason.to_string() }
    }

    /// Fetches all words again, so that all are of one block.
    async fn fetch(&mut self) -> Result<(), LightError> {
        let slots: Vec<B256> = self.slots.iter().copied().collect();
        let proofs: Proofs = self
            .client
            .request("openledger_getProof", json!([slots]))
            .await
            .map_err(|error| self.silent(format!("{error:#}")))?;
        let header = self.verified(&proofs.finality)?;
        if proofs.words.len() != slots.len() {
            return Err(self.lie(format!(
                "{} words where {} were asked for",
                proofs.words.len(),
                slots.len()
            )));
        }
        let mut words = BTreeMap::new();
        for (slot, proven) in slots.iter().zip(&proofs.words) {
            let evidence = WordEvidence::from_bytes(proven.bytes.0.clone())
                .map_err(|error| self.lie(format!("the proof of slot {slot} cannot be read ({error})")))?;
            if evidence.slot != *slot {
                return Err(self.lie(format!("a proof of slot {} where {slot} was asked for", evidence.slot)));
            }
            let word = evidence.verify(&header).ok_or_else(|| {
                let height = header.header().height;
                self.lie(format!(
                    "slot {slot} does not hold {} in the state of block {height}",
                    evidence.word
                ))
            })?;
            words.insert(*slot, word);
        }
        let mut state = State::new();
        for (slot, word) in words {
            state.provide(slot, word);
        }
        self.state = state;
        self.header = Some(header);
        Ok(())
    }

    /// The header that a quorum of the genesis' validators finalized.
    fn verified(&self, finality: &Bytes) -> Result<VerifiedHeader, LightError> {
        let proof = FinalityProof::from_bytes(finality.0.clone())
            .map_err(|error| self.lie(format!("its certificate cannot be read ({error})")))?;
        self.light
            .verify(&proof)
            .map_err(|error| self.lie(format!("its certificate is not the genesis' validators' ({error})")))
    }
}

/// Reads a genesis document.
pub fn read_genesis(path: &Path) -> anyhow::Result<Genesis> {
    let size = std::fs::metadata(path)
        .with_context(|| format!("cannot read the genesis {}; pass --genesis FILE", path.display()))?
        .len();
    anyhow::ensure!(
        size <= MAX_GENESIS_BYTES,
        "{} has {size} bytes; a genesis document has at most {MAX_GENESIS_BYTES}",
        path.display()
    );
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let genesis: Genesis = serde_json::from_str(&text)
        .with_context(|| format!("{} is not a genesis document", path.display()))?;
    genesis.validate().with_context(|| format!("{} starts no ledger", path.display()))?;
    Ok(genesis)
}

/// A quantity of JSON-RPC as a number.
fn number(value: &serde_json::Value) -> Option<u64> {
    value.as_str()?.parse::<U256>().ok().map(|number| number.saturating_to())
}
