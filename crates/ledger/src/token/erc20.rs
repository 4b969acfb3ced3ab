//! ERC-20: transfers, approvals and views.

use crate::{
    account,
    context::Context,
    error::{Error, Result, ensure},
    storage::State,
    tables::{ALLOWANCES, BURNED},
};
use alloy_primitives::{Address, U256};
use interfaces::{addresses, token::IToken};
use primitives::{Amount, amount::SUPPLY};

/// Moves units and emits `Transfer`; every movement of money outside fees goes through here.
pub fn move_tokens(state: &mut State, from: Address, to: Address, amount: Amount) -> Result<()> {
    ensure(to != Address::ZERO, || Error::rejected(IToken::ERC20InvalidReceiver { receiver: to }))?;
    account::transfer(state, from, to, amount)?;
    state.emit(addresses::TOKEN, IToken::Transfer { from, to, value: amount.to_word() })
}

/// Units from a word; more than 128 bits can hold is more than anyone has.
pub(super) fn amount(ctx: &mut Context, from: Address, value: U256) -> Result<Amount> {
    match Amount::from_word(value) {
        Some(amount) => Ok(amount),
        None => {
            let balance = ctx.balance(from)?.to_word();
            Err(Error::rejected(IToken::ERC20InsufficientBalance { sender: from, balance, needed: value }))
        }
    }
}

pub(super) fn transfer(ctx: &mut Context, call: IToken::transferCall) -> Result<bool> {
    let IToken::transferCall { to, value } = call;
    let amount = amount(ctx, ctx.caller, value)?;
    move_tokens(ctx.state, ctx.caller, to, amount)?;
    Ok(true)
}

pub(super) fn approve(ctx: &mut Context, call: IToken::approveCall) -> Result<bool> {
    let IToken::approveCall { spender, value } = call;
    set_allowance(ctx, ctx.caller, spender, value)?;
    Ok(true)
}

pub(super) fn set_allowance(ctx: &mut Context, owner: Address, spender: Address, value: U256) -> Result<()> {
    ensure(spender != Address::ZERO, || Error::rejected(IToken::ERC20InvalidSpender { spender }))?;
    ALLOWANCES.set(ctx.state, &(owner, spender), value)?;
    ctx.state.emit(addresses::TOKEN, IToken::Approval { owner, spender, value })
}

pub(super) fn transfer_from(ctx: &mut Context, call: IToken::transferFromCall) -> Result<bool> {
    let IToken::transferFromCall { from, to, value } = call;
    let spender = ctx.caller;
    let allowance = ALLOWANCES.get(ctx.state, &(from, spender))?;
    ensure(allowance >= value, || {
        Error::rejected(IToken::ERC20InsufficientAllowance { spender, allowance, needed: value })
    })?;
    let amount = amount(ctx, from, value)?;
    if allowance != U256::MAX {
        ALLOWANCES.set(ctx.state, &(from, spender), allowance - value)?;
    }
    move_tokens(ctx.state, from, to, amount)?;
    Ok(true)
}

pub(super) fn allowance(ctx: &mut Context, call: IToken::allowanceCall) -> Result<U256> {
    let IToken::allowanceCall { owner, spender } = call;
    ALLOWANCES.get(ctx.state, &(owner, spender))
}

pub(super) fn balance_of(ctx: &mut Context, call: IToken::balanceOfCall) -> Result<U256> {
    let IToken::balanceOfCall { account } = call;
    Ok(ctx.balance(account)?.to_word())
}

pub(super) fn total_supply(ctx: &mut Context) -> Result<U256> {
    Ok(SUPPLY.to_word().saturating_sub(BURNED.get(ctx.state, &())?))
}
