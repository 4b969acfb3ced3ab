//! Lineage: who is owed along the chain of bases.

use super::state::load;
use crate::{
    error::{Error, Result},
    storage::State,
    treasury::parameters::WHOLE_BPS,
};
use alloy_primitives::{Address, B256};
use interfaces::models::lineage_escrow;
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
