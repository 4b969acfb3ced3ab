//! Lineage: who is owed along the chain of bases.

use super::state::load;
use crate::{
    account,
    error::{Error, Result, ensure},
    storage::State,
    tables::MODELS,
    token,
    treasury::parameters::WHOLE_BPS,
};
use alloy_primitives::{Address, B256};
use interfaces::{
    addresses,
    models::{IModels, IModels::Status, lineage_escrow},
};
use primitives::Amount;

/// Most models from one to its first ancestor.
pub const MAX_LINEAGE: u8 = 8;

/// The models from this one to its first ancestor, itself first.
pub(super) fn lineage(state: &mut State, model: B256) -> Result<Vec<B256>> {
    let mut chain = vec![model];
    let mut base = load(state, model)?.base;
    while !base.is_zero() && chain.len() < usize::from(MAX_LINEAGE) {
        chain.push(base);
        base = load(state, base)?.base;
    }
    Ok(chain)
}

/// Divides what a model's developer earned along its lineage: accounts and units, adding up to `amount`.
pub fn developer_parts(state: &mut State, model: B256, amount: Amount) -> Result<Vec<(Address, Amount)>> {
    let mut parts = Vec::new();
    let mut left = amount;
    for model in lineage(state, model)? {
        let record = load(state, model)?;
        let base =
            left.mul_div(record.base_share_bps.into(), WHOLE_BPS.into()).ok_or_else(Error::overflow)?;
        let own = left.checked_sub(base).ok_or_else(Error::overflow)?;
        let payee = if record.developer.is_zero() { lineage_escrow(model) } else { record.developer };
        parts.push((payee, own));
        left = base;
    }
    if left != Amount::ZERO {
        return Err(Error::Inconsistent("a lineage leaves money over"));
    }
    Ok(parts)
}

/// Gives an imported model its developer and pays what its lineage escrow held; later parts go to the developer at once.
/// Governance calls it when control was proven; nobody can from outside.
pub fn prove_control(state: &mut State, model: B256, developer: Address) -> Result<Amount> {
    let mut record = load(state, model)?;
    let status = record.status();
    ensure(status == Status::Imported && record.developer.is_zero(), || {
        Error::rejected(IModels::WrongStatus { model, status })
    })?;
    record.developer = developer;
    MODELS.put(state, &model, &record)?;
    let escrow = lineage_escrow(model);
    let held = account::balance(state, escrow)?;
    if held > Amount::ZERO {
        token::move_tokens(state, escrow, developer, held)?;
    }
    let paid = held.to_word();
    state.emit(addresses::MODELS, IModels::ControlProven { model, developer, paid })?;
    Ok(held)
}
