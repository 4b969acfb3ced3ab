//! For operators: is it alive, and how is it doing.

use crate::server::App;
use axum::{
    Json,
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;
use std::sync::Arc;

/// 200 while requests are taken, 503 while stopping.
pub async fn health(State(app): State<Arc<App>>) -> Response {
    let status = if app.stopping() { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    let models: Vec<_> = app.models.keys().collect();
    let body = json!({
        "status": if app.stopping() { "stopping" } else { "ok" },
        "models": models,
        "queue": app.pool.waiting(),
        "decoding": app.pool.decoding(),
        "operator": app.config.operator.address(),
        "network": app.payments.network(),
    });
    (status, Json(body)).into_response()
}

/// Prometheus text.
pub async fn metrics(State(app): State<Arc<App>>) -> Response {
    let mut text = app.metrics.text(app.pool.waiting(), app.pool.decoding());
    for model in app.models.values() {
        let next = model.recorder.log().next_sequence();
        text += &format!("openledger_receipts{{model=\"{}\"}} {next}\n", model.worker.model);
    }
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}
