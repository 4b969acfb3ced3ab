//! Many at once: every answer is the one its request gets alone, and what does not fit is told so.

use crate::scene::{CHAT, Scene, chat};
use gateway::{Limits, client::ClientError};
use serde_json::{Value, json};

fn asked(number: usize) -> Value {
    let texts = ["the quick", "lorem ipsum dolor", "a stitch in time saves", "no man", "fox"];
    let mut request = chat(texts[number % texts.len()], [40, 3, 17, 90, 1][number % 5]);
    request["seed"] = json!(number);
    request["temperature"] = json!([0.0, 1.0, 0.6][number % 3]);
    request
}

/// What is the same whenever and wherever a request is answered.
fn essence(body: &Value) -> Value {
    let owed = &body["openledger"];
    json!([body["choices"], body["usage"], owed["attributionRoot"], owed["contributors"], owed["paid"]])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_made_together_are_those_made_alone() {
    const CLIENTS: usize = 24;
    let scene = Scene::new();
    let gateway = scene.serve().await;
    let mut alone = Vec::new();
    let mut client = scene.client(&gateway, 0xff);
    for number in 0..CLIENTS {
        alone.push(essence(&client.ask(CHAT, &asked(number)).await.unwrap().body));
    }
    let together: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let mut client = scene.client(&gateway, number as u8);
            tokio::spawn(async move {
                let mut request = asked(number);
                // Some as streams, whose last event tells what they owe.
                if number % 3 == 2 {
                    request["stream"] = json!(true);
                    let (mut text, mut last) = (String::new(), Value::Null);
                    let each = |event: &Value| {
                        text += event["choices"][0]["delta"]["content"].as_str().unwrap_or_default();
                        last = event.clone();
                    };
                    client.stream(CHAT, &request, each).await.unwrap();
                    (text, last["openledger"]["attributionRoot"].clone(), None)
                } else {
                    let body = client.ask(CHAT, &request).await.unwrap().body;
                    let text = body["choices"][0]["message"]["content"].as_str().unwrap().to_string();
                    let root = body["openledger"]["attributionRoot"].clone();
                    (text, root, Some(essence(&body)))
                }
            })
        })
        .collect();
    for (number, task) in together.into_iter().enumerate() {
        let (text, root, whole) = task.await.unwrap();
        assert_eq!(alone[number][0][0]["message"]["content"], text, "request {number}");
        assert_eq!(alone[number][2], root, "request {number}");
        if let Some(whole) = whole {
            assert_eq!(alone[number], whole, "request {number}");
        }
    }
    assert_eq!(scene.audit(&gateway).await.answers, 2 * CLIENTS as u64);
    gateway.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_is_said_and_costs_nothing() {
    let mut scene = Scene::new();
    scene.limits = Limits { rows: 1, queue: 1, ..scene.limits };
    let gateway = scene.serve().await;
    let tasks: Vec<_> = (0..8)
        .map(|number| {
            let mut client = scene.client(&gateway, number);
            tokio::spawn(async move { client.ask(CHAT, &chat("the quick", 200)).await.map(drop) })
        })
        .collect();
    let (mut answered, mut refused) = (0, 0);
    for task in tasks {
        match task.await.unwrap() {
            Ok(()) => answered += 1,
            Err(ClientError::Refused { status, code, .. }) => {
                assert_eq!((status.as_u16(), code.as_str()), (429, "rate_limit_exceeded"));
                refused += 1;
            }
            Err(other) => panic!("{other}"),
        }
    }
    assert!(answered >= 1 && answered + refused == 8);
    assert_eq!(scene.audit(&gateway).await.answers, answered);
    gateway.shutdown().await;
}
