//! What the Datanets' module stores.

use crate::{
    error::{Error, Result, ensure},
    record,
    storage::State,
    tables::{CONTRIBUTIONS, DATANETS},
};
use alloy_primitives::{Address, B256};
use interfaces::datanets::{IDatanets, IDatanets::Policy, IDatanets::Status};
use primitives::Amount;

record! {
    /// A Datanet.
    pub struct DatanetRecord {
        /// Who made it.
        pub creator: Address,
        /// [`Policy`] as a number.
        pub policy: u8,
        /// Allowed licences.
        pub licences: u8,
        /// Shares.
        pub shares: u8,
        /// Block time of creation.
        pub created_at: u64,
        /// Bond for each byte of plaintext.
        pub bond_per_byte: Amount,
        /// Hash of the published description.
        pub metadata: B256,
        /// Contributions revealed.
        pub contributions: u64,
        /// Items of the contributions that count now.
        pub items: u64,
        /// Their bytes.
        pub size: u64,
        /// Versions frozen.
        pub versions: u32,
    }
}

record! {
    /// A share of what a Datanet earns.
    pub struct ShareRecord {
        /// Whose.
        pub account: Address,
        /// Basis points.
        pub bps: u16,
    }
}

record! {
    /// A commitment that waits for its reveal.
    pub struct CommitRecord {
        /// For which Datanet.
        pub datanet: B256,
        /// Position among all commits.
        pub sequence: u64,
        /// Height of its block.
        pub height: u64,
        /// Time of its block.
        pub time: u64,
        /// Bond sent along.
        pub bond: Amount,
    }
}

record! {
    /// A revealed contribution.
    pub struct ContributionRecord {
        /// To which Datanet.
        pub datanet: B256,
        /// By whom.
        pub owner: Address,
        /// [`Status`] as a number.
        pub status: u8,
        /// Number of its licence among the Datanet's.
        pub licence: u8,
        /// Position of its commit.
        pub sequence: u64,
        /// Height of its commit.
        pub commit_height: u64,
        /// Time of its commit.
        pub commit_time: u64,
        /// Merkle root of its item leaves.
        pub root: B256,
        /// Items.
        pub count: u64,
        /// Bytes of plaintext.
        pub size: u64,
        /// Declared uses.
        pub uses: u32,
        /// Root of its near-duplicate signatures, or zero.
        pub signatures: B256,
        /// Bond held.
        pub bond: Amount,
        /// Items settled as copies.
        pub duplicates: u64,
        /// When the bond of a withdrawn contribution is free; 0 before.
        pub bond_free_at: u64,
    }
}

record! {
    /// A frozen version.
    pub struct VersionRecord {
        /// Root of the range of accepted contributions.
        pub accepted: B256,
        /// Their number.
        pub accepted_count: u64,
        /// Root of the range of withdrawn ones.
        pub withdrawn: B256,
        /// Their number.
        pub withdrawn_count: u64,
        /// Items in it.
        pub items: u64,
        /// Bytes in it.
        pub size: u64,
        /// Block time.
        pub frozen_at: u64,
        /// A bit for each licence in use.
        pub licences: u32,
    }
}

record! {
    /// The original of a copied item.
    pub struct DuplicateRecord {
        /// The contribution that holds the original.
        pub contribution: B256,
        /// Where in it.
        pub index: u64,
    }
}

impl DatanetRecord {
    /// The policy as the interface has it.
    pub fn policy(&self) -> Policy {
        Policy::try_from(self.policy).unwrap_or(Policy::Curated)
    }
}

impl ContributionRecord {
    /// The status as the interface has it.
    pub fn status(&self) -> Status {
        Status::try_from(self.status).unwrap_or(Status::None)
    }
}

/// The Datanet, or a refusal.
pub fn load(state: &mut State, datanet: B256) -> Result<DatanetRecord> {
    DATANETS.get(state, &datanet)?.ok_or_else(|| Error::rejected(IDatanets::UnknownDatanet { datanet }))
}

/// The contribution, or a refusal.
pub fn load_contribution(state: &mut State, contribution: B256) -> Result<ContributionRecord> {
    let record = CONTRIBUTIONS.get(state, &contribution)?;
    record.ok_or_else(|| Error::rejected(IDatanets::UnknownContribution { contribution }))
}

/// Refuses unless the contribution has this status.
pub(super) fn require_status(contribution: B256, record: &ContributionRecord, status: Status) -> Result<()> {
    let found = record.status();
    ensure(found == status, || Error::rejected(IDatanets::WrongStatus { contribution, status: found }))
}
