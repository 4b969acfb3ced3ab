//! One asking, whatever its endpoint: read, find the model, price, take payment, start, render.

use super::{
    ApiError, chat, completions,
    flow::{self, Delivered, Event, Payment, Started},
    owed::Recorded,
    responses, sse,
};
use crate::{
    payments::{
        Asked, Endpoint, Served, code,
        wire::{PAYMENT_RESPONSE, PAYMENT_SIGNATURE, encode},
    },
    server::{App, ServedModel},
};
use alloy_primitives::B256;
use axum::{
    Json,
    body::Body,
    extract::{Query, State},
    http::{HeaderMap, HeaderValue, StatusCode},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use compute::{Request, fee::Price};
use futures::{StreamExt as _, stream};
use primitives::Amount;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// A request that was read.
#[derive(Clone, Debug)]
pub struct Ask {
    /// Which endpoint.
    pub endpoint: Endpoint,
    /// The model as the client named it.
    pub name: String,
    /// What is asked.
    pub request: Request,
    /// Whether `max_tokens` was the client's, and must fit.
    pub exact_max_tokens: bool,
    /// SSE.
    pub stream: bool,
    /// End a stream in a chunk with the usage.
    pub include_usage: bool,
    /// Digest of the body.
    pub body: B256,
    /// What `/v1/responses` repeats of the request.
    pub echo: Value,
}

/// How an endpoint writes an answer.
pub struct Rendering {
    /// The whole answer.
    pub whole: fn(&App, &Ask, u64, &Recorded) -> Value,
    /// Before the first text.
    pub open: fn(&App, &Ask, &Started) -> Vec<Bytes>,
    /// More text. The number counts the events before it.
    pub piece: fn(&Ask, &Started, usize, &str) -> Bytes,
    /// After the last.
    pub close: fn(&App, &Ask, &Started, usize, &Recorded) -> Vec<Bytes>,
}

fn rendering(endpoint: Endpoint) -> Rendering {
    match endpoint {
        Endpoint::Chat => chat::RENDERING,
        Endpoint::Completions => completions::RENDERING,
        Endpoint::Responses => responses::RENDERING,
    }
}

/// `POST` on a paid path.
pub async fn ask(
    endpoint: Endpoint,
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let body = read_body(&app, body).await?;
    let digest = alloy_primitives::keccak256(&body);
    let seed = u64::from_le_bytes(flow::random()?);
    let default = app.config.limits.default_max_tokens;
    let ask = match endpoint {
        Endpoint::Chat => chat::read(&body, digest, seed, default),
        Endpoint::Completions => completions::read(&body, digest, seed, default),
        Endpoint::Responses => responses::read(&body, digest, seed, default),
    }?;
    let model = app.model(&ask.name)?;
    let prepared = model.worker.prepare(ask.request.clone(), !ask.exact_max_tokens)?;
    let quote = app.quote(&model, prepared.most())?;
    if app.stopping() {
        return Err(ApiError::unavailable("shutting_down", "this gateway is stopping: ask another"));
    }
    let payment = match app.is_free(&model) {
        true => Payment::Free,
        false => match take_payment(&app, &ask, &model, quote, &headers).await? {
            Ok(payment) => payment,
            Err(served) => return again(&app, &ask, served),
        },
    };
    let started = flow::start(&app, &model, ask.clone(), prepared, quote, payment)?;
    if ask.stream { stream_answer(app, ask, started).await } else { whole_answer(app, ask, started).await }
}

async fn read_body(app: &App, body: Body) -> Result<Bytes, ApiError> {
    let limits = &app.config.limits;
    let read = axum::body::to_bytes(body, limits.body_bytes);
    match tokio::time::timeout(limits.read_timeout, read).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) => {
            let too_long = std::error::Error::source(&error)
                .is_some_and(|source| source.is::<http_body_util::LengthLimitError>());
            if too_long {
                let message = format!("the body is longer than {} bytes", limits.body_bytes);
                Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "request_too_large", message))
            } else {
                Err(ApiError::bad(None, "the body ended early"))
            }
        }
        Err(_) => {
            let message = "the body did not arrive in time";
            Err(ApiError::new(StatusCode::REQUEST_TIMEOUT, "request_timeout", message))
        }
    }
}

async fn take_payment(
    app: &Arc<App>,
    ask: &Ask,
    model: &Arc<ServedModel>,
    quote: Amount,
    headers: &HeaderMap,
) -> Result<Result<Payment, Served>, ApiError> {
    let offer = || app.offer(ask, model, quote);
    let Some(header) = headers.get(PAYMENT_SIGNATURE) else {
        let message = "this answer is paid for by x402: pay as the PAYMENT-REQUIRED header says";
        let mut error = ApiError::new(StatusCode::PAYMENT_REQUIRED, "payment_required", message);
        error.offer = Some(Box::new(offer()));
        return Err(error);
    };
    let asked = Asked {
        endpoint: ask.endpoint,
        model: model.worker.model,
        amount: quote,
        body: ask.body,
        streams: ask.stream,
    };
    let mut admitted = app.payments.admit(&asked, header.as_bytes()).await;
    if admitted.as_ref().is_err_and(|refusal| refusal.code == code::EXACT_NONCE) {
        // The transfer may have gone through while the ledger did not answer: then its answer is owed.
        match crate::server::resolve_intents(app).await {
            Ok(()) => admitted = app.payments.admit(&asked, header.as_bytes()).await,
            Err(error) => {
                tracing::error!(%error, "pending payments cannot be looked into");
                return Err(ApiError::unavailable("receipt_not_written", error.to_string()));
            }
        }
    }
    match admitted {
        Ok(admitted) => Ok(Payment::of(admitted)),
        Err(refusal) => {
            app.metrics.refused(refusal.code);
            Err(ApiError::refusal(refusal, offer()))
        }
    }
}

fn paid_header(response: &mut Response, delivered: &Delivered) {
    if let Some(settled) = &delivered.settled
        && let Ok(value) = HeaderValue::from_str(&encode(settled))
    {
        response.headers_mut().insert(PAYMENT_RESPONSE, value);
    }
}

async fn whole_answer(app: Arc<App>, ask: Ask, mut started: Started) -> Result<Response, ApiError> {
    while let Some(event) = started.events.recv().await {
        match event {
            Event::Piece(_) => {}
            Event::Failed(error) => return Err(error),
            Event::Done(delivered) => {
                let render = rendering(ask.endpoint);
                let whole = (render.whole)(&app, &ask, started.created_s, &delivered.recorded);
                let mut response = Json(whole).into_response();
                paid_header(&mut response, &delivered);
                return Ok(response);
            }
        }
    }
    Err(ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "answer_failed", "the answer was lost"))
}

/// Streams. The status waits for the first event, so that what fails at once fails as an error and not as a stream.
async fn stream_answer(app: Arc<App>, ask: Ask, mut started: Started) -> Result<Response, ApiError> {
    let first = match started.events.recv().await {
        Some(Event::Failed(error)) => return Err(error),
        Some(event) => event,
        None => {
            let status = StatusCode::INTERNAL_SERVER_ERROR;
            return Err(ApiError::new(status, "answer_failed", "the answer was lost"));
        }
    };
    let render = rendering(ask.endpoint);
    let open = (render.open)(&app, &ask, &started);
    let sent = open.len();
    let state = (app, ask, started, Some(first), sent, render);
    let rest = stream::unfold(Some(state), |state| async move {
        let (app, ask, mut started, held, sent, render) = state?;
        let event = match held {
            Some(event) => Some(event),
            None => started.events.recv().await,
        };
        match event? {
            Event::Piece(text) => {
                let chunk = (render.piece)(&ask, &started, sent, &text);
                Some((vec![chunk], Some((app, ask, started, None, sent + 1, render))))
            }
            Event::Done(delivered) => {
                Some(((render.close)(&app, &ask, &started, sent, &delivered.recorded), None))
            }
            Event::Failed(error) => Some((vec![sse::data(&error.body())], None)),
        }
    });
    Ok(sse::response(stream::iter(open).chain(rest.flat_map(stream::iter))))
}

/// Gives an answer that was paid for before.
fn again(app: &Arc<App>, ask: &Ask, served: Served) -> Result<Response, ApiError> {
    let model = app.model_by_id(served.model)?;
    let lost = || ApiError::not_found("the answer this payment bought is no longer kept");
    let entry = model.recorder.log().entry(served.sequence);
    let entry = entry.map_err(|error| ApiError::unavailable("receipt_log", error.to_string()))?;
    let recorded = entry.and_then(|entry| Recorded::from_entry(entry, &model)).ok_or_else(lost)?;
    let render = rendering(ask.endpoint);
    let receipt = &recorded.entry.signed.receipt;
    let created_s = receipt.time_ms / 1000;
    if ask.stream {
        let (_, events) = tokio::sync::mpsc::unbounded_channel();
        let started = Started { id: receipt.id, created_s, events };
        let mut chunks = (render.open)(app, ask, &started);
        chunks.push((render.piece)(ask, &started, chunks.len(), &recorded.entry.output.text));
        chunks.extend((render.close)(app, ask, &started, chunks.len(), &recorded));
        return Ok(sse::response(stream::iter(chunks)));
    }
    let mut response = Json((render.whole)(app, ask, created_s, &recorded)).into_response();
    let settled = app.payments.settled_before(&recorded.entry);
    if let Some(settled) = settled
        && let Ok(value) = HeaderValue::from_str(&encode(&settled))
    {
        response.headers_mut().insert(PAYMENT_RESPONSE, value);
    }
    Ok(response)
}

/// Which model a `GET` is about.
#[derive(Debug, Deserialize)]
pub struct Chosen {
    model: Option<String>,
}

/// `GET` on a paid path: the offer for a short answer, or a refund when one is paid with.
pub async fn offer_or_refund(
    endpoint: Endpoint,
    State(app): State<Arc<App>>,
    Query(chosen): Query<Chosen>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let model = match &chosen.model {
        Some(name) => app.model(name)?,
        None => {
            app.models.values().next().cloned().ok_or_else(|| ApiError::not_found("no model is served"))?
        }
    };
    let usage = compute::Usage { prompt_tokens: 1000, completion_tokens: 1000 };
    let amount = app.quote(&model, usage)?;
    let ask = Ask {
        endpoint,
        name: model.worker.name.clone(),
        request: Request {
            prompt: compute::Prompt::Tokens(Vec::new()),
            sampling: compute::Sampling::default(),
        },
        exact_max_tokens: false,
        stream: true,
        include_usage: false,
        body: B256::ZERO,
        echo: Value::Null,
    };
    let offer = app.offer(&ask, &model, amount);
    let Some(header) = headers.get(PAYMENT_SIGNATURE) else {
        let message = "ask with POST; this is what 1,000 tokens read and 1,000 written cost at most";
        let mut error = ApiError::new(StatusCode::PAYMENT_REQUIRED, "payment_required", message);
        error.offer = Some(Box::new(offer));
        return Err(error);
    };
    let settled = app
        .payments
        .refund(model.worker.model, header.as_bytes())
        .await
        .map_err(|refusal| ApiError::refusal(refusal, offer))?;
    let mut response = Json(json!({ "refunded": settled.amount })).into_response();
    if let Ok(value) = HeaderValue::from_str(&encode(&settled)) {
        response.headers_mut().insert(PAYMENT_RESPONSE, value);
    }
    Ok(response)
}

/// The price of a model for people and programs.
pub fn pricing(price: &Price) -> Value {
    let Price { rate_in, rate_out, platform_fee } = price;
    json!({ "per_1000_tokens_in": rate_in, "per_1000_tokens_out": rate_out, "per_answer": platform_fee, "unit": "1e-18 OPEN" })
}
