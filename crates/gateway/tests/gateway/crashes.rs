//! A gateway that is killed: in the middle of an answer, and around the one moment at which money has moved and no receipt is written.

use crate::scene::{CHAT, Scene, body, by_channel, chat, offer, payment, post};
use gateway::{
    client::http,
    payments::wire::{self, PAYMENT_SIGNATURE},
};
use hyper::Method;
use serde_json::json;
use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};
use tokio::runtime::Runtime;

/// What another process would find of a folder whose process ended now.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for file in std::fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        let target = to.join(file.file_name());
        if file.file_type().unwrap().is_dir() {
            copy(&file.path(), &target);
        } else {
            std::fs::copy(file.path(), target).unwrap();
        }
    }
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

#[test]
fn a_kill_in_the_middle_of_a_stream_charges_nothing_and_the_voucher_still_buys() {
    let scene = Scene::new();
    let ours = runtime();
    let mut request = chat("the quick", 240);
    request["stream"] = json!(true);
    let request = request.to_string().into_bytes();
    let killed = runtime();
    let gateway = killed.block_on(scene.serve());
    let paid = ours.block_on(async {
        let client = scene.client(&gateway, 1);
        let way = by_channel(&offer(&post(&gateway, CHAT, &request, None).await));
        let paid = payment(way.clone(), client.payment_for(&way).unwrap());
        let header = wire::encode(&paid);
        let url = format!("http://{}{CHAT}", gateway.addr);
        let headers = [(PAYMENT_SIGNATURE, header.as_str())];
        let mut stream = http::send(Method::POST, &url, &headers, request.clone()).await.unwrap();
        stream.more().await.unwrap().expect("it has begun");
        paid
    });
    // All its tasks end where they are; no receipt is written any more.
    killed.shutdown_background();
    let left = scene.folder.path().join("left");
    copy(&scene.data_dir(), &left);
    drop(gateway);
    ours.block_on(async {
        let gateway = scene.serve_in(&left).await;
        let response = post(&gateway, CHAT, &request, Some(&paid)).await;
        assert_eq!(response.status.as_u16(), 200, "{:?}", response.body);
        let text = String::from_utf8(response.body.to_vec()).unwrap();
        assert!(text.ends_with("data: [DONE]\n\n"));
        // Once it is bought, the same voucher brings it again.
        let again = post(&gateway, CHAT, &request, Some(&paid)).await;
        assert!(String::from_utf8(again.body.to_vec()).unwrap().contains("\"sequence\":0"));
        assert_eq!(scene.audit(&gateway).await.answers, 1);
        gateway.shutdown().await;
    });
}

/// Pays by `exact` and copies the folder right before the transfer, right after it, and once all is done: the three processes that a kill
/// may leave behind.
async fn moments(scene: &Scene) -> (Vec<PathBuf>, Vec<u8>, wire::PaymentPayload, serde_json::Value) {
    let gateway = scene.serve().await;
    let request = chat("the quick", 6).to_string().into_bytes();
    let offered = offer(&post(&gateway, CHAT, &request, None).await);
    let way = offered.accepts.iter().find(|way| way.scheme == wire::EXACT).unwrap().clone();
    let paid = payment(way.clone(), scene.client(&gateway, 1).exact_for(&way).unwrap());
    let copies = Arc::new(Mutex::new(Vec::new()));
    let (folder, from, taken) = (scene.folder.path().to_owned(), scene.data_dir(), copies.clone());
    scene.book.watch(move |done| {
        let mut taken = taken.lock().unwrap();
        if taken.len() < 2 {
            let to = folder.join(if done { "after" } else { "before" });
            copy(&from, &to);
            taken.push(to);
        }
    });
    let response = post(&gateway, CHAT, &request, Some(&paid)).await;
    assert_eq!(response.status.as_u16(), 200, "{:?}", response.body);
    gateway.shutdown().await;
    let mut folders = std::mem::take(&mut *copies.lock().unwrap());
    folders.push(scene.data_dir());
    (folders, request, paid, body(&response)["choices"].clone())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_around_a_transfer_gives_the_answer_that_was_paid_for_once() {
    for moment in 0..3 {
        let scene = Scene::new();
        let (folders, request, paid, choices) = moments(&scene).await;
        assert_eq!(folders.len(), 3);
        // The ledger has the transfer in each case: the first process died before it heard so.
        let gateway = scene.serve_in(&folders[moment]).await;
        let served = gateway.app().model_by_id(scene.model).unwrap();
        assert_eq!(
            served.recorder.log().next_sequence(),
            1,
            "moment {moment}: the receipt is there by itself"
        );
        for _ in 0..2 {
            let again = post(&gateway, CHAT, &request, Some(&paid)).await;
            assert_eq!(body(&again)["choices"], choices, "moment {moment}");
        }
        let audit = scene.audit(&gateway).await;
        assert_eq!((audit.answers, audit.unasked), (1, 0), "moment {moment}");
        gateway.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_at_any_transaction_of_a_settlement_is_settled_exactly_once() {
    // Redeem, move, close, post, finalise, claim: a copy of the folder at each, before and after.
    let scene = Scene::new();
    let gateway = scene.serve().await;
    let mut client = scene.client(&gateway, 1);
    for text in ["the quick", "lorem", "a stitch"] {
        client.ask(CHAT, &chat(text, 4)).await.unwrap();
    }
    let states = Arc::new(Mutex::new(Vec::new()));
    let (seen, book) = (states.clone(), scene.book.clone());
    scene.book.watch(move |_| seen.lock().unwrap().push(book.state().clone()));
    let whole = scene.audit(&gateway).await;
    gateway.shutdown().await;
    scene.book.watch(|_| {});
    let states = std::mem::take(&mut *states.lock().unwrap());
    assert!(states.len() >= 10, "{} moments", states.len());
    for (moment, state) in states.into_iter().enumerate() {
        *scene.book.state() = state;
        let folder = scene.folder.path().join(format!("moment {moment}"));
        copy(&scene.data_dir(), &folder);
        let gateway = scene.serve_in(&folder).await;
        assert_eq!(scene.audit(&gateway).await, whole, "moment {moment}");
        gateway.shutdown().await;
    }
}
