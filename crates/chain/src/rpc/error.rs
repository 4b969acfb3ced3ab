//! Errors as JSON-RPC carries them.

use crate::{
    index::{IndexError, LogsError},
    intake::SubmitError,
    state::StateFault,
};
use alloy_primitives::Bytes;
use serde_json::{Value, json};

/// A JSON-RPC error object. Codes are those that Ethereum clients know.
#[derive(Debug, Clone)]
pub struct RpcError {
    pub(crate) code: i32,
    pub(crate) message: String,
    pub(crate) data: Option<Value>,
}

impl RpcError {
    pub(crate) fn new(code: i32, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), data: None }
    }

    /// The body is no JSON.
    pub(crate) fn parse(reason: impl std::fmt::Display) -> Self {
        Self::new(-32700, format!("parse error: {reason}"))
    }

    /// The JSON is no request.
    pub(crate) fn request(reason: impl Into<String>) -> Self {
        Self::new(-32600, reason)
    }

    /// No such method.
    pub(crate) fn method(name: &str) -> Self {
        Self::new(-32601, format!("the method {name} does not exist"))
    }

    /// A parameter is missing or malformed.
    pub(crate) fn params(reason: impl Into<String>) -> Self {
        Self::new(-32602, reason)
    }

    /// This node failed.
    pub(crate) fn internal(reason: impl std::fmt::Display) -> Self {
        tracing::error!(%reason, "JSON-RPC");
        Self::new(-32603, format!("internal error: {reason}"))
    }

    /// The request is understood and refused.
    pub(crate) fn refused(reason: impl Into<String>) -> Self {
        Self::new(-32000, reason)
    }

    /// More than this node gives.
    pub(crate) fn limit(reason: impl Into<String>) -> Self {
        Self::new(-32005, reason)
    }

    /// A block of this chain that this node does not hold (any more). The code is the one other clients of Ethereum
    /// use for history they pruned.
    pub(crate) fn pruned(height: u64, oldest: u64) -> Self {
        let reason = format!(
            "block {height} is not kept here: this node holds blocks from {oldest} on; ask a node that keeps all"
        );
        Self::new(4444, reason)
    }

    /// The call reverted; `output` is the ABI-encoded reason, which clients decode.
    pub(crate) fn reverted(output: &Bytes) -> Self {
        Self { code: 3, message: "execution reverted".into(), data: Some(json!(output)) }
    }

    pub(crate) fn to_json(&self) -> Value {
        match &self.data {
            Some(data) => json!({ "code": self.code, "message": self.message, "data": data }),
            None => json!({ "code": self.code, "message": self.message }),
        }
    }
}

impl From<IndexError> for RpcError {
    fn from(error: IndexError) -> Self {
        Self::internal(error)
    }
}

impl From<StateFault> for RpcError {
    fn from(error: StateFault) -> Self {
        Self::internal(error)
    }
}

impl From<LogsError> for RpcError {
    fn from(error: LogsError) -> Self {
        match error {
            LogsError::TooMany(_) => Self::limit(error.to_string()),
            LogsError::Index(error) => Self::internal(error),
        }
    }
}

impl From<SubmitError> for RpcError {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::Transaction(_) | SubmitError::Rejection(_) | SubmitError::ShuttingDown => {
                Self::refused(error.to_string())
            }
            SubmitError::State(fault) => Self::internal(fault),
        }
    }
}
