//! Payments that are wrong, short, old or used.

use crate::scene::{Audit, CHAT, Scene, account, body, by_channel, chat, offer, payment, post, reason, send};
use alloy_primitives::B256;
use gateway::{
    client::Client,
    payments::{code, wire},
};
use interfaces::{addresses, channels::IChannels};
use serde_json::{Value, json};

fn text(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_voucher_that_is_not_exactly_right_buys_nothing() {
    let scene = Scene::new();
    let gateway = scene.serve().await;
    let request = text(&chat("the quick", 6));
    // One good answer first, so that the channel stands.
    let mut client = scene.client(&gateway, 1);
    let first = client.ask(CHAT, &chat("lorem", 6)).await.unwrap();
    let fee: u128 = first.body["openledger"]["fee"].as_str().unwrap().parse().unwrap();
    let way = by_channel(&offer(&post(&gateway, CHAT, &request, None).await));
    let good = client.payment_for(&way).unwrap();
    let stranger = {
        let mut stranger = Client::new("http://x", account(9), 31_337, u128::MAX);
        stranger.salt = B256::repeat_byte(1);
        stranger.payment_for(&way).unwrap()
    };
    let with = |path: &str, value: Value| {
        let mut changed = good.clone();
        *changed.pointer_mut(path).unwrap() = value;
        changed
    };
    let max: u128 = good["voucher"]["maxClaimableAmount"].as_str().unwrap().parse().unwrap();
    let mut signature = good["voucher"]["signature"].as_str().unwrap().to_string();
    signature.replace_range(10..12, if &signature[10..12] == "00" { "11" } else { "00" });
    // Signed, but for less than the answer may cost, or for more.
    let signed = |memory: u128| {
        let mut client = scene.client(&gateway, 1);
        client.memory = [(
            serde_json::from_value(good["voucher"]["channelId"].clone()).unwrap(),
            gateway::client::Known { charged: wire::Units(memory), balance: wire::Units(u128::MAX / 2) },
        )]
        .into();
        client.payment_for(&way).unwrap()
    };
    let cases: Vec<(&str, Value, &str)> = vec![
        ("another signature", with("/voucher/signature", json!(signature)), code::VOUCHER_SIGNATURE),
        ("a short signature", with("/voucher/signature", json!("0x00")), code::VOUCHER_SIGNATURE),
        (
            "more than was signed",
            with("/voucher/maxClaimableAmount", json!((max + 1).to_string())),
            code::VOUCHER_SIGNATURE,
        ),
        ("another channel", with("/voucher/channelId", json!(B256::repeat_byte(7))), code::CHANNEL_ID),
        ("another receiver", with("/channelConfig/receiver", json!(account(9).address())), code::RECEIVER),
        (
            "another authorizer",
            with("/channelConfig/receiverAuthorizer", json!(account(9).address())),
            code::AUTHORIZER,
        ),
        ("another token", with("/channelConfig/token", json!(account(9).address())), code::TOKEN),
        ("another delay", with("/channelConfig/withdrawDelay", json!(61)), code::WITHDRAW_DELAY),
        ("a payer with nothing", stranger, code::DEPOSIT_FAILED),
        ("too little", signed(fee - 1), code::MISMATCH),
        ("what was charged before", signed(0), code::MISMATCH),
        ("too much", signed(fee + 1), code::MISMATCH),
        ("no payload", json!({}), code::HEADER),
        (
            "a refund",
            json!({ "type": "refund", "channelConfig": good["channelConfig"], "voucher": good["voucher"] }),
            code::PAYLOAD,
        ),
    ];
    for (what, payload, code) in cases {
        let response = post(&gateway, CHAT, &request, Some(&payment(way.clone(), payload))).await;
        assert_eq!(reason(&response), (402, code.to_string()), "{what}");
        // Each refusal says again what to pay; a wrong sum brings the right one.
        let corrected = offer(&response);
        assert_eq!(corrected.error, code, "{what}");
        if code == self::code::MISMATCH {
            let state = &by_channel(&corrected).extra["channelState"];
            assert_eq!(state["chargedCumulativeAmount"], fee.to_string(), "{what}");
        }
    }
    let mut elsewhere = payment(way.clone(), good.clone());
    elsewhere.accepted.network = "eip155:1".into();
    assert_eq!(reason(&post(&gateway, CHAT, &request, Some(&elsewhere)).await), (402, code::NETWORK.into()));
    elsewhere.accepted.network = way.network.clone();
    elsewhere.accepted.scheme = "upto".into();
    assert_eq!(reason(&post(&gateway, CHAT, &request, Some(&elsewhere)).await), (402, code::SCHEME.into()));
    let audit = scene.audit(&gateway).await;
    assert_eq!(audit, Audit { answers: 1, fees: fee, charged: fee, unasked: 0 });
    gateway.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replayed_voucher_gets_the_answer_it_bought_and_nothing_else() {
    let scene = Scene::new();
    let gateway = scene.serve().await;
    let (request, other) = (text(&chat("the quick", 6)), text(&chat("lorem ipsum", 6)));
    let client = scene.client(&gateway, 1);
    let way = by_channel(&offer(&post(&gateway, CHAT, &request, None).await));
    let paid = payment(way.clone(), client.payment_for(&way).unwrap());
    let bought = post(&gateway, CHAT, &request, Some(&paid)).await;
    assert_eq!(bought.status.as_u16(), 200, "{:?}", bought.body);
    for _ in 0..3 {
        let again = post(&gateway, CHAT, &request, Some(&paid)).await;
        assert_eq!(body(&again)["openledger"], body(&bought)["openledger"]);
        assert_eq!(body(&again)["choices"], body(&bought)["choices"]);
    }
    let elsewhere = post(&gateway, CHAT, &other, Some(&paid)).await;
    assert_eq!(reason(&elsewhere).1, code::MISMATCH);
    // Also after a restart, and as a stream.
    gateway.shutdown().await;
    let gateway = scene.serve().await;
    let again = post(&gateway, CHAT, &request, Some(&paid)).await;
    assert_eq!(body(&again)["openledger"]["receipt"], body(&bought)["openledger"]["receipt"]);
    assert_eq!(scene.audit(&gateway).await.answers, 1);
    gateway.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payment_identifier_stands_for_one_request() {
    let scene = Scene::new();
    let gateway = scene.serve().await;
    let request = text(&chat("the quick", 6));
    let mut client = scene.client(&gateway, 1);
    let way = by_channel(&offer(&post(&gateway, CHAT, &request, None).await));
    let mut paid = payment(way.clone(), client.payment_for(&way).unwrap());
    paid.extensions = Some(json!({ "payment-identifier": { "info": { "id": "request-0000000001" } } }));
    let bought = post(&gateway, CHAT, &request, Some(&paid)).await;
    assert_eq!(bought.status.as_u16(), 200);
    // Another voucher under the same identifier: the same answer, uncharged.
    client.ask(CHAT, &chat("dolor", 2)).await.unwrap();
    let mut another = payment(way.clone(), client.payment_for(&way).unwrap());
    another.extensions = paid.extensions.clone();
    let again = post(&gateway, CHAT, &request, Some(&another)).await;
    assert_eq!(body(&again)["openledger"]["receipt"], body(&bought)["openledger"]["receipt"]);
    let conflict = post(&gateway, CHAT, &text(&chat("amet", 6)), Some(&another)).await;
    assert_eq!(reason(&conflict), (409, code::REUSED.into()));
    another.extensions = Some(json!({ "payment-identifier": { "info": { "id": "short" } } }));
    assert_eq!(reason(&post(&gateway, CHAT, &request, Some(&another)).await), (402, code::HEADER.into()));
    assert_eq!(scene.audit(&gateway).await.answers, 2);
    gateway.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_answers_one_request_at_a_time() {
    let scene = Scene::new();
    let gateway = scene.serve().await;
    let request = text(&chat("the quick", 200));
    let client = scene.client(&gateway, 1);
    let way = by_channel(&offer(&post(&gateway, CHAT, &request, None).await));
    let paid = payment(way.clone(), client.payment_for(&way).unwrap());
    let (one, two) = tokio::join!(
        post(&gateway, CHAT, &request, Some(&paid)),
        post(&gateway, CHAT, &request, Some(&paid))
    );
    // The second found the channel busy, or the answer that the first had bought.
    let mut receipts = Vec::new();
    for response in [one, two] {
        match response.status.as_u16() {
            200 => receipts.push(body(&response)["openledger"]["receipt"].clone()),
            _ => assert_eq!(reason(&response), (402, code::BUSY.into())),
        }
    }
    receipts.dedup();
    assert_eq!(receipts.len(), 1);
    assert_eq!(scene.audit(&gateway).await.answers, 1);
    gateway.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_on_its_way_out_buys_nothing_and_what_it_owes_is_taken_first() {
    let scene = Scene::new();
    let gateway = scene.serve().await;
    let mut client = scene.client(&gateway, 1);
    let paid = client.ask(CHAT, &chat("the quick", 6)).await.unwrap();
    let fee: u128 = paid.body["openledger"]["fee"].as_str().unwrap().parse().unwrap();
    let way = client.offer("small").await.unwrap();
    let config = client.config(&way).unwrap();
    let deposited = client.memory.values().next().unwrap().balance.0;
    let payer = scene.payer.address();
    let call = IChannels::initiateWithdrawCall { config: config.clone(), amount: deposited };
    send(&scene, &scene.payer, addresses::CHANNELS, &call);
    // What was read of the ledger a moment ago serves for seconds: a fresh gateway reads it anew.
    gateway.shutdown().await;
    let gateway = scene.serve().await;
    let mut client = scene.client(&gateway, 1);
    let refused = client.ask(CHAT, &chat("lorem", 6)).await.unwrap_err().to_string();
    assert!(refused.contains(code::ABOVE_BALANCE), "{refused}");
    // The operator takes what it is owed before the payer is out.
    gateway.app().payments.redeem(scene.model).await.unwrap();
    scene.book.state().advance(61_000);
    let before = scene.book.state().balance(payer);
    send(&scene, &scene.payer, addresses::CHANNELS, &IChannels::finalizeWithdrawCall { config });
    let returned = scene.book.state().balance(payer) - before;
    assert!(returned <= deposited - fee && deposited - fee - returned < 1_000_000_000_000_000_000 / 10);
    let audit = scene.audit(&gateway).await;
    assert_eq!(audit, Audit { answers: 1, fees: fee, charged: fee, unasked: 0 });
    gateway.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_authorization_pays_one_answer() {
    let scene = Scene::new();
    let gateway = scene.serve().await;
    let request = text(&chat("the quick", 6));
    let mut client = scene.client(&gateway, 1);
    let offered = offer(&post(&gateway, CHAT, &request, None).await);
    let way = offered.accepts.iter().find(|way| way.scheme == wire::EXACT).unwrap().clone();
    let good = client.exact_for(&way).unwrap();
    let with = |name: &str, value: Value| {
        let mut changed = good.clone();
        changed["authorization"][name] = value;
        changed
    };
    let poor = Client::new("http://x", account(9), 31_337, u128::MAX).exact_for(&way).unwrap();
    let cases = [
        ("less", with("value", json!("1")), code::EXACT_VALUE),
        ("elsewhere", with("to", json!(account(9).address())), code::EXACT_RECIPIENT),
        ("somebody else's", with("from", json!(account(9).address())), code::EXACT_SIGNATURE),
        ("later", with("validAfter", json!("99999999999")), code::EXACT_AFTER),
        ("another nonce", with("nonce", json!(B256::repeat_byte(3))), code::EXACT_SIGNATURE),
        ("a payer with nothing", poor, code::EXACT_BALANCE),
    ];
    for (what, payload, code) in cases {
        let response = post(&gateway, CHAT, &request, Some(&payment(way.clone(), payload))).await;
        assert_eq!(reason(&response), (402, code.to_string()), "{what}");
    }
    let paid = payment(way.clone(), good);
    let bought = post(&gateway, CHAT, &request, Some(&paid)).await;
    assert_eq!(bought.status.as_u16(), 200, "{:?}", bought.body);
    let again = post(&gateway, CHAT, &request, Some(&paid)).await;
    assert_eq!(body(&again)["openledger"], body(&bought)["openledger"]);
    // Of the same price, for another answer.
    let other = text(&chat("the quack", 6));
    let response = post(&gateway, CHAT, &other, Some(&paid)).await;
    assert!([code::EXACT_NONCE, code::EXACT_VALUE].contains(&reason(&response).1.as_str()));
    let mut streamed = chat("the quick", 6);
    streamed["stream"] = json!(true);
    let response = post(&gateway, CHAT, &text(&streamed), Some(&paid)).await;
    assert_eq!(reason(&response), (402, code::NO_STREAM.into()));
    // The whole thing by the client.
    client.ask_exact(CHAT, &chat("dolor", 4)).await.unwrap();
    let audit = scene.audit(&gateway).await;
    assert_eq!((audit.answers, audit.unasked), (2, 0));
    gateway.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn money_that_nobody_asked_with_is_accounted_for() {
    let scene = Scene::new();
    let gateway = scene.serve().await;
    scene.client(&gateway, 1).ask(CHAT, &chat("the quick", 6)).await.unwrap();
    let to = addresses::escrow(scene.operator.address(), scene.model);
    let value = alloy_primitives::U256::from(12_345);
    send(&scene, &scene.payer, addresses::TOKEN, &interfaces::token::IToken::transferCall { to, value });
    let audit = scene.audit(&gateway).await;
    assert_eq!((audit.answers, audit.unasked), (1, 12_345));
    gateway.shutdown().await;
}
