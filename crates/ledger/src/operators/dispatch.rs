//! Calls of the operators' module to their handlers.

use super::{offers, registration, revenue, stake, state};
use crate::{
    context::{Context, decode},
    error::Result,
    tables::{ENDPOINTS, OFFER_LISTS, OFFERS, OPERATOR_LIST, OPERATORS, UNBONDINGS},
};
use alloy_primitives::{Address, Bytes, U256};
use alloy_sol_types::SolCall;
use interfaces::{
    addresses::escrow,
    operators::{IOperators, IOperators::IOperatorsCalls as Calls},
};
use primitives::Amount;

pub(crate) fn dispatch(ctx: &mut Context, data: &[u8]) -> Result<Bytes> {
    let call = decode::<Calls>(data)?;
    if !matches!(call, Calls::register(_) | Calls::addStake(_)) {
        ctx.not_payable()?;
    }
    let output = match call {
        Calls::register(c) => registration::register(ctx, c).map(|()| Vec::new())?,
        Calls::addStake(_) => stake::add_stake(ctx).map(|()| Vec::new())?,
        Calls::setEndpoint(c) => registration::set_endpoint(ctx, c).map(|()| Vec::new())?,
        Calls::offer(c) => offers::offer(ctx, c).map(|()| Vec::new())?,
        Calls::withdrawOffer(c) => offers::withdraw_offer(ctx, c).map(|()| Vec::new())?,
        Calls::unbond(c) => IOperators::unbondCall::abi_encode_returns(&stake::unbond(ctx, c)?),
        Calls::completeUnbond(c) => stake::complete_unbond(ctx, c).map(|()| Vec::new())?,
        Calls::operator(c) => IOperators::operatorCall::abi_encode_returns(&operator(ctx, c.operator)?),
        Calls::offerOf(c) => IOperators::offerOfCall::abi_encode_returns(&offer_of(ctx, c)?),
        Calls::unbonding(c) => IOperators::unbondingCall::abi_encode_returns(&unbonding(ctx, c)?),
        Calls::escrow(c) => IOperators::escrowCall::abi_encode_returns(&escrow(c.operator, c.model)),
        Calls::unsettled(c) => {
            let units = revenue::unsettled(ctx.state, c.operator)?;
            IOperators::unsettledCall::abi_encode_returns(&units.to_word())
        }
        Calls::limit(c) => {
            let units = revenue::limit(ctx.state, c.operator)?;
            IOperators::limitCall::abi_encode_returns(&units.to_word())
        }
        Calls::count(_) => IOperators::countCall::abi_encode_returns(&OPERATOR_LIST.len(ctx.state, &())?),
        Calls::operatorAt(c) => {
            let word = OPERATOR_LIST.get(ctx.state, &(), c.index)?.unwrap_or_default();
            IOperators::operatorAtCall::abi_encode_returns(&Address::from_word(word))
        }
        Calls::modelOf(c) => {
            let model = OFFER_LISTS.get(ctx.state, &c.operator, c.index)?.unwrap_or_default();
            IOperators::modelOfCall::abi_encode_returns(&model)
        }
    };
    Ok(output.into())
}

fn operator(ctx: &mut Context, account: Address) -> Result<IOperators::Operator> {
    let Some(record) = OPERATORS.get(ctx.state, &account)? else {
        return Ok(IOperators::Operator {
            status: IOperators::Status::None,
            registeredAt: 0,
            stake: U256::ZERO,
            locked: U256::ZERO,
            unbonding: U256::ZERO,
            models: 0,
            endpoint: String::new(),
        });
    };
    let status = record.status();
    let state::OperatorRecord { registered_at, stake, locked, unbonding, .. } = record;
    Ok(IOperators::Operator {
        status,
        registeredAt: registered_at,
        stake: stake.to_word(),
        locked: locked.to_word(),
        unbonding: unbonding.to_word(),
        models: OFFER_LISTS.len(ctx.state, &account)?,
        endpoint: ENDPOINTS.get(ctx.state, &account)?.unwrap_or_default(),
    })
}

fn offer_of(ctx: &mut Context, call: IOperators::offerOfCall) -> Result<IOperators::Offer> {
    let IOperators::offerOfCall { operator, model } = call;
    let offer = OFFERS.get(ctx.state, &(operator, model))?;
    let (active, rates) = offer.map_or((false, [Amount::ZERO; 3]), |offer| {
        let state::OfferRecord { active, rate_in, rate_out, platform_fee } = offer;
        (active, [rate_in, rate_out, platform_fee])
    });
    let [rate_in, rate_out, platform_fee] = rates.map(Amount::to_word);
    Ok(IOperators::Offer {
        active,
        escrow: escrow(operator, model),
        rateIn: rate_in,
        rateOut: rate_out,
        platformFee: platform_fee,
    })
}

fn unbonding(ctx: &mut Context, call: IOperators::unbondingCall) -> Result<IOperators::Unbonding> {
    let IOperators::unbondingCall { operator, id } = call;
    let unbonding = UNBONDINGS.get(ctx.state, &(operator, id))?;
    let (amount, free_at) = unbonding.map_or((Amount::ZERO, 0), |u| (u.amount, u.free_at));
    Ok(IOperators::Unbonding { amount: amount.to_word(), freeAt: free_at })
}
