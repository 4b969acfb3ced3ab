//! Calls of the treasury to their handlers.

use super::{Parameter, spending, state::books};
use crate::{
    context::{Context, decode},
    error::{Error, Result},
};
use alloy_primitives::{Bytes, U256};
use alloy_sol_types::SolCall;
use interfaces::treasury::{ITreasury, ITreasury::ITreasuryCalls as Calls};

pub(crate) fn dispatch(ctx: &mut Context, data: &[u8]) -> Result<Bytes> {
    ctx.not_payable()?;
    let output = match decode::<Calls>(data)? {
        Calls::parameter(c) => ITreasury::parameterCall::abi_encode_returns(&parameter(ctx, c)?),
        Calls::parameters(_) => ITreasury::parametersCall::abi_encode_returns(&all(ctx)?),
        Calls::balances(_) => ITreasury::balancesCall::abi_encode_returns(&balances(ctx)?),
        Calls::totals(_) => ITreasury::totalsCall::abi_encode_returns(&totals(ctx)?),
        Calls::subsidyAllowance(_) => {
            let allowance = spending::subsidy_allowance(ctx.state)?;
            ITreasury::subsidyAllowanceCall::abi_encode_returns(&allowance.to_word())
        }
    };
    Ok(output.into())
}

fn shown(ctx: &mut Context, parameter: Parameter) -> Result<ITreasury::Parameter> {
    let (least, most) = parameter.bounds();
    Ok(ITreasury::Parameter {
        id: parameter as u16,
        name: parameter.name().into(),
        value: U256::from(parameter.get(ctx.state)?),
        least: U256::from(least),
        most: U256::from(most),
    })
}

fn parameter(ctx: &mut Context, call: ITreasury::parameterCall) -> Result<ITreasury::Parameter> {
    let ITreasury::parameterCall { id } = call;
    let parameter =
        Parameter::from_id(id).ok_or_else(|| Error::rejected(ITreasury::UnknownParameter { id }))?;
    shown(ctx, parameter)
}

fn all(ctx: &mut Context) -> Result<Vec<ITreasury::Parameter>> {
    Parameter::ALL.iter().map(|parameter| shown(ctx, *parameter)).collect()
}

fn balances(ctx: &mut Context) -> Result<ITreasury::Balances> {
    let books = books(ctx.state)?;
    Ok(ITreasury::Balances {
        free: spending::free(ctx.state)?.to_word(),
        validators: books.validators.to_word(),
        auditors: books.auditors.to_word(),
    })
}

fn totals(ctx: &mut Context) -> Result<ITreasury::Totals> {
    let books = books(ctx.state)?;
    Ok(ITreasury::Totals {
        received: books.received.to_word(),
        burned: books.burned.to_word(),
        subsidies: books.subsidies.to_word(),
        spent: books.spent.to_word(),
        toValidators: books.to_validators.to_word(),
    })
}
