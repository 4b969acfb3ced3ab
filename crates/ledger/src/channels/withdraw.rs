//! Withdrawals: the payer's way out when the receiver side does not help.

use super::{
    channel_id,
    state::{Channel, Withdrawal},
};
use crate::{
    context::Context,
    error::{Error, Result, ensure},
};
use alloy_primitives::Uint;
use interfaces::channels::IChannels;
use primitives::Amount;

/// Starts the clock on `amount`; the receiver side can still claim until it ends.
pub(super) fn initiate(ctx: &mut Context, call: IChannels::initiateWithdrawCall) -> Result<()> {
    let IChannels::initiateWithdrawCall { config, amount } = call;
    ensure(config.is_payer_side(ctx.caller), || Error::rejected(IChannels::InvalidChannel {}))?;
    ensure(amount > 0, || Error::rejected(IChannels::NothingToWithdraw {}))?;
    let id = channel_id(ctx, &config)?;
    let pending = Withdrawal::load(ctx.state, id)?;
    ensure(!pending.is_pending(), || Error::rejected(IChannels::WithdrawalAlreadyPending {}))?;
    let available = Channel::load(ctx.state, id)?.available()?;
    ensure(Amount(amount) <= available, || Error::rejected(IChannels::WithdrawAmountExceedsAvailable {}))?;
    let now = ctx.now();
    Withdrawal { amount: Amount(amount), initiated_at: now }.store(ctx.state, id)?;
    let end = now.checked_add(config.withdrawDelay.to()).ok_or_else(Error::overflow)?;
    let end = Uint::try_from(end).map_err(|_| Error::overflow())?;
    ctx.emit(IChannels::WithdrawInitiated { channelId: id, amount, finalizeAfter: end })
}

/// After the delay, pays what was asked for or what is left, whichever is less.
pub(super) fn finalize(ctx: &mut Context, call: IChannels::finalizeWithdrawCall) -> Result<()> {
    let IChannels::finalizeWithdrawCall { config } = call;
    ensure(config.is_payer_side(ctx.caller), || {
        Error::rejected(IChannels::NotAuthorizedToFinalizeWithdraw {})
    })?;
    let id = channel_id(ctx, &config)?;
    let pending = Withdrawal::load(ctx.state, id)?;
    ensure(pending.is_pending(), || Error::rejected(IChannels::WithdrawalNotPending {}))?;
    let end = pending.initiated_at.checked_add(config.withdrawDelay.to()).ok_or_else(Error::overflow)?;
    ensure(ctx.now() >= end, || Error::rejected(IChannels::WithdrawDelayNotElapsed {}))?;
    let mut channel = Channel::load(ctx.state, id)?;
    let amount = pending.amount.min(channel.available()?);
    Withdrawal::default().store(ctx.state, id)?;
    channel.give_back(amount)?;
    channel.store(ctx.state, id)?;
    if amount > Amount::ZERO {
        ctx.pay(config.payer, amount)?;
    }
    let sender = ctx.caller;
    ctx.emit(IChannels::WithdrawFinalized { channelId: id, sender, amount: amount.0 })?;
    if channel.is_closed() {
        ctx.emit(IChannels::ChannelClosed { channelId: id, config })?;
    }
    Ok(())
}
