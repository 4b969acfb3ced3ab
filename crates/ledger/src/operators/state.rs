//! What the operators' module stores.

use crate::{
    error::{Error, Result},
    record,
    storage::State,
    tables::OPERATORS,
};
use alloy_primitives::Address;
use interfaces::operators::{IOperators, IOperators::Status};
use primitives::Amount;

record! {
    /// An operator.
    pub struct OperatorRecord {
        /// [`Status`] as a number.
        pub status: u8,
        /// Block time of registration.
        pub registered_at: u64,
        /// Units that answer for faults.
        pub stake: Amount,
        /// Of the stake, units bound as bonds of open batches.
        pub locked: Amount,
        /// Units on their way out.
        pub unbonding: Amount,
        /// Fees of closed and posted batches that are not final.
        pub pending: Amount,
        /// Unbondings started.
        pub unbondings: u64,
        /// Unbondings paid out: all before this number are.
        pub unbondings_open: u64,
    }
}

record! {
    /// An offer of a model.
    pub struct OfferRecord {
        /// Whether it can be bought.
        pub active: bool,
        /// Units per 1,000 tokens read.
        pub rate_in: Amount,
        /// Units per 1,000 tokens written.
        pub rate_out: Amount,
        /// Units per query.
        pub platform_fee: Amount,
    }
}

record! {
    /// Stake on its way out.
    pub struct UnbondingRecord {
        /// Units; zero once paid or slashed.
        pub amount: Amount,
        /// Paid from this time on.
        pub free_at: u64,
    }
}

impl OperatorRecord {
    /// The status as the interface has it.
    pub fn status(&self) -> Status {
        Status::try_from(self.status).unwrap_or(Status::None)
    }
}

/// The operator at `account`, or a refusal.
pub fn load(state: &mut State, account: Address) -> Result<OperatorRecord> {
    OPERATORS.get(state, &account)?.ok_or_else(|| Error::rejected(IOperators::NotOperator { account }))
}

/// The operator at `account` if it may offer and be paid, or a refusal.
pub fn load_active(state: &mut State, account: Address) -> Result<OperatorRecord> {
    let operator = load(state, account)?;
    match operator.status() {
        Status::Active => Ok(operator),
        status => Err(Error::rejected(IOperators::NotActive { operator: account, status })),
    }
}
