//! The first page: the network at a glance.

use super::{MAX_ROWS, answers::Row, cut};
use crate::{Explorer, Page, format};
use alloy_sol_types::SolEvent;
use askama::Template;
use axum::{extract::State, response::Html};
use interfaces::{
    addresses, datanets::IDatanets, models::IModels, operators::IOperators, settlement::ISettlement,
    token::IToken,
};
use serde_json::json;

/// Blocks shown.
const BLOCKS: u64 = 12;

#[derive(Template)]
#[template(path = "home.html")]
struct Shown {
    height: String,
    datanets: u64,
    models: u64,
    operators: u64,
    batches: usize,
    supply: String,
    may_ask: bool,
    answers: Vec<Row>,
    blocks: Vec<BlockRow>,
}

struct BlockRow {
    number: u64,
    hash: String,
    short: String,
    time: String,
    transactions: usize,
    gas: String,
}

/// Shows the page.
pub async fn show(State(explorer): State<Explorer>) -> Page {
    let blocks = explorer.blocks(BLOCKS).await?;
    let supply = explorer.view(addresses::TOKEN, &IToken::totalSupplyCall {}).await?.unwrap_or_default();
    let finalised = json!([ISettlement::BatchFinalised::SIGNATURE_HASH]);
    let page = Shown {
        height: format::group(&blocks.first().map(|b| b.number.to_string()).unwrap_or_default()),
        datanets: explorer.view(addresses::DATANETS, &IDatanets::countCall {}).await?.unwrap_or_default(),
        models: explorer.view(addresses::MODELS, &IModels::countCall {}).await?.unwrap_or_default(),
        operators: explorer.view(addresses::OPERATORS, &IOperators::countCall {}).await?.unwrap_or_default(),
        batches: explorer.logs(addresses::SETTLEMENT, finalised).await?.len(),
        // Whole OPEN are enough at a glance.
        supply: format::open(supply).split('.').next().unwrap_or_default().to_string(),
        may_ask: explorer.answers.may_ask(),
        answers: explorer
            .answers
            .recent(8.min(MAX_ROWS))
            .await
            .into_iter()
            .map(|a| Row::new(&a, |p| cut(p, 90)))
            .collect(),
        blocks: blocks
            .into_iter()
            .map(|b| BlockRow {
                number: b.number.saturating_to(),
                hash: b.hash.to_string(),
                short: format::short_hash(&b.hash),
                time: format::time(b.timestamp.saturating_to()),
                transactions: b.transactions.len(),
                gas: format::group(&b.gas_used.to_string()),
            })
            .collect(),
    };
    Ok(Html(page.render()?))
}
