//! Clients that leave, clients that are slow, and clients that read nothing.

use crate::scene::{CHAT, Scene, body, by_channel, chat, get, offer, payment, post};
use gateway::{
    Handle, Limits,
    client::http,
    payments::wire::{self, PAYMENT_SIGNATURE},
};
use hyper::Method;
use serde_json::json;
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// Waits until nothing is being made and nobody is connected but who asks.
async fn quiet(gateway: &Handle) {
    loop {
        let health = body(&get(gateway, "/health").await);
        let metrics = String::from_utf8(get(gateway, "/metrics").await.body.to_vec()).unwrap();
        let busy = health["queue"] != 0 || health["decoding"] != 0;
        if !busy && metrics.contains("openledger_connections 1\n") {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_leaves_before_any_text_is_not_charged() {
    let scene = Scene::new();
    let gateway = scene.serve().await;
    let mut client = scene.client(&gateway, 1);
    client.ask(CHAT, &chat("lorem", 2)).await.unwrap();
    let request = chat("the quick", 240).to_string();
    let way = by_channel(&offer(&post(&gateway, CHAT, request.as_bytes(), None).await));
    let header = wire::encode(&payment(way.clone(), client.payment_for(&way).unwrap()));
    let head = format!(
        "POST {CHAT} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n{PAYMENT_SIGNATURE}: {header}\r\n\r\n",
        request.len()
    );
    for _ in 0..5 {
        let mut stream = TcpStream::connect(gateway.addr).await.unwrap();
        stream.write_all(format!("{head}{request}").as_bytes()).await.unwrap();
        drop(stream);
        quiet(&gateway).await;
    }
    // The channel is free again, and its sum is what it was.
    client.ask(CHAT, &chat("dolor", 2)).await.unwrap();
    let audit = scene.audit(&gateway).await;
    assert_eq!(audit.answers, 2, "nobody was there");
    gateway.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_leaves_a_stream_pays_for_what_it_was_sent() {
    let scene = Scene::new();
    let gateway = scene.serve().await;
    let mut client = scene.client(&gateway, 1);
    let mut request = chat("the quick", 240);
    request["stream"] = json!(true);
    let request = request.to_string();
    let way = by_channel(&offer(&post(&gateway, CHAT, request.as_bytes(), None).await));
    let header = wire::encode(&payment(way.clone(), client.payment_for(&way).unwrap()));
    let url = format!("http://{}{CHAT}", gateway.addr);
    let headers = [(PAYMENT_SIGNATURE, header.as_str())];
    let mut stream = http::send(Method::POST, &url, &headers, request.clone().into_bytes()).await.unwrap();
    assert_eq!(stream.status.as_u16(), 200);
    stream.more().await.unwrap().unwrap();
    drop(stream);
    let served = gateway.app().model_by_id(scene.model).unwrap();
    while served.recorder.log().next_sequence() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let entry = served.recorder.log().entry(0).unwrap().expect("a receipt");
    let sent = entry.signed.receipt.usage.completion_tokens;
    assert_eq!(entry.output.finish, compute::Finish::Cancelled);
    assert!(sent > 0 && sent < 240, "{sent} tokens");
    // Who lost count finds the sum again.
    client.ask(CHAT, &chat("dolor", 2)).await.unwrap();
    assert_eq!(scene.audit(&gateway).await.answers, 2);
    gateway.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_clients_hold_connections_and_nothing_else() {
    const SLOW: usize = 1_000;
    let mut scene = Scene::new();
    scene.limits = Limits { read_timeout: Duration::from_secs(3), ..scene.limits };
    let gateway = scene.serve().await;
    let mut slow = Vec::new();
    for index in 0..SLOW {
        let mut stream = TcpStream::connect(gateway.addr).await.unwrap();
        // Half a head, or a head and no body.
        let start = match index % 2 {
            0 => "POST /v1/chat/completions HTTP/1.1\r\nHo".to_string(),
            _ => format!("POST {CHAT} HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n\r\n{{"),
        };
        stream.write_all(start.as_bytes()).await.unwrap();
        slow.push(stream);
    }
    // Among a thousand of them, who asks properly is answered.
    scene.client(&gateway, 1).ask(CHAT, &chat("the quick", 4)).await.unwrap();
    // And they are told, and cut off.
    for (index, stream) in slow.iter_mut().enumerate() {
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        let told = String::from_utf8_lossy(&answer);
        assert!(index % 2 == 0 || told.contains("request_timeout"), "{told}");
    }
    quiet(&gateway).await;
    assert_eq!(scene.audit(&gateway).await.answers, 1);
    gateway.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_takes_nothing_is_cut_off() {
    let mut scene = Scene::new();
    scene.limits = Limits { write_timeout: Duration::from_millis(200), ..scene.limits };
    let gateway = scene.serve().await;
    let mut stream = TcpStream::connect(gateway.addr).await.unwrap();
    // Far more answers than any socket's buffers hold, and none is read.
    let request = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n".repeat(4_000);
    let writing = tokio::spawn(async move {
        let _ = stream.write_all(&request).await;
        stream
    });
    quiet(&gateway).await;
    drop(writing.await);
    gateway.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn past_the_limit_of_connections_new_ones_wait() {
    let mut scene = Scene::new();
    scene.limits = Limits { connections: 2, read_timeout: Duration::from_millis(300), ..scene.limits };
    let gateway = scene.serve().await;
    let mut silent = Vec::new();
    for _ in 0..4 {
        silent.push(TcpStream::connect(gateway.addr).await.unwrap());
    }
    // Silent ones are cut off in time, and then it is this one's turn.
    assert_eq!(get(&gateway, "/health").await.status.as_u16(), 200);
    gateway.shutdown().await;
}
