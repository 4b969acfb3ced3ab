//! New blocks as server-sent events.

use crate::{Explorer, format};
use axum::{
    extract::State,
    response::sse::{Event, KeepAlive, Sse},
};
use futures::Stream;
use serde_json::json;
use std::{
    convert::Infallible,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};
use tokio_stream::wrappers::ReceiverStream;

/// How often the node is asked for its height.
const POLL: Duration = Duration::from_millis(500);
/// Listeners served at a time; more get an empty stream and the page stays as it was loaded.
const MAX_LISTENERS: usize = 256;
static LISTENERS: AtomicUsize = AtomicUsize::new(0);

/// Streams one event a block: height, age, transactions and gas.
pub async fn blocks(State(explorer): State<Explorer>) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let (sender, receiver) = tokio::sync::mpsc::channel(8);
    if LISTENERS.fetch_add(1, Ordering::Relaxed) < MAX_LISTENERS {
        tokio::spawn(async move {
            let mut last = explorer.height().await.unwrap_or(0);
            while !sender.is_closed() {
                tokio::time::sleep(POLL).await;
                let Ok(height) = explorer.height().await else { continue };
                // After a pause only the last blocks matter.
                for number in last.max(height.saturating_sub(5)) + 1..=height {
                    let Ok(Some(block)) = explorer.block(number).await else { continue };
                    let data = json!({
                        "number": number,
                        "hash": block.hash,
                        "shortHash": format::short_hash(&block.hash),
                        "transactions": block.transactions.len(),
                        "gasUsed": format::group(&block.gas_used.to_string()),
                        "time": format::time(block.timestamp.saturating_to()),
                    });
                    if sender.send(Ok(Event::default().data(data.to_string()))).await.is_err() {
                        break;
                    }
                }
                last = last.max(height);
            }
            LISTENERS.fetch_sub(1, Ordering::Relaxed);
        });
    } else {
        LISTENERS.fetch_sub(1, Ordering::Relaxed);
    }
    Sse::new(ReceiverStream::new(receiver)).keep_alive(KeepAlive::default())
}
