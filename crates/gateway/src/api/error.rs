//! OpenAI's error body, and which status each failure gets.

use crate::payments::{
    Refusal,
    refusal::Status,
    wire::{self, PaymentRequired},
};
use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use compute::{AnswerError, EngineError};
use serde_json::{Value, json};

/// Seconds after which a full queue or an absent ledger is worth another try.
const RETRY_AFTER_SECONDS: u64 = 2;

/// A request that gets no answer. Nothing was charged.
#[derive(Clone, Debug)]
pub struct ApiError {
    /// HTTP status.
    pub status: StatusCode,
    /// Machine-readable reason.
    pub code: String,
    /// For people: what to do.
    pub message: String,
    /// The parameter at fault.
    pub param: Option<&'static str>,
    /// The offer, for a 402.
    pub offer: Option<Box<PaymentRequired>>,
    /// Whether trying again soon makes sense.
    pub retry: bool,
}

impl ApiError {
    /// An error.
    pub fn new(status: StatusCode, code: &str, message: impl Into<String>) -> ApiError {
        let code = code.into();
        ApiError { status, code, message: message.into(), param: None, offer: None, retry: false }
    }

    /// The request is wrong.
    pub fn bad(param: Option<&'static str>, message: impl Into<String>) -> ApiError {
        ApiError { param, ..ApiError::new(StatusCode::BAD_REQUEST, "invalid_request", message) }
    }

    /// There is no such thing.
    pub fn not_found(message: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    /// Too much at once.
    pub fn busy(message: impl Into<String>) -> ApiError {
        let error = ApiError::new(StatusCode::TOO_MANY_REQUESTS, "rate_limit_exceeded", message);
        ApiError { retry: true, ..error }
    }

    /// Not now.
    pub fn unavailable(code: &str, message: impl Into<String>) -> ApiError {
        ApiError { retry: true, ..ApiError::new(StatusCode::SERVICE_UNAVAILABLE, code, message) }
    }

    /// A payment that was refused, with the offer that the client may take instead.
    pub fn refusal(refusal: Refusal, mut offer: PaymentRequired) -> ApiError {
        let Refusal { status, code, message, state } = refusal;
        match status {
            Status::PaymentRequired => {
                offer.error = code.into();
                if let (Some(Value::Object(state)), Some(batch)) =
                    (state, offer.accepts.iter_mut().find(|way| way.scheme == wire::BATCH))
                {
                    for (name, value) in state {
                        batch.extra[name.as_str()] = value;
                    }
                }
                let error = ApiError::new(StatusCode::PAYMENT_REQUIRED, code, message);
                ApiError { offer: Some(Box::new(offer)), ..error }
            }
            Status::Conflict => {
                ApiError { retry: true, ..ApiError::new(StatusCode::CONFLICT, code, message) }
            }
            Status::Unavailable => ApiError::unavailable(code, message),
        }
    }

    fn kind(&self) -> &'static str {
        match self.status.as_u16() {
            402 => "payment_required",
            409 => "conflict_error",
            429 => "rate_limit_error",
            400..=499 => "invalid_request_error",
            _ => "server_error",
        }
    }

    /// OpenAI's error body.
    pub fn body(&self) -> Value {
        json!({ "error": {
            "message": self.message, "type": self.kind(), "param": self.param, "code": self.code,
        } })
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.body())).into_response();
        if self.retry {
            response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER_SECONDS.into());
        }
        if let Some(offer) = self.offer
            && let Ok(value) = HeaderValue::from_str(&wire::encode(&offer))
        {
            response.headers_mut().insert(wire::PAYMENT_REQUIRED, value);
        }
        response
    }
}

impl From<AnswerError> for ApiError {
    fn from(error: AnswerError) -> ApiError {
        let message = error.to_string();
        match error {
            AnswerError::Request(_) | AnswerError::Engine(EngineError::Refused(_)) => {
                ApiError::bad(None, message)
            }
            AnswerError::Engine(EngineError::PastContext { .. }) => {
                ApiError { code: "context_length_exceeded".into(), ..ApiError::bad(None, message) }
            }
            AnswerError::Engine(EngineError::Failed(_)) | AnswerError::Shares(_) => {
                tracing::error!(%message, "an answer failed");
                ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "answer_failed", message)
            }
        }
    }
}
