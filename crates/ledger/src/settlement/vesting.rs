//! Grants that vest linearly.

use super::state::{GrantRecord, VestingRecord};
use crate::{
    context::Context,
    error::{Error, Result},
    storage::State,
    tables::{GRANT_LISTS, GRANTS, VESTINGS},
    treasury::{self, Income, Parameter},
};
use alloy_primitives::{Address, B256, U256};
use interfaces::{addresses, settlement::ISettlement};
use primitives::Amount;

/// Grants one call of `release` looks at.
pub const MAX_GRANTS_PER_RELEASE: u64 = 64;
/// The vesting time is cut into this many starts: leaves that become final between two share a grant.
pub const STARTS_PER_VESTING: u64 = 30;

/// Adds a leaf that became final at `finalised_at` to the account's grants. One that has vested in full by now is paid.
pub(super) fn grant(ctx: &mut Context, account: Address, finalised_at: u64, amount: Amount) -> Result<()> {
    let seconds = Parameter::VestingSeconds.get(ctx.state)?;
    let step = (seconds / STARTS_PER_VESTING).max(1);
    let start = finalised_at.checked_next_multiple_of(step).ok_or_else(Error::overflow)?;
    if amount == Amount::ZERO {
        return Ok(());
    }
    if ctx.now() >= start.saturating_add(seconds) {
        return ctx.pay(account, amount);
    }
    let mut grant = match GRANTS.get(ctx.state, &(account, start))? {
        Some(grant) => grant,
        None => {
            GRANT_LISTS.push(ctx.state, &account, B256::new(U256::from(start).to_be_bytes()))?;
            GrantRecord { seconds, granted: Amount::ZERO, paid: Amount::ZERO }
        }
    };
    grant.granted = grant.granted.checked_add(amount).ok_or_else(Error::overflow)?;
    GRANTS.put(ctx.state, &(account, start), &grant)?;
    let mut total = VESTINGS.get(ctx.state, &account)?.unwrap_or_default();
    total.granted = total.granted.checked_add(amount).ok_or_else(Error::overflow)?;
    VESTINGS.put(ctx.state, &account, &total)
}

/// What of a grant has vested at `now`: linear, rounded down, never past the grant.
fn vested(grant: &GrantRecord, start: u64, now: u64) -> Result<Amount> {
    let elapsed = now.saturating_sub(start).min(grant.seconds);
    grant.granted.mul_div(elapsed.into(), grant.seconds.into()).ok_or_else(Error::overflow)
}

/// Number, start and record of the account's open grants from number `open` on, as many as one call looks at. All starts are
/// read before the first record, so that a node fetches the words at once and not one by one.
fn open_grants(state: &mut State, account: Address, open: u64) -> Result<Vec<(u64, u64, GrantRecord)>> {
    let end = GRANT_LISTS.len(state, &account)?.min(open.saturating_add(MAX_GRANTS_PER_RELEASE));
    let mut starts = Vec::new();
    for index in open..end {
        let word = GRANT_LISTS.get(state, &account, index)?.unwrap_or_default();
        starts.push((index, U256::from_be_bytes(word.0).saturating_to::<u64>()));
    }
    let mut grants = Vec::new();
    for (index, start) in starts {
        grants.push((index, start, GRANTS.get(state, &(account, start))?));
    }
    let missing = || Error::Inconsistent("a listed grant is missing");
    grants.into_iter().map(|(index, start, grant)| Ok((index, start, grant.ok_or_else(missing)?))).collect()
}

pub(super) fn release(ctx: &mut Context, call: ISettlement::releaseCall) -> Result<U256> {
    let ISettlement::releaseCall { account } = call;
    let now = ctx.now();
    let mut total = VESTINGS.get(ctx.state, &account)?.unwrap_or_default();
    let mut paid = Amount::ZERO;
    let first = total.open;
    for (index, start, mut grant) in open_grants(ctx.state, account, first)? {
        let due = vested(&grant, start, now)?
            .checked_sub(grant.paid)
            .ok_or(Error::Inconsistent("a grant paid more than has vested"))?;
        if due > Amount::ZERO {
            grant.paid = grant.paid.checked_add(due).ok_or_else(Error::overflow)?;
            GRANTS.put(ctx.state, &(account, start), &grant)?;
            paid = paid.checked_add(due).ok_or_else(Error::overflow)?;
        }
        let done = now >= start.saturating_add(grant.seconds);
        if done && total.open == index {
            total.open = index + 1;
        }
    }
    if paid > Amount::ZERO || total.open != first {
        total.paid = total.paid.checked_add(paid).ok_or_else(Error::overflow)?;
        VESTINGS.put(ctx.state, &account, &total)?;
    }
    if paid > Amount::ZERO {
        ctx.pay(account, paid)?;
        ctx.emit(ISettlement::VestingReleased { account, amount: paid.to_word() })?;
    }
    Ok(paid.to_word())
}

/// Granted, vested so far and paid so far, over the grants that are still open.
pub(super) fn view(ctx: &mut Context, account: Address) -> Result<ISettlement::vestingReturn> {
    let VestingRecord { granted, paid, open } = VESTINGS.get(ctx.state, &account)?.unwrap_or_default();
    let now = ctx.now();
    let mut due = paid;
    for (_, start, grant) in open_grants(ctx.state, account, open)? {
        let unpaid = vested(&grant, start, now)?.checked_sub(grant.paid).unwrap_or(Amount::ZERO);
        due = due.checked_add(unpaid).ok_or_else(Error::overflow)?;
    }
    Ok(ISettlement::vestingReturn { granted: granted.to_word(), vested: due.to_word(), paid: paid.to_word() })
}

/// Takes back what has not vested to `account`, on proven fraud: it goes to the treasury. What has vested is paid. Looks at
/// as many grants as [`MAX_GRANTS_PER_RELEASE`].
pub fn claw_back(ctx: &mut Context, account: Address) -> Result<Amount> {
    let this = std::mem::replace(&mut ctx.this, addresses::SETTLEMENT);
    let outcome = claw_back_here(ctx, account);
    ctx.this = this;
    outcome
}

fn claw_back_here(ctx: &mut Context, account: Address) -> Result<Amount> {
    release(ctx, ISettlement::releaseCall { account })?;
    let mut total = VESTINGS.get(ctx.state, &account)?.unwrap_or_default();
    let mut taken = Amount::ZERO;
    for (_, start, grant) in open_grants(ctx.state, account, total.open)? {
        let unpaid = grant.granted.checked_sub(grant.paid).ok_or_else(Error::overflow)?;
        taken = taken.checked_add(unpaid).ok_or_else(Error::overflow)?;
        // An empty grant stays listed, so that a leaf claimed later vests in its own time.
        let empty = GrantRecord { granted: Amount::ZERO, paid: Amount::ZERO, ..grant };
        GRANTS.put(ctx.state, &(account, start), &empty)?;
    }
    total.granted = total.granted.checked_sub(taken).ok_or_else(Error::overflow)?;
    VESTINGS.put(ctx.state, &account, &total)?;
    let income = Income { treasury: taken, ..Income::default() };
    treasury::receive(ctx, account.into_word(), income)?;
    ctx.emit(ISettlement::VestingClawedBack { account, amount: taken.to_word() }).map(|()| taken)
}
