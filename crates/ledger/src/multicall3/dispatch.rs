//! The batch forms and the block's views.

use crate::{
    context::{Context, decode},
    error::{Error, Result, ensure},
};
use alloy_primitives::{Address, Bytes, U256};
use alloy_sol_types::SolCall;
use interfaces::multicall3::{IMulticall3, IMulticall3::IMulticall3Calls as Calls, IMulticall3::Outcome};
use primitives::Amount;

/// Most calls in one batch.
pub const MAX_CALLS: usize = 1024;

/// Encodes what a handler returned as the return data of call `C`.
macro_rules! returns {
    ($call:ty, $value:expr) => {
        Ok(<$call>::abi_encode_returns(&$value).into())
    };
}

pub(crate) fn dispatch(ctx: &mut Context, data: &[u8]) -> Result<Bytes> {
    ctx.not_payable()?;
    match decode::<Calls>(data)? {
        Calls::aggregate(c) => {
            let calls = c.calls.into_iter().map(|c| (c.target, false, c.callData)).collect();
            let return_data = batch(ctx, calls)?.into_iter().map(|outcome| outcome.returnData).collect();
            returns!(
                IMulticall3::aggregateCall,
                IMulticall3::aggregateReturn {
                    blockNumber: U256::from(ctx.block.number),
                    returnData: return_data
                }
            )
        }
        Calls::tryAggregate(c) => {
            let may_fail = !c.requireSuccess;
            let calls = c.calls.into_iter().map(|c| (c.target, may_fail, c.callData)).collect();
            returns!(IMulticall3::tryAggregateCall, batch(ctx, calls)?)
        }
        Calls::aggregate3(c) => {
            let calls = c.calls.into_iter().map(|c| (c.target, c.allowFailure, c.callData)).collect();
            returns!(IMulticall3::aggregate3Call, batch(ctx, calls)?)
        }
        Calls::getBlockNumber(_) => {
            returns!(IMulticall3::getBlockNumberCall, U256::from(ctx.block.number))
        }
        Calls::getCurrentBlockTimestamp(_) => {
            returns!(IMulticall3::getCurrentBlockTimestampCall, U256::from(ctx.now()))
        }
        Calls::getChainId(_) => returns!(IMulticall3::getChainIdCall, U256::from(ctx.block.chain_id)),
        Calls::getEthBalance(c) => {
            returns!(IMulticall3::getEthBalanceCall, ctx.balance(c.addr)?.to_word())
        }
    }
}

/// Runs the calls `(target, may fail, data)` in order.
fn batch(ctx: &mut Context, calls: Vec<(Address, bool, Bytes)>) -> Result<Vec<Outcome>> {
    ensure(calls.len() <= MAX_CALLS, || {
        Error::rejected(IMulticall3::BatchTooLarge {
            given: U256::from(calls.len()),
            allowed: U256::from(MAX_CALLS),
        })
    })?;
    let mut outcomes = Vec::with_capacity(calls.len());
    for (index, (target, may_fail, data)) in calls.into_iter().enumerate() {
        outcomes.push(match ctx.call(target, Amount::ZERO, &data) {
            Ok(output) => Outcome { success: true, returnData: output },
            Err(Error::Rejected(reason)) if may_fail => Outcome { success: false, returnData: reason },
            Err(Error::Rejected(reason)) => {
                return Err(Error::rejected(IMulticall3::CallFailed { index: U256::from(index), reason }));
            }
            Err(error @ (Error::OutOfGas | Error::Inconsistent(_))) => return Err(error),
        });
    }
    Ok(outcomes)
}
