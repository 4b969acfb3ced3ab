//! The deposit collector, attacked.

use super::fixture::{Scene, is, open, party};
use alloy_primitives::{B256, Bytes, U256, Uint};
use interfaces::{
    addresses::{CHANNELS, DEPOSIT_COLLECTOR, TOKEN},
    channels::{IChannels, IDepositCollector},
    token::IToken,
};

#[test]
fn a_deposit_authorization_pays_into_its_channel_once() {
    let mut scene = Scene::new();
    let call = scene.deposit_call(open(1), 1);
    scene.send(scene.relay.address, &call).expect("deposit");
    let again = scene.send(scene.relay.address, &call);
    assert!(is::<IToken::AuthorizationUsedOrCanceled, _>(again));
    // Under another configuration the nonce is another, so the signature is not the payer's.
    let mut stolen = scene.deposit_call(open(1), 2);
    stolen.config.payerAuthorizer = party(9).address;
    assert!(is::<IToken::InvalidSignature, _>(scene.send(scene.relay.address, &stolen)));
    let mut more = scene.deposit_call(open(1), 3);
    more.amount = open(2);
    assert!(is::<IToken::InvalidSignature, _>(scene.send(scene.relay.address, &more)));
    assert_eq!(scene.channel(), (open(1), 0));
    scene.ledger.assert_conserved();
}

#[test]
fn nobody_takes_a_deposit_before_it_is_made() {
    let mut scene = Scene::new();
    let call = scene.deposit_call(open(1), 1);
    let collect = IDepositCollector::collectCall {
        payer: call.config.payer,
        token: TOKEN,
        amount: U256::from(call.amount),
        channelId: B256::ZERO,
        collectorData: call.collectorData.clone(),
    };
    let outside = scene.ledger.transact(scene.relay.address, DEPOSIT_COLLECTOR, U256::ZERO, &collect);
    assert!(is::<IDepositCollector::OnlyX402BatchSettlement, _>(outside));
    assert_eq!(
        scene.ledger.view(DEPOSIT_COLLECTOR, &IDepositCollector::x402BatchSettlementCall {}),
        Ok(CHANNELS)
    );
    // The authorization names the collector as payee: the token gives it to nobody else.
    let take = IToken::receiveWithAuthorization_1Call {
        from: call.config.payer,
        to: DEPOSIT_COLLECTOR,
        value: U256::from(call.amount),
        validAfter: U256::ZERO,
        validBefore: U256::MAX,
        nonce: B256::ZERO,
        signature: Bytes::new(),
    };
    let refused = scene.ledger.transact(scene.relay.address, TOKEN, U256::ZERO, &take);
    assert!(is::<IToken::CallerMustBePayee, _>(refused));
}

#[test]
fn late_poor_and_malformed_deposits_are_refused_with_the_tokens_reasons() {
    let mut scene = Scene::new();
    let call = scene.deposit_call(open(1), 1);
    scene.ledger.advance(300_000);
    assert!(is::<IToken::AuthorizationExpired, _>(scene.send(scene.relay.address, &call)));
    let huge = scene.deposit_call(u128::MAX, 2);
    assert!(is::<IToken::ERC20InsufficientBalance, _>(scene.send(scene.relay.address, &huge)));
    let mut malformed = scene.deposit_call(open(1), 3);
    malformed.collectorData = Bytes::from_static(b"not an encoding");
    let refused = scene.send(scene.relay.address, &malformed);
    assert!(is::<IChannels::DepositCollectionFailed, _>(refused));
    scene.config.withdrawDelay = Uint::from(900u64);
    scene.deposit(open(1), 1).expect("another delay is another channel");
    scene.ledger.assert_conserved();
}
