//! What a channel goes through.

use super::fixture::{Scene, is, open};
use alloy_primitives::{Bytes, U256};
use alloy_sol_types::SolCall;
use interfaces::{
    addresses::{CHANNELS, DEPOSIT_COLLECTOR, TOKEN},
    channels::IChannels,
    token::IToken,
};

#[test]
fn a_deposit_opens_the_channel_and_pays_by_way_of_the_collector() {
    let mut scene = Scene::new();
    let before = scene.ledger.balance(scene.payer.address);
    scene.deposit(open(10), 1).expect("a valid deposit");
    assert_eq!(scene.channel(), (open(10), 0));
    assert_eq!(scene.ledger.balance(CHANNELS), open(10));
    assert_eq!(scene.ledger.balance(scene.payer.address), before - open(10), "the payer pays no gas");
    let moves: Vec<_> = scene.events::<IToken::Transfer>().into_iter().map(|t| (t.from, t.to)).collect();
    assert_eq!(moves, [(scene.payer.address, DEPOSIT_COLLECTOR), (DEPOSIT_COLLECTOR, CHANNELS)]);
    assert_eq!(scene.events::<IToken::AuthorizationUsed>().len(), 1);
    assert_eq!(scene.events::<IChannels::ChannelCreated>()[0].config, scene.config);
    let deposited = &scene.events::<IChannels::Deposited>()[0];
    assert_eq!((deposited.sender, deposited.newBalance), (scene.relay.address, open(10)));

    scene.deposit(open(5), 2).expect("a top-up");
    assert_eq!(scene.channel(), (open(15), 0));
    assert!(scene.events::<IChannels::ChannelCreated>().is_empty());
    scene.ledger.assert_conserved();
}

#[test]
fn claims_are_cumulative_and_settling_pays_the_escrow_once() {
    let mut scene = Scene::new();
    scene.deposit(open(10), 1).expect("deposit");
    scene.claim(open(4), open(3)).expect("under the ceiling");
    assert_eq!(scene.channel(), (open(10), open(3)));
    scene.claim(open(4), open(3)).expect("a replay changes nothing");
    scene.claim(open(9), open(2)).expect("less than before changes nothing");
    assert_eq!(scene.channel(), (open(10), open(3)));
    assert_eq!(scene.ledger.balance(scene.config.receiver), 0, "a claim moves nothing");

    scene.settle().expect("settle");
    let settled = &scene.events::<IChannels::Settled>()[0];
    assert_eq!((settled.receiver, settled.amount), (scene.config.receiver, open(3)));
    scene.settle().expect("nothing due is no error");
    assert!(scene.events::<IChannels::Settled>().is_empty());
    assert_eq!(scene.ledger.balance(scene.config.receiver), open(3));
    assert_eq!(scene.ledger.balance(CHANNELS), open(7));
    scene.ledger.assert_conserved();
}

#[test]
fn anyone_can_carry_a_signed_claim_of_several_channels() {
    let mut scene = Scene::new();
    scene.deposit(open(10), 1).expect("deposit");
    let first = scene.row(open(2), open(2));
    scene.config.salt = alloy_primitives::B256::repeat_byte(1);
    scene.deposit(open(10), 2).expect("another channel");
    let second = scene.row(open(5), open(4));
    let call = scene.signed_claim(vec![first, second]);
    scene.send(scene.relay.address, &call).expect("carried by the relay");
    assert_eq!(scene.events::<IChannels::Claimed>().len(), 2);
    scene.settle().expect("settle");
    assert_eq!(scene.ledger.balance(scene.config.receiver), open(6), "both in one transfer");
}

#[test]
fn a_refund_returns_what_was_not_claimed_and_its_signature_works_once() {
    let mut scene = Scene::new();
    scene.deposit(open(10), 1).expect("deposit");
    scene.claim(open(4), open(4)).expect("claim");
    let before = scene.ledger.balance(scene.payer.address);
    let call = scene.signed_refund(open(100), 0);
    scene.send(scene.relay.address, &call).expect("capped to what is left");
    assert_eq!(scene.channel(), (open(4), open(4)));
    assert_eq!(scene.ledger.balance(scene.payer.address), before + open(6));
    assert!(is::<IChannels::InvalidRefundNonce, _>(scene.send(scene.relay.address, &call)));
    scene.refund(open(1)).expect("nothing is left to return");
    assert!(scene.events::<IChannels::Refunded>().is_empty());
    assert_eq!(scene.refund_nonce(), 2, "the nonce moves all the same");
    scene.settle().expect("settle");
    assert_eq!(scene.ledger.balance(CHANNELS), 0, "payouts are the deposit at the close");
    scene.ledger.assert_conserved();
}

#[test]
fn a_channel_emptied_before_any_claim_closes_and_can_open_again() {
    let mut scene = Scene::new();
    scene.deposit(open(2), 1).expect("deposit");
    scene.refund(open(2)).expect("refund");
    assert_eq!(scene.events::<IChannels::ChannelClosed>().len(), 1);
    scene.deposit(open(3), 2).expect("again");
    assert_eq!(scene.events::<IChannels::ChannelCreated>().len(), 1);
}

#[test]
fn a_payer_alone_gets_the_rest_back_after_the_delay() {
    let mut scene = Scene::new();
    scene.deposit(open(10), 1).expect("deposit");
    scene.initiate(open(10)).expect("start");
    let now = scene.ledger.block.seconds();
    assert_eq!(scene.pending(), (open(10), now));
    assert_eq!(scene.events::<IChannels::WithdrawInitiated>()[0].finalizeAfter.to::<u64>(), now + 86_400);
    assert!(is::<IChannels::WithdrawalAlreadyPending, _>(scene.initiate(1)));
    scene.claim(open(3), open(3)).expect("the operator claims in time");
    scene.ledger.advance(86_399_000);
    assert!(is::<IChannels::WithdrawDelayNotElapsed, _>(scene.finalize()));
    scene.ledger.advance(1_000);
    scene.finalize().expect("the delay has passed");
    assert_eq!(scene.events::<IChannels::WithdrawFinalized>()[0].amount, open(7), "what is left");
    assert_eq!(scene.channel(), (open(3), open(3)));
    assert_eq!(scene.pending(), (0, 0));
    assert!(is::<IChannels::WithdrawalNotPending, _>(scene.finalize()));
    let late = scene.claim(open(4), open(4));
    assert!(is::<IChannels::ClaimExceedsBalance, _>(late), "a claim after the withdrawal is too late");
    scene.ledger.assert_conserved();
}

#[test]
fn a_refund_shrinks_or_cancels_a_pending_withdrawal() {
    let mut scene = Scene::new();
    scene.deposit(open(10), 1).expect("deposit");
    scene.initiate(open(8)).expect("start");
    scene.refund(open(3)).expect("part");
    assert_eq!(scene.pending().0, open(5));
    scene.refund(open(5)).expect("the rest of what was asked for");
    assert_eq!(scene.pending(), (0, 0));
    assert!(is::<IChannels::WithdrawalNotPending, _>(scene.finalize()));
}

#[test]
fn a_stock_facilitators_multicall_claims_and_refunds_or_does_neither() {
    let mut scene = Scene::new();
    scene.deposit(open(10), 1).expect("deposit");
    let claim = scene.signed_claim(vec![scene.row(open(4), open(4))]).abi_encode();
    let stale = scene.signed_refund(open(6), 7).abi_encode();
    let call = IChannels::multicallCall { data: vec![claim.clone().into(), stale.into()] };
    assert!(is::<IChannels::InvalidRefundNonce, _>(scene.send(scene.relay.address, &call)));
    assert_eq!(scene.channel(), (open(10), 0), "the claim was undone with it");
    let refund = scene.signed_refund(open(6), 0).abi_encode();
    let call = IChannels::multicallCall { data: vec![claim.into(), refund.into()] };
    assert_eq!(scene.send(scene.relay.address, &call), Ok(vec![Bytes::new(), Bytes::new()]));
    assert_eq!(scene.channel(), (open(4), open(4)));
}

#[test]
fn settling_costs_less_than_the_gas_stock_facilitators_send() {
    let mut scene = Scene::new();
    scene.deposit(open(10), 1).expect("deposit");
    scene.claim(open(4), open(4)).expect("claim");
    let call = IChannels::settleCall { receiver: scene.config.receiver, token: TOKEN };
    let receipt = scene.ledger.send(scene.relay.address, CHANNELS, U256::ZERO, call.abi_encode());
    assert!(receipt.success);
    assert!(receipt.gas_used < 120_000, "{}", receipt.gas_used);
}

#[test]
fn digests_on_the_ledger_are_those_that_are_signed() {
    use alloy_sol_types::SolStruct;
    use interfaces::channels::signed;
    let mut scene = Scene::new();
    let (id, domain) = (scene.id(), scene.domain());
    let config = scene.config.clone();
    assert_eq!(scene.ledger.view(CHANNELS, &IChannels::getChannelIdCall { config }), Ok(id));
    let voucher = signed::Voucher { channelId: id, maxClaimableAmount: 5 };
    let call = IChannels::getVoucherDigestCall { channelId: id, maxClaimableAmount: 5 };
    assert_eq!(scene.ledger.view(CHANNELS, &call), Ok(voucher.eip712_signing_hash(&domain)));
    assert_eq!(
        scene.ledger.view(CHANNELS, &IChannels::VOUCHER_TYPEHASHCall {}),
        Ok(voucher.eip712_type_hash())
    );
    let refund = signed::Refund { channelId: id, nonce: U256::from(1), amount: 2 };
    let call = IChannels::getRefundDigestCall { channelId: id, nonce: U256::from(1), amount: 2 };
    assert_eq!(scene.ledger.view(CHANNELS, &call), Ok(refund.eip712_signing_hash(&domain)));
    let row = scene.row(3, 2);
    let batch = signed::ClaimBatch {
        claims: vec![signed::ClaimEntry { channelId: id, maxClaimableAmount: 3, totalClaimed: 2 }],
    };
    let call = IChannels::getClaimBatchDigestCall { voucherClaims: vec![row] };
    assert_eq!(scene.ledger.view(CHANNELS, &call), Ok(batch.eip712_signing_hash(&domain)));
}
