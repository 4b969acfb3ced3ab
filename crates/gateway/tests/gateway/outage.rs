//! A ledger that is away for a while.

use crate::{
    book::Fault,
    scene::{CHAT, Scene, body, chat, offer, payment, post, reason},
};
use gateway::payments::wire;
use hyper::header::RETRY_AFTER;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_ledger_is_away_known_channels_are_served_and_others_are_told_to_wait() {
    let scene = Scene::new();
    let gateway = scene.serve().await;
    let mut known = scene.client(&gateway, 1);
    known.ask(CHAT, &chat("the quick", 4)).await.unwrap();
    let request = chat("lorem", 4).to_string().into_bytes();
    let offered = offer(&post(&gateway, CHAT, &request, None).await);
    scene.book.fail(Fault::Away);
    for _ in 0..3 {
        known.ask(CHAT, &chat("lorem", 4)).await.expect("a channel that was read a moment ago");
    }
    let new = scene.client(&gateway, 2);
    for way in &offered.accepts {
        let payload = match way.scheme.as_str() {
            wire::EXACT => new.exact_for(way).unwrap(),
            _ => new.payment_for(way).unwrap(),
        };
        let response = post(&gateway, CHAT, &request, Some(&payment(way.clone(), payload))).await;
        assert_eq!(reason(&response), (503, "ledger_away".into()), "{}", way.scheme);
        assert!(response.headers.contains_key(RETRY_AFTER));
    }
    assert!(gateway.settle().await.is_err(), "settlement waits");
    // It is back: nothing was lost, and the same client goes on.
    scene.book.fail(Fault::None);
    scene.client(&gateway, 2).ask(CHAT, &chat("lorem", 4)).await.unwrap();
    known.ask(CHAT, &chat("dolor", 4)).await.unwrap();
    assert_eq!(scene.audit(&gateway).await.answers, 6);
    gateway.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_answered_before_starts_while_the_ledger_is_away() {
    let scene = Scene::new();
    scene.book.fail(Fault::Away);
    let served =
        vec![(crate::transformer::worker(scene.model), gateway::Offered { price: crate::scene::PRICE })];
    let refused =
        gateway::serve(scene.config(&scene.data_dir()), served, std::sync::Arc::new(scene.book.clone()))
            .await;
    assert!(refused.is_err_and(|error| error.to_string().contains("cannot be reached")), "the first time");
    scene.book.fail(Fault::None);
    let gateway = scene.serve().await;
    let request = chat("the quick", 4);
    let mut client = scene.client(&gateway, 1);
    client.ask(CHAT, &request).await.unwrap();
    gateway.shutdown().await;
    scene.book.fail(Fault::Away);
    let gateway = scene.serve().await;
    // What a channel holds is not known: it is not served on trust.
    let mut client = scene.client(&gateway, 1);
    let other = chat("lorem", 4);
    let refused = client.ask(CHAT, &other).await.unwrap_err().to_string();
    assert!(refused.contains("503"), "{refused}");
    scene.book.fail(Fault::None);
    client.ask(CHAT, &other).await.unwrap();
    assert_eq!(scene.audit(&gateway).await.answers, 2);
    gateway.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deposit_whose_answer_was_lost_is_not_paid_twice() {
    let scene = Scene::new();
    let gateway = scene.serve().await;
    let request = chat("the quick", 4).to_string().into_bytes();
    let client = scene.client(&gateway, 1);
    let way = client.offer("small").await.unwrap();
    let offered = offer(&post(&gateway, CHAT, &request, None).await);
    let way = offered.accepts.iter().find(|other| other.scheme == way.scheme).unwrap().clone();
    let paid = payment(way.clone(), client.payment_for(&way).unwrap());
    let before = scene.book.state().balance(scene.payer.address());
    scene.book.fail(Fault::Mute);
    assert_eq!(reason(&post(&gateway, CHAT, &request, Some(&paid)).await).0, 503);
    scene.book.fail(Fault::None);
    let bought = post(&gateway, CHAT, &request, Some(&paid)).await;
    assert_eq!(bought.status.as_u16(), 200, "{:?}", bought.body);
    let deposited: u128 = paid.payload["deposit"]["amount"].as_str().unwrap().parse().unwrap();
    assert_eq!(before - scene.book.state().balance(scene.payer.address()), deposited);
    assert_eq!(scene.audit(&gateway).await.answers, 1);
    gateway.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transfer_whose_answer_was_lost_gets_its_answer_when_it_is_asked_for_again() {
    let scene = Scene::new();
    let gateway = scene.serve().await;
    let request = chat("the quick", 4).to_string().into_bytes();
    let offered = offer(&post(&gateway, CHAT, &request, None).await);
    let way = offered.accepts.iter().find(|way| way.scheme == wire::EXACT).unwrap().clone();
    let paid = payment(way.clone(), scene.client(&gateway, 1).exact_for(&way).unwrap());
    scene.book.fail(Fault::Mute);
    assert_eq!(reason(&post(&gateway, CHAT, &request, Some(&paid)).await), (503, "ledger_away".into()));
    scene.book.fail(Fault::None);
    let bought = post(&gateway, CHAT, &request, Some(&paid)).await;
    assert_eq!(bought.status.as_u16(), 200, "{:?}", bought.body);
    let again = post(&gateway, CHAT, &request, Some(&paid)).await;
    assert_eq!(body(&again)["openledger"], body(&bought)["openledger"]);
    let audit = scene.audit(&gateway).await;
    assert_eq!((audit.answers, audit.unasked), (1, 0));
    gateway.shutdown().await;
}
