//! OPEN: the native coin as an ERC-20 with ERC-2612 permits and ERC-3009 authorizations.
//!
//! # State
//! Balances stand in [`crate::account`]; this module adds [`tables::ALLOWANCES`](crate::tables::ALLOWANCES),
//! [`tables::PERMIT_NONCES`](crate::tables::PERMIT_NONCES) and [`tables::AUTHORIZATIONS`](crate::tables::AUTHORIZATIONS).
//!
//! # Rules
//! - One balance: value sent with a transaction and an ERC-20 transfer move the same units, and both emit `Transfer` (as
//!   EIP-7708 proposes), so that every movement of money is in the log.
//! - Supply: genesis holds 10^9 OPEN, nothing mints; `totalSupply` is the genesis supply less what was burned.
//! - Transfers to the zero address are refused: to burn is a rule's business, not an accident's.
//! - An allowance of 2^256 - 1 is unlimited and is not reduced.
//! - Permits (ERC-2612) and authorizations (ERC-3009) are EIP-712 messages under `(name, version, chainId, this address)`. Malleable
//!   signatures (high s) are refused. An authorization is used once; it is valid strictly between `validAfter` and `validBefore`.
//!
//! # Who may
//! Anyone moves their own; `transferFrom` needs an allowance; signed messages may be carried by anyone, except that
//! `receiveWithAuthorization` is for the payee alone.

mod authorization;
mod dispatch;
mod erc20;
mod permit;
#[cfg(test)]
mod tests;

pub use authorization::{AuthorizedTransfer, receive_with_authorization};
pub(crate) use dispatch::dispatch;
pub use erc20::move_tokens;

use crate::context::Context;
use alloy_primitives::U256;
use alloy_sol_types::Eip712Domain;
use interfaces::{addresses, token};

/// The token's EIP-712 domain.
pub fn domain(ctx: &Context) -> Eip712Domain {
    Eip712Domain::new(
        Some(token::NAME.into()),
        Some(token::VERSION.into()),
        Some(U256::from(ctx.block.chain_id)),
        Some(addresses::TOKEN),
        None,
    )
}
