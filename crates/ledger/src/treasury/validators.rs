//! The validators' pay: a pot that fills with fees and is divided once an epoch in proportion to the blocks signed.
//!
//! A block carries the certificate of its parent, so who signed is known to every node alike (`docs/decisions/0003`).

use super::{
    parameters::Parameter,
    state::{PeriodRecord, books},
};
use crate::{
    env::BlockEnv,
    error::{Error, Result},
    storage::State,
    tables::{BOOKS, PERIOD, SIGNED, SIGNER_LIST},
};
use alloy_primitives::{Address, U256};
use interfaces::{addresses::TREASURY, treasury::ITreasury};
use primitives::Amount;

/// Counts who signed the parent and pays out when the period is over.
pub fn end_block(state: &mut State, block: &BlockEnv) -> Result<()> {
    let mut period = PERIOD.get(state, &())?.unwrap_or_default();
    let length = Parameter::EpochSeconds.get(state)?;
    // Nobody can hold what the zero address is paid.
    for signer in block.signers.iter().filter(|signer| !signer.is_zero()) {
        let signed = SIGNED.get(state, signer)?;
        if signed.is_zero() {
            SIGNER_LIST.push(state, &(), signer.into_word())?;
        }
        SIGNED.set(state, signer, signed + U256::from(1))?;
        period.signatures += 1;
    }
    if period.started_at == 0 {
        period.started_at = block.seconds();
    }
    if block.seconds() >= period.started_at.saturating_add(length) {
        pay(state, period.signatures)?;
        period = PeriodRecord { started_at: block.seconds(), signatures: 0 };
    }
    PERIOD.put(state, &(), &period)
}

/// Divides the pot; each part is rounded down and what is left stays in the pot.
fn pay(state: &mut State, signatures: u64) -> Result<()> {
    if signatures == 0 {
        return Ok(());
    }
    let mut books = books(state)?;
    let pot = books.validators;
    for index in 0..SIGNER_LIST.len(state, &())? {
        let word = SIGNER_LIST.get(state, &(), index)?.unwrap_or_default();
        let validator = Address::from_word(word);
        let signed: u128 = SIGNED.get(state, &validator)?.saturating_to();
        SIGNED.set(state, &validator, U256::ZERO)?;
        let amount = pot.mul_div(signed, u128::from(signatures)).ok_or_else(Error::overflow)?;
        if amount == Amount::ZERO {
            continue;
        }
        let short = Error::Inconsistent("the validators' pot is divided into more than it holds");
        books.validators = books.validators.checked_sub(amount).ok_or(short)?;
        books.to_validators = books.to_validators.checked_add(amount).ok_or_else(Error::overflow)?;
        crate::token::move_tokens(state, TREASURY, validator, amount)?;
        state.emit(TREASURY, ITreasury::ValidatorPaid { validator, amount: amount.to_word() })?;
    }
    SIGNER_LIST.clear(state, &())?;
    if books.validators != pot {
        BOOKS.put(state, &(), &books)?;
    }
    Ok(())
}
