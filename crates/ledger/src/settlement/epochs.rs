//! Closing an epoch: the escrow's balance becomes the income to account for.

use super::state::{ProgressRecord, progress};
use crate::{
    context::Context,
    error::{Error, Result, ensure},
    operators,
    tables::PROGRESS,
    treasury::Parameter,
};
use interfaces::{addresses::escrow, settlement::ISettlement};
use primitives::Amount;

pub(super) fn close(ctx: &mut Context, call: ISettlement::closeCall) -> Result<ISettlement::closeReturn> {
    let ISettlement::closeCall { model } = call;
    let operator = ctx.caller;
    ensure(operators::is_offered(ctx.state, operator, model)?, || {
        Error::rejected(ISettlement::NotOffered { operator, model })
    })?;
    let before = progress(ctx.state, operator, model)?;
    ensure(before.unposted == Amount::ZERO, || {
        Error::rejected(ISettlement::EpochUnposted { epoch: before.epoch })
    })?;
    let (close_from, time) = (close_from(ctx, &before)?, ctx.now());
    ensure(time >= close_from, || {
        Error::rejected(ISettlement::EpochTooShort { closeFrom: close_from, time })
    })?;
    let escrow = escrow(operator, model);
    let income = ctx.balance(escrow)?;
    ensure(income > Amount::ZERO, || Error::rejected(ISettlement::NoIncome { escrow }))?;
    let epoch = before.epoch.checked_add(1).ok_or_else(Error::overflow)?;
    let after = ProgressRecord { epoch, closed_at: time, unposted: income, ..before };
    PROGRESS.put(ctx.state, &(operator, model), &after)?;
    operators::add_pending(ctx.state, operator, income)?;
    ctx.transfer(escrow, ctx.this, income)?;
    ctx.emit(ISettlement::EpochClosed { operator, model, epoch, income: income.to_word() })?;
    Ok(ISettlement::closeReturn { epoch, income: income.to_word() })
}

/// When the next epoch may be closed: the first at once, any other an epoch after the one before.
pub(super) fn close_from(ctx: &mut Context, progress: &ProgressRecord) -> Result<u64> {
    match progress.epoch {
        0 => Ok(0),
        _ => Ok(progress.closed_at.saturating_add(Parameter::EpochSeconds.get(ctx.state)?)),
    }
}
