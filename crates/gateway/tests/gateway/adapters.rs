//! An adapter is served beside its base: by its own name, at its own price, to its own contributors, in the same batch.

use crate::{
    scene::{CHAT, DEVELOPER, PRICE, Scene, TEXT, TUNING_DEVELOPER, body, chat, get, offered},
    transformer::{self, ADAPTER, NAME, OWNERS, TUNER},
};
use alloy_primitives::{Address, B256};
use compute::{Usage, fee::Price};
use gateway::{Handle, Offered, ServeError};
use interfaces::models::IModels;
use primitives::Amount;
use serde_json::{Value, json};
use std::sync::Arc;

/// What the adapter costs.
const ADAPTER_PRICE: Price = Price {
    rate_in: Amount(200_000_000_000_000_000),
    rate_out: Amount(900_000_000_000_000_000),
    platform_fee: Amount(5_000),
};
/// The base's part of what the adapter's developer earns, in basis points.
const BASE_SHARE_BPS: u16 = 5_000;

/// The adapter on the ledger, a model of its own over the scene's.
fn adapter(scene: &Scene) -> B256 {
    let what = IModels::Registration {
        manifest: B256::repeat_byte(2),
        base: scene.model,
        baseShareBps: BASE_SHARE_BPS,
        uses: primitives::licence::ALL_USES,
        licence: "Apache-2.0".into(),
        name: ADAPTER.split_once(':').unwrap().1.into(),
    };
    let cache = transformer::adapter_worker(B256::ZERO).attributor.cache_root();
    offered(&mut scene.book.state(), scene.operator.address(), TUNING_DEVELOPER, what, cache)
}

/// A gateway for the scene's model and its adapter.
async fn serve(scene: &Scene, adapter: B256) -> Handle {
    let served = vec![
        (transformer::worker(scene.model), Offered { price: PRICE }),
        (transformer::adapter_worker(adapter), Offered { price: ADAPTER_PRICE }),
    ];
    let ledger = Arc::new(scene.book.clone());
    gateway::serve(scene.config(&scene.data_dir()), served, ledger).await.unwrap()
}

fn asked(model: &str, number: usize) -> Value {
    let texts = ["the quick", "lorem ipsum dolor", "a stitch in time saves", "when the sun"];
    let mut request = chat(texts[number % texts.len()], [30, 5, 17, 60][number % 4]);
    request["model"] = json!(model);
    request["seed"] = json!(number);
    request
}

/// What is the same whenever and wherever a request is answered.
fn essence(body: &Value) -> Value {
    let owed = &body["openledger"];
    json!([
        body["model"],
        body["choices"],
        body["usage"],
        owed["attributionRoot"],
        owed["contributors"],
        owed["paid"]
    ])
}

fn paid(body: &Value) -> Vec<Address> {
    let list = body["openledger"]["contributors"].as_array().expect("contributors");
    list.iter().map(|one| one["account"].as_str().unwrap().parse().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_adapter_answers_by_its_own_name_price_receipts_and_contributors() {
    let scene = Scene::new();
    let adapter = adapter(&scene);
    let gateway = serve(&scene, adapter).await;
    let listed = body(&get(&gateway, "/v1/models").await);
    let names: Vec<&str> =
        listed["data"].as_array().unwrap().iter().map(|m| m["id"].as_str().unwrap()).collect();
    assert_eq!(names, [NAME, ADAPTER]);
    let shown = body(&get(&gateway, &format!("/v1/models/{ADAPTER}")).await);
    assert_eq!(shown, listed["data"][1]);
    assert_eq!(shown["openledger"]["model"], json!(adapter));
    assert_eq!(shown["pricing"]["per_1000_tokens_out"], json!(ADAPTER_PRICE.rate_out));

    // By every endpoint, as JSON and as a stream. A channel pays one operator for one model: each model has its own.
    let mut client = scene.client(&gateway, 1);
    let answer = client.ask(CHAT, &asked(ADAPTER, 0)).await.unwrap().body;
    assert_eq!(answer["model"], ADAPTER);
    let owed = &answer["openledger"];
    assert_eq!(owed["model"], json!(adapter));
    let read = |name: &str| u32::try_from(answer["usage"][name].as_u64().unwrap()).unwrap();
    let usage = Usage { prompt_tokens: read("prompt_tokens"), completion_tokens: read("completion_tokens") };
    assert_eq!(owed["fee"], json!(ADAPTER_PRICE.of(usage).unwrap()), "the adapter's own price");
    assert_eq!(paid(&answer), [TUNER], "who wrote what the adapter learned");
    let id = owed["answer"].as_str().unwrap();
    let whole = body(&get(&gateway, &format!("/v1/attributions/{id}")).await);
    assert_eq!((&whole["model_name"], &whole["receipt"]["model"]), (&json!(ADAPTER), &json!(adapter)));
    assert_eq!(whole["attribution"]["cache"], shown["openledger"]["attributionCache"]);
    let mut streamed = asked(ADAPTER, 0);
    streamed["stream"] = json!(true);
    let mut text = String::new();
    let each = |event: &Value| text += event["choices"][0]["delta"]["content"].as_str().unwrap_or_default();
    client.stream(CHAT, &streamed, each).await.unwrap();
    assert_eq!(text, answer["choices"][0]["message"]["content"].as_str().unwrap());
    let completion = json!({ "model": ADAPTER, "prompt": "the quick", "max_tokens": 8, "seed": 1 });
    assert_eq!(client.ask(TEXT, &completion).await.unwrap().body["model"], ADAPTER);
    let response = json!({ "model": ADAPTER, "input": "the quick", "max_output_tokens": 8, "seed": 1 });
    assert_eq!(client.ask("/v1/responses", &response).await.unwrap().body["model"], ADAPTER);

    let base = scene.client(&gateway, 1).ask(CHAT, &asked(NAME, 0)).await.unwrap().body;
    assert_ne!(base["choices"], answer["choices"], "the base says something else");
    assert!(paid(&base).iter().all(|account| OWNERS.contains(account)), "and owes others: {base}");

    // Settled each by its own escrow; the base's developer gets its part of what the adapter's earned.
    assert_eq!(scene.audit(&gateway).await.answers, 1);
    let before = [DEVELOPER, TUNING_DEVELOPER].map(|account| scene.book.state().balance(account));
    assert_eq!(scene.audit_of(&gateway, adapter).await.answers, 4);
    let after = [DEVELOPER, TUNING_DEVELOPER].map(|account| scene.book.state().balance(account));
    let [of_base, of_adapter] = [after[0] - before[0], after[1] - before[1]];
    assert!(of_base > 0, "the lineage is paid");
    let all = of_base + of_adapter;
    assert_eq!(of_base, all * u128::from(BASE_SHARE_BPS) / 10_000);
    gateway.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn base_and_adapter_answer_together_what_they_answer_alone() {
    const CLIENTS: usize = 16;
    let scene = Scene::new();
    let adapter = adapter(&scene);
    let gateway = serve(&scene, adapter).await;
    let of = |number: usize| [NAME, ADAPTER][number % 2];
    let mut alone = Vec::new();
    let mut clients = [scene.client(&gateway, 0xfe), scene.client(&gateway, 0xff)];
    for number in 0..CLIENTS {
        let request = asked(of(number), number);
        alone.push(essence(&clients[number % 2].ask(CHAT, &request).await.unwrap().body));
    }
    let together: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let mut client = scene.client(&gateway, number as u8);
            let request = asked(of(number), number);
            tokio::spawn(async move { essence(&client.ask(CHAT, &request).await.unwrap().body) })
        })
        .collect();
    for (number, task) in together.into_iter().enumerate() {
        assert_eq!(task.await.unwrap(), alone[number], "request {number}");
    }
    // Every answer replays by its own model.
    assert_eq!(scene.audit(&gateway).await.answers, CLIENTS as u64);
    assert_eq!(scene.audit_of(&gateway, adapter).await.answers, CLIENTS as u64);
    gateway.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_models_of_one_name_are_refused() {
    let scene = Scene::new();
    let named = |id| (transformer::worker(id), Offered { price: PRICE });
    let served = vec![named(scene.model), named(B256::ZERO)];
    let ledger = std::sync::Arc::new(scene.book.clone());
    let refused = gateway::serve(scene.config(&scene.data_dir()), served, ledger).await;
    assert!(matches!(refused.err().expect("refused"), ServeError::SameName(name) if name == NAME));
}
