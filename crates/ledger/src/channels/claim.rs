//! Claims: what the receiver side takes under the payers' vouchers.

use super::{
    channel_id, digest, domain,
    escrow::owner_of_escrow,
    state::{Channel, EscrowOwner, Receiver},
};
use crate::{
    context::Context,
    error::{Error, Result, ensure},
    gas, operators,
    signature::{Passed, require_signer},
};
use alloy_primitives::{B256, U256};
use interfaces::channels::{IChannels, IChannels::VoucherClaim, signed};
use primitives::Amount;
use std::collections::BTreeSet;

/// Most rows of a claim; stock servers send 100.
pub const MAX_CLAIMS: usize = 500;

pub(super) fn claim(ctx: &mut Context, call: IChannels::claimCall) -> Result<()> {
    let IChannels::claimCall { voucherClaims } = call;
    check_size(&voucherClaims)?;
    for row in &voucherClaims {
        ensure(row.voucher.channel.is_receiver_side(ctx.caller), || {
            Error::rejected(IChannels::NotAuthorizedToClaim {})
        })?;
    }
    claim_rows(ctx, &voucherClaims)
}

pub(super) fn claim_with_signature(ctx: &mut Context, call: IChannels::claimWithSignatureCall) -> Result<()> {
    let IChannels::claimWithSignatureCall { voucherClaims, authorizerSignature } = call;
    check_size(&voucherClaims)?;
    let authorizer = voucherClaims[0].voucher.channel.receiverAuthorizer;
    let batch = claim_batch(ctx, &voucherClaims)?;
    let domain = domain(ctx);
    require_signer(ctx, &domain, &batch, &Passed::Bytes(&authorizerSignature), authorizer, |_| {
        Error::rejected(IChannels::InvalidSignature {})
    })?;
    for row in &voucherClaims {
        ensure(row.voucher.channel.receiverAuthorizer == authorizer, || {
            Error::rejected(IChannels::NotReceiverAuthorizer {})
        })?;
    }
    claim_rows(ctx, &voucherClaims)
}

/// Takes the rows in order. R6: with them taken, no operator's unsettled revenue may be past what its stake answers for; rows
/// that take nothing are no revenue, so that a refund can always carry the last voucher along.
fn claim_rows(ctx: &mut Context, rows: &[VoucherClaim]) -> Result<()> {
    let mut gained = BTreeSet::new();
    for row in rows {
        if claim_row(ctx, row)? {
            gained.insert(row.voucher.channel.receiver);
        }
    }
    for escrow in gained {
        // A channel was opened to it, so it is registered; until its word is provided there is nothing to judge.
        if let Some(EscrowOwner { operator, model }) = owner_of_escrow(ctx.state, escrow)? {
            operators::require_revenue_allowed(ctx.state, operator, model)?;
        }
    }
    Ok(())
}

fn check_size(rows: &[VoucherClaim]) -> Result<()> {
    ensure(!rows.is_empty(), || Error::rejected(IChannels::EmptyBatch {}))?;
    ensure(rows.len() <= MAX_CLAIMS, || {
        Error::rejected(IChannels::BatchTooLarge {
            given: U256::from(rows.len()),
            allowed: U256::from(MAX_CLAIMS),
        })
    })
}

/// The message that the receiver authorizer signs over a batch.
fn claim_batch(ctx: &mut Context, rows: &[VoucherClaim]) -> Result<signed::ClaimBatch> {
    let mut claims = Vec::with_capacity(rows.len());
    for VoucherClaim { voucher, signature: _, totalClaimed } in rows {
        ctx.state.charge(super::MESSAGE_WORDS * gas::HASH_WORD)?;
        claims.push(signed::ClaimEntry {
            channelId: channel_id(ctx, &voucher.channel)?,
            maxClaimableAmount: voucher.maxClaimableAmount,
            totalClaimed: *totalClaimed,
        });
    }
    Ok(signed::ClaimBatch { claims })
}

pub(super) fn claim_batch_digest(ctx: &mut Context, rows: &[VoucherClaim]) -> Result<B256> {
    let batch = claim_batch(ctx, rows)?;
    digest(ctx, &batch)
}

/// Takes one row, or passes over it when it is not above what is claimed already; tells whether it took it.
fn claim_row(ctx: &mut Context, row: &VoucherClaim) -> Result<bool> {
    let VoucherClaim { voucher, signature, totalClaimed } = row;
    let config = &voucher.channel;
    let id = channel_id(ctx, config)?;
    let mut channel = Channel::load(ctx.state, id)?;
    let total = Amount(*totalClaimed);
    if total <= channel.total_claimed && !ctx.state.missed() {
        return Ok(false);
    }
    ensure(total.0 <= voucher.maxClaimableAmount, || Error::rejected(IChannels::ClaimExceedsCeiling {}))?;
    ensure(total <= channel.balance || ctx.state.missed(), || {
        Error::rejected(IChannels::ClaimExceedsBalance {})
    })?;
    let message = signed::Voucher { channelId: id, maxClaimableAmount: voucher.maxClaimableAmount };
    let domain = domain(ctx);
    require_signer(ctx, &domain, &message, &Passed::Bytes(signature), config.voucher_signer(), |_| {
        Error::rejected(IChannels::InvalidSignature {})
    })?;
    let claimed = Amount(total.0.saturating_sub(channel.total_claimed.0));
    channel.total_claimed = total;
    channel.store(ctx.state, id)?;
    let mut receiver = Receiver::load(ctx.state, config.receiver)?;
    receiver.total_claimed = receiver.total_claimed.checked_add(claimed).ok_or_else(Error::overflow)?;
    receiver.store(ctx.state, config.receiver)?;
    let sender = ctx.caller;
    ctx.emit(IChannels::Claimed { channelId: id, sender, claimAmount: claimed.0, newTotalClaimed: total.0 })?;
    Ok(true)
}
