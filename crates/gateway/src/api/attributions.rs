//! `/v1/attributions/{id}`: all that an answer owes, its signed receipt, and its proof in the batch once settled.
//!
//! The body reads as a `compute::evidence::Bundle`, to be checked link by link. Whoever knows an answer's id (32 random digits, given to its payer) sees the shares and the answer's text; the prompt stays with
//! the payer, who alone can open its commitment.

use super::{ApiError, owed::Recorded};
use crate::server::App;
use axum::{
    Json,
    extract::{Path, State},
};
use compute::{AnswerId, receipt::output_salt};
use serde_json::{Value, json};
use std::sync::Arc;

/// One answer's attribution.
pub async fn one(State(app): State<Arc<App>>, Path(id): Path<String>) -> Result<Json<Value>, ApiError> {
    let id: AnswerId =
        id.parse().map_err(|error: compute::receipt::BadAnswerId| ApiError::bad(None, error.to_string()))?;
    for model in app.models.values() {
        let entry = {
            let log = model.recorder.log();
            match log.find(&id) {
                Some(sequence) => log.entry(sequence),
                None => continue,
            }
        };
        let entry = entry.map_err(|error| ApiError::unavailable("receipt_log", error.to_string()))?;
        let gone =
            || ApiError::not_found("the model's attribution cache is not the one this answer was made with");
        let entry = entry.ok_or_else(|| ApiError::not_found("no answer has this id"))?;
        let receipt = entry.signed.clone();
        let recorded = Recorded::from_entry(entry, model).ok_or_else(gone)?;
        return Ok(Json(json!({
            "id": id,
            "object": "attribution",
            "model_name": model.worker.name,
            "text": recorded.entry.output.text,
            "finish_reason": super::chat::finish_reason(recorded.entry.output.finish),
            "openledger": recorded.object(&app),
            "receipt": receipt,
            "output": { "salt": output_salt(&recorded.entry.salt), "output": recorded.entry.output },
            "contributors": recorded.attributed.contributors(),
            "attribution": recorded.attributed,
            "settlement": app.settled_proof(model, receipt.receipt.sequence),
        })));
    }
    Err(ApiError::not_found("no answer has this id"))
}
