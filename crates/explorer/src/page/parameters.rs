//! The protocol's numbers and the treasury.

use crate::{Explorer, Page, format};
use askama::Template;
use axum::{extract::State, response::Html};
use interfaces::{addresses::TREASURY, treasury::ITreasury};

#[derive(Template)]
#[template(path = "parameters.html")]
struct Shown {
    free: String,
    validators: String,
    auditors: String,
    rows: Vec<Row>,
}

struct Row {
    name: String,
    value: String,
    least: String,
    most: String,
}

/// Shows the page.
pub async fn show(State(explorer): State<Explorer>) -> Page {
    let balances = explorer.view(TREASURY, &ITreasury::balancesCall {}).await?;
    let parameters = explorer.view(TREASURY, &ITreasury::parametersCall {}).await?.unwrap_or_default();
    let amount = |pick: fn(&ITreasury::Balances) -> alloy_primitives::U256| {
        balances.as_ref().map(|b| format::open(pick(b))).unwrap_or_else(|| "unknown".into())
    };
    let page = Shown {
        free: amount(|b| b.free),
        validators: amount(|b| b.validators),
        auditors: amount(|b| b.auditors),
        rows: parameters
            .into_iter()
            .map(|p| Row {
                name: p.name,
                value: format::group(&p.value.to_string()),
                least: format::group(&p.least.to_string()),
                most: format::group(&p.most.to_string()),
            })
            .collect(),
    };
    Ok(Html(page.render()?))
}
