//! Who may not, and what is refused.

use super::fixture::{MODEL, Scene, is, open, party};
use crate::{
    Call,
    channels::{MAX_CALLS, MAX_CLAIMS},
};
use alloy_primitives::{Address, B256, Bytes, U256, Uint};
use alloy_sol_types::{SolCall, SolError, SolInterface};
use interfaces::{
    addresses::{CHANNELS, DEPOSIT_COLLECTOR, MULTICALL3, TOKEN, escrow},
    channels::{ChannelConfig, IChannels, IDepositCollector, MIN_WITHDRAW_DELAY_SECONDS},
    errors::ILedger,
    multicall3::IMulticall3,
    operators::IOperators,
    token::IToken,
};
use proptest::prelude::*;

/// A deposit after `change` to the configuration.
fn deposit_with(change: impl FnOnce(&mut ChannelConfig)) -> Result<(), Bytes> {
    let mut scene = Scene::new();
    change(&mut scene.config);
    scene.deposit(open(1), 1)
}

#[test]
fn only_an_escrow_receives_and_only_its_operator_authorizes() {
    let thief = party(9).address;
    assert!(is::<IChannels::ReceiverIsNotEscrow, _>(deposit_with(|c| c.receiver = thief)));
    // An escrow exists as an address before it is registered; the ledger does not know it.
    let other = escrow(party(2).address, B256::repeat_byte(1));
    assert!(is::<IChannels::ReceiverIsNotEscrow, _>(deposit_with(|c| c.receiver = other)));
    let refused = deposit_with(|c| c.receiverAuthorizer = thief).expect_err("refused");
    let error = IChannels::AuthorizerIsNotOperator::abi_decode(&refused).expect("the custom error");
    assert_eq!((error.receiverAuthorizer, error.operator), (thief, party(2).address));
}

#[test]
fn configurations_outside_the_scheme_are_refused() {
    assert!(is::<IChannels::InvalidChannel, _>(deposit_with(|c| c.payer = Address::ZERO)));
    assert!(is::<IChannels::InvalidChannel, _>(deposit_with(|c| c.receiver = Address::ZERO)));
    assert!(is::<IChannels::UnsupportedToken, _>(deposit_with(|c| c.token = Address::repeat_byte(7))));
    for delay in [0u64, 899, 2_592_001] {
        let refused = deposit_with(|c| c.withdrawDelay = Uint::from(delay));
        assert!(is::<IChannels::WithdrawDelayOutOfRange, _>(refused), "{delay}");
    }
    for delay in [900u64, 2_592_000] {
        deposit_with(|c| c.withdrawDelay = Uint::from(delay)).expect("the edges are inside");
    }
    let mut scene = Scene::new();
    let least = scene.ledger.view(CHANNELS, &IChannels::MIN_WITHDRAW_DELAYCall {}).expect("a view");
    assert_eq!(least, Uint::from(MIN_WITHDRAW_DELAY_SECONDS));
    assert!(is::<IChannels::ZeroDeposit, _>(scene.deposit(0, 1)));
    let mut call = scene.deposit_call(1, 1);
    call.collector = Address::repeat_byte(8);
    assert!(is::<IChannels::InvalidCollector, _>(scene.send(scene.relay.address, &call)));
}

#[test]
fn a_development_network_may_shorten_the_delay() {
    let mut scene = Scene::with_parameters(&[("least_withdraw_delay_seconds", 2)]);
    scene.config.withdrawDelay = Uint::from(1u64);
    assert!(is::<IChannels::WithdrawDelayOutOfRange, _>(scene.deposit(open(1), 1)));
    scene.config.withdrawDelay = Uint::from(2u64);
    scene.deposit(open(1), 1).expect("deposit");
    scene.initiate(open(1)).expect("start");
    scene.ledger.advance(2_000);
    scene.finalize().expect("two seconds later");
}

#[test]
fn an_escrow_is_registered_once_and_known_from_then_on() {
    let mut scene = Scene::new();
    let register = IChannels::registerEscrowCall { operator: scene.operator.address, model: MODEL };
    assert_eq!(scene.send(scene.payer.address, &register), Ok(scene.config.receiver));
    assert!(scene.events::<IChannels::EscrowRegistered>().is_empty(), "it was known already");
    let of = |escrow| IChannels::escrowOfCall { escrow };
    let owner = scene.ledger.view(CHANNELS, &of(scene.config.receiver)).expect("a view");
    assert_eq!((owner.operator, owner.model), (scene.operator.address, MODEL));
    let nobody = scene.ledger.view(CHANNELS, &of(scene.payer.address)).expect("a view");
    assert_eq!((nobody.operator, nobody.model), (Address::ZERO, B256::ZERO));
}

#[test]
fn a_claim_needs_the_receiver_side_the_voucher_and_the_money() {
    let mut scene = Scene::new();
    scene.deposit(open(10), 1).expect("deposit");
    let call = IChannels::claimCall { voucherClaims: vec![scene.row(open(1), open(1))] };
    assert!(is::<IChannels::NotAuthorizedToClaim, _>(scene.send(scene.relay.address, &call)));
    assert!(is::<IChannels::NotAuthorizedToClaim, _>(scene.send(scene.payer.address, &call)));
    assert!(is::<IChannels::ClaimExceedsCeiling, _>(scene.claim(open(1), open(1) + 1)));
    assert!(is::<IChannels::ClaimExceedsBalance, _>(scene.claim(open(20), open(11))));
    let mut row = scene.row(open(1), open(1));
    row.voucher.maxClaimableAmount = open(2);
    let call = IChannels::claimCall { voucherClaims: vec![row.clone()] };
    assert!(is::<IChannels::InvalidSignature, _>(scene.send(scene.operator.address, &call)));
    row.signature = Bytes::from(vec![0; 65]);
    let call = IChannels::claimCall { voucherClaims: vec![row.clone()] };
    assert!(is::<IChannels::InvalidSignature, _>(scene.send(scene.operator.address, &call)));
    row.signature = Bytes::new();
    let call = IChannels::claimCall { voucherClaims: vec![row] };
    assert!(is::<IChannels::InvalidSignature, _>(scene.send(scene.operator.address, &call)));
    assert_eq!(scene.channel(), (open(10), 0));
}

#[test]
fn a_malleable_twin_of_a_signature_is_refused() {
    let mut scene = Scene::new();
    scene.deposit(open(10), 1).expect("deposit");
    let order = U256::from_be_slice(&alloy_primitives::hex!(
        "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141"
    ));
    let mut row = scene.row(open(1), open(1));
    let mut twin = row.signature.to_vec();
    let s = U256::from_be_slice(&twin[32..64]);
    twin[32..64].copy_from_slice(&(order - s).to_be_bytes::<32>());
    twin[64] = if twin[64] == 27 { 28 } else { 27 };
    row.signature = twin.into();
    let call = IChannels::claimCall { voucherClaims: vec![row] };
    assert!(is::<IChannels::InvalidSignature, _>(scene.send(scene.operator.address, &call)));
}

#[test]
fn a_voucher_signer_other_than_the_payer_signs_for_it() {
    let mut scene = Scene::new();
    let session = party(7);
    scene.config.payerAuthorizer = session.address;
    scene.deposit(open(10), 1).expect("deposit");
    assert!(is::<IChannels::InvalidSignature, _>(scene.claim(open(1), open(1))), "the payer is not it");
    let payer = std::mem::replace(&mut scene.payer, session);
    scene.claim(open(1), open(1)).expect("the voucher signer is");
    scene.ledger.send(payer.address, scene.payer.address, U256::from(open(1)), Bytes::new());
    scene.initiate(open(2)).expect("and may withdraw, to the payer");
    scene.ledger.advance(86_400_000);
    let before = scene.ledger.balance(payer.address);
    scene.finalize().expect("finalize");
    assert_eq!(scene.ledger.balance(payer.address), before + open(2));

    let mut none = Scene::new();
    none.config.payerAuthorizer = Address::ZERO;
    none.deposit(open(1), 1).expect("deposit");
    none.claim(open(1), open(1)).expect("without one, the payer signs");
}

#[test]
fn a_signed_claim_binds_every_row_and_one_authorizer() {
    let mut scene = Scene::new();
    scene.deposit(open(10), 1).expect("deposit");
    let mut call = scene.signed_claim(vec![scene.row(open(4), open(1))]);
    call.voucherClaims[0].totalClaimed = open(4);
    assert!(is::<IChannels::InvalidSignature, _>(scene.send(scene.relay.address, &call)));
    let mut stranger = scene.row(open(4), open(1));
    stranger.voucher.channel.receiverAuthorizer = party(8).address;
    let call = scene.signed_claim(vec![scene.row(open(4), open(1)), stranger]);
    assert!(is::<IChannels::NotReceiverAuthorizer, _>(scene.send(scene.relay.address, &call)));
    let call = scene.signed_claim(Vec::new());
    assert!(is::<IChannels::EmptyBatch, _>(scene.send(scene.relay.address, &call)));
    assert_eq!(scene.channel(), (open(10), 0));
}

#[test]
fn only_the_right_side_withdraws_or_refunds() {
    let mut scene = Scene::new();
    scene.deposit(open(10), 1).expect("deposit");
    let config = scene.config.clone();
    let start = IChannels::initiateWithdrawCall { config: config.clone(), amount: 1 };
    assert!(is::<IChannels::InvalidChannel, _>(scene.send(scene.operator.address, &start)));
    assert!(is::<IChannels::NothingToWithdraw, _>(scene.initiate(0)));
    assert!(is::<IChannels::WithdrawAmountExceedsAvailable, _>(scene.initiate(open(11))));
    scene.initiate(open(1)).expect("start");
    let end = IChannels::finalizeWithdrawCall { config: config.clone() };
    let refused = scene.send(scene.operator.address, &end);
    assert!(is::<IChannels::NotAuthorizedToFinalizeWithdraw, _>(refused));
    let refund = IChannels::refundCall { config, amount: 1 };
    assert!(is::<IChannels::NotAuthorizedToRefund, _>(scene.send(scene.payer.address, &refund)));
    assert!(is::<IChannels::ZeroRefund, _>(scene.refund(0)));
    let mut forged = scene.signed_refund(open(1), 0);
    forged.amount = open(2);
    assert!(is::<IChannels::InvalidSignature, _>(scene.send(scene.relay.address, &forged)));
    assert_eq!(scene.refund_nonce(), 0);
}

#[test]
fn batches_and_nesting_are_limited() {
    let mut scene = Scene::new();
    let row = scene.row(1, 1);
    let call = IChannels::claimCall { voucherClaims: vec![row; MAX_CLAIMS + 1] };
    assert!(is::<IChannels::BatchTooLarge, _>(scene.send(scene.operator.address, &call)));
    let inner: Bytes = IChannels::MIN_WITHDRAW_DELAYCall {}.abi_encode().into();
    let call = IChannels::multicallCall { data: vec![inner.clone(); MAX_CALLS + 1] };
    assert!(is::<IChannels::BatchTooLarge, _>(scene.send(scene.relay.address, &call)));
    let mut nested = inner;
    for _ in 0..8 {
        nested = IChannels::multicallCall { data: vec![nested] }.abi_encode().into();
    }
    let receipt = scene.ledger.send(scene.relay.address, CHANNELS, U256::ZERO, nested);
    assert!(ILedger::CallTooDeep::abi_decode(&receipt.output).is_ok());
}

#[test]
fn plain_money_is_no_deposit() {
    let mut scene = Scene::new();
    let sent = scene.ledger.send(scene.payer.address, CHANNELS, U256::from(open(1)), Bytes::new());
    assert!(ILedger::NotPayable::abi_decode(&sent.output).is_ok());
    let transfer = IToken::transferCall { to: CHANNELS, value: U256::from(open(1)) };
    assert_eq!(scene.ledger.transact(scene.payer.address, TOKEN, U256::ZERO, &transfer), Ok(true));
    assert!(is::<IChannels::WithdrawAmountExceedsAvailable, _>(scene.initiate(1)));
}

#[test]
fn an_attribution_suffix_after_the_arguments_is_ignored_and_shared_bytes_are_refused() {
    let mut scene = Scene::new();
    let mut data = scene.deposit_call(open(1), 1).abi_encode();
    data.extend_from_slice(b"suffix of a facilitator");
    assert!(scene.ledger.send(scene.relay.address, CHANNELS, U256::ZERO, data).success);
    // Two elements of a `bytes[]` at one offset: what decodes to much from little.
    let word = |n: u64| U256::from(n).to_be_bytes::<32>();
    let mut data = IChannels::multicallCall::SELECTOR.to_vec();
    for w in [word(32), word(2), word(64), word(64), word(0)] {
        data.extend_from_slice(&w);
    }
    let receipt = scene.ledger.send(scene.relay.address, CHANNELS, U256::ZERO, data);
    assert!(ILedger::MalformedCall::abi_decode(&receipt.output).is_ok());
}

#[test]
fn no_claim_while_unsettled_revenue_passes_what_the_stake_answers_for() {
    let mut scene = Scene::new();
    scene.deposit(open(200_000), 1).expect("deposit");
    // A million OPEN of stake carries 33,000 of unsettled revenue.
    let refused = scene.claim(open(33_001), open(33_001)).expect_err("one too many");
    let error = IOperators::RevenueLimit::abi_decode(&refused).expect("the custom error");
    assert_eq!((error.unsettled, error.limit), (U256::from(open(33_001)), U256::from(open(33_000))));
    scene.claim(open(33_000), open(33_000)).expect("up to the limit");
    scene.settle().expect("what was claimed may always reach the escrow");
    assert!(is::<IOperators::RevenueLimit, _>(scene.claim(open(33_001), open(33_001))));
    let carried = scene.signed_claim(vec![scene.row(open(33_001), open(33_001))]);
    assert!(is::<IOperators::RevenueLimit, _>(scene.send(scene.relay.address, &carried)));
    let gift = scene.config.receiver;
    scene.ledger.send(scene.payer.address, gift, U256::from(open(1)), Bytes::new());
    scene
        .claim(open(33_001), open(33_000))
        .expect("past the limit by a gift, a row that takes nothing passes");
    scene.ledger.assert_conserved();
}

#[test]
fn nothing_is_claimed_for_a_model_that_the_operator_does_not_offer() {
    let mut scene = Scene::new();
    let (operator, model) = (scene.operator.address, B256::repeat_byte(0x6e));
    let register = IChannels::registerEscrowCall { operator, model };
    scene.config.receiver = scene.send(scene.relay.address, &register).expect("anyone may");
    scene.deposit(open(10), 1).expect("deposit");
    assert!(is::<IOperators::NotOffered, _>(scene.claim(open(1), open(1))));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_call_data_is_answered(data: Vec<u8>, selector: usize, gas_limit in 21_000u64..300_000) {
        let mut ledger = Scene::new().ledger;
        for (to, selectors) in [
            (CHANNELS, IChannels::IChannelsCalls::selectors().collect::<Vec<_>>()),
            (DEPOSIT_COLLECTOR, IDepositCollector::IDepositCollectorCalls::selectors().collect()),
            (MULTICALL3, IMulticall3::IMulticall3Calls::selectors().collect()),
        ] {
            let call = Call { to, data: data.clone().into(), gas_limit, ..Call::default() };
            ledger.call(&call);
            let known = [selectors[selector % selectors.len()].as_slice(), &data].concat();
            ledger.call(&Call { data: known.into(), ..call });
        }
    }

    #[test]
    fn a_valid_call_with_one_word_replaced_is_answered_and_conserves(word in 0usize..24, value: [u8; 32]) {
        let mut scene = Scene::new();
        scene.deposit(open(10), 1).expect("deposit");
        for call in [
            scene.deposit_call(open(1), 2).abi_encode(),
            scene.signed_claim(vec![scene.row(open(4), open(3))]).abi_encode(),
            scene.signed_refund(open(2), 0).abi_encode(),
        ] {
            let mut data = call;
            let at = 4 + 32 * (word % ((data.len() - 4) / 32));
            data[at..at + 32].copy_from_slice(&value);
            scene.ledger.send(scene.relay.address, CHANNELS, U256::ZERO, data);
            scene.ledger.assert_conserved();
        }
    }
}
