//! Prepaid keys: programs that know nothing of payment, a signer beside them, and limits that hold.

use crate::scene::{CHAT, Scene, account, body, chat, send, url};
use gateway::{
    Handle,
    client::http::{self, Response},
    payments::wire::Units,
    prepaid::{
        Key, fund,
        lanes::Lanes,
        proxy::{self, Proxy, Spent},
    },
};
use hyper::Method;
use interfaces::addresses;
use primitives::Amount;
use serde_json::{Value, json};
use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
};

const CHAIN: u64 = 31_337;

struct Prepaid {
    proxy: Proxy,
    key: Key,
    path: PathBuf,
    lanes: Arc<Lanes>,
    spent: Arc<Mutex<Vec<Spent>>>,
}

/// A key with two channels of `deposit` each, paid by the scene's payer, and its signer.
async fn open(scene: &Scene, gateway: &Handle, deposit: u128, limit: u128) -> Prepaid {
    let payer = &scene.payer;
    let mut key = Key::generate(&url(gateway), "small", CHAIN, payer.address(), limit).unwrap();
    let configs = fund::open(&mut key, 2).await.unwrap();
    for (lane, config) in configs.into_iter().enumerate() {
        assert_eq!((config.payer, config.payerAuthorizer), (payer.address(), key.authorizer()));
        let call = fund::deposit(payer, CHAIN, config, deposit).unwrap();
        send(scene, payer, addresses::CHANNELS, &call);
        key.lanes[lane].known.balance = Units(deposit);
    }
    let path = scene.folder.path().join("key.json");
    key.write(&path).unwrap();
    start(key, path).await
}

async fn start(key: Key, path: PathBuf) -> Prepaid {
    let lanes = Lanes::new(path.clone(), key.clone(), Amount::open(1).0).unwrap();
    let spent: Arc<Mutex<Vec<Spent>>> = Arc::default();
    let heard = spent.clone();
    let proxy = proxy::serve("127.0.0.1:0".parse().unwrap(), lanes.clone(), move |answer| {
        heard.lock().unwrap().push(answer);
    });
    Prepaid { proxy: proxy.await.unwrap(), key, path, lanes, spent }
}

impl Prepaid {
    async fn send(&self, method: Method, path: &str, token: &str, body: &Value) -> Response {
        let bearer = format!("Bearer {token}");
        let url = format!("http://{}{path}", self.proxy.addr);
        let headers = [("authorization", bearer.as_str())];
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        http::send(method, &url, &headers, body).await.unwrap().whole(1 << 24).await.unwrap()
    }

    async fn ask(&self, request: &Value) -> Response {
        self.send(Method::POST, CHAT, &self.key.token, request).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_with_a_key_is_answered_and_charged_by_voucher() {
    let scene = Scene::new();
    let gateway = scene.serve().await;
    let prepaid = open(&scene, &gateway, Amount::open(1).0, Amount::open(5).0).await;
    let mut fees = 0;
    for stream in [false, true, false, true] {
        let mut request = chat("the quick", 8);
        request["stream"] = json!(stream);
        let response = prepaid.ask(&request).await;
        assert_eq!(response.status.as_u16(), 200, "{:?}", response.body);
        let last = match stream {
            false => body(&response),
            true => {
                let text = String::from_utf8(response.body.to_vec()).unwrap();
                assert!(text.ends_with("data: [DONE]\n\n"));
                let event = text.split("\n\n").filter_map(|event| event.strip_prefix("data: {")).last();
                serde_json::from_str(&format!("{{{}", event.unwrap())).unwrap()
            }
        };
        fees += last["openledger"]["fee"].as_str().unwrap().parse::<u128>().unwrap();
    }
    let shown = prepaid.send(Method::GET, "/balance", &prepaid.key.token, &Value::Null).await;
    assert_eq!(body(&shown)["spent"], fees.to_string());
    assert_eq!(body(&shown)["left"], (2 * Amount::open(1).0 - fees).to_string());
    assert_eq!(prepaid.spent.lock().unwrap().iter().map(|spent| spent.cost).sum::<u128>(), fees);
    // The gateway's errors come through as they are.
    let wrong = prepaid.ask(&chat("the quick", 5_000)).await;
    assert_eq!(body(&wrong)["error"]["code"], "context_length_exceeded");
    let models = prepaid.send(Method::GET, "/v1/models", &prepaid.key.token, &Value::Null).await;
    assert_eq!(body(&models)["data"][0]["id"], "small");
    // Sums outlive the signer.
    let Prepaid { proxy, path, .. } = prepaid;
    proxy.shutdown().await;
    assert_eq!(Key::read(&path).unwrap().spent(), fees);
    let audit = scene.audit(&gateway).await;
    assert_eq!((audit.answers, audit.charged), (4, fees));
    gateway.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_requests_share_a_keys_channels() {
    let scene = Scene::new();
    let gateway = scene.serve().await;
    let prepaid = Arc::new(open(&scene, &gateway, Amount::open(1).0, Amount::open(5).0).await);
    let tasks: Vec<_> = (0..10)
        .map(|_| {
            let prepaid = prepaid.clone();
            tokio::spawn(async move { prepaid.ask(&chat("lorem", 20)).await.status.as_u16() })
        })
        .collect();
    for task in tasks {
        assert_eq!(task.await.unwrap(), 200);
    }
    assert_eq!(scene.audit(&gateway).await.answers, 10);
    assert_eq!(prepaid.lanes.key().spent(), scene.audit(&gateway).await.charged);
    gateway.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_spends_no_more_than_its_limit_and_its_deposits() {
    let scene = Scene::new();
    let gateway = scene.serve().await;
    let one = {
        let mut client = scene.client(&gateway, 9);
        let paid = client.ask(CHAT, &chat("lorem", 8)).await.unwrap();
        paid.body["openledger"]["fee"].as_str().unwrap().parse::<u128>().unwrap()
    };
    // Enough for two answers and a half by the limit; then by the deposits.
    for (deposit, limit) in [(Amount::open(1).0, one * 5 / 2), (one * 5 / 4, Amount::open(5).0)] {
        let scene = Scene::new();
        let gateway = scene.serve().await;
        let prepaid = open(&scene, &gateway, deposit, limit).await;
        let mut answered = 0;
        loop {
            let response = prepaid.ask(&chat("lorem", 8)).await;
            if response.status.as_u16() == 200 {
                answered += 1;
                continue;
            }
            assert_eq!(response.status.as_u16(), 402);
            assert_eq!(body(&response)["error"]["code"], "insufficient_quota");
            break;
        }
        assert_eq!(answered, 2);
        assert!(prepaid.lanes.key().spent() <= limit.min(2 * deposit));
        assert_eq!(scene.audit(&gateway).await.charged, 2 * one);
        gateway.shutdown().await;
    }
    gateway.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_key_the_signer_signs_nothing_and_forwards_nothing() {
    let scene = Scene::new();
    let gateway = scene.serve().await;
    let prepaid = open(&scene, &gateway, Amount::open(1).0, Amount::open(5).0).await;
    for token in ["", "ol-", "sk-unused", &prepaid.key.token[..20]] {
        for (method, path) in [(Method::POST, CHAT), (Method::GET, "/v1/models"), (Method::GET, "/balance")] {
            let response = prepaid.send(method, path, token, &chat("lorem", 8)).await;
            assert_eq!(response.status.as_u16(), 401, "{path}");
            assert_eq!(body(&response)["error"]["code"], "invalid_api_key");
            assert!(!response.headers.contains_key("access-control-allow-origin"));
        }
    }
    // The key buys nothing at the gateway itself.
    let bearer = format!("Bearer {}", prepaid.key.token);
    let request = chat("lorem", 8).to_string().into_bytes();
    let direct = format!("{}{CHAT}", url(&gateway));
    let response = http::send(Method::POST, &direct, &[("authorization", &bearer)], request).await.unwrap();
    assert_eq!(response.status.as_u16(), 402);
    let mut other = chat("lorem", 8);
    other["model"] = json!("gpt-9");
    assert_eq!(prepaid.ask(&other).await.status.as_u16(), 404);
    assert_eq!(scene.audit(&gateway).await.answers, 0);
    gateway.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_left_of_a_key_goes_back_to_who_paid_it_in() {
    let scene = Scene::new();
    let gateway = scene.serve().await;
    let before = scene.book.state().balance(scene.payer.address());
    let deposit = Amount::open(1).0;
    let prepaid = open(&scene, &gateway, deposit, Amount::open(5).0).await;
    prepaid.ask(&chat("lorem", 8)).await;
    let Prepaid { proxy, path, .. } = prepaid;
    proxy.shutdown().await;
    let key = Key::read(&path).unwrap();
    for lane in 0..key.lanes.len() {
        let mut client = key.client(lane, 1).unwrap();
        client.refund("small").await.unwrap();
    }
    let lost = before - scene.book.state().balance(scene.payer.address());
    let gas = Amount::open(1).0 / 100;
    assert!(lost >= key.spent() && lost < key.spent() + gas, "{lost}");
    assert_ne!(key.authorizer(), account(2).address(), "the session key is not the wallet's");
    assert_eq!(scene.audit(&gateway).await.charged, key.spent());
    gateway.shutdown().await;
}
