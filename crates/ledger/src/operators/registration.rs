//! Joining, and where to be reached.

use super::{
    stake,
    state::{OperatorRecord, load_active},
};
use crate::{
    context::Context,
    error::{Error, Result, ensure},
    tables::{ENDPOINTS, OPERATOR_LIST, OPERATORS},
};
use alloy_primitives::U256;
use interfaces::operators::{IOperators, IOperators::Status};
use primitives::Amount;

/// Longest endpoint, in bytes.
pub const MAX_ENDPOINT_BYTES: usize = 256;

pub(super) fn register(ctx: &mut Context, call: IOperators::registerCall) -> Result<()> {
    let IOperators::registerCall { endpoint } = call;
    let account = ctx.caller;
    let before = OPERATORS.get(ctx.state, &account)?;
    let returning = before.as_ref().is_some_and(|operator| operator.status() == Status::Leaving);
    ensure(before.is_none() || returning, || Error::rejected(IOperators::AlreadyOperator { account }))?;
    check_endpoint(&endpoint)?;
    stake::require_least(ctx, ctx.value)?;
    let mut operator = before.unwrap_or(OperatorRecord {
        status: 0,
        registered_at: 0,
        stake: Amount::ZERO,
        locked: Amount::ZERO,
        unbonding: Amount::ZERO,
        pending: Amount::ZERO,
        unbondings: 0,
        unbondings_open: 0,
    });
    operator.status = Status::Active as u8;
    operator.registered_at = ctx.now();
    operator.stake = operator.stake.checked_add(ctx.value).ok_or_else(Error::overflow)?;
    OPERATORS.put(ctx.state, &account, &operator)?;
    ENDPOINTS.set(ctx.state, &account, &endpoint)?;
    if !returning {
        OPERATOR_LIST.push(ctx.state, &(), account.into_word())?;
    }
    ctx.emit(IOperators::OperatorRegistered { operator: account, stake: operator.stake.to_word(), endpoint })
}

pub(super) fn set_endpoint(ctx: &mut Context, call: IOperators::setEndpointCall) -> Result<()> {
    let IOperators::setEndpointCall { endpoint } = call;
    load_active(ctx.state, ctx.caller)?;
    check_endpoint(&endpoint)?;
    ENDPOINTS.set(ctx.state, &ctx.caller, &endpoint)?;
    ctx.emit(IOperators::EndpointSet { operator: ctx.caller, endpoint })
}

/// Only web addresses of visible characters: the explorer shows them and clients follow them.
fn check_endpoint(endpoint: &str) -> Result<()> {
    ensure(endpoint.len() <= MAX_ENDPOINT_BYTES, || {
        Error::rejected(IOperators::LimitExceeded {
            what: "endpoint bytes".into(),
            value: U256::from(endpoint.len()),
            limit: U256::from(MAX_ENDPOINT_BYTES),
        })
    })?;
    let host = endpoint.strip_prefix("https://").or_else(|| endpoint.strip_prefix("http://"));
    let good = host.is_some_and(|host| !host.is_empty()) && endpoint.bytes().all(|b| b.is_ascii_graphic());
    ensure(good, || Error::rejected(IOperators::BadEndpoint { endpoint: endpoint.into() }))
}
