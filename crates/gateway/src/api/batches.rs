//! `/v1/batches`: what an operator settled, open to everyone whose money it is.
//!
//! `GET /v1/batches` lists the batches at hand, newest first. `GET /v1/batches/{id}?from=N` gives the batch's receipts from place N on,
//! as the batch accounts for them: number, digest, previous digest, fee, pay by account. From all of them anyone rebuilds the roots that
//! stand on the ledger (`compute::batch::build`), and with them every payout leaf and its proof: contributors can claim without the
//! operator's help, and a payout tree that does not follow from its receipts shows. Questions and answers are not in it.

use super::ApiError;
use crate::{server::App, settlement::Posted};
use alloy_primitives::B256;
use axum::{
    Json,
    extract::{Path, Query, State},
};
use compute::batch::Accounted;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::{Arc, PoisonError};

/// Receipts of one page.
const PAGE: u64 = 2048;

/// Which part of a batch.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Page {
    #[serde(default)]
    from: u64,
}

/// The batches at hand, newest first.
pub async fn list(State(app): State<Arc<App>>) -> Json<Value> {
    let mut data = Vec::new();
    for model in app.models.values() {
        let settled = model.settled.lock().unwrap_or_else(PoisonError::into_inner);
        data.extend(settled.iter().rev().map(|posted| head(posted, &model.worker.name)));
    }
    Json(json!({ "object": "list", "data": data }))
}

fn head(posted: &Posted, name: &str) -> Value {
    let batch = &posted.built.batch;
    json!({
        "id": posted.id, "object": "batch", "model": batch.model, "model_name": name, "epoch": batch.epoch,
        "firstSequence": batch.firstSequence, "count": batch.count, "fees": batch.fees.to_string(),
        "payoutTotal": batch.payoutTotal.to_string(), "payoutCount": batch.payoutCount, "paid": posted.done,
    })
}

/// A batch and a page of its receipts.
pub async fn one(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Query(Page { from }): Query<Page>,
) -> Result<Json<Value>, ApiError> {
    let id: B256 =
        id.parse().map_err(|_| ApiError::bad(None, "a batch's id is 64 hexadecimal digits after 0x"))?;
    for model in app.models.values() {
        let posted = {
            let settled = model.settled.lock().unwrap_or_else(PoisonError::into_inner);
            settled.iter().find(|posted| posted.id == id).cloned()
        };
        let Some(posted) = posted else { continue };
        let (first, count) = (posted.built.batch.firstSequence, posted.built.batch.count);
        let model = model.clone();
        let read = tokio::task::spawn_blocking(move || {
            let log = model.recorder.log();
            let range = from.min(count)..from.saturating_add(PAGE).min(count);
            let receipts =
                range.map(|place| log.entry(first + place).map(|entry| entry.as_ref().map(receipt)));
            (head(&posted, &model.worker.name), receipts.collect::<Result<Vec<_>, _>>())
        });
        let (mut shown, receipts) =
            read.await.map_err(|error| ApiError::unavailable("receipt_log", error.to_string()))?;
        let receipts = receipts.map_err(|error| ApiError::unavailable("receipt_log", error.to_string()))?;
        let next = from.saturating_add(receipts.len() as u64);
        shown["receipts"] = json!(receipts);
        shown["next"] = if next < count { json!(next) } else { Value::Null };
        return Ok(Json(shown));
    }
    Err(ApiError::not_found("no batch of this id is at hand: /v1/batches lists them"))
}

fn receipt(entry: &compute::Entry) -> Value {
    let Accounted { sequence, digest, previous, fee, payouts } = Accounted::from(entry);
    let payouts: Vec<Value> =
        payouts.iter().map(|(account, pay)| json!({ "account": account, "pay": pay })).collect();
    json!({ "sequence": sequence, "digest": digest, "previous": previous, "fee": fee, "payouts": payouts })
}
