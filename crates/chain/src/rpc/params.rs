//! Parameters: positions, quantities, data, block tags.

use super::error::RpcError;
use alloy_primitives::{Address, B256, Bytes, U256};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Parameters of a request by position.
#[derive(Default, Debug)]
pub(super) struct Params(Vec<Value>);

impl Params {
    pub(super) fn new(values: Vec<Value>) -> Self {
        Self(values)
    }

    /// The parameter at `index`, which must be there.
    pub(super) fn take<T: Parameter>(&mut self, index: usize, name: &str) -> Result<T, RpcError> {
        self.optional(index, name)?
            .ok_or_else(|| RpcError::params(format!("missing parameter {} ({name})", index + 1)))
    }

    /// The parameter at `index`, if it is there and not null.
    pub(super) fn optional<T: Parameter>(&mut self, index: usize, name: &str) -> Result<Option<T>, RpcError> {
        match self.0.get_mut(index).map(Value::take) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => T::parse(value)
                .map(Some)
                .map_err(|reason| RpcError::params(format!("parameter {} ({name}): {reason}", index + 1))),
        }
    }
}

/// A type that a parameter can have.
pub(super) trait Parameter: Sized {
    fn parse(value: Value) -> Result<Self, String>;
}

fn text(value: &Value) -> Result<&str, String> {
    value.as_str().ok_or_else(|| "expected a string".to_owned())
}

fn deserialized<T: DeserializeOwned>(value: Value) -> Result<T, String> {
    serde_json::from_value(value).map_err(|error| error.to_string())
}

impl Parameter for Address {
    fn parse(value: Value) -> Result<Self, String> {
        deserialized(value)
    }
}

impl Parameter for B256 {
    fn parse(value: Value) -> Result<Self, String> {
        deserialized(value)
    }
}

impl Parameter for Bytes {
    fn parse(value: Value) -> Result<Self, String> {
        if !text(&value)?.starts_with("0x") {
            return Err("data starts with 0x".into());
        }
        deserialized(value)
    }
}

impl Parameter for bool {
    fn parse(value: Value) -> Result<Self, String> {
        deserialized(value)
    }
}

impl Parameter for Value {
    fn parse(value: Value) -> Result<Self, String> {
        Ok(value)
    }
}

/// Most slots of one proof.
const MAX_SLOTS: usize = 256;

impl Parameter for Vec<B256> {
    fn parse(value: Value) -> Result<Self, String> {
        let slots: Self = deserialized(value)?;
        if slots.is_empty() || slots.len() > MAX_SLOTS {
            return Err(format!("between 1 and {MAX_SLOTS} values"));
        }
        Ok(slots)
    }
}

impl Parameter for Vec<f64> {
    fn parse(value: Value) -> Result<Self, String> {
        deserialized(value)
    }
}

impl Parameter for U256 {
    fn parse(value: Value) -> Result<Self, String> {
        if let Some(number) = value.as_u64() {
            return Ok(U256::from(number));
        }
        let digits = text(&value)?.strip_prefix("0x").ok_or("a quantity starts with 0x")?;
        if digits.is_empty() {
            return Err("a quantity has at least one digit".into());
        }
        U256::from_str_radix(digits, 16).map_err(|error| error.to_string())
    }
}

impl Parameter for u64 {
    fn parse(value: Value) -> Result<Self, String> {
        U256::parse(value)?.try_into().map_err(|_| "exceeds 64 bits".to_owned())
    }
}

/// Which block is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BlockTag {
    /// The newest finalized one.
    Latest,
    /// The newest one and what waits in the mempool.
    Pending,
    /// The one at a height.
    Height(u64),
    /// The one with a hash.
    Hash(B256),
}

impl Parameter for BlockTag {
    fn parse(value: Value) -> Result<Self, String> {
        if let Value::Object(mut object) = value {
            if let Some(hash) = object.remove("blockHash") {
                return B256::parse(hash).map(Self::Hash);
            }
            let number = object.remove("blockNumber").ok_or("expected blockHash or blockNumber")?;
            return u64::parse(number).map(Self::Height);
        }
        Ok(match value.as_str() {
            Some("latest" | "safe" | "finalized") => Self::Latest,
            Some("pending") => Self::Pending,
            Some("earliest") => Self::Height(0),
            Some(hash) if hash.len() == 66 => Self::Hash(B256::parse(value)?),
            _ => Self::Height(u64::parse(value)?),
        })
    }
}
