//! Treasury: the protocol's numbers, its money, the validators' pay and what was burned.
//!
//! # Parameters
//! Every number of the rule book that can be moved stands in [`Parameter`] with its default and bounds. The state holds
//! only what differs from the default. Genesis may set any of them inside its bounds (a development network shortens
//! the times); later only governance does, through [`parameters::set`]. The fee shares are checked together: they add up to 10,000
//! basis points, always.
//!
//! # Money
//! The module's account holds three things: the validators' pot, the auditors' pot, and the rest, which is free to spend. The pots
//! are counted in [`BOOKS`](crate::tables::BOOKS); what is free is the account's balance less the pots, so a
//! gift to the treasury is the treasury's.
//!
//! - [`receive`]: a settled batch hands over the shares of treasury, validators and auditors and has its burn burned.
//! - [`pay_subsidy`]: R5. At most half of what the fees that earned it burned and paid in, and never more than half of all
//!   that fees ever burned and paid in, less what was paid.
//! - [`spend`]: from what is free, by governance alone.
//! - [`pay_auditor`]: from the auditors' pot, by disputes alone.
//! - [`end_block`]: counts whose signatures on the parent the block carries; once an epoch the validators' pot goes to those who signed, in
//!   proportion to their signatures. What rounding leaves stays in the pot, and so does all of it when nobody signed.
//!
//! # Who may
//! From outside there are only views: no call spends or sets.

mod dispatch;
pub mod parameters;
mod spending;
pub mod state;
#[cfg(test)]
mod tests;
mod validators;

pub(crate) use dispatch::dispatch;
pub use parameters::Parameter;
pub use spending::{Income, burn, free, pay_auditor, pay_subsidy, receive, spend, subsidy_allowance};
pub use validators::end_block;
