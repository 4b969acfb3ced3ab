//! The validators' pay: a pot that fills with fees and is divided once an epoch in proportion to the blocks proposed.

use super::{
    parameters::Parameter,
    state::{PeriodRecord, books},
};
use crate::{
    env::BlockEnv,
    error::{Error, Result},
    storage::State,
    tables::{BOOKS, PERIOD, PROPOSED, PROPOSER_LIST},
};
use alloy_primitives::{Address, U256};
use interfaces::{addresses::TREASURY, treasury::ITreasury};
use primitives::Amount;

/// Counts the block's proposer and pays out when the period is over.
pub fn end_block(state: &mut State, block: &BlockEnv) -> Result<()> {
    if block.proposer.is_zero() {
        return Ok(());
    }
    let mut period = PERIOD.get(state, &())?.unwrap_or_default();
    let length = Parameter::EpochSeconds.get(state)?;
    let proposed = PROPOSED.get(state, &block.proposer)?;
    if proposed.is_zero() {
        PROPOSER_LIST.push(state, &(), block.proposer.into_word())?;
    }
    PROPOSED.set(state, &block.proposer, proposed + U256::from(1))?;
    period.blocks += 1;
    if period.started_at == 0 {
        period.started_at = block.seconds();
    }
    if block.seconds() >= period.started_at.saturating_add(length) {
        pay(state, period.blocks)?;
        period = PeriodRecord { started_at: block.seconds(), blocks: 0 };
    }
    PERIOD.put(state, &(), &period)
}

/// Divides the pot; each part is rounded down and what is left stays in the pot.
fn pay(state: &mut State, blocks: u64) -> Result<()> {
    let mut books = books(state)?;
    let pot = books.validators;
    for index in 0..PROPOSER_LIST.len(state, &())? {
        let word = PROPOSER_LIST.get(state, &(), index)?.unwrap_or_default();
        let validator = Address::from_word(word);
        let proposed: u128 = PROPOSED.get(state, &validator)?.saturating_to();
        PROPOSED.set(state, &validator, U256::ZERO)?;
        let amount = pot.mul_div(proposed, u128::from(blocks)).ok_or_else(Error::overflow)?;
        if amount == Amount::ZERO {
            continue;
        }
        let short = Error::Inconsistent("the validators' pot is divided into more than it holds");
        books.validators = books.validators.checked_sub(amount).ok_or(short)?;
        books.to_validators = books.to_validators.checked_add(amount).ok_or_else(Error::overflow)?;
        crate::token::move_tokens(state, TREASURY, validator, amount)?;
        state.emit(TREASURY, ITreasury::ValidatorPaid { validator, amount: amount.to_word() })?;
    }
    PROPOSER_LIST.clear(state, &())?;
    if books.validators != pot {
        BOOKS.put(state, &(), &books)?;
    }
    Ok(())
}
