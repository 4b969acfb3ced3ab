//! Requests that are wrong: the right status and reason, and nothing charged.

use crate::scene::{CHAT, Scene, TEXT, body, chat, get, post, reason};
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_a_request_is_said_and_not_charged() {
    let scene = Scene::new();
    let gateway = scene.serve().await;
    let with = |name: &str, value: serde_json::Value| {
        let mut request = chat("the quick", 8);
        request[name] = value;
        request
    };
    let long = "the quick brown fox ".repeat(200);
    let cases: Vec<(&str, serde_json::Value, u16, &str)> = vec![
        ("an unknown model", with("model", json!("gpt-9")), 404, "model_not_found"),
        ("an unknown adapter", with("model", json!("small:fine")), 404, "model_not_found"),
        ("an adapter without its base", with("model", json!("tuned")), 404, "model_not_found"),
        ("a prompt past the context", chat(&long, 8), 400, "context_length_exceeded"),
        ("an answer past the context", chat("the quick", 5_000), 400, "context_length_exceeded"),
        ("no message", with("messages", json!([])), 400, "invalid_request"),
        (
            "an unknown role",
            with("messages", json!([{ "role": "tool", "content": "x" }])),
            400,
            "invalid_request",
        ),
        (
            "an image",
            with("messages", json!([{ "role": "user", "content": [{ "type": "image_url" }] }])),
            400,
            "invalid_request",
        ),
        ("no tokens", with("max_tokens", json!(0)), 400, "invalid_request"),
        ("a negative number", with("max_tokens", json!(-1)), 400, "invalid_request"),
        ("a hot temperature", with("temperature", json!(9)), 400, "invalid_request"),
        ("two answers", with("n", json!(2)), 400, "invalid_request"),
        ("tools", with("tools", json!([{ "type": "function" }])), 400, "invalid_request"),
        ("five stops", with("stop", json!(["a", "b", "c", "d", "e"])), 400, "invalid_request"),
        ("no model", json!({ "messages": [] }), 400, "invalid_request"),
        ("a list", json!([1, 2]), 400, "invalid_request"),
    ];
    for (what, request, status, code) in cases {
        let response = post(&gateway, CHAT, request.to_string().as_bytes(), None).await;
        assert_eq!(reason(&response), (status, code.to_string()), "{what}");
    }
    let request = json!({ "model": "small", "prompt": [70_000], "max_tokens": 4 }).to_string();
    let response = post(&gateway, TEXT, request.as_bytes(), None).await;
    assert_eq!(reason(&response), (400, "invalid_request".into()), "a token past the vocabulary");
    let request = json!({ "model": "small", "input": "x", "previous_response_id": "y" }).to_string();
    let response = post(&gateway, "/v1/responses", request.as_bytes(), None).await;
    assert_eq!(body(&response)["error"]["param"], "previous_response_id");
    for path in ["/v1/none", "/v1/models/none", "/v1/attributions/00000000000000000000000000000000"] {
        assert_eq!(get(&gateway, path).await.status.as_u16(), 404, "{path}");
    }
    assert_eq!(scene.audit(&gateway).await, Default::default());
    gateway.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_that_are_no_request_are_refused() {
    let scene = Scene::new();
    let gateway = scene.serve().await;
    let good = chat("the quick", 8).to_string().into_bytes();
    // Every prefix of a good request, and every request with a byte changed, is answered: by a price or by what is wrong.
    for cut in 0..good.len() {
        let response = post(&gateway, CHAT, &good[..cut], None).await;
        assert_eq!(reason(&response).0, 400, "cut at {cut}");
    }
    for at in (0..good.len()).step_by(3) {
        let mut flipped = good.clone();
        flipped[at] ^= 0x20;
        let (status, _) = reason(&post(&gateway, CHAT, &flipped, None).await);
        assert!([400, 402, 404].contains(&status), "flipped at {at}: {status}");
    }
    let deep = [b"[".repeat(100_000), b"]".repeat(100_000)].concat();
    assert_eq!(reason(&post(&gateway, CHAT, &deep, None).await).0, 400);
    let wide = vec![b' '; (2 << 20) + 1];
    assert_eq!(reason(&post(&gateway, CHAT, &wide, None).await), (413, "request_too_large".into()));
    assert_eq!(reason(&post(&gateway, CHAT, b"\xff\xfe", None).await).0, 400);
    // Hostile headers are no payment.
    for header in ["", "e30=", "%%%", &"A".repeat(20_000), "bnVsbA=="] {
        let response = crate::scene::post_header(&gateway, CHAT, &good, Some(header)).await;
        let status = response.status.as_u16();
        assert!(status == 402 || status == 431, "{status}");
    }
    assert_eq!(scene.audit(&gateway).await, Default::default());
    gateway.shutdown().await;
}
