//! The HTTP side: body limit, time limit, cross-origin headers, and the upgrade to WebSocket.

use super::{
    Api, MAX_BODY_BYTES,
    listener::{self, Limits},
    protocol, subscription,
};
use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Request, State, WebSocketUpgrade, ws::rejection::WebSocketUpgradeRejection},
    http::{HeaderValue, Method, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
    routing::get,
};
use std::{net::TcpListener, sync::Arc, time::Duration};

/// Longest time for a request, its body included.
const REQUEST_LIMIT: Duration = Duration::from_secs(30);
/// Largest WebSocket message.
const MAX_MESSAGE_BYTES: usize = MAX_BODY_BYTES;

pub(super) async fn serve(listener: TcpListener, api: Arc<Api>) -> std::io::Result<()> {
    let router = Router::new()
        .route("/", get(upgrade).post(post))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(middleware::from_fn(guard))
        .with_state(api);
    listener::serve(tokio::net::TcpListener::from_std(listener)?, router, Limits::default()).await;
    Ok(())
}

async fn post(State(api): State<Arc<Api>>, body: Bytes) -> Response {
    let answer = protocol::answer(&api, &body).await;
    let Some(answer) = answer else { return StatusCode::NO_CONTENT.into_response() };
    ([(header::CONTENT_TYPE, "application/json")], answer).into_response()
}

async fn upgrade(
    State(api): State<Arc<Api>>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    match upgrade {
        Ok(upgrade) => upgrade
            .max_message_size(MAX_MESSAGE_BYTES)
            .on_upgrade(move |socket| subscription::serve(socket, api)),
        Err(_) => (StatusCode::OK, "OpenLedger JSON-RPC: POST a request here, or connect a WebSocket\n")
            .into_response(),
    }
}

/// Bounds a request's time, and lets pages of any origin ask: nothing here acts on a caller's behalf.
async fn guard(request: Request, next: Next) -> Response {
    let preflight = request.method() == Method::OPTIONS;
    let mut response = if preflight {
        StatusCode::NO_CONTENT.into_response()
    } else {
        match tokio::time::timeout(REQUEST_LIMIT, next.run(request)).await {
            Ok(response) => response,
            Err(_) => (StatusCode::REQUEST_TIMEOUT, "the request took too long\n").into_response(),
        }
    };
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    if preflight {
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST, GET, OPTIONS"));
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("content-type"));
    }
    response
}
