//! One box for everything: a height, a hash, an address or an id goes to its page.

use crate::{Explorer, Failure, MAX_INPUT_BYTES, view::Block};
use alloy_primitives::{Address, B256};
use axum::{
    extract::{Query, State},
    response::Redirect,
};
use interfaces::{addresses, datanets::IDatanets, models::IModels};
use serde::Deserialize;

/// What the form sends.
#[derive(Deserialize)]
pub struct Asked {
    #[serde(default)]
    q: String,
}

/// Finds the page for what was typed.
pub async fn go(State(explorer): State<Explorer>, Query(asked): Query<Asked>) -> Result<Redirect, Failure> {
    let text = asked.q.trim();
    if text.is_empty() || text.len() > MAX_INPUT_BYTES {
        return Ok(Redirect::to("/"));
    }
    if let Ok(number) = text.replace([',', ' '], "").parse::<u64>() {
        return Ok(Redirect::to(&format!("/block/{number}")));
    }
    if let Ok(address) = text.parse::<Address>() {
        return Ok(Redirect::to(&format!("/address/{address}")));
    }
    if let Ok(hash) = text.parse::<B256>() {
        if explorer.transaction(hash).await?.is_some() {
            return Ok(Redirect::to(&format!("/tx/{hash}")));
        }
        let block: Option<Block> = explorer.block_by_hash(hash).await?;
        if block.is_some() {
            return Ok(Redirect::to(&format!("/block/{hash}")));
        }
        let model = explorer.view(addresses::MODELS, &IModels::modelCall { model: hash }).await?;
        if model.is_some_and(|m| m.status != IModels::Status::None) {
            return Ok(Redirect::to(&format!("/model/{hash}")));
        }
        let datanet = explorer.view(addresses::DATANETS, &IDatanets::datanetCall { datanet: hash }).await?;
        if datanet.is_some_and(|d| d.createdAt != 0) {
            return Ok(Redirect::to(&format!("/datanet/{hash}")));
        }
        if explorer.answers.item(text.to_string()).await.is_some() {
            return Ok(Redirect::to(&format!("/item/{hash}")));
        }
    }
    if explorer.answers.get(text.to_string()).await.map_err(Failure::Silent)?.is_some() {
        return Ok(Redirect::to(&format!("/answer/{text}")));
    }
    Err(Failure::NotFound(format!("anything called `{}`", super::cut(text, 80))))
}
