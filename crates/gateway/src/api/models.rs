//! `/v1/models`: what is served, and at which price.

use super::{ApiError, endpoint::pricing};
use crate::server::{App, ServedModel};
use axum::{
    Json,
    extract::{Path, State},
};
use interfaces::addresses;
use serde_json::{Value, json};
use std::sync::Arc;

/// All models, those that are adapters too.
pub async fn list(State(app): State<Arc<App>>) -> Json<Value> {
    let data: Vec<Value> = app.models.values().map(|model| describe(&app, model)).collect();
    Json(json!({ "object": "list", "data": data }))
}

/// One model.
pub async fn one(State(app): State<Arc<App>>, Path(name): Path<String>) -> Result<Json<Value>, ApiError> {
    let model = app.model(&name)?;
    Ok(Json(describe(&app, &model)))
}

fn describe(app: &App, model: &ServedModel) -> Value {
    let operator = app.config.operator.address();
    let attributor = &model.worker.attributor;
    json!({
        "id": model.worker.name,
        "object": "model",
        "created": app.started_s,
        "owned_by": operator,
        "context_window": model.worker.generator.context_tokens(),
        "pricing": pricing(&model.offered.price),
        "openledger": {
            "model": model.worker.model,
            "operator": operator,
            "payTo": addresses::escrow(operator, model.worker.model),
            "network": app.payments.network(),
            "free": app.is_free(model),
            "opSet": model.worker.generator.op_set(),
            "attributionCache": attributor.cache_root(),
            "units": attributor.units().len(),
        },
    })
}
