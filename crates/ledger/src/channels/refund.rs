//! Refunds: the receiver side gives back what it did not claim.

use super::{
    channel_id, domain,
    state::{Channel, Withdrawal},
};
use crate::{
    context::Context,
    error::{Error, Result, ensure},
    signature::{Passed, require_signer},
    tables::CHANNEL_REFUND_NONCES,
};
use alloy_primitives::{B256, U256};
use interfaces::channels::{ChannelConfig, IChannels, signed};
use primitives::Amount;

pub(super) fn refund(ctx: &mut Context, call: IChannels::refundCall) -> Result<()> {
    let IChannels::refundCall { config, amount } = call;
    ensure(config.is_receiver_side(ctx.caller), || Error::rejected(IChannels::NotAuthorizedToRefund {}))?;
    let id = channel_id(ctx, &config)?;
    give_back(ctx, config, id, Amount(amount))
}

pub(super) fn refund_with_signature(
    ctx: &mut Context,
    call: IChannels::refundWithSignatureCall,
) -> Result<()> {
    let IChannels::refundWithSignatureCall { config, amount, nonce, receiverAuthorizerSignature } = call;
    let id = channel_id(ctx, &config)?;
    let next = CHANNEL_REFUND_NONCES.get(ctx.state, &id)?;
    ensure(nonce == next || ctx.state.missed(), || Error::rejected(IChannels::InvalidRefundNonce {}))?;
    let message = signed::Refund { channelId: id, nonce, amount };
    let domain = domain(ctx);
    let signature = Passed::Bytes(&receiverAuthorizerSignature);
    require_signer(ctx, &domain, &message, &signature, config.receiverAuthorizer, |_| {
        Error::rejected(IChannels::InvalidSignature {})
    })?;
    give_back(ctx, config, id, Amount(amount))
}

/// Pays the payer up to `amount` of what nobody claimed; a pending withdrawal shrinks with it.
fn give_back(ctx: &mut Context, config: ChannelConfig, id: B256, amount: Amount) -> Result<()> {
    ensure(amount > Amount::ZERO, || Error::rejected(IChannels::ZeroRefund {}))?;
    let nonce = CHANNEL_REFUND_NONCES.get(ctx.state, &id)?;
    let next = nonce.checked_add(U256::from(1)).ok_or_else(Error::overflow)?;
    CHANNEL_REFUND_NONCES.set(ctx.state, &id, next)?;
    let mut channel = Channel::load(ctx.state, id)?;
    let amount = amount.min(channel.available()?);
    if amount == Amount::ZERO {
        return Ok(());
    }
    channel.give_back(amount)?;
    channel.store(ctx.state, id)?;
    reduce_pending(ctx, id, amount)?;
    ctx.pay(config.payer, amount)?;
    let sender = ctx.caller;
    ctx.emit(IChannels::Refunded { channelId: id, sender, amount: amount.0 })?;
    if channel.is_closed() {
        ctx.emit(IChannels::ChannelClosed { channelId: id, config })?;
    }
    Ok(())
}

/// A pending withdrawal asks for what the refund did not already return.
fn reduce_pending(ctx: &mut Context, id: B256, refunded: Amount) -> Result<()> {
    let mut pending = Withdrawal::load(ctx.state, id)?;
    if !pending.is_pending() {
        return Ok(());
    }
    match pending.amount.checked_sub(refunded) {
        Some(left) if left > Amount::ZERO => pending.amount = left,
        _ => pending = Withdrawal::default(),
    }
    pending.store(ctx.state, id)
}
