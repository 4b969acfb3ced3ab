//! Operators and what they stand for.

use super::MAX_ROWS;
use crate::{Explorer, Page, format};
use alloy_primitives::Address;
use askama::Template;
use axum::{extract::State, response::Html};
use interfaces::{addresses::OPERATORS, operators::IOperators};

#[derive(Template)]
#[template(path = "operators.html")]
struct List {
    rows: Vec<Row>,
}

struct Row {
    address: Address,
    short: String,
    status: &'static str,
    stake: String,
    locked: String,
    unsettled: String,
    endpoint: String,
}

/// Shows the page.
pub async fn list(State(explorer): State<Explorer>) -> Page {
    let count = explorer.view(OPERATORS, &IOperators::countCall {}).await?.unwrap_or_default();
    let mut rows = Vec::new();
    for index in (0..count).take(MAX_ROWS) {
        let Some(address) = explorer.view(OPERATORS, &IOperators::operatorAtCall { index }).await? else {
            continue;
        };
        let Some(o) = explorer.view(OPERATORS, &IOperators::operatorCall { operator: address }).await? else {
            continue;
        };
        let unsettled = explorer.view(OPERATORS, &IOperators::unsettledCall { operator: address }).await?;
        rows.push(Row {
            address,
            short: format::short_address(&address),
            status: match o.status {
                IOperators::Status::Active => "active",
                IOperators::Status::Jailed => "jailed",
                IOperators::Status::Leaving => "leaving",
                _ => "unknown",
            },
            stake: format::open(o.stake),
            locked: format::open(o.locked),
            unsettled: format::open(unsettled.unwrap_or_default()),
            endpoint: o.endpoint,
        });
    }
    Ok(Html(List { rows }.render()?))
}
