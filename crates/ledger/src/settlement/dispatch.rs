//! Calls of settlement to their handlers.

use super::{batches, claims, epochs, finality, split, state, vesting};
use crate::{
    context::{Context, decode},
    error::{Error, Result},
    operators,
    tables::{BATCHES, CLAIMED_LEAVES},
};
use alloy_primitives::{B256, Bytes, U256};
use alloy_sol_types::SolCall;
use interfaces::settlement::{ISettlement, ISettlement::ISettlementCalls as Calls, batch_id};
use primitives::Amount;

pub(crate) fn dispatch(ctx: &mut Context, data: &[u8]) -> Result<Bytes> {
    let call = decode::<Calls>(data)?;
    if !matches!(call, Calls::post(_)) {
        ctx.not_payable()?;
    }
    let output = match call {
        Calls::close(c) => ISettlement::closeCall::abi_encode_returns(&epochs::close(ctx, c)?),
        Calls::post(c) => ISettlement::postCall::abi_encode_returns(&batches::post(ctx, c)?),
        Calls::finalise(c) => finality::finalise(ctx, c).map(|()| Vec::new())?,
        Calls::claim(c) => ISettlement::claimCall::abi_encode_returns(&claims::claim(ctx, c)?),
        Calls::release(c) => ISettlement::releaseCall::abi_encode_returns(&vesting::release(ctx, c)?),
        Calls::batch(c) => ISettlement::batchCall::abi_encode_returns(&batch(ctx, c.id)?),
        Calls::batchId(c) => {
            ISettlement::batchIdCall::abi_encode_returns(&batch_id(c.operator, c.model, c.epoch))
        }
        Calls::isClaimed(c) => {
            let claimed = CLAIMED_LEAVES.is_set(ctx.state, &c.id, c.index)?;
            ISettlement::isClaimedCall::abi_encode_returns(&claimed)
        }
        Calls::progress(c) => ISettlement::progressCall::abi_encode_returns(&progress(ctx, c)?),
        Calls::quoteSplit(c) => ISettlement::quoteSplitCall::abi_encode_returns(&quote(ctx, c.fees)?),
        Calls::vesting(c) => ISettlement::vestingCall::abi_encode_returns(&vesting::view(ctx, c.account)?),
        Calls::bondFor(c) => {
            let bond = operators::bond_for(ctx.state, units(c.fees)?)?;
            ISettlement::bondForCall::abi_encode_returns(&bond.to_word())
        }
    };
    Ok(output.into())
}

fn units(word: U256) -> Result<Amount> {
    Amount::from_word(word).ok_or_else(Error::overflow)
}

fn progress(ctx: &mut Context, call: ISettlement::progressCall) -> Result<ISettlement::progressReturn> {
    let ISettlement::progressCall { operator, model } = call;
    let record = state::progress(ctx.state, operator, model)?;
    Ok(ISettlement::progressReturn {
        nextSequence: record.next_sequence,
        epoch: record.epoch,
        closeFrom: epochs::close_from(ctx, &record)?,
        unposted: record.unposted.to_word(),
    })
}

fn quote(ctx: &mut Context, fees: U256) -> Result<ISettlement::Split> {
    let parts = split::split(ctx.state, units(fees)?)?;
    let split::Split { data, developer, operator, auditors, validators, treasury, burned } = parts;
    Ok(ISettlement::Split {
        data: data.to_word(),
        developer: developer.to_word(),
        operator: operator.to_word(),
        auditors: auditors.to_word(),
        validators: validators.to_word(),
        treasury: treasury.to_word(),
        burned: burned.to_word(),
    })
}

fn batch(ctx: &mut Context, id: B256) -> Result<ISettlement::Record> {
    let record = BATCHES.get(ctx.state, &id)?;
    let record = record.ok_or_else(|| Error::rejected(ISettlement::UnknownBatch { id }))?;
    let status = record.status();
    let state::BatchRecord {
        status: _,
        operator,
        model,
        epoch,
        first_sequence,
        count,
        receipts,
        folds,
        fees,
        payouts,
        payout_total,
        payout_count,
        developer: _,
        operator_part: _,
        auditors: _,
        validators: _,
        burned: _,
        bond,
        posted_at,
        finalise_at,
        finalised_at,
        claimed,
    } = record;
    Ok(ISettlement::Record {
        status,
        operator,
        batch: ISettlement::Batch {
            model,
            epoch,
            firstSequence: first_sequence,
            count,
            receipts,
            folds,
            fees: fees.to_word(),
            payouts,
            payoutTotal: payout_total.to_word(),
            payoutCount: payout_count,
        },
        bond: bond.to_word(),
        postedAt: posted_at,
        finaliseAt: finalise_at,
        finalisedAt: finalised_at,
        claimed: claimed.to_word(),
    })
}
