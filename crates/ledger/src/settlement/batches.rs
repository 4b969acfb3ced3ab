//! Posting a batch.

use super::{
    split::{Split, split},
    state::{BatchRecord, ProgressRecord, progress},
};
use crate::{
    context::Context,
    error::{Error, Result, ensure},
    operators,
    tables::{BATCHES, PROGRESS},
    treasury::Parameter,
};
use alloy_primitives::{B256, U256};
use interfaces::settlement::{ISettlement, ISettlement::Status, batch_id};
use primitives::Amount;

/// Most receipts in a batch: what disputes can bisect in three rounds of 32-ary search, and then some.
pub const MAX_RECEIPTS: u64 = 1 << 24;
/// Most payout leaves in a batch.
pub const MAX_LEAVES: u64 = 1 << 24;

pub(super) fn post(ctx: &mut Context, call: ISettlement::postCall) -> Result<B256> {
    let ISettlement::postCall { batch } = call;
    let operator = ctx.caller;
    if ctx.value > Amount::ZERO {
        operators::deposit(ctx, operator, ctx.value)?;
    }
    let progress = progress(ctx.state, operator, batch.model)?;
    let fees = check_income(&progress, &batch)?;
    check_sequence(&progress, &batch)?;
    let split = split(ctx.state, fees)?;
    let payout_total = check_payouts(&batch, split.data)?;
    operators::require_within_limit(ctx.state, operator)?;

    let bond = operators::bond_for(ctx.state, fees)?;
    let posted_at = ctx.now();
    let finalise_at = posted_at.saturating_add(Parameter::ChallengeSeconds.get(ctx.state)?);
    let id = batch_id(operator, batch.model, batch.epoch);
    // Destructured without `..`: a new field of the interface cannot be forgotten.
    let ISettlement::Batch {
        model,
        epoch,
        firstSequence: first_sequence,
        count,
        receipts,
        folds,
        fees: _,
        payouts,
        payoutTotal: _,
        payoutCount: payout_count,
    } = batch;
    let Split { data: _, developer, operator: operator_part, auditors, validators, treasury: _, burned } =
        split;
    let record = BatchRecord {
        status: Status::Posted as u8,
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
        developer,
        operator_part,
        auditors,
        validators,
        burned,
        bond,
        posted_at,
        finalise_at,
        finalised_at: 0,
        claimed: Amount::ZERO,
    };
    let next_sequence = first_sequence.checked_add(count).ok_or_else(Error::overflow)?;
    BATCHES.put(ctx.state, &id, &record)?;
    let after = ProgressRecord { next_sequence, unposted: Amount::ZERO, ..progress };
    PROGRESS.put(ctx.state, &(operator, model), &after)?;
    operators::lock(ctx.state, operator, id, bond)?;
    ctx.emit(ISettlement::BatchPosted {
        id,
        operator,
        model,
        epoch,
        firstSequence: first_sequence,
        count,
        receipts,
        fees: fees.to_word(),
        payouts,
        payoutTotal: payout_total.to_word(),
        finaliseAt: finalise_at,
    })?;
    Ok(id)
}

/// The fees, which are the closed epoch's income to the unit.
fn check_income(progress: &ProgressRecord, batch: &ISettlement::Batch) -> Result<Amount> {
    let waits = progress.unposted > Amount::ZERO && progress.epoch == batch.epoch;
    ensure(waits, || Error::rejected(ISettlement::EpochNotClosed { epoch: batch.epoch }))?;
    let income = progress.unposted;
    ensure(batch.fees == income.to_word(), || {
        Error::rejected(ISettlement::FeesDifferFromIncome { fees: batch.fees, income: income.to_word() })
    })?;
    Ok(income)
}

fn within(what: &str, value: u64, limit: u64) -> Result<()> {
    ensure(value <= limit, || {
        Error::rejected(ISettlement::LimitExceeded {
            what: what.into(),
            value: U256::from(value),
            limit: U256::from(limit),
        })
    })
}

/// Sequence numbers are dense: omission shows.
fn check_sequence(progress: &ProgressRecord, batch: &ISettlement::Batch) -> Result<()> {
    let dense = batch.firstSequence == progress.next_sequence && batch.count > 0;
    ensure(dense, || {
        Error::rejected(ISettlement::SequenceGap {
            firstSequence: batch.firstSequence,
            expected: progress.next_sequence,
        })
    })?;
    within("receipts", batch.count, MAX_RECEIPTS)?;
    ensure(!batch.receipts.is_zero(), || Error::rejected(ISettlement::BadRoot { which: "receipts".into() }))?;
    ensure(!batch.folds.is_zero(), || Error::rejected(ISettlement::BadRoot { which: "folds".into() }))
}

/// Payouts add up to at most the data share; no leaves, no root and no total go together.
fn check_payouts(batch: &ISettlement::Batch, data: Amount) -> Result<Amount> {
    within("payout leaves", batch.payoutCount, MAX_LEAVES)?;
    let none = batch.payoutCount == 0;
    ensure(none == batch.payouts.is_zero() && (!none || batch.payoutTotal.is_zero()), || {
        Error::rejected(ISettlement::BadRoot { which: "payouts".into() })
    })?;
    let total = Amount::from_word(batch.payoutTotal).filter(|total| *total <= data);
    total.ok_or_else(|| {
        Error::rejected(ISettlement::PayoutsExceedData {
            payoutTotal: batch.payoutTotal,
            data: data.to_word(),
        })
    })
}
