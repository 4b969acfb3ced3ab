//! Calls of the channels to their handlers. The match is exhaustive: a function of the interface without a handler does
//! not compile.

use super::{channel_id, claim, deposit, escrow, refund, settle, views, withdraw};
use crate::{
    context::{Context, MAX_CALL_DEPTH, decode},
    error::{Error, Result, ensure},
    gas,
    tables::CHANNEL_REFUND_NONCES,
    treasury::Parameter,
};
use alloy_primitives::{Bytes, U256, Uint};
use alloy_sol_types::{SolCall, SolStruct};
use interfaces::{
    channels::{self, ChannelConfig, IChannels, IChannels::IChannelsCalls as Calls, signed},
    errors::ILedger,
};
use primitives::Amount;

/// Most calls in one `multicall`.
pub const MAX_CALLS: usize = 64;

/// Encodes what a handler returned as the return data of call `C`.
macro_rules! returns {
    ($call:ty, $value:expr) => {
        Ok(<$call>::abi_encode_returns(&$value).into())
    };
}

/// The type hash of an EIP-712 message, which does not depend on its values.
macro_rules! type_hash {
    ($call:ty, $message:expr) => {
        returns!($call, $message.eip712_type_hash())
    };
}

pub(crate) fn dispatch(ctx: &mut Context, data: &[u8]) -> Result<Bytes> {
    ctx.not_payable()?;
    let empty = |()| Bytes::new();
    match decode::<Calls>(data)? {
        Calls::deposit(c) => deposit::deposit(ctx, c).map(empty),
        Calls::claim(c) => claim::claim(ctx, c).map(empty),
        Calls::claimWithSignature(c) => claim::claim_with_signature(ctx, c).map(empty),
        Calls::settle(c) => settle::settle(ctx, c).map(empty),
        Calls::initiateWithdraw(c) => withdraw::initiate(ctx, c).map(empty),
        Calls::finalizeWithdraw(c) => withdraw::finalize(ctx, c).map(empty),
        Calls::refund(c) => refund::refund(ctx, c).map(empty),
        Calls::refundWithSignature(c) => refund::refund_with_signature(ctx, c).map(empty),
        Calls::multicall(c) => returns!(IChannels::multicallCall, multicall(ctx, &c.data)?),
        Calls::registerEscrow(c) => {
            returns!(IChannels::registerEscrowCall, escrow::register_escrow(ctx.state, c.operator, c.model)?)
        }
        Calls::escrowOf(c) => returns!(IChannels::escrowOfCall, views::escrow_of(ctx, c)?),
        Calls::getChannelId(c) => returns!(IChannels::getChannelIdCall, channel_id(ctx, &c.config)?),
        Calls::getVoucherDigest(c) => {
            returns!(IChannels::getVoucherDigestCall, views::voucher_digest(ctx, c)?)
        }
        Calls::getRefundDigest(c) => {
            returns!(IChannels::getRefundDigestCall, views::refund_digest(ctx, c)?)
        }
        Calls::getClaimBatchDigest(c) => {
            returns!(IChannels::getClaimBatchDigestCall, claim::claim_batch_digest(ctx, &c.voucherClaims)?)
        }
        Calls::channels(c) => returns!(IChannels::channelsCall, views::channels(ctx, c)?),
        Calls::pendingWithdrawals(c) => {
            returns!(IChannels::pendingWithdrawalsCall, views::pending_withdrawals(ctx, c)?)
        }
        Calls::receivers(c) => returns!(IChannels::receiversCall, views::receivers(ctx, c)?),
        Calls::refundNonce(c) => {
            returns!(IChannels::refundNonceCall, CHANNEL_REFUND_NONCES.get(ctx.state, &c.channelId)?)
        }
        Calls::eip712Domain(_) => returns!(IChannels::eip712DomainCall, views::eip712_domain(ctx)),
        Calls::MIN_WITHDRAW_DELAY(_) => {
            let least = Parameter::LeastWithdrawDelaySeconds.get(ctx.state)?;
            returns!(IChannels::MIN_WITHDRAW_DELAYCall, Uint::from(least))
        }
        Calls::MAX_WITHDRAW_DELAY(_) => {
            returns!(IChannels::MAX_WITHDRAW_DELAYCall, Uint::from(channels::MAX_WITHDRAW_DELAY_SECONDS))
        }
        Calls::CHANNEL_CONFIG_TYPEHASH(_) => {
            type_hash!(IChannels::CHANNEL_CONFIG_TYPEHASHCall, blank_config())
        }
        Calls::VOUCHER_TYPEHASH(_) => type_hash!(
            IChannels::VOUCHER_TYPEHASHCall,
            signed::Voucher { channelId: Default::default(), maxClaimableAmount: 0 }
        ),
        Calls::REFUND_TYPEHASH(_) => type_hash!(
            IChannels::REFUND_TYPEHASHCall,
            signed::Refund { channelId: Default::default(), nonce: U256::ZERO, amount: 0 }
        ),
        Calls::CLAIM_ENTRY_TYPEHASH(_) => type_hash!(
            IChannels::CLAIM_ENTRY_TYPEHASHCall,
            signed::ClaimEntry { channelId: Default::default(), maxClaimableAmount: 0, totalClaimed: 0 }
        ),
        Calls::CLAIM_BATCH_TYPEHASH(_) => {
            type_hash!(IChannels::CLAIM_BATCH_TYPEHASHCall, signed::ClaimBatch { claims: Vec::new() })
        }
    }
}

/// A configuration of zeros, for its type.
fn blank_config() -> ChannelConfig {
    ChannelConfig {
        payer: Default::default(),
        payerAuthorizer: Default::default(),
        receiver: Default::default(),
        receiverAuthorizer: Default::default(),
        token: Default::default(),
        withdrawDelay: Default::default(),
        salt: Default::default(),
    }
}

/// Runs calls of this module one after another for the same caller; the first that is refused undoes all.
fn multicall(ctx: &mut Context, calls: &[Bytes]) -> Result<Vec<Bytes>> {
    ensure(calls.len() <= MAX_CALLS, || {
        Error::rejected(IChannels::BatchTooLarge {
            given: U256::from(calls.len()),
            allowed: U256::from(MAX_CALLS),
        })
    })?;
    let depth = ctx.depth + 1;
    ensure(depth < MAX_CALL_DEPTH, || {
        Error::rejected(ILedger::CallTooDeep { limit: U256::from(MAX_CALL_DEPTH) })
    })?;
    let mut results = Vec::with_capacity(calls.len());
    for call in calls {
        ctx.state.charge(gas::MODULE_CALL)?;
        let mut inner = Context {
            state: &mut *ctx.state,
            block: ctx.block,
            caller: ctx.caller,
            this: ctx.this,
            value: Amount::ZERO,
            depth,
        };
        results.push(dispatch(&mut inner, call)?);
    }
    Ok(results)
}
