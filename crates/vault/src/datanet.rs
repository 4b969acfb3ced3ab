//! What a Datanet is, as its owner declares it.

use crate::crypt::threshold::Keepers;
use crate::screen::Policy;
use primitives::{Address, DatanetId};
use serde::{Deserialize, Serialize};

/// Longest name, in bytes.
pub const MAX_NAME_BYTES: usize = 128;
/// Longest description, in bytes.
pub const MAX_DESCRIPTION_BYTES: usize = 8192;

/// A Datanet: a collection with one owner, one set of licences, one policy and one group of keepers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Datanet {
    /// On the ledger, what the ledger assigned; on a vault of its own, [`local_id`].
    pub id: DatanetId,
    /// What people call it.
    pub name: String,
    /// What it is for.
    #[serde(default)]
    pub description: String,
    /// Who made it.
    pub owner: Address,
    /// SPDX expressions that items may have; empty: any valid one.
    #[serde(default)]
    pub licences: Vec<String>,
    /// What happens to personal data, secrets and junk.
    #[serde(default)]
    pub screening: Policy,
    /// Who holds the keys.
    pub keepers: Keepers,
}

/// Identity of a Datanet that no ledger knows yet: its owner and name.
pub fn local_id(owner: &Address, name: &str) -> DatanetId {
    let mut hasher = blake3::Hasher::new_derive_key("openledger vault datanet v1");
    hasher.update(owner.as_slice()).update(name.as_bytes());
    DatanetId(primitives::B256::new(*hasher.finalize().as_bytes()))
}
