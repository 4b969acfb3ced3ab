//! Settlement batches, newest first, with their fees as a chart.

use super::MAX_ROWS;
use crate::{
    Explorer, Page,
    chart::{self, Chart},
    format,
};
use alloy_primitives::{Address, B256, U256};
use alloy_sol_types::SolEvent;
use askama::Template;
use axum::{extract::State, response::Html};
use interfaces::{addresses::SETTLEMENT, settlement::ISettlement};
use serde_json::json;

#[derive(Template)]
#[template(path = "settlements.html")]
struct List {
    rows: Vec<Row>,
    chart: Chart,
}

struct Row {
    id: B256,
    id_short: String,
    operator: Address,
    operator_short: String,
    epoch: u64,
    answers: u64,
    fees: String,
    payout: String,
    status: &'static str,
    transaction: B256,
    transaction_short: String,
}

/// Shows the page.
pub async fn list(State(explorer): State<Explorer>) -> Page {
    let logs = explorer.logs(SETTLEMENT, json!([ISettlement::BatchPosted::SIGNATURE_HASH])).await?;
    let posted: Vec<_> = logs
        .iter()
        .filter_map(|log| {
            let event = ISettlement::BatchPosted::decode_raw_log(&log.topics, &log.data).ok()?;
            Some((event, log.transaction_hash.unwrap_or_default()))
        })
        .collect();
    let fees: Vec<(U256, String)> =
        posted.iter().map(|(event, _)| (event.fees, format!("epoch {}", event.epoch))).collect();
    let chart = chart::bars("Fees of the last batches", &fees);
    let mut rows = Vec::new();
    for (event, transaction) in posted.iter().rev().take(MAX_ROWS) {
        let record = explorer.view(SETTLEMENT, &ISettlement::batchCall { id: event.id }).await?;
        rows.push(Row {
            id: event.id,
            id_short: format::short_hash(&event.id),
            operator: event.operator,
            operator_short: format::short_address(&event.operator),
            epoch: event.epoch,
            answers: event.count,
            fees: format::open(event.fees),
            payout: format::open(event.payoutTotal),
            status: match record.map(|r| r.status) {
                Some(ISettlement::Status::Posted) => "can be challenged",
                Some(ISettlement::Status::Finalised) => "paid",
                Some(ISettlement::Status::Refuted) => "refuted",
                _ => "unknown",
            },
            transaction: *transaction,
            transaction_short: format::short_hash(transaction),
        });
    }
    Ok(Html(List { rows, chart }.render()?))
}
