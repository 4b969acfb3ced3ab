//! Datanets: the list, and one with its contributions and versions.

use super::{MAX_ROWS, parse};
use crate::{Explorer, Failure, Page, format};
use alloy_primitives::{Address, B256, U256};
use askama::Template;
use axum::{
    extract::{Path, State},
    response::Html,
};
use interfaces::{addresses::DATANETS, datanets::IDatanets};

#[derive(Template)]
#[template(path = "datanets.html")]
struct List {
    rows: Vec<Row>,
}

struct Row {
    id: String,
    name: String,
    policy: &'static str,
    contributions: u64,
    items: String,
    size: String,
    versions: u32,
}

#[derive(Template)]
#[template(path = "datanet.html")]
struct Shown {
    id: B256,
    name: String,
    policy: &'static str,
    licences: String,
    bond: String,
    d: IDatanets::Datanet,
    contributions: Vec<ContributionRow>,
    more: u64,
    versions: Vec<VersionRow>,
}

struct ContributionRow {
    owner: Address,
    owner_short: String,
    licence: String,
    status: &'static str,
    count: u64,
    size: String,
    duplicates: u64,
    root: B256,
    root_short: String,
}

struct VersionRow {
    number: u32,
    time: String,
    contributions: u64,
    items: u64,
    root: B256,
}

fn policy(policy: IDatanets::Policy) -> &'static str {
    if policy == IDatanets::Policy::Curated { "curated" } else { "open" }
}

/// Shows all Datanets.
pub async fn list(State(explorer): State<Explorer>) -> Page {
    let count = explorer.view(DATANETS, &IDatanets::countCall {}).await?.unwrap_or_default();
    let mut rows = Vec::new();
    for index in (0..count).rev().take(MAX_ROWS) {
        let Some(id) = explorer.view(DATANETS, &IDatanets::datanetAtCall { index }).await? else { continue };
        let Some(d) = explorer.view(DATANETS, &IDatanets::datanetCall { datanet: id }).await? else {
            continue;
        };
        rows.push(Row {
            id: id.to_string(),
            name: d.name,
            policy: policy(d.policy),
            contributions: d.contributions,
            items: format::group(&d.items.to_string()),
            size: format::group(&d.size.to_string()),
            versions: d.versions,
        });
    }
    Ok(Html(List { rows }.render()?))
}

/// Shows one.
pub async fn show(State(explorer): State<Explorer>, Path(id): Path<String>) -> Page {
    let id = parse::<B256>(&id, "Datanet id")?;
    let missing = || Failure::NotFound(format!("Datanet {id}"));
    let d = explorer.view(DATANETS, &IDatanets::datanetCall { datanet: id }).await?.ok_or_else(missing)?;
    if d.createdAt == 0 {
        return Err(missing());
    }
    let mut contributions = Vec::new();
    for index in 0..d.contributions.min(MAX_ROWS as u64) {
        let Some(key) =
            explorer.view(DATANETS, &IDatanets::contributionAtCall { datanet: id, index }).await?
        else {
            continue;
        };
        let Some(c) = explorer.view(DATANETS, &IDatanets::contributionCall { contribution: key }).await?
        else {
            continue;
        };
        contributions.push(ContributionRow {
            owner: c.owner,
            owner_short: format::short_address(&c.owner),
            licence: c.licence,
            status: match c.status {
                IDatanets::Status::Accepted => "accepted",
                IDatanets::Status::Pending => "waiting",
                IDatanets::Status::Rejected => "rejected",
                IDatanets::Status::Withdrawn => "withdrawn",
                _ => "unknown",
            },
            count: c.count,
            size: format::group(&c.size.to_string()),
            duplicates: c.duplicates,
            root: c.root,
            root_short: format::short_hash(&c.root),
        });
    }
    let mut versions = Vec::new();
    for number in (1..=d.versions).rev().take(MAX_ROWS) {
        let Some(v) = explorer.view(DATANETS, &IDatanets::versionCall { datanet: id, number }).await? else {
            continue;
        };
        versions.push(VersionRow {
            number,
            time: format::time(v.frozenAt),
            contributions: v.acceptedCount - v.withdrawnCount.min(v.acceptedCount),
            items: v.items,
            root: v.root,
        });
    }
    let page = Shown {
        id,
        name: d.name.clone(),
        policy: policy(d.policy),
        licences: d.licences.join(", "),
        bond: format::open(U256::from(d.bondPerByte)),
        more: d.contributions.saturating_sub(MAX_ROWS as u64),
        contributions,
        versions,
        d,
    };
    Ok(Html(page.render()?))
}
