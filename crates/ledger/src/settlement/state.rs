//! What settlement stores.

use crate::{
    error::{Error, Result, ensure},
    record,
    storage::State,
    tables::{BATCHES, PROGRESS},
};
use alloy_primitives::{Address, B256};
use interfaces::settlement::{ISettlement, ISettlement::Status};
use primitives::Amount;

record! {
    /// Where an escrow's epochs stand.
    #[derive(Default)]
    pub struct ProgressRecord {
        /// Sequence number of the next receipt.
        pub next_sequence: u64,
        /// The epoch closed last; 0 before the first.
        pub epoch: u64,
        /// When it was closed, in seconds.
        pub closed_at: u64,
        /// Its income, until it is posted.
        pub unposted: Amount,
    }
}

record! {
    /// A posted batch.
    pub struct BatchRecord {
        /// [`Status`] as a number.
        pub status: u8,
        /// Who posted it.
        pub operator: Address,
        /// The model that answered.
        pub model: B256,
        /// Epoch of the escrow.
        pub epoch: u64,
        /// Sequence number of the first receipt.
        pub first_sequence: u64,
        /// Receipts.
        pub count: u64,
        /// Merkle root of the receipts.
        pub receipts: B256,
        /// Root of the partial sums.
        pub folds: B256,
        /// Fees, equal to the epoch's income.
        pub fees: Amount,
        /// Merkle-sum root of the payouts.
        pub payouts: B256,
        /// Sum of the payouts.
        pub payout_total: Amount,
        /// Payout leaves.
        pub payout_count: u64,
        /// The developer's part of the fees. The split is fixed here, so that moving a parameter moves no posted batch.
        pub developer: Amount,
        /// The operator's part.
        pub operator_part: Amount,
        /// The auditors' part.
        pub auditors: Amount,
        /// The validators' part.
        pub validators: Amount,
        /// To be burned.
        pub burned: Amount,
        /// Stake bound.
        pub bond: Amount,
        /// Block time of posting.
        pub posted_at: u64,
        /// From then on it can be final.
        pub finalise_at: u64,
        /// Block time of finality; 0 before.
        pub finalised_at: u64,
        /// Paid to leaves, grants included.
        pub claimed: Amount,
    }
}

record! {
    /// What vests to an account from one start on.
    pub struct GrantRecord {
        /// Seconds over which it vests.
        pub seconds: u64,
        /// Units granted, less what was clawed back.
        pub granted: Amount,
        /// Units paid.
        pub paid: Amount,
    }
}

record! {
    /// An account's vesting in total.
    #[derive(Default)]
    pub struct VestingRecord {
        /// Units granted, less what was clawed back.
        pub granted: Amount,
        /// Units paid.
        pub paid: Amount,
        /// All grants before this number are paid in full.
        pub open: u64,
    }
}

impl BatchRecord {
    /// The status as the interface has it.
    pub fn status(&self) -> Status {
        Status::try_from(self.status).unwrap_or(Status::None)
    }
}

/// The batch `id`, or a refusal.
pub fn load(state: &mut State, id: B256) -> Result<BatchRecord> {
    BATCHES.get(state, &id)?.ok_or_else(|| Error::rejected(ISettlement::UnknownBatch { id }))
}

/// The batch `id` if it has this status, or a refusal.
pub fn load_in(state: &mut State, id: B256, status: Status) -> Result<BatchRecord> {
    let batch = load(state, id)?;
    let found = batch.status();
    ensure(found == status, || Error::rejected(ISettlement::WrongStatus { id, status: found }))?;
    Ok(batch)
}

/// Where the epochs of `operator` and `model` stand.
pub fn progress(state: &mut State, operator: Address, model: B256) -> Result<ProgressRecord> {
    Ok(PROGRESS.get(state, &(operator, model))?.unwrap_or_default())
}
