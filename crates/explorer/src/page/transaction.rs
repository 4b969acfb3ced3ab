//! A transaction and what it caused.

use super::parse;
use crate::{Explorer, Failure, Page, event, format, view};
use alloy_primitives::{B256, U256};
use askama::Template;
use axum::{
    extract::{Path, State},
    response::Html,
};

/// Bytes of call data shown.
const SHOWN_INPUT_BYTES: usize = 256;

#[derive(Template)]
#[template(path = "transaction.html")]
struct Shown {
    tx: view::Transaction,
    status: &'static str,
    module: &'static str,
    value: String,
    fee: String,
    gas: String,
    input: String,
    events: Vec<EventRow>,
}

/// An event in a table.
pub struct EventRow {
    pub shown: event::Shown,
    pub transaction: String,
    pub short: String,
}

/// Shows the page.
pub async fn show(State(explorer): State<Explorer>, Path(hash): Path<String>) -> Page {
    let hash = parse::<B256>(&hash, "transaction hash")?;
    let tx =
        explorer.transaction(hash).await?.ok_or_else(|| Failure::NotFound(format!("transaction {hash}")))?;
    let receipt = explorer.receipt(hash).await?;
    let status = match &receipt {
        None => "waiting",
        Some(receipt) if receipt.status == U256::from(1) => "accepted",
        Some(_) => "refused",
    };
    let gas = receipt.as_ref().map(|r| r.gas_used).unwrap_or_default();
    let price = receipt.as_ref().map(|r| r.effective_gas_price).unwrap_or_default();
    let logs = receipt.map(|r| r.logs).unwrap_or_default();
    let cut = tx.input.len().min(SHOWN_INPUT_BYTES);
    let rest = tx.input.len() - cut;
    let hex = alloy_primitives::hex::encode_prefixed(&tx.input[..cut]);
    let page = Shown {
        status,
        module: tx.to.as_ref().and_then(event::module_name).unwrap_or(""),
        value: format::open(tx.value),
        fee: format::open(gas.saturating_mul(price)),
        gas: format::group(&gas.to_string()),
        input: if rest > 0 { format!("{hex}… ({rest} more bytes)") } else { hex },
        events: logs
            .iter()
            .map(|log| EventRow { shown: event::show(log), transaction: String::new(), short: String::new() })
            .collect(),
        tx,
    };
    Ok(Html(page.render()?))
}
