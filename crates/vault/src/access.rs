//! Who may read what: grants and tombstones, as the log records them.
//!
//! Keepers re-wrap the keys of the items in a grant's scope for one grantee; the grant is bound to a registered training
//! descriptor, so that owners need not be online (RULEBOOK R15). A grant ends by expiry or revocation; from then on the vault
//! serves nothing under it and its wrapped keys are removed. What a grantee decrypted before cannot be
//! called back, and owners are told so. An erasure leaves a tombstone: the leaf stays, so lineage still verifies.

use crate::crypt::keys::PublicKey;
use crate::vault::layout::{ContributionId, SegmentRef};
use primitives::{B256, ModelId};
use serde::{Deserialize, Serialize};

/// Which items a grant opens. It is fixed when the grant is made: later contributions are not in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Scope {
    /// The items of a frozen training set.
    Set {
        /// Its root.
        root: B256,
    },
    /// All items of these contributions.
    Contributions {
        /// Which.
        ids: Vec<ContributionId>,
    },
}

/// A grant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Random identity.
    pub id: B256,
    /// Who may decrypt.
    pub grantee: PublicKey,
    /// Which items.
    pub scope: Scope,
    /// Hash of the registered training descriptor it is for.
    pub run: Option<B256>,
    /// First second at which it is void.
    pub expires_at: u64,
    /// Number of items.
    pub items: u64,
    /// For what, in words.
    pub purpose: String,
}

/// One segment that an erasure rewrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rewritten {
    /// Whose.
    pub contribution: ContributionId,
    /// Its place in the contribution.
    pub segment: u32,
    /// What it was; these objects are removed.
    pub before: SegmentRef,
    /// What it is now.
    pub after: SegmentRef,
}

/// What is left of erased items.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tombstone {
    /// Their leaves.
    pub leaves: Vec<B256>,
    /// Why, in words.
    pub reason: String,
    /// Models that were trained on any of them: their replay is partial from now on.
    pub models: Vec<ModelId>,
    /// Training sets that hold any of them.
    pub sets: Vec<B256>,
    /// Segments that were rewritten without them.
    pub rewritten: Vec<Rewritten>,
}
