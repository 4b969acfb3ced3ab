//! Settling: what was claimed goes to the escrow.

use super::state::Receiver;
use crate::{context::Context, error::Result, storage::State};
use alloy_primitives::Address;
use interfaces::{addresses, channels::IChannels};
use primitives::Amount;

/// Pays an escrow what was claimed for it and not yet paid; nothing due is no error, as the scheme has it.
pub(super) fn settle(ctx: &mut Context, call: IChannels::settleCall) -> Result<()> {
    let IChannels::settleCall { receiver, token } = call;
    if token != addresses::TOKEN {
        return Ok(());
    }
    let mut totals = Receiver::load(ctx.state, receiver)?;
    let due = totals.due()?;
    if due == Amount::ZERO {
        return Ok(());
    }
    totals.total_settled = totals.total_claimed;
    totals.store(ctx.state, receiver)?;
    ctx.pay(receiver, due)?;
    let sender = ctx.caller;
    ctx.emit(IChannels::Settled { receiver, token, sender, amount: due.0 })
}

/// What was claimed for an escrow and has not reached it: part of its operator's unsettled revenue (R6).
pub fn claimed_unsettled(state: &mut State, escrow: Address) -> Result<Amount> {
    Receiver::load(state, escrow)?.due()
}
