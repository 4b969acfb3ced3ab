//! JSON-RPC 2.0 over HTTP and WebSocket at `/`, as Ethereum wallets and tools speak it.
//!
//! One socket serves both: `POST` carries a request or a batch, `GET` upgrades to a WebSocket, where
//! `eth_subscribe` works too. Everything from outside is bounded: bodies, batches, connections' requests in
//! flight, filters, subscriptions, results, and the time a request may take.
//!
//! State is that of the newest finalized block; `latest`, `safe` and `finalized` are one. State of older blocks
//! is not kept, and a question about it is an error, not a wrong answer.

mod account;
mod block;
mod call;
mod error;
mod fee;
mod filter;
mod http;
mod listener;
mod logs;
mod methods;
mod objects;
mod openledger;
mod params;
mod protocol;
mod subscription;
mod transaction;

use crate::node::Services;
use filter::Filters;
use std::{net::TcpListener, sync::Arc};

/// Most bytes of a request.
pub const MAX_BODY_BYTES: usize = 4 << 20;
/// Most requests of a batch.
pub const MAX_BATCH: usize = 1_024;
/// Most events of one answer.
pub const MAX_LOGS: usize = 10_000;
/// Most blocks of one `eth_getLogs` without address or topic.
pub const MAX_LOG_BLOCKS: u64 = 10_000;

/// What every method works with.
pub struct Api {
    pub(crate) services: Arc<Services>,
    pub(crate) filters: Filters,
}

impl Api {
    /// Works on `services`, with no filters yet.
    pub fn new(services: Arc<Services>) -> Arc<Self> {
        Arc::new(Self { services, filters: Filters::default() })
    }

    /// Answers a body as HTTP does, without the connection; `None` when it held notifications only. A batch runs
    /// on the Tokio runtime of the caller.
    pub async fn answer(self: &Arc<Self>, body: &[u8]) -> Option<String> {
        protocol::answer(self, body).await
    }
}

/// Serves until the task is dropped.
pub async fn serve(listener: TcpListener, services: Arc<Services>) {
    let api = Api::new(services);
    if let Err(error) = http::serve(listener, api).await {
        tracing::error!(%error, "JSON-RPC stopped");
    }
}
