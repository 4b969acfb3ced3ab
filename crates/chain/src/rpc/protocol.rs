//! JSON-RPC 2.0: requests, notifications, batches.

use super::{Api, MAX_BATCH, error::RpcError, methods, params::Params};
use futures::{StreamExt as _, stream};
use serde_json::{Value, json};
use std::sync::Arc;

/// Requests of one batch that run at the same time.
const BATCH_CONCURRENCY: usize = 32;

/// Answers a body; `None` when it held notifications only.
pub(super) async fn answer(api: &Arc<Api>, body: &[u8]) -> Option<String> {
    let answer = match serde_json::from_slice(body) {
        Ok(Value::Array(requests)) => batch(api, requests).await?,
        Ok(request) => single(api, request).await?,
        Err(error) => failure(Value::Null, &RpcError::parse(error)),
    };
    Some(answer.to_string())
}

async fn batch(api: &Arc<Api>, requests: Vec<Value>) -> Option<Value> {
    if requests.is_empty() {
        return Some(failure(Value::Null, &RpcError::request("empty batch")));
    }
    if requests.len() > MAX_BATCH {
        let reason = format!("batch of {} requests: at most {MAX_BATCH}", requests.len());
        return Some(failure(Value::Null, &RpcError::limit(reason)));
    }
    let answers: Vec<Value> = stream::iter(requests)
        .map(|request| {
            let api = api.clone();
            // A task each, so that signatures are recovered on all cores.
            tokio::spawn(async move { single(&api, request).await })
        })
        .buffered(BATCH_CONCURRENCY)
        .filter_map(|answer| async move { answer.ok().flatten() })
        .collect()
        .await;
    if answers.is_empty() { None } else { Some(Value::Array(answers)) }
}

/// One request, already split into its parts.
pub(super) struct Request {
    pub(super) id: Option<Value>,
    pub(super) method: String,
    pub(super) params: Params,
}

/// Takes a request apart; the error comes with the id to answer to.
pub(super) fn request(value: Value) -> Result<Request, (Value, RpcError)> {
    let Value::Object(mut object) = value else {
        return Err((Value::Null, RpcError::request("a request is an object")));
    };
    let id = object.remove("id");
    let known = |id: &Value| id.is_null() || id.is_number() || id.is_string();
    if id.as_ref().is_some_and(|id| !known(id)) {
        return Err((Value::Null, RpcError::request("an id is a number, a string or null")));
    }
    let to = id.clone().unwrap_or(Value::Null);
    let Some(Value::String(method)) = object.remove("method") else {
        return Err((to, RpcError::request("the request names no method")));
    };
    let params = match object.remove("params") {
        None | Some(Value::Null) => Params::default(),
        Some(Value::Array(params)) => Params::new(params),
        Some(_) => return Err((to, RpcError::params("params must be an array"))),
    };
    Ok(Request { id, method, params })
}

async fn single(api: &Arc<Api>, value: Value) -> Option<Value> {
    let Request { id, method, params } = match request(value) {
        Ok(request) => request,
        Err((id, error)) => return Some(failure(id, &error)),
    };
    let result = methods::call(api, &method, params).await;
    let id = id?;
    Some(respond(id, result))
}

pub(super) fn respond(id: Value, result: Result<Value, RpcError>) -> Value {
    match result {
        Ok(result) => json!({ "jsonrpc": "2.0", "id": id, "result": result }),
        Err(error) => failure(id, &error),
    }
}

pub(super) fn failure(id: Value, error: &RpcError) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "error": error.to_json() })
}
