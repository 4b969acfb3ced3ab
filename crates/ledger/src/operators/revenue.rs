//! Unsettled revenue and its limit (R6).

use super::{
    offers::is_offered,
    state::{OperatorRecord, load},
};
use crate::{
    account, channels,
    error::{Error, Result, ensure},
    storage::State,
    tables::{OFFER_LISTS, OPERATORS},
    treasury::Parameter,
};
use alloy_primitives::{Address, B256};
use interfaces::{addresses::escrow, operators::IOperators};
use primitives::Amount;

const PPM: u128 = 1_000_000;

/// U: what the operator's escrows hold, what was claimed for them in channels, and what its closed and posted batches carry.
pub fn unsettled(state: &mut State, operator: Address) -> Result<Amount> {
    let mut total = load(state, operator)?.pending;
    for index in 0..OFFER_LISTS.len(state, &operator)? {
        let model: B256 = OFFER_LISTS.get(state, &operator, index)?.unwrap_or_default();
        let escrow = escrow(operator, model);
        let held = account::balance(state, escrow)?;
        let claimed = channels::claimed_unsettled(state, escrow)?;
        total =
            total.checked_add(held).and_then(|sum| sum.checked_add(claimed)).ok_or_else(Error::overflow)?;
    }
    Ok(total)
}

/// q * S, rounded down.
pub fn limit(state: &mut State, operator: Address) -> Result<Amount> {
    let OperatorRecord { stake, .. } = load(state, operator)?;
    let q = Parameter::DetectionPpm.get(state)?;
    stake.mul_div(q.into(), PPM).ok_or_else(Error::overflow)
}

/// Refuses while the unsettled revenue passes the limit (invariant 12). Channels ask at the end of a claim, settlement before
/// it takes a batch.
pub fn require_within_limit(state: &mut State, operator: Address) -> Result<()> {
    let unsettled = unsettled(state, operator)?;
    let limit = limit(state, operator)?;
    ensure(unsettled <= limit, || {
        Error::rejected(IOperators::RevenueLimit {
            operator,
            unsettled: unsettled.to_word(),
            limit: limit.to_word(),
        })
    })
}

/// As [`require_within_limit`], for revenue from one model, which must have been offered: only then does its escrow
/// count.
pub fn require_revenue_allowed(state: &mut State, operator: Address, model: B256) -> Result<()> {
    ensure(is_offered(state, operator, model)?, || {
        Error::rejected(IOperators::NotOffered { operator, model })
    })?;
    require_within_limit(state, operator)
}

/// Notes revenue that left an escrow for a batch.
pub fn add_pending(state: &mut State, operator: Address, amount: Amount) -> Result<()> {
    let mut record = load(state, operator)?;
    record.pending = record.pending.checked_add(amount).ok_or_else(Error::overflow)?;
    OPERATORS.put(state, &operator, &record)
}

/// Notes that a batch became final or was refuted.
pub fn release_pending(state: &mut State, operator: Address, amount: Amount) -> Result<()> {
    let mut record = load(state, operator)?;
    let short = Error::Inconsistent("a batch carries more than its operator's pending revenue");
    record.pending = record.pending.checked_sub(amount).ok_or(short)?;
    OPERATORS.put(state, &operator, &record)
}
