//! Filters that clients poll.

use super::{
    error::RpcError,
    logs::{self, Criteria},
    objects::{self, quantity},
    params::Params,
};
use crate::{node::Services, transaction::SignedTransaction};
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tokio::sync::broadcast::Receiver;

/// Most filters at a time.
const MAX_FILTERS: usize = 1_024;
/// A filter that nobody asks for this long is forgotten.
const IDLE_LIMIT: Duration = Duration::from_secs(300);
/// Most blocks that one poll of a block filter lists.
const MAX_BLOCKS: u64 = 10_000;

enum Kind {
    /// Events, and where the filter was declared to start and end.
    Logs {
        criteria: Criteria,
        from: u64,
        to: Option<u64>,
    },
    Blocks,
    Pending(Receiver<Arc<SignedTransaction>>),
}

struct Filter {
    kind: Kind,
    /// First height that the next poll lists.
    next: u64,
    asked: Instant,
}

#[derive(Default)]
struct State {
    filters: HashMap<u64, Filter>,
    last_id: u64,
}

/// All filters of a node.
#[derive(Default)]
pub(crate) struct Filters(Mutex<State>);

impl Filters {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().expect("no code panics while it holds the lock")
    }

    fn install(&self, services: &Services, kind: Kind) -> Result<Value, RpcError> {
        let next = services.index.head().block.header.height + 1;
        let mut state = self.lock();
        state.filters.retain(|_, filter| filter.asked.elapsed() < IDLE_LIMIT);
        if state.filters.len() >= MAX_FILTERS {
            return Err(RpcError::limit("too many filters: uninstall some, or use eth_subscribe"));
        }
        state.last_id += 1;
        let id = state.last_id;
        state.filters.insert(id, Filter { kind, next, asked: Instant::now() });
        Ok(quantity(id))
    }

    pub(super) fn new_logs(&self, services: &Services, mut params: Params) -> Result<Value, RpcError> {
        let mut object = logs::object(&mut params)?;
        let bounded =
            object.get("toBlock").is_some_and(|tag| tag.as_str().is_some_and(|tag| tag.starts_with("0x")));
        let (from, to) = logs::range(services, &mut object)?;
        let criteria = Criteria::parse(&mut object)?;
        self.install(services, Kind::Logs { criteria, from, to: bounded.then_some(to) })
    }

    pub(super) fn new_blocks(&self, services: &Services) -> Result<Value, RpcError> {
        self.install(services, Kind::Blocks)
    }

    pub(super) fn new_pending(&self, services: &Services) -> Result<Value, RpcError> {
        self.install(services, Kind::Pending(services.mempool.arrivals()))
    }

    pub(super) fn uninstall(&self, mut params: Params) -> Result<Value, RpcError> {
        let id: u64 = params.take(0, "filter id")?;
        Ok(json!(self.lock().filters.remove(&id).is_some()))
    }

    /// What happened since the last poll.
    pub(super) fn changes(&self, services: &Services, mut params: Params) -> Result<Value, RpcError> {
        let id: u64 = params.take(0, "filter id")?;
        let head = services.index.head().block.header.height;
        let (from, criteria) = {
            let mut state = self.lock();
            let filter = state.filters.get_mut(&id).ok_or_else(not_found)?;
            filter.asked = Instant::now();
            let from = std::mem::replace(&mut filter.next, head + 1);
            match &mut filter.kind {
                Kind::Pending(arrivals) => return Ok(hashes(arrivals)),
                Kind::Blocks => (from, None),
                Kind::Logs { criteria, to, .. } => {
                    (from, Some((criteria.clone(), to.map_or(head, |to| to.min(head)))))
                }
            }
        };
        match criteria {
            Some((criteria, to)) => logs::find(services, &criteria, from, to),
            None => blocks(services, from.max(head.saturating_sub(MAX_BLOCKS)), head),
        }
    }

    /// Everything that a log filter selects, polled before or not.
    pub(super) fn all_logs(&self, services: &Services, mut params: Params) -> Result<Value, RpcError> {
        let id: u64 = params.take(0, "filter id")?;
        let head = services.index.head().block.header.height;
        let (criteria, from, to) = {
            let mut state = self.lock();
            let filter = state.filters.get_mut(&id).ok_or_else(not_found)?;
            filter.asked = Instant::now();
            let Kind::Logs { criteria, from, to } = &filter.kind else {
                return Err(RpcError::refused("this is no log filter"));
            };
            (criteria.clone(), *from, to.unwrap_or(head))
        };
        logs::find(services, &criteria, from, to)
    }
}

fn not_found() -> RpcError {
    RpcError::refused("filter not found: it may have expired; install it again")
}

fn hashes(arrivals: &mut Receiver<Arc<SignedTransaction>>) -> Value {
    use tokio::sync::broadcast::error::TryRecvError;
    let mut hashes = Vec::new();
    loop {
        match arrivals.try_recv() {
            Ok(transaction) => hashes.push(json!(transaction.hash())),
            // What was overwritten is lost to this filter.
            Err(TryRecvError::Lagged(_)) => {}
            Err(TryRecvError::Empty | TryRecvError::Closed) => return Value::Array(hashes),
        }
    }
}

fn blocks(services: &Services, from: u64, to: u64) -> Result<Value, RpcError> {
    let mut listed = Vec::new();
    for height in from..=to {
        listed.extend(services.index.block(height)?.map(|entry| json!(objects::hash(&entry.digest))));
    }
    Ok(Value::Array(listed))
}
