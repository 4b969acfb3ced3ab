//! A block, by height or digest.

use super::parse;
use crate::{Explorer, Failure, Page, format, view};
use alloy_primitives::B256;
use askama::Template;
use axum::{
    extract::{Path, State},
    response::Html,
};

#[derive(Template)]
#[template(path = "block.html")]
struct Shown {
    number: u64,
    time: String,
    gas_used: String,
    gas_limit: String,
    block: view::Block,
}

/// Shows the page.
pub async fn show(State(explorer): State<Explorer>, Path(number): Path<String>) -> Page {
    let block = if number.starts_with("0x") {
        explorer.block_by_hash(parse::<B256>(&number, "block hash")?).await?
    } else {
        explorer.block(parse(&number, "block height")?).await?
    };
    let block = block.ok_or_else(|| Failure::NotFound(format!("block {number}")))?;
    let page = Shown {
        number: block.number.saturating_to(),
        time: format::time(block.timestamp.saturating_to()),
        gas_used: format::group(&block.gas_used.to_string()),
        gas_limit: format::group(&block.gas_limit.to_string()),
        block,
    };
    Ok(Html(page.render()?))
}
