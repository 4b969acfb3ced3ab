//! x402 version 2 as JSON in headers (`docs/X402.md`). Amounts are decimal strings, addresses EIP-55.

use alloy_primitives::{Address, B256, Bytes};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use interfaces::channels::ChannelConfig;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

/// Offers, with status 402.
pub const PAYMENT_REQUIRED: &str = "PAYMENT-REQUIRED";
/// Pays.
pub const PAYMENT_SIGNATURE: &str = "PAYMENT-SIGNATURE";
/// Reports.
pub const PAYMENT_RESPONSE: &str = "PAYMENT-RESPONSE";
/// The channel scheme.
pub const BATCH: &str = "batch-settlement";
/// The flat scheme.
pub const EXACT: &str = "exact";
/// Longest payment header that is read.
pub const MAX_HEADER_BYTES: usize = 16 << 10;

/// A number of units as JSON carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Units(pub u128);

impl Serialize for Units {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Units {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Units, D::Error> {
        let text = String::deserialize(deserializer)?;
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let units = text.parse().ok().filter(|_| digits);
        units.map(Units).ok_or_else(|| serde::de::Error::custom(format!("`{text}` is not a number of units")))
    }
}

/// What a 402 says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PaymentRequired {
    /// 2.
    pub x402_version: u32,
    /// Why it was not enough.
    pub error: String,
    /// What is paid for.
    pub resource: Value,
    /// Ways to pay.
    pub accepts: Vec<Requirements>,
    /// Extensions offered.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub extensions: Value,
}

/// One way to pay.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Requirements {
    /// [`BATCH`] or [`EXACT`].
    pub scheme: String,
    /// CAIP-2.
    pub network: String,
    /// The most this answer can cost.
    pub amount: Units,
    /// OPEN.
    pub asset: String,
    /// The escrow.
    pub pay_to: String,
    /// How long an authorization must last.
    pub max_timeout_seconds: u64,
    /// What the scheme adds.
    pub extra: Value,
}

/// What a client pays with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PaymentPayload {
    /// 2.
    pub x402_version: u32,
    /// The way it chose.
    pub accepted: Requirements,
    /// By scheme: [`BatchPayload`] or [`ExactPayload`].
    pub payload: Value,
    /// What it pays for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<Value>,
    /// Extensions used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extensions: Option<Value>,
}

/// A channel's configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WireConfig {
    /// Who funds it.
    pub payer: Address,
    /// Who signs its vouchers; zero for the payer.
    pub payer_authorizer: Address,
    /// The escrow.
    pub receiver: Address,
    /// The operator.
    pub receiver_authorizer: Address,
    /// OPEN.
    pub token: Address,
    /// Seconds.
    pub withdraw_delay: u64,
    /// Tells channels of one payer apart.
    pub salt: B256,
}

impl WireConfig {
    /// As the ledger has it; `None` when the delay does not fit its type.
    pub fn config(&self) -> Option<ChannelConfig> {
        let WireConfig {
            payer,
            payer_authorizer,
            receiver,
            receiver_authorizer,
            token,
            withdraw_delay,
            salt,
        } = *self;
        Some(ChannelConfig {
            payer,
            payerAuthorizer: payer_authorizer,
            receiver,
            receiverAuthorizer: receiver_authorizer,
            token,
            withdrawDelay: alloy_primitives::Uint::<40, 1>::try_from(withdraw_delay).ok()?,
            salt,
        })
    }
}

impl From<&ChannelConfig> for WireConfig {
    fn from(config: &ChannelConfig) -> WireConfig {
        WireConfig {
            payer: config.payer,
            payer_authorizer: config.payerAuthorizer,
            receiver: config.receiver,
            receiver_authorizer: config.receiverAuthorizer,
            token: config.token,
            withdraw_delay: config.withdrawDelay.to(),
            salt: config.salt,
        }
    }
}

/// "Up to this much in all", signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WireVoucher {
    /// The channel.
    pub channel_id: B256,
    /// The ceiling.
    pub max_claimable_amount: Units,
    /// 65 bytes.
    pub signature: Bytes,
}

/// Payment by channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", rename_all_fields = "camelCase")]
pub enum BatchPayload {
    /// Opens or tops up, and pays.
    Deposit { channel_config: WireConfig, voucher: WireVoucher, deposit: WireDeposit },
    /// Pays.
    Voucher { channel_config: WireConfig, voucher: WireVoucher },
    /// Returns what is left, or `amount` of it.
    Refund {
        channel_config: WireConfig,
        voucher: WireVoucher,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        amount: Option<Units>,
    },
}

/// Money for a channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WireDeposit {
    /// How much.
    pub amount: Units,
    /// The payer's authorization.
    pub authorization: WireDepositAuthorization,
}

/// Only ERC-3009 is taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WireDepositAuthorization {
    /// `receiveWithAuthorization` to the collector.
    pub erc3009_authorization: Option<WireErc3009>,
}

/// An ERC-3009 authorization whose nonce follows from channel and salt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WireErc3009 {
    /// Unix seconds.
    pub valid_after: Units,
    /// Unix seconds.
    pub valid_before: Units,
    /// A 256-bit number: `0x` and hexadecimal, or decimal.
    pub salt: String,
    /// 65 bytes.
    pub signature: Bytes,
}

/// Payment by one transfer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExactPayload {
    /// 65 bytes.
    pub signature: Bytes,
    /// What is signed.
    pub authorization: WireTransfer,
}

/// ERC-3009 `TransferWithAuthorization`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WireTransfer {
    /// Payer.
    pub from: Address,
    /// The escrow.
    pub to: Address,
    /// The flat quote.
    pub value: Units,
    /// Unix seconds.
    pub valid_after: Units,
    /// Unix seconds.
    pub valid_before: Units,
    /// Used once.
    pub nonce: B256,
}

/// What a paid response says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SettleResponse {
    /// Whether it was paid.
    pub success: bool,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_reason: Option<String>,
    /// Hash, or empty for a voucher.
    pub transaction: String,
    /// CAIP-2.
    pub network: String,
    /// Who paid.
    pub payer: String,
    /// What moved on the ledger, or empty for a voucher.
    pub amount: String,
    /// What the scheme adds.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub extra: Value,
}

/// Base64 of JSON.
pub fn encode<T: Serialize>(value: &T) -> String {
    STANDARD.encode(serde_json::to_vec(value).expect("these types have only JSON keys that are texts"))
}

/// Why a header cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadHeader {
    /// Past the limit.
    #[error("the payment header is longer than {MAX_HEADER_BYTES} bytes")]
    TooLong,
    /// Not base64.
    #[error("the payment header is not base64")]
    NotBase64,
    /// Not the JSON expected.
    #[error("the payment header is not what x402 version 2 says: {0}")]
    Malformed(String),
}

/// Reads base64 of JSON.
pub fn decode<T: DeserializeOwned>(header: &[u8]) -> Result<T, BadHeader> {
    if header.len() > MAX_HEADER_BYTES {
        return Err(BadHeader::TooLong);
    }
    let json = STANDARD.decode(header).map_err(|_| BadHeader::NotBase64)?;
    serde_json::from_slice(&json).map_err(|error| BadHeader::Malformed(error.to_string()))
}

/// The `payment-identifier` extension as it is offered.
pub fn identifier_offer() -> Value {
    json!({ "payment-identifier": {
        "info": { "required": false },
        "schema": {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "properties": {
                "required": { "type": "boolean" },
                "id": { "type": "string", "minLength": 16, "maxLength": 128, "pattern": "^[a-zA-Z0-9_-]+$" }
            },
            "required": ["required"]
        }
    } })
}

impl PaymentPayload {
    /// The client's payment identifier; `Err` when there is one outside the extension's rules.
    pub fn identifier(&self) -> Result<Option<String>, BadHeader> {
        let id = self.extensions.as_ref().and_then(|all| all.pointer("/payment-identifier/info/id"));
        let Some(id) = id else { return Ok(None) };
        let text = id.as_str().unwrap_or_default();
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        if (16..=128).contains(&text.len()) && text.bytes().all(allowed) {
            Ok(Some(text.into()))
        } else {
            Err(BadHeader::Malformed("a payment identifier is 16 to 128 letters, digits, `_` or `-`".into()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_of_the_stock_client_is_read() {
        let config = json!({
            "payer": "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266",
            "payerAuthorizer": "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266",
            "receiver": "0x1111111111111111111111111111111111111111",
            "receiverAuthorizer": "0x2222222222222222222222222222222222222222",
            "token": "0x4f50454e00000000000000000000000000000001",
            "withdrawDelay": 86400,
            "salt": "0x0000000000000000000000000000000000000000000000000000000000000000",
        });
        let voucher = json!({ "channelId": B256::ZERO, "maxClaimableAmount": "5000", "signature": "0x00" });
        let erc3009 = json!({ "validAfter": "0", "validBefore": "99", "salt": "0x07", "signature": "0x00" });
        let deposit = json!({ "type": "deposit", "channelConfig": config, "voucher": voucher,
            "deposit": { "amount": "9", "authorization": { "erc3009Authorization": erc3009 } } });
        assert!(matches!(serde_json::from_value(deposit), Ok(BatchPayload::Deposit { .. })));
        let refund = json!({ "type": "refund", "channelConfig": config, "voucher": voucher });
        assert!(matches!(serde_json::from_value(refund), Ok(BatchPayload::Refund { amount: None, .. })));
    }

    #[test]
    fn hostile_headers_are_refused() {
        assert_eq!(decode::<Value>(&[b'A'; MAX_HEADER_BYTES + 1]), Err(BadHeader::TooLong));
        assert_eq!(decode::<Value>(b"%%%"), Err(BadHeader::NotBase64));
        assert!(matches!(decode::<PaymentPayload>(b"e30="), Err(BadHeader::Malformed(_))));
        for bad in ["", "-1", "+1", "1.0", "0x1", "340282366920938463463374607431768211456"] {
            assert!(serde_json::from_value::<Units>(json!(bad)).is_err(), "{bad}");
        }
    }
}
