//! Payment channels: x402 `batch-settlement` for EVM, and its ERC-3009 deposit collector (RULEBOOK R13).
//!
//! Calls, events, EIP-712 types and refusals are those that the npm packages @x402/core and @x402/evm 2.27.0 call and sign, so stock
//! clients, servers and facilitators work; `docs/X402.md` tells the whole protocol.
//!
//! # State
//! - By channel id: [`Channel`] (`balance`: deposits less what went back; `total_claimed`), [`Withdrawal`] (pending, with
//!   the second it started), and the next refund nonce. The id is the EIP-712 hash of the configuration, which
//!   every call carries; it is not stored.
//! - By escrow: [`Receiver`] (totals claimed and settled) and [`EscrowOwner`].
//!
//! # Rules
//! 1. The receiver is the escrow of one operator and model, the receiver authorizer that operator, the token OPEN (R1). So what
//!    channels pay can only be spent by settlement. An escrow is registered before its first deposit, by the operator's first offer of
//!    the model or by anyone: its address is a hash, which the ledger cannot invert.
//! 2. A deposit is pulled by ERC-3009 `receiveWithAuthorization` to the collector, under a nonce that binds channel and salt: an
//!    authorization can pay into one channel only, whoever carries it.
//! 3. A claim sets `total_claimed` to a cumulative amount, up to the ceiling that the payer's voucher signs and up to `balance`. A row
//!    not above what is claimed already changes nothing. Nothing moves: `settle` pays an escrow what was claimed. The operator must
//!    offer the model and its unsettled revenue, these rows included, stay within the limit of R6 (invariant 12).
//! 4. Refund (receiver's side) and withdrawal (payer's side, after `withdrawDelay` seconds of block time) return at most
//!    `balance - total_claimed` to the payer. A refund lowers a pending withdrawal by the same amount.
//! 5. A refund moves the refund nonce even when nothing is left to return, so an old signature never revives.
//!
//! # Invariants
//! - `0 <= total_claimed <= balance`; `total_claimed` never falls (invariant 4).
//! - This module's account holds at least the sum of `balance - total_claimed` over channels and of `claimed - settled` over escrows;
//!   exactly that, unless somebody sends it OPEN by a plain transfer, which is no deposit and stays.
//!
//! # Who may
//! Payer side: the payer or its voucher signer. Receiver side: the operator. Signed claims and refunds, deposits and `settle` may be carried
//! by anyone.

mod claim;
mod collector;
mod deposit;
mod dispatch;
mod escrow;
mod refund;
mod settle;
mod state;
#[cfg(test)]
mod tests;
mod views;
mod withdraw;

pub use claim::MAX_CLAIMS;
pub(crate) use collector::dispatch_collector;
pub use dispatch::MAX_CALLS;
pub(crate) use dispatch::dispatch;
pub use escrow::{owner_of_escrow, register_escrow};
pub use settle::claimed_unsettled;
pub use state::{Channel, EscrowOwner, Receiver, Withdrawal};

use crate::{context::Context, error::Result, gas};
use alloy_primitives::B256;
use alloy_sol_types::{Eip712Domain, SolStruct};
use interfaces::channels::{self, ChannelConfig};

/// Words hashed for one EIP-712 message of at most eight fields: the struct, the domain and the envelope.
const MESSAGE_WORDS: u64 = 16;

/// The domain of every message here.
fn domain(ctx: &Context) -> Eip712Domain {
    channels::domain(ctx.block.chain_id)
}

/// The EIP-712 digest of a message; charges its hashing.
fn digest(ctx: &mut Context, message: &impl SolStruct) -> Result<B256> {
    ctx.state.charge(MESSAGE_WORDS * gas::HASH_WORD)?;
    Ok(message.eip712_signing_hash(&domain(ctx)))
}

/// The id of the channel with this configuration.
fn channel_id(ctx: &mut Context, config: &ChannelConfig) -> Result<B256> {
    digest(ctx, config)
}
