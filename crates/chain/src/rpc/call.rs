//! Calls that change nothing.

use super::{
    account::require_newest,
    error::RpcError,
    objects::{NOBODY, quantity},
    params::{Parameter as _, Params},
};
use crate::node::Services;
use alloy_primitives::{Address, Bytes, U256};
use ledger::{Call, CallOutcome};
use serde_json::{Value, json};

fn request(services: &Services, params: &mut Params) -> Result<Call, RpcError> {
    let Value::Object(mut object) = params.take(0, "call")? else {
        return Err(RpcError::params("parameter 1 (call): expected an object"));
    };
    require_newest(services, params.optional(1, "block")?)?;
    let mut field = |name: &str| object.remove(name).filter(|value| !value.is_null());
    let parsed =
        |name: &str, reason: String| RpcError::params(format!("parameter 1 (call), {name}: {reason}"));
    let from = field("from").map(Address::parse).transpose().map_err(|reason| parsed("from", reason))?;
    let to = field("to").map(Address::parse).transpose().map_err(|reason| parsed("to", reason))?;
    let to = to.ok_or_else(|| {
        RpcError::refused("contract creation is not supported: name a module or an account in `to`")
    })?;
    let value = field("value").map(U256::parse).transpose().map_err(|reason| parsed("value", reason))?;
    let gas = field("gas").map(u64::parse).transpose().map_err(|reason| parsed("gas", reason))?;
    let data = field("input").or_else(|| field("data"));
    let data = data.map(Bytes::parse).transpose().map_err(|reason| parsed("input", reason))?;
    let limit = services.rules.genesis.gas_limit;
    Ok(Call {
        from: from.unwrap_or(NOBODY),
        to,
        value: value.unwrap_or_default(),
        data: data.unwrap_or_default(),
        gas_limit: gas.unwrap_or(limit).min(limit),
    })
}

async fn run(services: &Services, call: &Call) -> Result<CallOutcome, RpcError> {
    let outcome = services.call(call).await?;
    if outcome.success { Ok(outcome) } else { Err(RpcError::reverted(&outcome.output)) }
}

pub(super) async fn call(services: &Services, mut params: Params) -> Result<Value, RpcError> {
    let call = request(services, &mut params)?;
    Ok(json!(run(services, &call).await?.output))
}

/// What the call uses now, and for a module a fifth more, since its state may change until it is included.
pub(super) async fn estimate_gas(services: &Services, mut params: Params) -> Result<Value, RpcError> {
    let call = request(services, &mut params)?;
    let used = run(services, &call).await?.gas_used;
    let estimate = if ledger::is_module(call.to) { used + used / 5 } else { used };
    Ok(quantity(estimate.min(services.rules.genesis.gas_limit)))
}
