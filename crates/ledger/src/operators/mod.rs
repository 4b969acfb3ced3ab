//! Operators: who serves models, with which stake and at which prices (RULEBOOK R6, R8).
//!
//! # State
//! An [`OperatorRecord`](state::OperatorRecord) an account, its endpoint, its offers, and stake on its way out. The module's account
//! holds all stakes and everything unbonding.
//!
//! # Rules
//! - *Stake.* At least the governed minimum, or nothing. Of it, `locked` is bound as bonds of batches that can still be refuted.
//! - *Unsettled revenue U* is what the operator's escrows hold, what was claimed for them in channels, and what its closed or posted
//!   batches carry until they are final. [`require_within_limit`] refuses while `U > q * S`: it guards the claims of channels and the posting of
//!   batches (invariant 12). Payments that nobody can refuse (a plain transfer to an escrow) may lift U above the limit; then nothing is paid out
//!   until stake is added.
//! - *Unbonding* takes stake that neither bonds nor the limit need; it is paid after the unbonding time and can be
//!   slashed until then. Unbonding
//!   everything, which needs U to be zero, ends the registration; a jailed operator stays jailed.
//! - *Offers* name a model that is ready, at rates not below its developer's, so that nobody can undercut what contributors
//!   are owed. An offer's escrow is a function of operator and model; ending the offer leaves it to be settled.
//! - *Slashing* ([`slash`]) takes from the stake first, then from what unbonds, latest first. Disputes call it; nobody can from outside.
//!
//! # Who may
//! Everyone registers and offers for themselves; a finished unbonding is paid to its operator whoever calls.

mod dispatch;
mod offers;
mod registration;
mod revenue;
mod stake;
pub mod state;
#[cfg(test)]
mod tests;

pub(crate) use dispatch::dispatch;
pub use offers::is_offered;
pub use revenue::{
    add_pending, limit, release_pending, require_revenue_allowed, require_within_limit, unsettled,
};
pub use stake::{bond_for, deposit, jail, lock, slash, unlock};
