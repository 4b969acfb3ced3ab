use super::MAX_CALLS;
use crate::{Call, MemoryLedger};
use alloy_primitives::{Address, Bytes, U256};
use alloy_sol_types::{SolCall, SolError};
use interfaces::{
    addresses::{CHANNELS, MULTICALL3, TOKEN},
    channels::IChannels,
    errors::ILedger,
    multicall3::IMulticall3::{self, Call as Inner, Call3, Outcome},
    token::IToken,
};

const ALICE: Address = Address::repeat_byte(0xa1);

fn inner(target: Address, call: &impl SolCall) -> Inner {
    Inner { target, callData: call.abi_encode().into() }
}

#[test]
fn a_facilitators_reads_come_back_in_order_and_a_refused_one_alone_fails() {
    let mut ledger = MemoryLedger::with_holders(&[ALICE]);
    let calls = vec![
        inner(CHANNELS, &IChannels::channelsCall { channelId: Default::default() }),
        inner(TOKEN, &IToken::transferCall { to: ALICE, value: U256::from(1) }),
        inner(TOKEN, &IToken::balanceOfCall { account: ALICE }),
    ];
    let call = IMulticall3::tryAggregateCall { requireSuccess: false, calls: calls.clone() };
    let outcomes = ledger.view(MULTICALL3, &call).expect("failures are allowed");
    assert_eq!(outcomes.iter().map(|o| o.success).collect::<Vec<_>>(), [true, false, true]);
    assert!(IToken::ERC20InsufficientBalance::abi_decode(&outcomes[1].returnData).is_ok());
    let balance = IToken::balanceOfCall::abi_decode_returns(&outcomes[2].returnData).expect("a word");
    assert_eq!(balance, U256::from(ledger.balance(ALICE)));

    let strict = IMulticall3::tryAggregateCall { requireSuccess: true, calls };
    let error = IMulticall3::CallFailed::abi_decode(&ledger.view(MULTICALL3, &strict).expect_err("refused"));
    assert_eq!(error.expect("the custom error").index, U256::from(1));
}

#[test]
fn the_modules_called_see_the_batch_as_the_caller() {
    let mut ledger = MemoryLedger::with_holders(&[ALICE]);
    let give = IToken::transferCall { to: MULTICALL3, value: U256::from(5) };
    ledger.transact(ALICE, TOKEN, U256::ZERO, &give).expect("transfer");
    let take = IToken::transferCall { to: ALICE, value: U256::from(5) };
    let data = take.abi_encode().into();
    let batch = IMulticall3::aggregate3Call {
        calls: vec![Call3 { target: TOKEN, allowFailure: false, callData: data }],
    };
    let outcomes = ledger.transact(ALICE, MULTICALL3, U256::ZERO, &batch).expect("its own money moves");
    assert_eq!(outcomes.len(), 1);
    assert_eq!(ledger.balance(MULTICALL3), 0);
    ledger.assert_conserved();
}

#[test]
fn what_a_refused_call_did_is_undone() {
    let mut ledger = MemoryLedger::with_holders(&[ALICE]);
    let register = IChannels::registerEscrowCall { operator: ALICE, model: Default::default() }.abi_encode();
    let bad = IToken::transferCall { to: ALICE, value: U256::MAX }.abi_encode();
    let nested = IChannels::multicallCall { data: vec![register.into(), b"none".into()] };
    let batch = IMulticall3::aggregate3Call {
        calls: vec![
            Call3 { target: CHANNELS, allowFailure: true, callData: nested.abi_encode().into() },
            Call3 { target: TOKEN, allowFailure: true, callData: bad.into() },
        ],
    };
    let outcomes = ledger.transact(ALICE, MULTICALL3, U256::ZERO, &batch).expect("failures are allowed");
    assert!(outcomes.iter().all(|Outcome { success, .. }| !success));
    assert!(ledger.logs.is_empty(), "no event of what was undone");
    let escrow = interfaces::addresses::escrow(ALICE, Default::default());
    let owner = ledger.view(CHANNELS, &IChannels::escrowOfCall { escrow }).expect("a view");
    assert_eq!(owner.operator, Address::ZERO);
}

#[test]
fn running_out_of_gas_ends_the_batch() {
    let mut ledger = MemoryLedger::with_holders(&[ALICE]);
    let calls = vec![inner(TOKEN, &IToken::balanceOfCall { account: ALICE }); 50];
    let data: Bytes = IMulticall3::tryAggregateCall { requireSuccess: false, calls }.abi_encode().into();
    let enough =
        ledger.call(&Call { to: MULTICALL3, data: data.clone(), gas_limit: u64::MAX, ..Call::default() });
    assert!(enough.success);
    let short = Call { to: MULTICALL3, data, gas_limit: enough.gas_used - 1, ..Call::default() };
    assert!(!ledger.call(&short).success, "a call cut short is not reported as its own failure");
}

#[test]
fn batches_are_limited_and_take_no_money() {
    let mut ledger = MemoryLedger::with_holders(&[ALICE]);
    let calls = vec![Inner { target: TOKEN, callData: Bytes::new() }; MAX_CALLS + 1];
    let call = IMulticall3::tryAggregateCall { requireSuccess: false, calls };
    let refused = ledger.view(MULTICALL3, &call).expect_err("refused");
    assert!(IMulticall3::BatchTooLarge::abi_decode(&refused).is_ok());
    let empty = IMulticall3::aggregateCall { calls: Vec::new() };
    let refused = ledger.transact(ALICE, MULTICALL3, U256::from(1), &empty).expect_err("refused");
    assert!(ILedger::NotPayable::abi_decode(&refused).is_ok());
    // A batch inside a batch inside a batch ends somewhere.
    let mut nested = empty.abi_encode();
    for _ in 0..6 {
        nested =
            IMulticall3::aggregateCall { calls: vec![Inner { target: MULTICALL3, callData: nested.into() }] }
                .abi_encode();
    }
    let receipt = ledger.send(ALICE, MULTICALL3, U256::ZERO, nested);
    assert!(!receipt.success);
}

#[test]
fn the_block_is_told() {
    let mut ledger = MemoryLedger::with_holders(&[ALICE]);
    ledger.advance(3_000);
    let number = U256::from(ledger.block.number);
    assert_eq!(ledger.view(MULTICALL3, &IMulticall3::getBlockNumberCall {}), Ok(number));
    let seconds = U256::from(ledger.block.seconds());
    assert_eq!(ledger.view(MULTICALL3, &IMulticall3::getCurrentBlockTimestampCall {}), Ok(seconds));
    assert_eq!(ledger.view(MULTICALL3, &IMulticall3::getChainIdCall {}), Ok(U256::from(31_337)));
    let balance = U256::from(ledger.balance(ALICE));
    assert_eq!(ledger.view(MULTICALL3, &IMulticall3::getEthBalanceCall { addr: ALICE }), Ok(balance));
}
