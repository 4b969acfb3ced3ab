//! WebSocket connections: the same methods, and subscriptions.
//!
//! A connection is one task. A client that does not read what it subscribed to is disconnected rather than
//! buffered for, and one that falls behind a stream misses events of it.

use super::{
    Api,
    error::RpcError,
    listener::SILENCE_LIMIT,
    logs::Criteria,
    objects,
    params::Params,
    protocol::{self, failure, respond},
};
use crate::{
    index::{Entry, LogFilter},
    transaction::SignedTransaction,
};
use axum::{
    body::Bytes,
    extract::ws::{Message, WebSocket},
};
use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::sync::broadcast::{Receiver, error::RecvError};

/// Most subscriptions of one connection.
const MAX_SUBSCRIPTIONS: usize = 64;
/// Longest time that a client may take to accept a message.
const SEND_LIMIT: Duration = Duration::from_secs(10);

enum Kind {
    Heads,
    Logs(Criteria),
    Pending { full: bool },
}

struct Connection {
    api: Arc<Api>,
    subscriptions: BTreeMap<u64, Kind>,
    last_id: u64,
}

/// Serves one connection until either side ends it.
pub(super) async fn serve(mut socket: WebSocket, api: Arc<Api>) {
    let mut blocks = api.services.index.subscribe();
    let mut arrivals = api.services.mempool.arrivals();
    let mut connection = Connection { api, subscriptions: BTreeMap::new(), last_id: 0 };
    let mut ping = tokio::time::interval(SILENCE_LIMIT / 3);
    loop {
        let messages = tokio::select! {
            _ = ping.tick() => {
                if !send(&mut socket, Message::Ping(Bytes::new())).await {
                    return;
                }
                continue;
            }
            message = socket.recv() => match message {
                Some(Ok(Message::Text(text))) => connection.answer(text.as_bytes()).await,
                Some(Ok(Message::Binary(bytes))) => connection.answer(&bytes).await,
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => Vec::new(),
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
            },
            entry = next(&mut blocks) => match entry {
                Some(entry) => connection.block(&entry),
                None => return,
            },
            transaction = next(&mut arrivals) => match transaction {
                Some(transaction) => connection.arrival(&transaction),
                None => return,
            },
        };
        for message in messages {
            if !send(&mut socket, Message::Text(message.into())).await {
                return;
            }
        }
    }
}

/// Whether the client took the message in time.
async fn send(socket: &mut WebSocket, message: Message) -> bool {
    matches!(tokio::time::timeout(SEND_LIMIT, socket.send(message)).await, Ok(Ok(())))
}

async fn next<T: Clone>(stream: &mut Receiver<T>) -> Option<T> {
    loop {
        match stream.recv().await {
            Ok(value) => return Some(value),
            Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return None,
        }
    }
}

impl Connection {
    /// Subscriptions are the connection's own; everything else is answered as over HTTP.
    async fn answer(&mut self, body: &[u8]) -> Vec<String> {
        let parsed: Result<Value, _> = serde_json::from_slice(body);
        let own = parsed.as_ref().ok().and_then(|value| value.get("method")).and_then(Value::as_str);
        let own = own.is_some_and(|method| method == "eth_subscribe" || method == "eth_unsubscribe");
        match parsed {
            Ok(value) if own => vec![self.manage(value).to_string()],
            _ => protocol::answer(&self.api, body).await.into_iter().collect(),
        }
    }

    fn manage(&mut self, value: Value) -> Value {
        let request = match protocol::request(value) {
            Ok(request) => request,
            Err((id, error)) => return failure(id, &error),
        };
        let result = match request.method.as_str() {
            "eth_subscribe" => self.subscribe(request.params),
            _ => self.unsubscribe(request.params),
        };
        respond(request.id.unwrap_or(Value::Null), result)
    }

    fn subscribe(&mut self, mut params: Params) -> Result<Value, RpcError> {
        if self.subscriptions.len() >= MAX_SUBSCRIPTIONS {
            return Err(RpcError::limit(format!("at most {MAX_SUBSCRIPTIONS} subscriptions a connection")));
        }
        let name: Value = params.take(0, "subscription")?;
        let kind = match name.as_str() {
            Some("newHeads") => Kind::Heads,
            Some("newPendingTransactions") => {
                Kind::Pending { full: params.optional(1, "full")?.unwrap_or(false) }
            }
            Some("logs") => match params.optional::<Value>(1, "filter")? {
                None => Kind::Logs(Criteria::default()),
                Some(Value::Object(mut object)) => Kind::Logs(Criteria::parse(&mut object)?),
                Some(_) => return Err(RpcError::params("parameter 2 (filter): expected an object")),
            },
            _ => return Err(RpcError::params("expected newHeads, logs or newPendingTransactions")),
        };
        self.last_id += 1;
        self.subscriptions.insert(self.last_id, kind);
        Ok(json!(id_text(self.last_id)))
    }

    fn unsubscribe(&mut self, mut params: Params) -> Result<Value, RpcError> {
        let id: u64 = params.take(0, "subscription id")?;
        Ok(json!(self.subscriptions.remove(&id).is_some()))
    }

    fn block(&self, entry: &Entry) -> Vec<String> {
        let height = entry.block.header.height;
        let mut messages = Vec::new();
        for (id, kind) in &self.subscriptions {
            match kind {
                Kind::Heads => {
                    let gas_limit = self.api.services.rules.genesis.gas_limit;
                    messages.push(event(*id, objects::entry_header(entry, gas_limit)));
                }
                Kind::Logs(criteria) => {
                    let filter: LogFilter = criteria.between(height, height);
                    let logs = entry.logs().filter(|stored| filter.selects(&stored.log));
                    messages.extend(logs.map(|stored| event(*id, objects::log(&stored))));
                }
                Kind::Pending { .. } => {}
            }
        }
        messages
    }

    fn arrival(&self, transaction: &SignedTransaction) -> Vec<String> {
        let pending = self.subscriptions.iter().filter_map(|(id, kind)| match kind {
            Kind::Pending { full: true } => Some(event(*id, objects::transaction(transaction, None))),
            Kind::Pending { full: false } => Some(event(*id, json!(transaction.hash()))),
            Kind::Heads | Kind::Logs(_) => None,
        });
        pending.collect()
    }
}

fn id_text(id: u64) -> String {
    format!("0x{id:x}")
}

fn event(id: u64, result: Value) -> String {
    let params = json!({ "subscription": id_text(id), "result": result });
    json!({ "jsonrpc": "2.0", "method": "eth_subscription", "params": params }).to_string()
}
