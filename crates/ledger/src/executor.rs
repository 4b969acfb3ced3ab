//! Runs one transaction, or one call that changes nothing.
//!
//! Order: the transaction is checked against the block and its sender ([`Invalid`] keeps it out of blocks); the sender
//! pays for all its gas and its nonce moves; value and call run under a checkpoint; unused gas is paid back, the base fee is
//! burned and the tip goes to the proposer. A refused call undoes only its own effects.

use crate::{
    account, context,
    env::{BlockEnv, Call, CallOutcome, Invalid, Receipt, Transaction},
    error::{Error, Result as CallResult},
    gas,
    storage::{Misses, State},
};
use alloy_primitives::{Bytes, U256};
use interfaces::token::IToken;
use primitives::Amount;

/// Executes `tx` in `block`. `Err(Misses)`: provide the slots and call again; the state is as before.
/// `Ok(Err(Invalid))`: the transaction cannot stand in this block; the state is as before.
pub fn execute(
    state: &mut State,
    block: &BlockEnv,
    tx: &Transaction,
) -> Result<Result<Receipt, Invalid>, Misses> {
    let checkpoint = state.checkpoint();
    let outcome = run(state, block, tx);
    if let Err(misses) = state.take_misses() {
        state.revert(checkpoint);
        return Err(misses);
    }
    match outcome {
        Ok(mut receipt) => {
            receipt.logs = state.take_logs();
            state.seal();
            Ok(Ok(receipt))
        }
        Err(invalid) => {
            state.revert(checkpoint);
            Ok(Err(invalid))
        }
    }
}

fn run(state: &mut State, block: &BlockEnv, tx: &Transaction) -> Result<Receipt, Invalid> {
    let intrinsic = gas::intrinsic(&tx.data);
    let price = check_fees(block, tx, intrinsic)?;
    let mut sender = account::load(state, tx.sender).unwrap_or_default();
    if state.missed() {
        // Nothing can be judged yet: touch what the transaction will need, so that one round fetches it all.
        let _ = account::load(state, block.proposer);
        let _ = account::load(state, tx.to);
        let _ = crate::tables::BURNED.get(state, &());
    } else {
        check_sender(tx, &sender)?;
    }
    let upfront = Amount(u128::from(tx.gas_limit).saturating_mul(price));
    sender.balance = Amount(sender.balance.0.saturating_sub(upfront.0));
    sender.nonce = sender.nonce.saturating_add(1);
    let _ = account::store(state, tx.sender, sender);

    state.begin_meter(tx.gas_limit - intrinsic);
    let result = apply(state, block, tx);
    let gas_used = intrinsic + state.end_meter();

    settle_gas(state, block, tx, price, gas_used);
    Ok(match result {
        Ok(output) => {
            Receipt { success: true, gas_used, output, logs: Vec::new(), effective_gas_price: price }
        }
        Err(error) => Receipt {
            success: false,
            gas_used,
            output: error.output(),
            logs: Vec::new(),
            effective_gas_price: price,
        },
    })
}

/// Price per gas, or why the fee fields do not fit the block.
fn check_fees(block: &BlockEnv, tx: &Transaction, intrinsic: u64) -> Result<u128, Invalid> {
    if tx.gas_limit > block.gas_limit {
        return Err(Invalid::GasAboveBlock { limit: tx.gas_limit, block: block.gas_limit });
    }
    if tx.gas_limit < intrinsic {
        return Err(Invalid::GasBelowIntrinsic { limit: tx.gas_limit, intrinsic });
    }
    if tx.max_priority_fee > tx.max_fee {
        return Err(Invalid::PriorityAboveMax { priority: tx.max_priority_fee, max_fee: tx.max_fee });
    }
    if tx.max_fee < block.base_fee {
        return Err(Invalid::FeeTooLow { max_fee: tx.max_fee, base_fee: block.base_fee });
    }
    Ok(tx.max_fee.min(block.base_fee.saturating_add(tx.max_priority_fee)))
}

fn check_sender(tx: &Transaction, sender: &account::Account) -> Result<(), Invalid> {
    if tx.nonce < sender.nonce {
        return Err(Invalid::NonceTooLow { expected: sender.nonce, given: tx.nonce });
    }
    // The last nonce stays unused, so that the next one always exists (EIP-2681).
    if tx.nonce > sender.nonce || tx.nonce == u64::MAX {
        return Err(Invalid::NonceTooHigh { expected: sender.nonce, given: tx.nonce });
    }
    let needed = U256::from(tx.gas_limit) * U256::from(tx.max_fee);
    let needed = needed.saturating_add(tx.value);
    if U256::from(sender.balance.0) < needed {
        return Err(Invalid::InsufficientFunds { sender: tx.sender, balance: sender.balance.0, needed });
    }
    Ok(())
}

fn apply(state: &mut State, block: &BlockEnv, tx: &Transaction) -> CallResult<Bytes> {
    let value = Amount::from_word(tx.value).ok_or_else(|| {
        Error::rejected(IToken::ERC20InsufficientBalance {
            sender: tx.sender,
            balance: U256::ZERO,
            needed: tx.value,
        })
    })?;
    if !crate::is_module(tx.to) {
        // A transfer between accounts costs the intrinsic gas and no more, as wallets expect.
        state.end_meter();
        return context::run(state, block, tx.sender, tx.to, value, &tx.data, 0);
    }
    context::run(state, block, tx.sender, tx.to, value, &tx.data, 0)
}

/// Pays unused gas back, burns the base fee, tips the proposer.
fn settle_gas(state: &mut State, block: &BlockEnv, tx: &Transaction, price: u128, gas_used: u64) {
    let unused = Amount(u128::from(tx.gas_limit - gas_used).saturating_mul(price));
    let tip = Amount(u128::from(gas_used).saturating_mul(price - block.base_fee));
    let base = U256::from(gas_used) * U256::from(block.base_fee);
    let credit = |state: &mut State, to, amount: Amount| {
        let mut account = account::load(state, to).unwrap_or_default();
        account.balance = Amount(account.balance.0.saturating_add(amount.0));
        let _ = account::store(state, to, account);
    };
    credit(state, tx.sender, unused);
    credit(state, block.proposer, tip);
    let burned = crate::tables::BURNED.get(state, &()).unwrap_or_default();
    let _ = crate::tables::BURNED.set(state, &(), burned.saturating_add(base));
}

/// Runs a call and undoes it: `eth_call` and `eth_estimateGas`.
pub fn call(state: &mut State, block: &BlockEnv, call: &Call) -> Result<CallOutcome, Misses> {
    let checkpoint = state.checkpoint();
    let intrinsic = gas::intrinsic(&call.data);
    let limit = call.gas_limit.min(block.gas_limit).saturating_sub(intrinsic);
    let result = match Amount::from_word(call.value) {
        Some(value) => {
            if crate::is_module(call.to) {
                state.begin_meter(limit);
            }
            context::run(state, block, call.from, call.to, value, &call.data, 0)
        }
        None => Err(Error::rejected(IToken::ERC20InsufficientBalance {
            sender: call.from,
            balance: U256::ZERO,
            needed: call.value,
        })),
    };
    let gas_used = intrinsic + state.end_meter();
    state.revert(checkpoint);
    state.take_logs();
    state.take_misses()?;
    Ok(match result {
        Ok(output) => CallOutcome { success: true, output, gas_used },
        Err(error) => CallOutcome { success: false, output: error.output(), gas_used },
    })
}
