//! `/v1/responses`, without state: `previous_response_id` and stored responses are refused.

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
use compute::{AnswerId, Finish, Message, Prompt, Request, Role, Usage};
use serde::Deserialize;
use serde_json::{Value, json};

/// How an answer is written here.
pub const RENDERING: Rendering = Rendering { whole, open, piece, close };

#[derive(Deserialize)]
struct Body {
    #[serde(flatten)]
    common: Common,
    input: Input,
    instructions: Option<String>,
    max_output_tokens: Option<u32>,
    previous_response_id: Option<String>,
    metadata: Option<Value>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Input {
    Text(String),
    Items(Vec<WireMessage>),
}

/// Reads a request.
pub fn read(body: &[u8], digest: B256, seed: u64, default_max_tokens: u32) -> Result<Ask, ApiError> {
    let Body { common, input, instructions, max_output_tokens, previous_response_id, metadata } =
        read_json(body)?;
    if previous_response_id.is_some() {
        let message = "responses are not stored here: send the conversation in `input`";
        return Err(ApiError::bad(Some("previous_response_id"), message));
    }
    let mut messages: Vec<Message> =
        instructions.iter().map(|text| Message { role: Role::System, content: text.clone() }).collect();
    match input {
        Input::Text(content) => messages.push(Message { role: Role::User, content }),
        Input::Items(items) => {
            for item in items {
                messages.push(item.message("input")?);
            }
        }
    }
    let request = Request {
        prompt: Prompt::Messages(messages),
        sampling: common.sampling(max_output_tokens.unwrap_or(default_max_tokens), seed)?,
    };
    let echo = json!({
        "instructions": instructions, "max_output_tokens": max_output_tokens, "metadata": metadata.unwrap_or(json!({})),
        "temperature": request.sampling.temperature, "top_p": request.sampling.top_p,
    });
    Ok(Ask {
        endpoint: Endpoint::Responses,
        stream: common.stream.unwrap_or(false),
        include_usage: true,
        name: common.model,
        request,
        exact_max_tokens: max_output_tokens.is_some(),
        body: digest,
        echo,
    })
}

fn message_id(id: AnswerId) -> String {
    format!("msg_{id}")
}

fn message(id: AnswerId, text: &str, annotations: &[Value], status: &str) -> Value {
    json!({
        "id": message_id(id),
        "type": "message",
        "status": status,
        "role": "assistant",
        "content": [{ "type": "output_text", "text": text, "annotations": annotations, "logprobs": [] }],
    })
}

fn envelope(ask: &Ask, id: AnswerId, created_s: u64, status: &str, output: Value) -> Value {
    let mut response = json!({
        "id": format!("resp_{id}"),
        "object": "response",
        "created_at": created_s,
        "status": status,
        "error": null,
        "incomplete_details": null,
        "model": ask.name,
        "output": output,
        "parallel_tool_calls": true,
        "previous_response_id": null,
        "reasoning": { "effort": null, "summary": null },
        "store": false,
        "text": { "format": { "type": "text" } },
        "tool_choice": "auto",
        "tools": [],
        "truncation": "disabled",
        "usage": null,
        "user": null,
    });
    if let (Value::Object(response), Value::Object(echo)) = (&mut response, &ask.echo) {
        response.extend(echo.clone());
    }
    response
}

fn complete(app: &App, ask: &Ask, created_s: u64, recorded: &Recorded) -> Value {
    let entry = &recorded.entry;
    let receipt = &entry.signed.receipt;
    let finished = entry.output.finish == Finish::Stop;
    let status = if finished { "completed" } else { "incomplete" };
    let annotations: Vec<Value> = recorded.citations(app).iter().map(|c| c.responses()).collect();
    let output = json!([message(receipt.id, &entry.output.text, &annotations, status)]);
    let mut response = envelope(ask, receipt.id, created_s, status, output);
    if !finished {
        response["incomplete_details"] = json!({ "reason": "max_output_tokens" });
    }
    let Usage { prompt_tokens, completion_tokens } = receipt.usage;
    let usage = json!({
        "input_tokens": prompt_tokens,
        "input_tokens_details": { "cached_tokens": 0 },
        "output_tokens": completion_tokens,
        "output_tokens_details": { "reasoning_tokens": 0 },
        "total_tokens": u64::from(prompt_tokens) + u64::from(completion_tokens),
    });
    response["usage"] = with_cost(usage, receipt.fee);
    response["openledger"] = recorded.payer_object(app);
    response
}

fn whole(app: &App, ask: &Ask, created_s: u64, recorded: &Recorded) -> Value {
    complete(app, ask, created_s, recorded)
}

fn event(kind: &str, sequence: usize, mut fields: Value) -> Bytes {
    fields["type"] = json!(kind);
    fields["sequence_number"] = json!(sequence);
    sse::named(kind, &fields)
}

fn open(_app: &App, ask: &Ask, started: &Started) -> Vec<Bytes> {
    let response = envelope(ask, started.id, started.created_s, "in_progress", json!([]));
    let mut item = message(started.id, "", &[], "in_progress");
    item["content"] = json!([]);
    let part = json!({ "type": "output_text", "text": "", "annotations": [], "logprobs": [] });
    let place =
        json!({ "item_id": message_id(started.id), "output_index": 0, "content_index": 0, "part": part });
    vec![
        event("response.created", 0, json!({ "response": response })),
        event("response.in_progress", 1, json!({ "response": response })),
        event("response.output_item.added", 2, json!({ "output_index": 0, "item": item })),
        event("response.content_part.added", 3, place),
    ]
}

fn piece(_ask: &Ask, started: &Started, before: usize, text: &str) -> Bytes {
    let delta = json!({
        "item_id": message_id(started.id), "output_index": 0, "content_index": 0, "delta": text, "logprobs": [],
    });
    event("response.output_text.delta", before, delta)
}

fn close(app: &App, ask: &Ask, started: &Started, before: usize, recorded: &Recorded) -> Vec<Bytes> {
    let text = &recorded.entry.output.text;
    let annotations: Vec<Value> = recorded.citations(app).iter().map(|c| c.responses()).collect();
    let response = complete(app, ask, started.created_s, recorded);
    let place = |fields: Value| {
        let mut all = json!({ "item_id": message_id(started.id), "output_index": 0, "content_index": 0 });
        if let (Value::Object(all), Value::Object(fields)) = (&mut all, fields) {
            all.extend(fields);
        }
        all
    };
    let mut fields: Vec<(&str, Value)> = annotations
        .iter()
        .enumerate()
        .map(|(at, annotation)| {
            let fields = json!({ "annotation_index": at, "annotation": annotation });
            ("response.output_text.annotation.added", place(fields))
        })
        .collect();
    let part = json!({ "type": "output_text", "text": text, "annotations": annotations, "logprobs": [] });
    fields.push(("response.output_text.done", place(json!({ "text": text, "logprobs": [] }))));
    fields.push(("response.content_part.done", place(json!({ "part": part }))));
    let item = json!({ "output_index": 0, "item": response["output"][0] });
    fields.push(("response.output_item.done", item));
    let last = match recorded.entry.output.finish {
        Finish::Stop => "response.completed",
        Finish::Length | Finish::Cancelled => "response.incomplete",
    };
    fields.push((last, json!({ "response": response })));
    let numbered = (before..).zip(fields);
    numbered.map(|(sequence, (kind, fields))| event(kind, sequence, fields)).collect()
}
