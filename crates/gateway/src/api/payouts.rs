//! `/v1/payouts/{account}`: what an operator's batches at hand still owe an account, with the call that claims it.
//!
//! The call is `ISettlement::claim` with the account's leaves and their proofs. Anyone may send it, and all that it can do is pay the account what the ledger
//! holds for it; whether leaves are claimed already, and a batch final, is the ledger's to say.

use super::ApiError;
use crate::{server::App, settlement::Posted};
use alloy_primitives::{Address, Bytes};
use alloy_sol_types::SolCall as _;
use axum::{
    Json,
    extract::{Path, State},
};
use interfaces::settlement::ISettlement::{self, Kind, Leaf};
use serde_json::{Value, json};
use std::sync::{Arc, PoisonError};

/// The leaves of an account in batches that are not paid out, oldest batch first.
pub async fn of(State(app): State<Arc<App>>, Path(account): Path<String>) -> Result<Json<Value>, ApiError> {
    let account: Address =
        account.parse().map_err(|_| ApiError::bad(None, "an account is 40 hexadecimal digits after 0x"))?;
    let mut data = Vec::new();
    for model in app.models.values() {
        let posted: Vec<Posted> = {
            let settled = model.settled.lock().unwrap_or_else(PoisonError::into_inner);
            settled.iter().filter(|posted| !posted.done).cloned().collect()
        };
        data.extend(posted.iter().filter_map(|posted| owed(posted, &model.worker.name, account)));
    }
    Ok(Json(json!({ "object": "list", "account": account, "data": data })))
}

fn owed(posted: &Posted, name: &str, account: Address) -> Option<Value> {
    let payouts = &posted.built.payouts;
    let mine = (0u64..).zip(payouts).filter(|(_, payout)| payout.account == account);
    let leaves: Vec<Leaf> = mine.filter_map(|(index, _)| posted.built.claim_leaf(index)).collect();
    if leaves.is_empty() {
        return None;
    }
    let shown = |leaf: &Leaf| {
        let kind = if leaf.kind == Kind::Liquid { "liquid" } else { "vesting" };
        json!({ "index": leaf.index, "kind": kind, "amount": leaf.amount.to_string() })
    };
    let shown: Vec<Value> = leaves.iter().map(shown).collect();
    let call = Bytes::from(ISettlement::claimCall { id: posted.id, leaves }.abi_encode());
    Some(json!({ "batch": posted.id, "model_name": name, "leaves": shown, "call": call }))
}
