//! Settlement: what answers earned, split and paid (RULEBOOK R1, R14).
//!
//! # An epoch
//! Every payment for a model at an operator goes to their escrow, which nobody can spend but this module. Epochs of an escrow are numbered
//! from 1. One goes through four calls:
//!
//! 1. [`close`](epochs): the operator takes the escrow's balance as the epoch's income. Payments after that are the next epoch's, so
//!    that nobody's dust can spoil a batch between its making and its landing. A gift is income like any other: the
//!    operator writes a receipt for it.
//! 2. [`post`](batches): the batch. Its fees are exactly the income, its sequence numbers start where the last batch's ended, its payouts add up to
//!    at most the data share. A bond of fees / q is bound in the operator's stake; unsettled revenue must be within R6's limit.
//! 3. After the challenge window anyone [`finalise`](finality)s it: the fees are split (below), the bond is free.
//! 4. [`claim`](claims): leaves of the Merkle-sum tree of payouts are paid to the accounts they name, whoever asks, each once.
//!
//! # The split
//! In basis points from the [parameters](crate::treasury::Parameter), each part rounded down: data, developer, operator, auditors, validators,
//! burned; the treasury's part is what is left of the fees, so the sum is the fees exactly (invariant 2). Of the data share what no leaf claims
//! (silence, rounding) goes to the treasury. The split is fixed when the batch is posted. The developer's part goes down the model's lineage: each base gets its share of what arrives,
//! an imported base's is held by an account that its developers can be given.
//!
//! # Vesting
//! A vesting leaf does not pay: it adds to a grant that vests linearly from finalisation on, rounded up to a thirtieth of the
//! vesting time so that the leaves of a day share one grant. [`release`](vesting) pays what has vested. [`claw_back`] takes what has not
//! (invariant 6).
//!
//! # Money
//! The module's account holds unposted and posted income, unclaimed payouts and unpaid grants. A batch never pays more than its data share, and
//! each leaf once, so one batch cannot draw on another's money.
//!
//! # Refutation
//! [`refute`] is what a dispute calls when it has convicted a batch inside its window; from outside there is no way to it. The fees of a
//! refuted batch stay held, for its payers; nothing else is touched: the next batch goes on at the next sequence number.

mod batches;
mod claims;
mod dispatch;
mod epochs;
mod finality;
mod split;
pub mod state;
#[cfg(test)]
mod tests;
mod vesting;

pub(crate) use dispatch::dispatch;
pub use finality::refute;
pub use split::{Split, split};
pub use vesting::claw_back;
