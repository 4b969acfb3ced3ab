//! Why a payment is not taken.

use super::wire::Units;
use alloy_primitives::{B256, Bytes};
use serde_json::{Value, json};

/// Reasons as x402 2.27.0 names them; stock clients act on some.
pub mod code {
    macro_rules! batch {
        ($($name:ident = $text:literal,)*) => {
            $(#[doc = concat!("`invalid_batch_settlement_evm_", $text, "`")]
            pub const $name: &str = concat!("invalid_batch_settlement_evm_", $text);)*
        };
    }
    macro_rules! exact {
        ($($name:ident = $text:literal,)*) => {
            $(#[doc = concat!("`invalid_exact_evm_", $text, "`")]
            pub const $name: &str = concat!("invalid_exact_evm_", $text);)*
        };
    }
    batch! {
        BUSY = "channel_busy",
        CHANNEL_ID = "channel_id_mismatch",
        MISMATCH = "cumulative_amount_mismatch",
        BELOW_CLAIMED = "cumulative_below_claimed",
        ABOVE_BALANCE = "cumulative_exceeds_balance",
        DEPOSIT_FAILED = "deposit_transaction_failed",
        ERC3009_REQUIRED = "erc3009_authorization_required",
        MISSING_CHANNEL = "missing_channel",
        PAYLOAD = "payload_type",
        AUTHORIZER = "receiver_authorizer_mismatch",
        RECEIVER = "receiver_mismatch",
        REFUND_AMOUNT = "refund_amount_invalid",
        REFUND_EMPTY = "refund_no_balance",
        REFUND_FAILED = "refund_transaction_failed",
        TOKEN = "token_mismatch",
        VOUCHER_SIGNATURE = "voucher_signature",
        WITHDRAW_DELAY = "withdraw_delay_mismatch",
    }
    exact! {
        EXACT_VALUE = "payload_authorization_value_mismatch",
        EXACT_SIGNATURE = "signature",
        EXACT_NONCE = "nonce_already_used",
        EXACT_RECIPIENT = "recipient_mismatch",
        EXACT_BALANCE = "insufficient_balance",
        EXACT_AFTER = "payload_authorization_valid_after",
        EXACT_BEFORE = "payload_authorization_valid_before",
        EXACT_FAILED = "transaction_failed",
    }
    /// The payment names another network.
    pub const NETWORK: &str = "invalid_network";
    /// The header is not a payment.
    pub const HEADER: &str = "invalid_payload";
    /// The scheme is not offered here.
    pub const SCHEME: &str = "unsupported_scheme";
    /// Streams are paid by channel.
    pub const NO_STREAM: &str = "streaming_needs_batch_settlement";
    /// Another request is using it.
    pub const IN_PROGRESS: &str = "payment_in_progress";
    /// It paid for something else.
    pub const REUSED: &str = "payment_identifier_conflict";
}

/// A payment that is not taken. Nothing was charged.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    /// What kind of answer it gets.
    pub status: Status,
    /// The reason's name.
    pub code: &'static str,
    /// For people: what to do.
    pub message: String,
    /// For the client to resynchronise by: `channelState` and `voucherState`.
    pub state: Option<Value>,
}

/// The HTTP status a refusal gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// 402: pay differently.
    PaymentRequired,
    /// 409: the payment identifier stands for another request, or is in use.
    Conflict,
    /// 503: the ledger is away.
    Unavailable,
}

impl Refusal {
    /// Pay differently.
    pub fn new(code: &'static str, message: impl Into<String>) -> Refusal {
        Refusal { status: Status::PaymentRequired, code, message: message.into(), state: None }
    }

    /// Not now.
    pub fn away(message: String) -> Refusal {
        Refusal { status: Status::Unavailable, code: "ledger_away", message, state: None }
    }

    /// Used otherwise.
    pub fn conflict(code: &'static str, message: &str) -> Refusal {
        Refusal { status: Status::Conflict, code, message: message.into(), state: None }
    }
}

/// What a client needs to find the server's sum again (`docs/X402.md`, Headers).
pub fn channel_state(id: B256, channel: &super::Channel) -> Value {
    let on = &channel.on_ledger;
    json!({
        "channelId": id,
        "balance": Units(on.balance),
        "totalClaimed": Units(on.total_claimed),
        "withdrawRequestedAt": on.withdraw_requested_at,
        "refundNonce": on.refund_nonce.to_string(),
        "chargedCumulativeAmount": Units(channel.charged),
    })
}

/// The newest voucher that the server holds, if any.
pub fn voucher_state(channel: &super::Channel) -> Option<Value> {
    (!channel.signature.is_empty()).then(|| {
        json!({
            "signedMaxClaimable": Units(channel.signed_max),
            "signature": Bytes::from(channel.signature.clone()),
        })
    })
}
