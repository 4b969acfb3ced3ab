//! `/v1/chat/completions`.

use super::{
    ApiError,
    endpoint::{Ask, Rendering},
    flow::Started,
    owed::{Recorded, with_cost},
    parameters::{Common, WireMessage, read as read_json},
    sse,
};
use crate::{payments::Endpoint, server::App};
use alloy_primitives::B256;
use bytes::Bytes;
use compute::{Finish, Prompt, Request, Usage};
use serde::Deserialize;
use serde_json::{Value, json};

/// How an answer is written here.
pub const RENDERING: Rendering = Rendering { whole, open, piece, close };

#[derive(Deserialize)]
struct Body {
    #[serde(flatten)]
    common: Common,
    messages: Vec<WireMessage>,
    max_tokens: Option<u32>,
    max_completion_tokens: Option<u32>,
}

/// Reads a request.
pub fn read(body: &[u8], digest: B256, seed: u64, default_max_tokens: u32) -> Result<Ask, ApiError> {
    let Body { common, messages, max_tokens, max_completion_tokens } = read_json(body)?;
    let messages = messages.into_iter().map(|m| m.message("messages")).collect::<Result<Vec<_>, _>>()?;
    let max_tokens = max_completion_tokens.or(max_tokens);
    let request = Request {
        prompt: Prompt::Messages(messages),
        sampling: common.sampling(max_tokens.unwrap_or(default_max_tokens), seed)?,
    };
    Ok(Ask {
        endpoint: Endpoint::Chat,
        stream: common.stream.unwrap_or(false),
        include_usage: common.include_usage(),
        name: common.model,
        request,
        exact_max_tokens: max_tokens.is_some(),
        body: digest,
        echo: Value::Null,
    })
}

/// Why an answer ended, in OpenAI's words.
pub fn finish_reason(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop => "stop",
        Finish::Length | Finish::Cancelled => "length",
    }
}

/// The usage object, with the cost.
pub fn usage(recorded: &Recorded) -> Value {
    let receipt = &recorded.entry.signed.receipt;
    let Usage { prompt_tokens, completion_tokens } = receipt.usage;
    let usage = json!({
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": u64::from(prompt_tokens) + u64::from(completion_tokens),
    });
    with_cost(usage, receipt.fee)
}

fn whole(app: &App, ask: &Ask, created_s: u64, recorded: &Recorded) -> Value {
    let entry = &recorded.entry;
    let annotations: Vec<Value> = recorded.citations(app).iter().map(|c| c.chat()).collect();
    json!({
        "id": format!("chatcmpl-{}", entry.signed.receipt.id),
        "object": "chat.completion",
        "created": created_s,
        "model": ask.name,
        "choices": [{
            "index": 0,
            "message": {
                "role": "assistant", "content": entry.output.text, "refusal": null, "annotations": annotations,
            },
            "logprobs": null,
            "finish_reason": finish_reason(entry.output.finish),
        }],
        "usage": usage(recorded),
        "openledger": recorded.payer_object(app),
    })
}

fn chunk(ask: &Ask, started: &Started, choices: Value) -> Value {
    json!({
        "id": format!("chatcmpl-{}", started.id),
        "object": "chat.completion.chunk",
        "created": started.created_s,
        "model": ask.name,
        "choices": choices,
    })
}

fn choice(delta: Value, finish: Option<&str>) -> Value {
    json!([{ "index": 0, "delta": delta, "logprobs": null, "finish_reason": finish }])
}

fn open(_app: &App, ask: &Ask, started: &Started) -> Vec<Bytes> {
    let delta = json!({ "role": "assistant", "content": "" });
    vec![sse::data(&chunk(ask, started, choice(delta, None)))]
}

fn piece(ask: &Ask, started: &Started, _before: usize, text: &str) -> Bytes {
    sse::data(&chunk(ask, started, choice(json!({ "content": text }), None)))
}

fn close(app: &App, ask: &Ask, started: &Started, _before: usize, recorded: &Recorded) -> Vec<Bytes> {
    let finish = finish_reason(recorded.entry.output.finish);
    let annotations: Vec<Value> = recorded.citations(app).iter().map(|c| c.chat()).collect();
    let mut last = chunk(ask, started, choice(json!({ "annotations": annotations }), Some(finish)));
    let mut events = Vec::new();
    if ask.include_usage {
        events.push(sse::data(&last));
        last = chunk(ask, started, json!([]));
    }
    // A client that did not ask for the chunk without choices may not expect one: then the last choice carries it.
    last["usage"] = usage(recorded);
    last["openledger"] = recorded.payer_object(app);
    events.extend([sse::data(&last), sse::done()]);
    events
}
