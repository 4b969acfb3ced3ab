//! Multicall3, native: several calls in one, as wallets, viem and x402 facilitators make them.
//!
//! # State
//! None. The modules called see this module as the caller, as on other chains: never leave OPEN, allowances or a role to
//! this address, since anyone can act through it.
//!
//! # Rules
//! - Calls run in order. One that is refused is undone alone, and reported or refused according to the call's form.
//! - Running out of gas and defects of the ledger are never reported as a call's failure: they end the whole call.
//! - OPEN cannot be sent along.
//! - At most [`MAX_CALLS`] calls.

mod dispatch;
#[cfg(test)]
mod tests;

pub use dispatch::MAX_CALLS;
pub(crate) use dispatch::dispatch;
