//! The signer as a server on this machine: OpenAI's API in front, vouchers behind.
//!
//! | path | what |
//! |---|---|
//! | `POST /v1/chat/completions`, `/v1/completions`, `/v1/responses` | forwarded with a voucher, answered as it comes |
//! | `GET /v1/…` | forwarded |
//! | `GET /balance` | limit, spent, left, channels |
//!
//! Every request needs the key, `GET`s of `/v1` included: other users of the machine and pages in a browser have no business here. Nothing is
//! allowed across origins.

use super::{
    Key,
    lanes::{Lanes, Lent},
    same,
};
use crate::{
    api::ApiError,
    client::{ClientError, Exchange, http},
    payments::Endpoint,
};
use alloy_primitives::B256;
use axum::{
    Json, Router,
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use futures::stream;
use primitives::Amount;
use serde_json::{Value, json};
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

/// Longest request body.
const MAX_BODY_BYTES: usize = 4 << 20;
/// Longest response that is forwarded unpaid.
const MAX_RESPONSE_BYTES: usize = 32 << 20;
/// Requests that wait for a channel; beyond, 429.
const MAX_WAITING: usize = 256;
/// Longest event of a stream that is looked into for its cost.
const MAX_EVENT_BYTES: usize = 1 << 20;
/// Response header: OPEN that the key has left.
const BALANCE: &str = "x-openledger-balance";

/// A running signer.
pub struct Proxy {
    /// Where it listens.
    pub addr: SocketAddr,
    stop: watch::Sender<bool>,
    serving: JoinHandle<std::io::Result<()>>,
}

impl Proxy {
    /// Takes no more requests and returns when the last is answered.
    pub async fn shutdown(self) {
        let _ = self.stop.send(true);
        let _ = self.serving.await;
    }
}

/// What an answer came to, for whoever watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spent {
    /// Units that this answer cost.
    pub cost: u128,
    /// Units left.
    pub left: u128,
}

struct Signer {
    lanes: Arc<Lanes>,
    waiting: AtomicUsize,
    told: Box<dyn Fn(Spent) + Send + Sync>,
}

/// Serves a key on `listen`; `told` hears of every answer's cost.
pub async fn serve(
    listen: SocketAddr,
    lanes: Arc<Lanes>,
    told: impl Fn(Spent) + Send + Sync + 'static,
) -> std::io::Result<Proxy> {
    let listener = TcpListener::bind(listen).await?;
    let addr = listener.local_addr()?;
    let signer = Arc::new(Signer { lanes, waiting: AtomicUsize::new(0), told: Box::new(told) });
    let router = Router::new()
        .route(Endpoint::Chat.path(), post(ask))
        .route(Endpoint::Completions.path(), post(ask))
        .route(Endpoint::Responses.path(), post(ask))
        .route("/v1/{*rest}", get(pass))
        .route("/balance", get(balance))
        .fallback(|| async { ApiError::not_found("the signer forwards /v1 and shows /balance") })
        .layer(middleware::from_fn_with_state(signer.clone(), admit))
        .with_state(signer);
    let (stop, mut stopped) = watch::channel(false);
    let serving = axum::serve(listener, router).with_graceful_shutdown(async move {
        let _ = stopped.wait_for(|stop| *stop).await;
    });
    Ok(Proxy { addr, stop, serving: tokio::spawn(async move { serving.await }) })
}

async fn admit(State(signer): State<Arc<Signer>>, request: Request, next: Next) -> Response {
    let given = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let given = given.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
    if !same(given.trim(), &signer.lanes.key().token) {
        let message = "this signer takes its own key alone: send `Authorization: Bearer ol-…` as `openledger channel show` prints it";
        return ApiError::new(StatusCode::UNAUTHORIZED, "invalid_api_key", message).into_response();
    }
    next.run(request).await
}

async fn balance(State(signer): State<Arc<Signer>>) -> Json<Value> {
    let key = signer.lanes.key();
    let Key { gateway, model, payer, limit, .. } = &key;
    let lanes: Vec<Value> = key
        .lanes
        .iter()
        .map(|lane| json!({ "id": lane.id, "deposited": lane.known.balance, "charged": lane.known.charged }))
        .collect();
    Json(json!({
        "gateway": gateway, "model": model, "payer": payer, "unit": "1e-18 OPEN",
        "limit": limit.to_string(), "spent": key.spent().to_string(), "left": key.left().to_string(),
        "left_open": Amount(key.left()).to_string(), "channels": lanes,
    }))
}

/// Forwards what costs nothing.
async fn pass(State(signer): State<Arc<Signer>>, uri: Uri) -> Result<Response, ApiError> {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let url = format!("{}{path}", signer.lanes.key().gateway);
    let response = http::send(Method::GET, &url, &[], Vec::new()).await;
    let response = response.map_err(|error| ClientError::from(error).into_api())?;
    let response = response.whole(MAX_RESPONSE_BYTES).await;
    let response = response.map_err(|error| ClientError::from(error).into_api())?;
    Ok(rebuilt(response.status, &response.headers, Body::from(response.body)))
}

/// Forwards what is paid.
async fn ask(State(signer): State<Arc<Signer>>, uri: Uri, body: Body) -> Result<Response, ApiError> {
    let body = axum::body::to_bytes(body, MAX_BODY_BYTES).await;
    let body = body.map_err(|error| {
        ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "request_too_large", format!("the body: {error}"))
    })?;
    let lent = {
        let _waiting = Waiting::begin(&signer)?;
        signer.lanes.lend().await
    };
    let mut lent = lent.map_err(|error| {
        ApiError::new(StatusCode::PAYMENT_REQUIRED, "insufficient_quota", error.to_string())
    })?;
    let before = lent.client().memory.clone();
    let exchange = lent.client().forward(uri.path(), body.to_vec()).await;
    let Exchange { response, channel } = exchange.map_err(ClientError::into_api)?;
    let (status, headers) = (response.status, response.headers.clone());
    let streams = headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
    if streams {
        let relay = Relay { response, channel, lent, pending: Vec::new(), signer };
        let parts = stream::unfold(Some(relay), |relay| async move {
            let mut relay = relay?;
            match relay.response.more().await {
                Ok(Some(part)) => {
                    relay.look(&part);
                    Some((Ok(part), Some(relay)))
                }
                Ok(None) => None,
                Err(error) => Some((Err(std::io::Error::other(error)), None)),
            }
        });
        return Ok(rebuilt(status, &headers, Body::from_stream(parts)));
    }
    let response = response.whole(MAX_RESPONSE_BYTES).await;
    let response = response.map_err(|error| ClientError::from(error).into_api())?;
    let cost: u128 = lent
        .client()
        .memory
        .iter()
        .map(|(id, known)| {
            known.charged.0.saturating_sub(before.get(id).copied().unwrap_or_default().charged.0)
        })
        .sum();
    drop(lent);
    if channel.is_some() {
        signer.tell(cost);
    }
    let mut rebuilt = rebuilt(status, &headers, Body::from(response.body));
    let left = Amount(signer.lanes.key().left()).to_string();
    if let Ok(left) = HeaderValue::from_str(&left) {
        rebuilt.headers_mut().insert(BALANCE, left);
    }
    Ok(rebuilt)
}

/// A request that waits for a channel.
struct Waiting<'a>(&'a Signer);

impl<'a> Waiting<'a> {
    fn begin(signer: &'a Signer) -> Result<Waiting<'a>, ApiError> {
        let waiting = Waiting(signer);
        if signer.waiting.fetch_add(1, Ordering::Relaxed) >= MAX_WAITING {
            return Err(ApiError::busy(
                "too many requests wait for this key's channels: try again in a moment",
            ));
        }
        Ok(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Signer {
    fn tell(&self, cost: u128) {
        (self.told)(Spent { cost, left: self.lanes.key().left() });
    }
}

/// A stream on its way through. Dropped when the client leaves: the gateway then ends the answer.
struct Relay {
    response: http::Incomplete,
    channel: Option<B256>,
    lent: Lent,
    /// The event that is not whole yet.
    pending: Vec<u8>,
    signer: Arc<Signer>,
}

impl Relay {
    /// Looks for what the answer cost, which the last event tells.
    fn look(&mut self, part: &[u8]) {
        self.pending.extend_from_slice(part);
        while let Some(end) = self.pending.windows(2).position(|pair| pair == b"\n\n") {
            let event: Vec<u8> = self.pending.drain(..end + 2).collect();
            if let (Some(channel), Some(cost)) = (self.channel, cost_of(&event)) {
                self.lent.charge(channel, cost);
                self.channel = None;
                let left = self.signer.lanes.key().left().saturating_sub(cost);
                (self.signer.told)(Spent { cost, left });
            }
        }
        if self.pending.len() > MAX_EVENT_BYTES {
            self.pending.clear();
        }
    }
}

/// The fee in an event with an `openledger` object.
fn cost_of(event: &[u8]) -> Option<u128> {
    if !event.windows(12).any(|name| name == b"\"openledger\"") {
        return None;
    }
    let text = std::str::from_utf8(event).ok()?;
    let data = text.lines().find_map(|line| line.strip_prefix("data: "))?;
    let value: Value = serde_json::from_str(data).ok()?;
    let owed = value.get("openledger").or_else(|| value.pointer("/response/openledger"))?;
    owed["fee"].as_str()?.parse().ok()
}

/// A response with the headers that mean something to the client.
fn rebuilt(status: StatusCode, headers: &HeaderMap, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    for name in [header::CONTENT_TYPE, header::CACHE_CONTROL, header::RETRY_AFTER] {
        if let Some(value) = headers.get(&name) {
            response.headers_mut().insert(name, value.clone());
        }
    }
    response
}

impl ClientError {
    /// As a client of the signer is told.
    fn into_api(self) -> ApiError {
        let message = self.to_string();
        match self {
            ClientError::Refused { status, code, message } => ApiError::new(status, &code, message),
            ClientError::TooDear { .. } | ClientError::Spent { .. } => {
                ApiError::new(StatusCode::PAYMENT_REQUIRED, "insufficient_quota", message)
            }
            ClientError::NoChannel => ApiError { param: Some("model"), ..ApiError::bad(None, message) },
            ClientError::Http(_) => ApiError::unavailable("gateway_away", message),
            ClientError::BadOffer(_) | ClientError::Malformed(_) => {
                ApiError::new(StatusCode::BAD_GATEWAY, "bad_gateway", message)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_events_cost_is_found_where_each_endpoint_puts_it() {
        let chat = b"data: {\"choices\":[],\"openledger\":{\"fee\":\"12\"}}\n\n";
        assert_eq!(cost_of(chat), Some(12));
        let responses =
            b"event: response.completed\ndata: {\"response\":{\"openledger\":{\"fee\":\"7\"}}}\n\n";
        assert_eq!(cost_of(responses), Some(7));
        for other in
            ["data: [DONE]\n\n", "data: {\"openledger\":{}}\n\n", "data: \"openledger\"\n\n", ": x\n\n"]
        {
            assert_eq!(cost_of(other.as_bytes()), None, "{other}");
        }
    }
}
