//! The end of a batch: final and split, or refuted.

use super::state::{BatchRecord, load_in};
use crate::{
    context::Context,
    error::{Error, Result, ensure},
    models, operators,
    tables::BATCHES,
    treasury::{self, Income},
};
use alloy_primitives::B256;
use interfaces::{
    addresses,
    settlement::{ISettlement, ISettlement::Status},
};
use primitives::Amount;

pub(super) fn finalise(ctx: &mut Context, call: ISettlement::finaliseCall) -> Result<()> {
    let ISettlement::finaliseCall { id } = call;
    let mut batch = load_in(ctx.state, id, Status::Posted)?;
    let time = ctx.now();
    ensure(time >= batch.finalise_at, || {
        Error::rejected(ISettlement::WindowOpen { finaliseAt: batch.finalise_at, time })
    })?;
    let treasury = rest(&batch)?;

    batch.status = Status::Finalised as u8;
    batch.finalised_at = time;
    BATCHES.put(ctx.state, &id, &batch)?;
    operators::unlock(ctx.state, batch.operator, id, batch.bond)?;
    operators::release_pending(ctx.state, batch.operator, batch.fees)?;

    pay_developers(ctx, batch.model, batch.developer)?;
    if batch.operator_part > Amount::ZERO {
        ctx.pay(batch.operator, batch.operator_part)?;
    }
    let BatchRecord { developer, operator_part, auditors, validators, burned, payout_total, .. } = batch;
    treasury::receive(ctx, id, Income { treasury, validators, auditors, burned })?;
    ctx.emit(ISettlement::BatchFinalised {
        id,
        data: payout_total.to_word(),
        developer: developer.to_word(),
        operator: operator_part.to_word(),
        auditors: auditors.to_word(),
        validators: validators.to_word(),
        treasury: treasury.to_word(),
        burned: burned.to_word(),
    })
}

/// The treasury's part: the fees less every other part and less what the leaves will be paid. It takes what rounding and
/// silence leave.
fn rest(batch: &BatchRecord) -> Result<Amount> {
    let parts = [
        batch.developer,
        batch.operator_part,
        batch.auditors,
        batch.validators,
        batch.burned,
        batch.payout_total,
    ];
    parts
        .into_iter()
        .try_fold(batch.fees, Amount::checked_sub)
        .ok_or(Error::Inconsistent("a batch's parts exceed its fees"))
}

/// Pays the developer's part down the lineage.
fn pay_developers(ctx: &mut Context, model: B256, amount: Amount) -> Result<()> {
    for (payee, part) in models::developer_parts(ctx.state, model, amount)? {
        if part > Amount::ZERO {
            ctx.pay(payee, part)?;
        }
    }
    Ok(())
}

/// Ends a posted batch that a dispute has convicted inside its window. Its bond is free again, for the dispute to slash;
/// its fees stay in this module's account, for its payers. Returns the batch.
pub fn refute(ctx: &mut Context, id: B256) -> Result<BatchRecord> {
    let mut batch = load_in(ctx.state, id, Status::Posted)?;
    batch.status = Status::Refuted as u8;
    BATCHES.put(ctx.state, &id, &batch)?;
    operators::unlock(ctx.state, batch.operator, id, batch.bond)?;
    operators::release_pending(ctx.state, batch.operator, batch.fees)?;
    ctx.state.emit(addresses::SETTLEMENT, ISettlement::BatchRefuted { id })?;
    Ok(batch)
}
