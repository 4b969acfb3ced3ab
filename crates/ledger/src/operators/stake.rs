//! Stake: added, bound, taken out, slashed.

use super::{
    revenue::unsettled,
    state::{OperatorRecord, UnbondingRecord, load, load_active},
};
use crate::{
    context::Context,
    error::{Error, Result, ensure},
    slashing,
    storage::State,
    tables::{OPERATORS, UNBONDINGS},
    treasury::Parameter,
};
use alloy_primitives::{Address, B256, U256};
use interfaces::{
    addresses,
    operators::{IOperators, IOperators::Status},
};
use primitives::Amount;

/// Unbondings of one operator that may wait at once.
pub const MAX_OPEN_UNBONDINGS: u64 = 16;

/// Refuses a stake below the least.
pub(super) fn require_least(ctx: &mut Context, stake: Amount) -> Result<()> {
    let least = Amount::open(Parameter::LeastStakeOpen.get(ctx.state)?);
    ensure(stake >= least, || {
        Error::rejected(IOperators::StakeTooSmall { stake: stake.to_word(), least: least.to_word() })
    })
}

pub(super) fn add_stake(ctx: &mut Context) -> Result<()> {
    // The value of the call stands in this module's account already.
    credit(ctx.state, ctx.caller, ctx.value)
}

fn credit(state: &mut State, operator: Address, amount: Amount) -> Result<()> {
    let mut record = load(state, operator)?;
    ensure(record.status() != Status::Leaving, || {
        Error::rejected(IOperators::NotActive { operator, status: Status::Leaving })
    })?;
    record.stake = record.stake.checked_add(amount).ok_or_else(Error::overflow)?;
    OPERATORS.put(state, &operator, &record)?;
    let added = IOperators::StakeAdded { operator, amount: amount.to_word(), stake: record.stake.to_word() };
    state.emit(addresses::OPERATORS, added)
}

/// Moves `amount` from the account of the module running to the operator's stake.
pub fn deposit(ctx: &mut Context, operator: Address, amount: Amount) -> Result<()> {
    ctx.pay(addresses::OPERATORS, amount)?;
    credit(ctx.state, operator, amount)
}

/// The bond of a batch with these fees: fees / q, rounded up.
pub fn bond_for(state: &mut State, fees: Amount) -> Result<Amount> {
    let q = U256::from(Parameter::DetectionPpm.get(state)?);
    let bond = (fees.to_word() * U256::from(1_000_000)).div_ceil(q);
    Amount::from_word(bond).ok_or_else(Error::overflow)
}

/// Binds stake as the bond of `batch`.
pub fn lock(state: &mut State, operator: Address, batch: B256, amount: Amount) -> Result<()> {
    let mut record = load_active(state, operator)?;
    let free = record.stake.checked_sub(record.locked).unwrap_or(Amount::ZERO);
    ensure(amount <= free, || {
        Error::rejected(IOperators::StakeInUse { amount: amount.to_word(), free: free.to_word() })
    })?;
    record.locked = record.locked.checked_add(amount).ok_or_else(Error::overflow)?;
    OPERATORS.put(state, &operator, &record)?;
    let amount = amount.to_word();
    state.emit(addresses::OPERATORS, IOperators::StakeLocked { operator, batch, amount })
}

/// Frees the bond of `batch`. A slash may have taken part of what was bound; then all that is left is freed.
pub fn unlock(state: &mut State, operator: Address, batch: B256, amount: Amount) -> Result<()> {
    let mut record = load(state, operator)?;
    record.locked = record.locked.checked_sub(amount).unwrap_or(Amount::ZERO);
    OPERATORS.put(state, &operator, &record)?;
    let amount = amount.to_word();
    state.emit(addresses::OPERATORS, IOperators::StakeUnlocked { operator, batch, amount })
}

pub(super) fn unbond(ctx: &mut Context, call: IOperators::unbondCall) -> Result<u64> {
    let IOperators::unbondCall { amount } = call;
    let operator = ctx.caller;
    let mut record = load(ctx.state, operator)?;
    let free = free_stake(ctx.state, operator, &record)?;
    let units = Amount::from_word(amount).filter(|units| *units <= free && *units > Amount::ZERO);
    let in_use = || Error::rejected(IOperators::StakeInUse { amount, free: free.to_word() });
    let units = units.ok_or_else(in_use)?;
    record.stake = record.stake.checked_sub(units).ok_or_else(Error::overflow)?;
    match (record.stake == Amount::ZERO, record.status()) {
        // Leaving does not wash off a conviction.
        (_, Status::Jailed) => {}
        (true, _) => record.status = Status::Leaving as u8,
        (false, _) => require_least(ctx, record.stake)?,
    }
    let open = record.unbondings - record.unbondings_open;
    ensure(open < MAX_OPEN_UNBONDINGS, || {
        Error::rejected(IOperators::LimitExceeded {
            what: "open unbondings".into(),
            value: U256::from(open + 1),
            limit: U256::from(MAX_OPEN_UNBONDINGS),
        })
    })?;
    let id = record.unbondings;
    record.unbondings += 1;
    record.unbonding = record.unbonding.checked_add(units).ok_or_else(Error::overflow)?;
    let free_at = ctx.now().saturating_add(Parameter::UnbondingSeconds.get(ctx.state)?);
    UNBONDINGS.put(ctx.state, &(operator, id), &UnbondingRecord { amount: units, free_at })?;
    OPERATORS.put(ctx.state, &operator, &record)?;
    ctx.emit(IOperators::UnbondStarted { operator, id, amount, freeAt: free_at })?;
    Ok(id)
}

/// Stake that neither bonds nor the limit on unsettled revenue need: `S >= ceil(U / q)` is `U <= floor(q * S)`.
fn free_stake(state: &mut State, operator: Address, record: &OperatorRecord) -> Result<Amount> {
    let unsettled = unsettled(state, operator)?;
    let needed = bond_for(state, unsettled)?.max(record.locked);
    Ok(record.stake.checked_sub(needed).unwrap_or(Amount::ZERO))
}

pub(super) fn complete_unbond(ctx: &mut Context, call: IOperators::completeUnbondCall) -> Result<()> {
    let IOperators::completeUnbondCall { operator, id } = call;
    let unbonding = UNBONDINGS.get(ctx.state, &(operator, id))?.filter(|u| u.amount > Amount::ZERO);
    let unbonding =
        unbonding.ok_or_else(|| Error::rejected(IOperators::UnknownUnbonding { operator, id }))?;
    let time = ctx.now();
    ensure(time >= unbonding.free_at, || {
        Error::rejected(IOperators::StillUnbonding { freeAt: unbonding.free_at, time })
    })?;
    let mut record = load(ctx.state, operator)?;
    UNBONDINGS.put(ctx.state, &(operator, id), &UnbondingRecord { amount: Amount::ZERO, ..unbonding })?;
    record.unbonding = record
        .unbonding
        .checked_sub(unbonding.amount)
        .ok_or(Error::Inconsistent("more is paid out than unbonds"))?;
    while record.unbondings_open < record.unbondings {
        let next = UNBONDINGS.get(ctx.state, &(operator, record.unbondings_open))?;
        if next.is_some_and(|next| next.amount > Amount::ZERO) {
            break;
        }
        record.unbondings_open += 1;
    }
    OPERATORS.put(ctx.state, &operator, &record)?;
    ctx.pay(operator, unbonding.amount)?;
    ctx.emit(IOperators::UnbondCompleted { operator, id, amount: unbonding.amount.to_word() })
}

/// Takes up to `amount` from the operator: from the stake first, then from what unbonds, latest first. What is taken goes
/// where [`slashing::distribute`] sends it. Returns how much that was.
pub fn slash(
    ctx: &mut Context,
    operator: Address,
    amount: Amount,
    reporter: Address,
    refunds: &[(Address, Amount)],
) -> Result<Amount> {
    let mut record = load(ctx.state, operator)?;
    let from_stake = amount.min(record.stake);
    record.stake = Amount(record.stake.0 - from_stake.0);
    record.locked = record.locked.min(record.stake);
    let mut taken = from_stake;
    for id in (record.unbondings_open..record.unbondings).rev() {
        let wanted = Amount(amount.0 - taken.0);
        let Some(mut unbonding) = UNBONDINGS.get(ctx.state, &(operator, id))? else { continue };
        let part = wanted.min(unbonding.amount);
        if part == Amount::ZERO {
            continue;
        }
        unbonding.amount = Amount(unbonding.amount.0 - part.0);
        UNBONDINGS.put(ctx.state, &(operator, id), &unbonding)?;
        record.unbonding =
            record.unbonding.checked_sub(part).ok_or(Error::Inconsistent("more is slashed than unbonds"))?;
        taken = Amount(taken.0 + part.0);
    }
    OPERATORS.put(ctx.state, &operator, &record)?;
    let this = std::mem::replace(&mut ctx.this, addresses::OPERATORS);
    let outcome = slashing::distribute(ctx, taken, reporter, refunds)
        .and_then(|()| ctx.emit(IOperators::Slashed { operator, amount: taken.to_word() }));
    ctx.this = this;
    outcome.map(|()| taken)
}

/// Bars the operator from offering and posting.
pub fn jail(state: &mut State, operator: Address) -> Result<()> {
    let mut record = load(state, operator)?;
    record.status = Status::Jailed as u8;
    OPERATORS.put(state, &operator, &record)?;
    state.emit(addresses::OPERATORS, IOperators::Jailed { operator })
}
