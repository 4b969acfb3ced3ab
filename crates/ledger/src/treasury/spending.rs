//! Money in and out of the treasury. None of it can be called from outside.

use super::state::{BooksRecord, books};
use crate::{
    account,
    context::Context,
    error::{Error, Result, ensure},
    storage::State,
    tables::BOOKS,
};
use alloy_primitives::{Address, B256};
use interfaces::{
    addresses::{self, TREASURY},
    token::IToken,
    treasury::ITreasury,
};
use primitives::Amount;

/// What a settled batch hands over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Income {
    /// The treasury's own: its share and what rounding and silence leave.
    pub treasury: Amount,
    /// For the validators.
    pub validators: Amount,
    /// For auditors.
    pub auditors: Amount,
    /// To be burned.
    pub burned: Amount,
}

fn sum(a: Amount, b: Amount) -> Result<Amount> {
    a.checked_add(b).ok_or_else(Error::overflow)
}

/// Takes a batch's shares out of the account of the module running, which is `source` of the event.
pub fn receive(ctx: &mut Context, source: B256, income: Income) -> Result<()> {
    let Income { treasury, validators, auditors, burned } = income;
    let mut books = books(ctx.state)?;
    let taken = sum(sum(treasury, validators)?, auditors)?;
    books.received = sum(books.received, treasury)?;
    books.validators = sum(books.validators, validators)?;
    books.auditors = sum(books.auditors, auditors)?;
    books.burned = sum(books.burned, burned)?;
    BOOKS.put(ctx.state, &(), &books)?;
    if taken > Amount::ZERO {
        ctx.pay(TREASURY, taken)?;
    }
    burn(ctx, burned)?;
    ctx.state.emit(
        TREASURY,
        ITreasury::Received {
            source,
            treasury: treasury.to_word(),
            validators: validators.to_word(),
            auditors: auditors.to_word(),
            burned: burned.to_word(),
        },
    )
}

/// Destroys units of the module running, with the token's `Transfer` to the zero address.
pub fn burn(ctx: &mut Context, amount: Amount) -> Result<()> {
    if amount == Amount::ZERO {
        return Ok(());
    }
    account::burn(ctx.state, ctx.this, amount)?;
    let burn = IToken::Transfer { from: ctx.this, to: Address::ZERO, value: amount.to_word() };
    ctx.state.emit(addresses::TOKEN, burn)
}

/// What governance can spend: the balance less the pots.
pub fn free(state: &mut State) -> Result<Amount> {
    let BooksRecord { validators, auditors, .. } = books(state)?;
    let balance = account::balance(state, TREASURY)?;
    balance
        .checked_sub(sum(validators, auditors)?)
        .ok_or(Error::Inconsistent("the treasury holds less than its pots"))
}

/// What may still be paid as subsidies (R5).
pub fn subsidy_allowance(state: &mut State) -> Result<Amount> {
    let BooksRecord { received, burned, subsidies, .. } = books(state)?;
    let half = Amount(sum(received, burned)?.0 / 2);
    Ok(half.checked_sub(subsidies).unwrap_or(Amount::ZERO))
}

fn pay_free(state: &mut State, to: Address, amount: Amount) -> Result<()> {
    let free = free(state)?;
    ensure(amount <= free, || {
        Error::rejected(ITreasury::InsufficientTreasury { amount: amount.to_word(), free: free.to_word() })
    })?;
    crate::token::move_tokens(state, TREASURY, to, amount)
}

/// Pays a subsidy that fees earned which burned and paid in `earned_by`. At most half of that, and within the allowance.
pub fn pay_subsidy(
    state: &mut State,
    to: Address,
    amount: Amount,
    earned_by: Amount,
    purpose: B256,
) -> Result<()> {
    let allowance = subsidy_allowance(state)?.min(Amount(earned_by.0 / 2));
    ensure(amount <= allowance, || {
        Error::rejected(ITreasury::SubsidyCap { amount: amount.to_word(), allowance: allowance.to_word() })
    })?;
    let mut books = books(state)?;
    books.subsidies = sum(books.subsidies, amount)?;
    BOOKS.put(state, &(), &books)?;
    pay_free(state, to, amount)?;
    state.emit(TREASURY, ITreasury::SubsidyPaid { to, amount: amount.to_word(), purpose })
}

/// Pays from what is free.
pub fn spend(state: &mut State, to: Address, amount: Amount, purpose: B256) -> Result<()> {
    let mut books = books(state)?;
    books.spent = sum(books.spent, amount)?;
    BOOKS.put(state, &(), &books)?;
    pay_free(state, to, amount)?;
    state.emit(TREASURY, ITreasury::Spent { to, amount: amount.to_word(), purpose })
}

/// Pays from the auditors' pot.
pub fn pay_auditor(state: &mut State, to: Address, amount: Amount, purpose: B256) -> Result<()> {
    let mut books = books(state)?;
    let pot = books.auditors;
    books.auditors = pot.checked_sub(amount).ok_or_else(|| {
        Error::rejected(ITreasury::InsufficientTreasury { amount: amount.to_word(), free: pot.to_word() })
    })?;
    BOOKS.put(state, &(), &books)?;
    crate::token::move_tokens(state, TREASURY, to, amount)?;
    state.emit(TREASURY, ITreasury::Spent { to, amount: amount.to_word(), purpose })
}
