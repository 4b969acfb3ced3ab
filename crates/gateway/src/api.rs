//! The HTTP surface: OpenAI's calls, attributions, health, metrics.
//!
//! | path | what |
//! |---|---|
//! | `POST /v1/chat/completions`, `/v1/completions`, `/v1/responses` | an answer, JSON or SSE; paid |
//! | `GET` on these | 402 with the offer, or a refund with a refund payment |
//! | `GET /v1/models`, `/v1/models/{id}` | what is served, at which price |
//! | `GET /v1/attributions/{id}` | what an answer owes, its receipt and proof |
//! | `GET /v1/batches`, `/v1/batches/{id}` | what was settled, receipt by receipt: the payout tree can be rebuilt from it |
//! | `GET /health`, `/metrics`, `/openapi.json` | for operators and programs |
//!
//! Errors are OpenAI's: `{"error": {"message", "type", "param", "code"}}` ([`error`]).

use crate::server::App;
use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use std::sync::Arc;

pub mod attributions;
pub mod batches;
pub mod chat;
pub mod completions;
pub mod endpoint;
pub mod error;
pub mod flow;
pub mod health;
pub mod models;
pub mod openapi;
pub mod owed;
pub mod parameters;
pub mod payouts;
pub mod responses;
pub mod sse;

pub use error::ApiError;

/// All routes.
pub fn router(app: Arc<App>) -> Router {
    let paid = |endpoint| {
        get(move |state, query, headers| endpoint::offer_or_refund(endpoint, state, query, headers))
            .post(move |state, headers, body| endpoint::ask(endpoint, state, headers, body))
    };
    use crate::payments::Endpoint::{Chat, Completions, Responses};
    Router::new()
        .route(Chat.path(), paid(Chat))
        .route(Completions.path(), paid(Completions))
        .route(Responses.path(), paid(Responses))
        .route("/v1/models", get(models::list))
        .route("/v1/models/{id}", get(models::one))
        .route("/v1/attributions/{id}", get(attributions::one))
        .route("/v1/batches", get(batches::list))
        .route("/v1/payouts/{account}", get(payouts::of))
        .route("/v1/batches/{id}", get(batches::one))
        .route("/health", get(health::health))
        .route("/metrics", get(health::metrics))
        .route("/openapi.json", get(openapi::document))
        .fallback(|| async { ApiError::not_found("there is nothing here: see /openapi.json") })
        .method_not_allowed_fallback(|| async {
            ApiError::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "this path takes another method",
            )
        })
        .layer(middleware::from_fn_with_state(app.clone(), around))
        .with_state(app)
}

/// Counts requests, and lets pages of other origins call: there are no cookies to protect.
async fn around(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let preflight = request.method() == axum::http::Method::OPTIONS;
    let mut response =
        if preflight { StatusCode::NO_CONTENT.into_response() } else { next.run(request).await };
    app.metrics.responded(response.status());
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(
        header::ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static("PAYMENT-REQUIRED, PAYMENT-RESPONSE, Retry-After"),
    );
    if preflight {
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("*, Authorization"));
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST"));
    }
    response
}
