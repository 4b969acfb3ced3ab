//! Floor 4: web pages about what the ledger holds and what each answer owes.
//!
//! Pages are rendered on the server (askama templates, one stylesheet, small scripts for live blocks and for wallets); a page works
//! without its script. Paths follow EIP-3091 (`/block/`, `/tx/`, `/address/`), so that wallets link here.
//!
//! - [`source`]: where the data comes from: a node's JSON-RPC ([`source::Rpc`]) and the operator's answers ([`source::Answers`]).
//! - [`view`]: typed reads of blocks, transactions and module views.
//! - [`page`]: one file a page.
//! - [`live`]: new blocks as server-sent events.
//!
//! Everything shown is escaped by the templates. Private text is never shown: a Datanet's items appear by their hash, licence
//! and owner; an answer's page shows the answer and the passages that its operator serves with it.

mod chart;
mod event;
mod format;
mod live;
mod page;
pub mod source;
pub mod view;

use axum::{
    Router,
    extract::{Path, State},
    http::{StatusCode, header},
    response::{Html, IntoResponse, Response},
    routing::get,
};
use source::{Answers, Rpc};
use std::sync::Arc;

/// Longest path segment or query that is looked at, in bytes.
pub const MAX_INPUT_BYTES: usize = 4096;

/// What the pages read from.
#[derive(Clone)]
pub struct Explorer {
    pub(crate) rpc: Arc<dyn Rpc>,
    pub(crate) answers: Arc<dyn Answers>,
}

impl std::fmt::Debug for Explorer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Explorer")
    }
}

impl Explorer {
    /// Pages over a node and an operator's answers.
    pub fn new(rpc: Arc<dyn Rpc>, answers: Arc<dyn Answers>) -> Explorer {
        Explorer { rpc, answers }
    }

    /// All paths.
    pub fn router(self) -> Router {
        Router::new()
            .route("/", get(page::home::show))
            .route("/search", get(page::search::go))
            .route("/live", get(live::blocks))
            .route("/block/{number}", get(page::block::show))
            .route("/tx/{hash}", get(page::transaction::show))
            .route("/address/{address}", get(page::account::show))
            .route("/claims", get(page::claims::form))
            .route("/claims/{address}", get(page::claims::show))
            .route("/datanets", get(page::datanets::list))
            .route("/datanet/{id}", get(page::datanets::show))
            .route("/item/{id}", get(page::item::show))
            .route("/models", get(page::models::list))
            .route("/model/{id}", get(page::models::show))
            .route("/operators", get(page::operators::list))
            .route("/settlements", get(page::settlements::list))
            .route("/parameters", get(page::parameters::show))
            .route("/answers", get(page::answers::list))
            .route("/answer/{id}", get(page::answers::show))
            .route("/ask", get(page::ask::form).post(page::ask::submit))
            .route("/assets/{name}", get(asset))
            .fallback(missing)
            .with_state(self)
    }
}

async fn asset(Path(name): Path<String>) -> Response {
    let (kind, body) = match name.as_str() {
        "style.css" => ("text/css; charset=utf-8", include_str!("../assets/style.css")),
        "claims.js" => ("text/javascript; charset=utf-8", include_str!("../assets/claims.js")),
        "live.js" => ("text/javascript; charset=utf-8", include_str!("../assets/live.js")),
        "icon.svg" => ("image/svg+xml", include_str!("../assets/icon.svg")),
        _ => return StatusCode::NOT_FOUND.into_response(),
    };
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "max-age=3600")], body).into_response()
}

async fn missing(State(_): State<Explorer>) -> Failure {
    Failure::NotFound("this page".into())
}

/// Why a page cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// What was asked for is not there.
    #[error("{0} is not there")]
    NotFound(String),
    /// The path does not name anything.
    #[error("{0}")]
    BadRequest(String),
    /// The node does not answer.
    #[error("the node does not answer: {0}")]
    Unavailable(#[from] source::SourceError),
    /// The operator does not answer.
    #[error("{0}")]
    Silent(String),
    /// A template failed.
    #[error("the page could not be rendered: {0}")]
    Render(#[from] askama::Error),
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let (status, title) = match self {
            Failure::NotFound(_) => (StatusCode::NOT_FOUND, "Not found"),
            Failure::BadRequest(_) => (StatusCode::BAD_REQUEST, "That is not an address, hash, height or id"),
            Failure::Unavailable(_) => (StatusCode::BAD_GATEWAY, "The node does not answer"),
            Failure::Silent(_) => (StatusCode::BAD_GATEWAY, "The operator does not answer"),
            Failure::Render(_) => (StatusCode::INTERNAL_SERVER_ERROR, "This page failed"),
        };
        let page = page::error::render(title, &self.to_string());
        (status, Html(page)).into_response()
    }
}

/// A page, or why not.
pub(crate) type Page = Result<Html<String>, Failure>;
