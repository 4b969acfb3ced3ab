//! An account: what it holds, what moved, and what its data earned.

use super::{MAX_ROWS, parse};
use crate::{
    Explorer, Page,
    chart::{self, Chart},
    event, format,
    view::Log,
};
use alloy_primitives::{Address, B256, U256};
use alloy_sol_types::{SolEvent, SolEventInterface};
use askama::Template;
use axum::{
    extract::{Path, State},
    response::Html,
};
use interfaces::{addresses, settlement::ISettlement, token::IToken};
use serde_json::json;

#[derive(Template)]
#[template(path = "account.html")]
struct Shown {
    title: String,
    address: Address,
    balance: String,
    nonce: U256,
    earned: String,
    payouts: Vec<Payout>,
    chart: Chart,
    moves: Vec<Move>,
}

struct Payout {
    batch: String,
    kind: &'static str,
    amount: String,
    transaction: String,
    short: String,
}

struct Move {
    block: u64,
    from: Address,
    from_short: String,
    to: Address,
    to_short: String,
    amount: String,
    cause: String,
    short: String,
}

/// Shows the page.
pub async fn show(State(explorer): State<Explorer>, Path(address): Path<String>) -> Page {
    let address = parse::<Address>(&address, "address")?;
    let word = B256::left_padding_from(address.as_slice());
    let transfer = IToken::Transfer::SIGNATURE_HASH;
    let mut logs = explorer.logs(addresses::TOKEN, json!([transfer, word])).await?;
    logs.extend(explorer.logs(addresses::TOKEN, json!([transfer, null, word])).await?);
    logs.sort_by_key(|log| std::cmp::Reverse(log.block_number));
    logs.dedup_by(|a, b| {
        a.transaction_hash == b.transaction_hash && a.topics == b.topics && a.data == b.data
    });
    let claims = explorer
        .logs(addresses::SETTLEMENT, json!([ISettlement::PayoutClaimed::SIGNATURE_HASH, null, word]))
        .await?;
    let mut earned = U256::ZERO;
    let mut payouts = Vec::new();
    let mut by_batch: Vec<(B256, U256)> = Vec::new();
    for log in &claims {
        let Ok(ISettlement::ISettlementEvents::PayoutClaimed(event)) =
            ISettlement::ISettlementEvents::decode_raw_log(&log.topics, &log.data)
        else {
            continue;
        };
        earned = earned.saturating_add(event.amount);
        match by_batch.last_mut() {
            Some((batch, sum)) if *batch == event.id => *sum = sum.saturating_add(event.amount),
            _ => by_batch.push((event.id, event.amount)),
        }
        payouts.push(Payout {
            batch: format::short_hash(&event.id),
            kind: if event.kind == ISettlement::Kind::Vesting { "vesting" } else { "at once" },
            amount: format::open(event.amount),
            transaction: log.transaction_hash.unwrap_or_default().to_string(),
            short: format::short_hash(&log.transaction_hash.unwrap_or_default()),
        });
    }
    let paid: Vec<(U256, String)> =
        by_batch.iter().map(|(batch, sum)| (*sum, format!("batch {}", format::short_hash(batch)))).collect();
    payouts.reverse();
    payouts.truncate(MAX_ROWS);
    let page = Shown {
        title: event::module_name(&address).map_or("Account".into(), |name| format!("{name} (module)")),
        address,
        balance: format::open(explorer.balance(address).await?),
        nonce: explorer.nonce(address).await?,
        earned: format::open(earned),
        payouts,
        chart: chart::bars("Payouts over time, a bar a batch", &paid),
        moves: logs.iter().take(MAX_ROWS).filter_map(movement).collect(),
    };
    Ok(Html(page.render()?))
}

fn movement(log: &Log) -> Option<Move> {
    let event = IToken::Transfer::decode_raw_log(&log.topics, &log.data).ok()?;
    let block = log.block_number?.saturating_to();
    let (cause, short) = match log.cause() {
        Some(hash) => (format!("/tx/{hash}"), format::short_hash(&hash)),
        None => (format!("/block/{block}"), "the block itself".into()),
    };
    Some(Move {
        block,
        from: event.from,
        from_short: format::short_address(&event.from),
        to: event.to,
        to_short: format::short_address(&event.to),
        amount: format::open(event.value),
        cause,
        short,
    })
}
