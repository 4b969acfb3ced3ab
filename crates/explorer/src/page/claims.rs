//! What settled answers owe an account, and two ways to have it paid: a wallet in the browser, or the command line. Anyone may claim for anyone: a claim can
//! only pay its payee.
//!
//! The operator publishes leaves with their proofs ([`crate::source::Answers::owed`]); what is claimed, final and vested is read from the ledger. Calls are decoded
//! and made again of the account's own unclaimed leaves, so that a wallet is never handed anything but claims of this account.

use super::parse;
use crate::{Explorer, Failure, Page, format, source::Owed};
use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_sol_types::SolCall;
use askama::Template;
use axum::{
    extract::{Path, Query, State},
    response::{Html, IntoResponse as _, Redirect, Response},
};
use interfaces::{
    addresses::SETTLEMENT,
    settlement::ISettlement::{self, Kind, Leaf, Status},
};
use serde::{Deserialize, Serialize};
use std::time::{SystemTime, UNIX_EPOCH};

/// Leaves of one batch that are looked at: an account has two.
const MAX_LEAVES: usize = 16;

#[derive(Template)]
#[template(path = "claims.html")]
struct Shown {
    address: Address,
    /// Why the operator's batches are not shown.
    silent: Option<String>,
    rows: Vec<Row>,
    claimable: String,
    waiting: String,
    vested: String,
    vesting: String,
    /// Transactions in their order, as JSON.
    steps: String,
    has_steps: bool,
    chain: String,
}

#[derive(Template)]
#[template(path = "claims_form.html")]
struct Form;

struct Row {
    batch: B256,
    batch_short: String,
    model: String,
    kind: &'static str,
    amount: String,
    state: String,
}

/// A transaction for a wallet to send.
#[derive(Serialize)]
struct Step {
    what: String,
    to: Address,
    data: Bytes,
}

/// What the form sends.
#[derive(Deserialize)]
pub struct Asked {
    account: Option<String>,
}

/// The form, or the page of the account that it names.
pub async fn form(Query(asked): Query<Asked>) -> Response {
    match asked.account.as_deref().map(str::trim).filter(|account| !account.is_empty()) {
        None => Form.render().map(Html).map_err(Failure::from).into_response(),
        Some(account) => match parse::<Address>(account, "address") {
            Ok(address) => Redirect::to(&format!("/claims/{address}")).into_response(),
            Err(failure) => failure.into_response(),
        },
    }
}

/// What an account can claim.
#[derive(Default)]
struct Claims {
    rows: Vec<Row>,
    steps: Vec<Step>,
    claimable: U256,
    waiting: U256,
}

/// Shows the page.
pub async fn show(State(explorer): State<Explorer>, Path(address): Path<String>) -> Page {
    let address = parse::<Address>(&address, "address")?;
    let (owed, silent) = match explorer.answers.owed(address).await {
        Ok(owed) => (owed, None),
        Err(reason) => (Vec::new(), Some(reason)),
    };
    let mut claims = Claims::default();
    for owed in &owed {
        claims.add(&explorer, address, owed).await?;
    }
    let account = address;
    let vesting = explorer.view(SETTLEMENT, &ISettlement::vestingCall { account }).await?;
    let (granted, vested, paid) = vesting.map_or_else(Default::default, |v| (v.granted, v.vested, v.paid));
    let due = vested.saturating_sub(paid);
    if due > U256::ZERO {
        let call = ISettlement::releaseCall { account };
        claims.step("pay what has vested".into(), call.abi_encode());
    }
    let Claims { rows, steps, claimable, waiting } = claims;
    let page = Shown {
        address,
        silent,
        rows,
        claimable: format::open(claimable),
        waiting: format::open(waiting),
        vested: format::open(due),
        vesting: format::open(granted.saturating_sub(vested)),
        steps: serde_json::to_string(&steps).unwrap_or_default(),
        has_steps: !steps.is_empty(),
        chain: format!("{:#x}", explorer.chain_id().await?),
    };
    Ok(Html(page.render()?))
}

impl Claims {
    fn step(&mut self, what: String, data: Vec<u8>) {
        self.steps.push(Step { what, to: SETTLEMENT, data: data.into() });
    }

    /// Adds what a batch owes.
    async fn add(&mut self, explorer: &Explorer, account: Address, owed: &Owed) -> Result<(), Failure> {
        let Ok(call) = ISettlement::claimCall::abi_decode(&owed.call) else { return Ok(()) };
        let id = owed.batch;
        let Some(record) = explorer.view(SETTLEMENT, &ISettlement::batchCall { id }).await? else {
            return Ok(());
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs());
        let state = match record.status {
            Status::Posted if now < record.finaliseAt => {
                format!("can be challenged for {} s more", record.finaliseAt - now)
            }
            Status::Posted | Status::Finalised => "claimable".to_string(),
            Status::Refuted => "refuted: it pays nobody".to_string(),
            _ => return Ok(()),
        };
        let open = state == "claimable";
        let mut leaves: Vec<Leaf> = Vec::new();
        for leaf in call.leaves.into_iter().filter(|leaf| leaf.account == account).take(MAX_LEAVES) {
            let claimed = ISettlement::isClaimedCall { id, index: leaf.index };
            if explorer.view(SETTLEMENT, &claimed).await? == Some(true) {
                continue;
            }
            let sum = if open { &mut self.claimable } else { &mut self.waiting };
            *sum = sum.saturating_add(leaf.amount);
            self.rows.push(Row {
                batch: id,
                batch_short: format::short_hash(&id),
                model: owed.model_name.clone(),
                kind: if leaf.kind == Kind::Vesting { "vesting" } else { "at once" },
                amount: format::open(leaf.amount),
                state: state.clone(),
            });
            leaves.push(leaf);
        }
        if open && !leaves.is_empty() {
            let short = format::short_hash(&id);
            if record.status == Status::Posted {
                self.step(format!("make batch {short} final"), ISettlement::finaliseCall { id }.abi_encode());
            }
            self.step(
                format!("claim from batch {short}"),
                ISettlement::claimCall { id, leaves }.abi_encode(),
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
