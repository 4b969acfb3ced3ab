//! What anyone can ask of the channels.

use super::{
    digest,
    state::{Channel, Receiver, Withdrawal},
};
use crate::{context::Context, error::Result};
use alloy_primitives::{B256, FixedBytes, U256, Uint};
use interfaces::{
    addresses,
    channels::{self, IChannels, signed},
};

pub(super) fn channels(
    ctx: &mut Context,
    call: IChannels::channelsCall,
) -> Result<IChannels::channelsReturn> {
    let Channel { balance, total_claimed } = Channel::load(ctx.state, call.channelId)?;
    Ok(IChannels::channelsReturn { balance: balance.0, totalClaimed: total_claimed.0 })
}

pub(super) fn pending_withdrawals(
    ctx: &mut Context,
    call: IChannels::pendingWithdrawalsCall,
) -> Result<IChannels::pendingWithdrawalsReturn> {
    let Withdrawal { amount, initiated_at } = Withdrawal::load(ctx.state, call.channelId)?;
    let initiated_at = Uint::try_from(initiated_at).unwrap_or(Uint::MAX);
    Ok(IChannels::pendingWithdrawalsReturn { amount: amount.0, initiatedAt: initiated_at })
}

/// Totals of a receiver; zero in any token but OPEN.
pub(super) fn receivers(
    ctx: &mut Context,
    call: IChannels::receiversCall,
) -> Result<IChannels::receiversReturn> {
    let IChannels::receiversCall { receiver, token } = call;
    let Receiver { total_claimed, total_settled } = match token {
        addresses::TOKEN => Receiver::load(ctx.state, receiver)?,
        _ => Receiver::default(),
    };
    Ok(IChannels::receiversReturn { totalClaimed: total_claimed.0, totalSettled: total_settled.0 })
}

pub(super) fn voucher_digest(ctx: &mut Context, call: IChannels::getVoucherDigestCall) -> Result<B256> {
    let IChannels::getVoucherDigestCall { channelId, maxClaimableAmount } = call;
    digest(ctx, &signed::Voucher { channelId, maxClaimableAmount })
}

pub(super) fn refund_digest(ctx: &mut Context, call: IChannels::getRefundDigestCall) -> Result<B256> {
    let IChannels::getRefundDigestCall { channelId, nonce, amount } = call;
    digest(ctx, &signed::Refund { channelId, nonce, amount })
}

/// ERC-5267: name, version, chain id and contract (bits 0 to 3).
pub(super) fn eip712_domain(ctx: &Context) -> IChannels::eip712DomainReturn {
    IChannels::eip712DomainReturn {
        fields: FixedBytes([0x0f]),
        name: channels::DOMAIN_NAME.into(),
        version: channels::DOMAIN_VERSION.into(),
        chainId: U256::from(ctx.block.chain_id),
        verifyingContract: addresses::CHANNELS,
        salt: B256::ZERO,
        extensions: Vec::new(),
    }
}

pub(super) fn escrow_of(
    ctx: &mut Context,
    call: IChannels::escrowOfCall,
) -> Result<IChannels::escrowOfReturn> {
    let owner = super::owner_of_escrow(ctx.state, call.escrow)?;
    Ok(owner.map_or_else(
        || IChannels::escrowOfReturn { operator: Default::default(), model: Default::default() },
        |owner| IChannels::escrowOfReturn { operator: owner.operator, model: owner.model },
    ))
}
