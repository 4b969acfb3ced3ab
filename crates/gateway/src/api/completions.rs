//! `/v1/completions`.

use super::{
    ApiError,
    chat::{finish_reason, usage},
    endpoint::{Ask, Rendering},
    flow::Started,
    owed::Recorded,
    parameters::{Common, read as read_json},
    sse,
};
use crate::{payments::Endpoint, server::App};
use alloy_primitives::B256;
use bytes::Bytes;
use compute::{Prompt, Request};
use serde::Deserialize;
use serde_json::{Value, json};

/// How an answer is written here.
pub const RENDERING: Rendering = Rendering { whole, open, piece, close };

/// Tokens of an answer when the request does not say, as OpenAI has it for this endpoint.
const DEFAULT_MAX_TOKENS: u32 = 16;

#[derive(Deserialize)]
struct Body {
    #[serde(flatten)]
    common: Common,
    prompt: WirePrompt,
    max_tokens: Option<u32>,
    echo: Option<bool>,
    best_of: Option<u32>,
    suffix: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum WirePrompt {
    Text(String),
    Texts(Vec<String>),
    Tokens(Vec<u32>),
    TokenLists(Vec<Vec<u32>>),
}

/// Reads a request.
pub fn read(body: &[u8], digest: B256, seed: u64, _default: u32) -> Result<Ask, ApiError> {
    let Body { common, prompt, max_tokens, echo, best_of, suffix } = read_json(body)?;
    let one = || ApiError::bad(Some("prompt"), "one prompt a request: send several requests");
    let prompt = match prompt {
        WirePrompt::Text(text) => Prompt::Text(text),
        WirePrompt::Texts(texts) => {
            let [text] = <[String; 1]>::try_from(texts).map_err(|_| one())?;
            Prompt::Text(text)
        }
        WirePrompt::Tokens(tokens) => Prompt::Tokens(tokens),
        WirePrompt::TokenLists(lists) => {
            let [tokens] = <[Vec<u32>; 1]>::try_from(lists).map_err(|_| one())?;
            Prompt::Tokens(tokens)
        }
    };
    if echo == Some(true) || best_of.is_some_and(|best| best != 1) || suffix.is_some_and(|s| !s.is_empty()) {
        return Err(ApiError::bad(None, "`echo`, `best_of` and `suffix` are not offered: leave them out"));
    }
    let request =
        Request { prompt, sampling: common.sampling(max_tokens.unwrap_or(DEFAULT_MAX_TOKENS), seed)? };
    Ok(Ask {
        endpoint: Endpoint::Completions,
        stream: common.stream.unwrap_or(false),
        include_usage: common.include_usage(),
        name: common.model,
        request,
        exact_max_tokens: max_tokens.is_some(),
        body: digest,
        echo: Value::Null,
    })
}

fn envelope(ask: &Ask, id: impl std::fmt::Display, created_s: u64, choices: Value) -> Value {
    json!({
        "id": format!("cmpl-{id}"),
        "object": "text_completion",
        "created": created_s,
        "model": ask.name,
        "choices": choices,
    })
}

fn choice(text: &str, finish: Option<&str>) -> Value {
    json!([{ "index": 0, "text": text, "logprobs": null, "finish_reason": finish }])
}

fn whole(app: &App, ask: &Ask, created_s: u64, recorded: &Recorded) -> Value {
    let output = &recorded.entry.output;
    let choices = choice(&output.text, Some(finish_reason(output.finish)));
    let mut whole = envelope(ask, recorded.entry.signed.receipt.id, created_s, choices);
    let annotations: Vec<Value> = recorded.citations(app).iter().map(|c| c.chat()).collect();
    whole["choices"][0]["annotations"] = json!(annotations);
    whole["usage"] = usage(recorded);
    whole["openledger"] = recorded.payer_object(app);
    whole
}

fn open(_app: &App, _ask: &Ask, _started: &Started) -> Vec<Bytes> {
    Vec::new()
}

fn piece(ask: &Ask, started: &Started, _before: usize, text: &str) -> Bytes {
    sse::data(&envelope(ask, started.id, started.created_s, choice(text, None)))
}

fn close(app: &App, ask: &Ask, started: &Started, _before: usize, recorded: &Recorded) -> Vec<Bytes> {
    let finish = finish_reason(recorded.entry.output.finish);
    let mut last = envelope(ask, started.id, started.created_s, choice("", Some(finish)));
    let mut events = Vec::new();
    if ask.include_usage {
        events.push(sse::data(&last));
        last = envelope(ask, started.id, started.created_s, json!([]));
    }
    last["usage"] = usage(recorded);
    last["openledger"] = recorded.payer_object(app);
    events.extend([sse::data(&last), sse::done()]);
    events
}
