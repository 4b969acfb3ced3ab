//! The fee split (R1): integers, each part rounded down, the rest the treasury's.

use crate::{
    error::{Error, Result},
    storage::State,
    treasury::{Parameter, parameters::WHOLE_BPS},
};
use primitives::Amount;

/// How fees are divided. The parts add up to the fees exactly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Split {
    /// Data contributors.
    pub data: Amount,
    /// The model's developer and its bases'.
    pub developer: Amount,
    /// The operator.
    pub operator: Amount,
    /// Auditors.
    pub auditors: Amount,
    /// Validators.
    pub validators: Amount,
    /// The treasury, rounding included.
    pub treasury: Amount,
    /// Destroyed.
    pub burned: Amount,
}

/// Splits `fees` by the parameters as they stand now.
pub fn split(state: &mut State, fees: Amount) -> Result<Split> {
    let mut rest = fees;
    let mut part = |state: &mut State, share: Parameter| -> Result<Amount> {
        let bps = share.get(state)?;
        let part = fees.mul_div(bps.into(), WHOLE_BPS.into()).ok_or_else(Error::overflow)?;
        rest = rest.checked_sub(part).ok_or(Error::Inconsistent("the fee shares exceed the whole"))?;
        Ok(part)
    };
    let data = part(state, Parameter::DataBps)?;
    let developer = part(state, Parameter::DeveloperBps)?;
    let operator = part(state, Parameter::OperatorBps)?;
    let auditors = part(state, Parameter::AuditorBps)?;
    let validators = part(state, Parameter::ValidatorBps)?;
    let burned = part(state, Parameter::BurnBps)?;
    Ok(Split { data, developer, operator, auditors, validators, treasury: rest, burned })
}
