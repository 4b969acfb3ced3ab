//! Many paid streams at once, over HTTP, clients in the same process.

use crate::scene::{CHAT, Scene, chat};
use alloy_primitives::B256;
use gateway::Limits;
use serde_json::{Value, json};
use std::time::Instant;

const TOKENS: u32 = 64;

pub async fn run(streams: usize, rows: usize) {
    let mut scene = Scene::new();
    scene.limits = Limits { rows, ..scene.limits };
    let gateway = scene.serve().await;
    // Channels are opened before: a deposit is a transaction.
    let mut clients = Vec::new();
    for number in 0..streams {
        let mut client = scene.client(&gateway, 0);
        client.salt = B256::left_padding_from(&number.to_be_bytes());
        client.ask(CHAT, &chat("to be", 1)).await.expect("a channel");
        clients.push(client);
    }
    let started = Instant::now();
    let tasks: Vec<_> = (0u64..)
        .zip(clients)
        .map(|(number, mut client)| {
            tokio::spawn(async move {
                let mut request =
                    chat("What say you of the state of the realm, my lord, and of the king?", TOKENS);
                request["stream"] = json!(true);
                request["seed"] = json!(number);
                let begun = Instant::now();
                let (mut first, mut tokens) = (None, 0);
                let each = |event: &Value| {
                    if event["choices"][0]["delta"]["content"].is_string() {
                        first.get_or_insert_with(|| begun.elapsed().as_secs_f64());
                    }
                    tokens = event["openledger"]
                        .is_object()
                        .then(|| &event["usage"]["completion_tokens"])
                        .and_then(Value::as_u64)
                        .unwrap_or(tokens);
                };
                client.stream(CHAT, &request, each).await.map_err(|error| error.to_string())?;
                Ok::<_, String>((first.unwrap_or_default(), begun.elapsed().as_secs_f64(), tokens))
            })
        })
        .collect();
    let (mut firsts, mut wholes, mut tokens, mut errors) = (Vec::new(), Vec::new(), 0, Vec::new());
    for task in tasks {
        match task.await.expect("a task") {
            Ok((first, whole, made)) => {
                firsts.push(first);
                wholes.push(whole);
                tokens += made;
            }
            Err(error) => errors.push(error),
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    let [firsts, wholes] = [firsts, wholes].map(|mut times| {
        times.sort_by(f64::total_cmp);
        times
    });
    let at = |times: &[f64], percent: usize| {
        times.get(times.len().saturating_sub(1) * percent / 100).copied().unwrap_or(0.0)
    };
    println!(
        r#"{{"what":"streams","streams":{streams},"rows":{rows},"errors":{},"tokens":{tokens},"seconds":{seconds:.2},"tokens_per_s":{:.0},"first_p50_s":{:.3},"first_p95_s":{:.3},"whole_p50_s":{:.3},"whole_p95_s":{:.3}}}"#,
        errors.len(),
        tokens as f64 / seconds,
        at(&firsts, 50),
        at(&firsts, 95),
        at(&wholes, 50),
        at(&wholes, 95)
    );
    if let Some(error) = errors.first() {
        eprintln!("{error}");
    }
    gateway.shutdown().await;
}
