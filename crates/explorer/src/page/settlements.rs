//! Settlement batches, newest first, with their fees as a chart.

use super::MAX_ROWS;
use crate::{Explorer, Page, format};
use alloy_primitives::{Address, B256, U256};
use alloy_sol_types::SolEvent;
use askama::Template;
use axum::{extract::State, response::Html};
use interfaces::{addresses::SETTLEMENT, settlement::ISettlement};
use serde_json::json;

/// Bars in the chart.
const BARS: usize = 40;

#[derive(Template)]
#[template(path = "settlements.html")]
struct List {
    rows: Vec<Row>,
    bars: Vec<Bar>,
    top: String,
    chart_label: String,
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

struct Bar {
    x: usize,
    y: u64,
    width: usize,
    height: u64,
    title: String,
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
    let recent = &posted[posted.len().saturating_sub(BARS)..];
    let most = recent.iter().map(|(e, _)| e.fees).max().unwrap_or_default().max(U256::from(1));
    let width = 640 / BARS;
    let bars = recent
        .iter()
        .enumerate()
        .map(|(i, (e, _))| {
            let height = (e.fees.saturating_mul(U256::from(100)) / most).saturating_to::<u64>().max(1);
            let title = format!("epoch {}: {} OPEN", e.epoch, format::open(e.fees));
            Bar { x: i * width, y: 120 - height, width: width - 3, height, title }
        })
        .collect();
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
    let chart_label =
        format!("Fees of the last {} batches, at most {} OPEN", recent.len(), format::open(most));
    Ok(Html(List { rows, bars, top: format::open(most), chart_label }.render()?))
}
