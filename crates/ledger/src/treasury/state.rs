//! What the treasury stores.

use crate::{error::Result, record, storage::State, tables::BOOKS};
use primitives::Amount;

record! {
    /// Pots and totals since genesis.
    #[derive(Default)]
    pub struct BooksRecord {
        /// Waits for the validators.
        pub validators: Amount,
        /// Waits for auditors.
        pub auditors: Amount,
        /// Paid in by fees as the treasury's own.
        pub received: Amount,
        /// Burned of fees.
        pub burned: Amount,
        /// Paid out as subsidies.
        pub subsidies: Amount,
        /// Paid out by governance.
        pub spent: Amount,
        /// Paid out to validators.
        pub to_validators: Amount,
    }
}

record! {
    /// The running period of the validators' pay.
    #[derive(Default)]
    pub struct PeriodRecord {
        /// When it began, in seconds.
        pub started_at: u64,
        /// Signatures counted in it.
        pub signatures: u64,
    }
}

/// The books; all zero before the first entry.
pub fn books(state: &mut State) -> Result<BooksRecord> {
    Ok(BOOKS.get(state, &())?.unwrap_or_default())
}
