//! Who signed the parent: what a proposer carries of its certificate, and what that proves to everyone alike.
//!
//! Consensus reports every certificate it forms or receives. A proposer puts the one of its parent into the header
//! (`parent_votes`), under the block's own digest; verifiers check its signatures, and the ledger credits each signer's
//! account ([`ledger::BlockEnv::signers`]). So all nodes count the same signatures, whatever each of them saw.
//!
//! - A certificate is a notarization or a finalization of exactly the parent, by a quorum of the validators.
//! - None is valid too: block 1 has no parent that was voted on, and a proposer that just came back may not hold it.
//! - It names a quorum, not everybody: a vote that came after the quorum's is not counted (`docs/decisions/0003`).

use crate::{
    block::{Digest, Scheme},
    network_rules::Rules,
};
use alloy_primitives::Address;
use bytes::Bytes;
use commonware_codec::{Copying, Decode as _, Encode as _};
use commonware_consensus::{Viewable as _, simplex::types};
use commonware_parallel::Sequential;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

/// A certificate of consensus.
pub type Certificate = types::Certificate<Scheme, Digest>;

/// Views behind the newest whose certificates are kept: a parent is never older while the network lives.
const KEPT_VIEWS: u64 = 64;

/// Certificates that this node has seen, and the check of those that blocks carry.
pub struct Participation {
    rules: Arc<Rules>,
    verifier: Scheme,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    newest: u64,
    by_block: HashMap<Digest, (u64, Certificate)>,
}

/// The block that a certificate speaks for and its signers' positions; `None` when it is of a skipped round.
fn content(certificate: &Certificate) -> Option<(Digest, Vec<usize>)> {
    let (proposal, votes) = match certificate {
        Certificate::Notarization(votes) => (&votes.proposal, &votes.certificate),
        Certificate::Finalization(votes) => (&votes.proposal, &votes.certificate),
        Certificate::Nullification(_) => return None,
    };
    Some((proposal.payload, votes.signers.iter().map(usize::from).collect()))
}

impl Participation {
    /// Knows nothing yet.
    pub fn new(rules: Arc<Rules>) -> Self {
        let verifier = rules.verifier();
        Self { rules, verifier, seen: Mutex::default() }
    }

    /// Keeps a certificate, unless one of the same block with at least as many signers is there.
    pub fn learn(&self, certificate: Certificate) {
        let Some((block, signers)) = content(&certificate) else { return };
        let view = certificate.view().get();
        let mut seen = self.seen.lock().expect("no code panics while it holds the lock");
        let known = seen.by_block.get(&block).and_then(|(_, known)| content(known));
        if known.is_some_and(|(_, known)| known.len() >= signers.len()) {
            return;
        }
        seen.by_block.insert(block, (view, certificate));
        if view > seen.newest {
            seen.newest = view;
            seen.by_block.retain(|_, (kept, _)| *kept + KEPT_VIEWS >= view);
        }
    }

    /// The encoded certificate of `parent` for a block on it; empty when none was seen.
    pub fn votes(&self, parent: &Digest) -> Bytes {
        let seen = self.seen.lock().expect("no code panics while it holds the lock");
        seen.by_block.get(parent).map(|(_, certificate)| certificate.encode()).unwrap_or_default()
    }

    /// Whether the signatures of the votes that a block carries hold. Of whose block they are, [`signers`] checks.
    pub fn verify(&self, votes: &Bytes) -> bool {
        match decode(&self.rules, votes) {
            Ok(None) => true,
            // Signatures are verified as one batch, whose weights must be unpredictable.
            Ok(Some(votes)) => votes.verify(&mut commonware_utils::sys_rng(), &self.verifier, &Sequential),
            Err(_) => false,
        }
    }
}

fn decode(rules: &Rules, votes: &Bytes) -> Result<Option<Certificate>, &'static str> {
    if votes.is_empty() {
        return Ok(None);
    }
    let validators = rules.validators.len();
    let certificate = Certificate::decode_cfg(Copying(votes.as_ref()), &validators);
    certificate.map(Some).map_err(|_| "parent votes are malformed")
}

/// Accounts of the validators that the certificate `votes` of the block `parent` names, one for each signature, in the
/// order of their keys. Checks everything but the signatures; the error names the broken rule.
pub fn signers(rules: &Rules, votes: &Bytes, parent: &Digest) -> Result<Vec<Address>, &'static str> {
    let Some(votes) = decode(rules, votes)? else { return Ok(Vec::new()) };
    let Some((block, signers)) = content(&votes) else { return Err("parent votes of a skipped round") };
    if block != *parent {
        return Err("parent votes of another block");
    }
    let account = |position: usize| {
        let key = rules.validators.get(position)?;
        rules.reward_account(key)
    };
    signers.into_iter().map(account).collect::<Option<_>>().ok_or("parent votes of an unknown validator")
}
