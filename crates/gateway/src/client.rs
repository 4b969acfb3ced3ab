//! The paying side: opens a channel, signs vouchers, asks.
//!
//! The protocol is that of the stock x402 clients: ask, get a 402, pay, and when the operator's sum differs from ours check our own
//! signature, adopt the sum and try once more. What a payer risks is one voucher. A channel is kept in [`Memory`], which programs
//! may save between runs; without it the sum is found again by the operator's corrective 402.

use crate::payments::{
    code,
    exact::{now_s, token_domain},
    wire::{
        self, BATCH, BatchPayload, EXACT, ExactPayload, PAYMENT_REQUIRED, PAYMENT_RESPONSE,
        PAYMENT_SIGNATURE, PaymentPayload, PaymentRequired, Requirements, SettleResponse, Units, WireConfig,
        WireDeposit, WireDepositAuthorization, WireErc3009, WireTransfer, WireVoucher,
    },
};
use alloy_primitives::{Address, B256, Bytes, Signature, U256};
use alloy_sol_types::SolStruct;
use compute::{Account, account::signed_by};
use hyper::{HeaderMap, Method, StatusCode};
use interfaces::{
    addresses,
    channels::{ChannelConfig, channel_id, deposit_nonce, domain, signed},
    token::{ReceiveWithAuthorization, TransferWithAuthorization},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{collections::BTreeMap, time::Duration};

pub mod http;

/// Longest response that is read.
const MAX_RESPONSE_BYTES: usize = 32 << 20;

/// How often a busy channel is asked again.
const BUSY_WAITS: u32 = 50;
/// How long to wait before.
const BUSY_PAUSE: Duration = Duration::from_millis(100);

/// What is known of one channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// Charged so far, as far as we know.
    pub charged: Units,
    /// Deposited.
    pub balance: Units,
}

/// All channels of a payer, by id.
pub type Memory = BTreeMap<B256, Known>;

/// Why an asking failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The gateway cannot be reached.
    #[error(transparent)]
    Http(#[from] http::HttpError),
    /// The gateway refused.
    #[error("the gateway answered {status}: {message}")]
    Refused { status: StatusCode, code: String, message: String },
    /// It asks more than allowed.
    #[error(
        "an answer may cost {asked} units, more than the {allowed} that are allowed: raise the limit or ask for less"
    )]
    TooDear { asked: u128, allowed: u128 },
    /// The channel holds less than the answer may cost, and only its payer can put more into it.
    #[error(
        "the channel has {left} units left and an answer may cost {asked}: ask for fewer tokens, or open another channel"
    )]
    Spent { asked: u128, left: u128 },
    /// This payer has no channel with whom the offer names.
    #[error("this key pays for another model or operator: ask for the model that its channel was opened for")]
    NoChannel,
    /// The 402 cannot be paid.
    #[error("the offer cannot be paid: {0}")]
    BadOffer(String),
    /// The response is not what the API says.
    #[error("the gateway's response cannot be read: {0}")]
    Malformed(String),
}

/// An answer and what it cost.
#[derive(Clone, Debug)]
pub struct Paid {
    /// The response's body.
    pub body: Value,
    /// What was charged, once known.
    pub settled: Option<SettleResponse>,
}

/// A payer, or who signs for one.
pub struct Client {
    url: String,
    account: Account,
    /// Who funds the channels. When it is not `account`, only funded channels are used.
    payer: Address,
    chain_id: u64,
    /// The most one answer may cost.
    pub most: u128,
    /// Tells channels of one payer apart.
    pub salt: B256,
    /// Channels.
    pub memory: Memory,
}

impl Client {
    /// A payer at the gateway at `url`, such as `http://127.0.0.1:8402`.
    pub fn new(url: &str, account: Account, chain_id: u64, most: u128) -> Client {
        let (url, payer) = (url.trim_end_matches('/').into(), account.address());
        Client { url, account, payer, chain_id, most, salt: B256::ZERO, memory: Memory::new() }
    }

    /// Signs for channels that `payer` funded and in which this account is the `payerAuthorizer`. It never deposits: what `memory` says
    /// of a channel is all that can be spent.
    pub fn on_behalf_of(self, payer: Address) -> Client {
        Client { payer, ..self }
    }

    /// Asks by channel and reads the whole answer.
    pub async fn ask(&mut self, path: &str, body: &Value) -> Result<Paid, ClientError> {
        self.paid(path, body, BATCH).await
    }

    /// Asks and pays by one transfer.
    pub async fn ask_exact(&mut self, path: &str, body: &Value) -> Result<Paid, ClientError> {
        self.paid(path, body, EXACT).await
    }

    async fn paid(&mut self, path: &str, body: &Value, scheme: &str) -> Result<Paid, ClientError> {
        let Exchange { response, .. } = self.pay(path, body.to_string().into_bytes(), scheme).await?;
        let response = answered(response).await?;
        let settled = settled(&response.headers);
        let response = response.whole(MAX_RESPONSE_BYTES).await?;
        let body = serde_json::from_slice(&response.body);
        Ok(Paid { body: body.map_err(|error| ClientError::Malformed(error.to_string()))?, settled })
    }

    /// Asks by channel with a body as it stands, and returns the response as it comes: any but a 402. What an answer cost is taken up from
    /// its headers; on streams the caller tells it by [`Client::charge`], or the next answer's 402 does.
    pub async fn forward(&mut self, path: &str, body: Vec<u8>) -> Result<Exchange, ClientError> {
        self.pay(path, body, BATCH).await
    }

    /// Takes up what a stream turned out to cost.
    pub fn charge(&mut self, channel: B256, units: u128) {
        if let Some(known) = self.memory.get_mut(&channel) {
            known.charged.0 = known.charged.0.saturating_add(units);
        }
    }

    /// Asks by channel for a stream, handing each `data:` event to `each`. What it cost stands in the last event with `usage`.
    pub async fn stream(
        &mut self,
        path: &str,
        body: &Value,
        mut each: impl FnMut(&Value),
    ) -> Result<(), ClientError> {
        let Exchange { response, .. } = self.pay(path, body.to_string().into_bytes(), BATCH).await?;
        let mut response = answered(response).await?;
        let mut pending = Vec::new();
        while let Some(more) = response.more().await? {
            pending.extend_from_slice(&more);
            while let Some(end) = pending.windows(2).position(|pair| pair == b"\n\n") {
                let event: Vec<u8> = pending.drain(..end + 2).collect();
                for line in String::from_utf8_lossy(&event).lines() {
                    if let Some(data) = line.strip_prefix("data: ").filter(|data| *data != "[DONE]") {
                        let data = serde_json::from_str(data);
                        each(&data.map_err(|error| ClientError::Malformed(error.to_string()))?);
                    }
                }
            }
            if pending.len() > MAX_RESPONSE_BYTES {
                return Err(ClientError::Malformed("an event without an end".into()));
            }
        }
        Ok(())
    }

    /// Asks, pays, and returns the response unless it is a 402.
    async fn pay(&mut self, path: &str, bytes: Vec<u8>, scheme: &str) -> Result<Exchange, ClientError> {
        let url = format!("{}{path}", self.url);
        let response = http::send(Method::POST, &url, &[], bytes.clone()).await?;
        if response.status != StatusCode::PAYMENT_REQUIRED {
            return Ok(Exchange { response, channel: None });
        }
        let mut offer = required(response).await?;
        let (mut corrections, mut waits) = (0, 0);
        loop {
            let requirements = choose(&offer, scheme)?.clone();
            if requirements.amount.0 > self.most {
                return Err(ClientError::TooDear { asked: requirements.amount.0, allowed: self.most });
            }
            let (payload, channel) = if scheme == EXACT {
                (self.exact(&requirements)?, None)
            } else {
                let (payload, id, known) = self.channel(&requirements)?;
                (payload, Some((id, known)))
            };
            let payment = PaymentPayload {
                x402_version: 2,
                accepted: requirements,
                payload,
                resource: Some(offer.resource.clone()),
                extensions: None,
            };
            let header = wire::encode(&payment);
            let response =
                http::send(Method::POST, &url, &[(PAYMENT_SIGNATURE, &header)], bytes.clone()).await?;
            if response.status == StatusCode::OK {
                let channel = channel.map(|(id, mut known)| {
                    known.charged.0 += charged(&response.headers);
                    self.memory.insert(id, known);
                    id
                });
                return Ok(Exchange { response, channel });
            }
            if response.status != StatusCode::PAYMENT_REQUIRED {
                return Ok(Exchange { response, channel: None });
            }
            let corrected = required(response).await?;
            if corrected.error == code::BUSY && waits < BUSY_WAITS {
                // The answer before is being ended: its client left it.
                waits += 1;
                tokio::time::sleep(BUSY_PAUSE).await;
                continue;
            }
            if corrections > 0 || !self.adopt(&corrected)? {
                let message = format!("the payment was refused: {}", corrected.error);
                let status = StatusCode::PAYMENT_REQUIRED;
                return Err(ClientError::Refused { status, code: corrected.error, message });
            }
            corrections += 1;
            offer = corrected;
        }
    }

    /// What an answer of up to 1,000 tokens read and 1,000 written would be offered for, with no strings attached.
    pub async fn offer(&self, model: &str) -> Result<Requirements, ClientError> {
        let url = format!("{}/v1/chat/completions?model={model}", self.url);
        let offer = required(http::send(Method::GET, &url, &[], Vec::new()).await?).await?;
        choose(&offer, BATCH).cloned()
    }

    /// The channel that pays for an offer.
    pub fn config(&self, requirements: &Requirements) -> Result<ChannelConfig, ClientError> {
        let bad = |what: &str| ClientError::BadOffer(format!("its {what} cannot be read"));
        let address = |text: &str, what| text.parse::<Address>().map_err(|_| bad(what));
        let extra = &requirements.extra;
        let authorizer = extra["receiverAuthorizer"].as_str().unwrap_or_default();
        let delay = extra["withdrawDelay"].as_u64().and_then(|delay| delay.try_into().ok());
        if address(&requirements.asset, "asset")? != addresses::TOKEN {
            return Err(bad("asset, which must be OPEN,"));
        }
        Ok(ChannelConfig {
            payer: self.payer,
            payerAuthorizer: self.account.address(),
            receiver: address(&requirements.pay_to, "payTo")?,
            receiverAuthorizer: address(authorizer, "receiverAuthorizer")?,
            token: addresses::TOKEN,
            withdrawDelay: delay.ok_or_else(|| bad("withdrawDelay"))?,
            salt: self.salt,
        })
    }

    /// A voucher for this answer, with a deposit where the channel does not hold enough.
    fn channel(&self, requirements: &Requirements) -> Result<(Value, B256, Known), ClientError> {
        let config = self.config(requirements)?;
        let id = channel_id(&config, self.chain_id);
        let funded = self.memory.get(&id).copied();
        let amount = requirements.amount.0;
        let mut known = funded.unwrap_or_default();
        let max = known.charged.0.saturating_add(amount);
        if self.payer != self.account.address() {
            if funded.is_none() {
                return Err(ClientError::NoChannel);
            }
            if max > known.balance.0 {
                let left = known.balance.0.saturating_sub(known.charged.0);
                return Err(ClientError::Spent { asked: amount, left });
            }
        }
        let message = signed::Voucher { channelId: id, maxClaimableAmount: max };
        let signature = self.account.sign(&message.eip712_signing_hash(&domain(self.chain_id)));
        let voucher =
            WireVoucher { channel_id: id, max_claimable_amount: Units(max), signature: bytes(&signature) };
        let channel_config = WireConfig::from(&config);
        let payload = if max > known.balance.0 {
            let hint = requirements.extra["minDeposit"].as_str().and_then(|text| text.parse().ok());
            let deposit = (max - known.balance.0).max(hint.unwrap_or(0));
            known.balance.0 += deposit;
            let deposit = self.deposit(id, deposit, requirements.max_timeout_seconds)?;
            BatchPayload::Deposit { channel_config, voucher, deposit }
        } else {
            BatchPayload::Voucher { channel_config, voucher }
        };
        Ok((json!(payload), id, known))
    }

    /// The voucher payment for an offer, as JSON.
    pub fn payment_for(&self, requirements: &Requirements) -> Result<Value, ClientError> {
        self.channel(requirements).map(|(payload, ..)| payload)
    }

    /// The `exact` payment for an offer, as JSON.
    pub fn exact_for(&self, requirements: &Requirements) -> Result<Value, ClientError> {
        self.exact(requirements)
    }

    fn deposit(&self, id: B256, amount: u128, lasts_s: u64) -> Result<WireDeposit, ClientError> {
        let salt = U256::from_be_bytes(random()?);
        let valid_before = now_s() + lasts_s;
        let message = ReceiveWithAuthorization {
            from: self.account.address(),
            to: addresses::DEPOSIT_COLLECTOR,
            value: U256::from(amount),
            validAfter: U256::ZERO,
            validBefore: U256::from(valid_before),
            nonce: deposit_nonce(id, salt),
        };
        let signature = self.account.sign(&message.eip712_signing_hash(&token_domain(self.chain_id)));
        let authorization = WireErc3009 {
            valid_after: Units(0),
            valid_before: Units(valid_before.into()),
            salt: format!("{salt:#x}"),
            signature: bytes(&signature),
        };
        let authorization = WireDepositAuthorization { erc3009_authorization: Some(authorization) };
        Ok(WireDeposit { amount: Units(amount), authorization })
    }

    fn exact(&self, requirements: &Requirements) -> Result<Value, ClientError> {
        let to = requirements.pay_to.parse();
        let to = to.map_err(|_| ClientError::BadOffer("its payTo cannot be read".into()))?;
        let (nonce, valid_before) = (B256::new(random()?), now_s() + requirements.max_timeout_seconds);
        let message = TransferWithAuthorization {
            from: self.account.address(),
            to,
            value: U256::from(requirements.amount.0),
            validAfter: U256::ZERO,
            validBefore: U256::from(valid_before),
            nonce,
        };
        let signature = self.account.sign(&message.eip712_signing_hash(&token_domain(self.chain_id)));
        let authorization = WireTransfer {
            from: self.account.address(),
            to,
            value: requirements.amount,
            valid_after: Units(0),
            valid_before: Units(valid_before.into()),
            nonce,
        };
        Ok(json!(ExactPayload { signature: bytes(&signature), authorization }))
    }

    /// Adopts the operator's sum if a voucher of ours covers it; false when the 402 is about something else.
    fn adopt(&mut self, corrected: &PaymentRequired) -> Result<bool, ClientError> {
        let requirements = choose(corrected, BATCH)?;
        let state = &requirements.extra["channelState"];
        let number = |value: &Value| value.as_str().and_then(|text| text.parse::<u128>().ok());
        let (Some(charged), Some(balance)) =
            (number(&state["chargedCumulativeAmount"]), number(&state["balance"]))
        else {
            return Ok(false);
        };
        let id = channel_id(&self.config(requirements)?, self.chain_id);
        let voucher = &requirements.extra["voucherState"];
        if charged > 0 {
            let signature = voucher["signature"].as_str().and_then(|text| text.parse::<Bytes>().ok());
            let signature = signature.and_then(|raw| Signature::from_raw(&raw).ok());
            let (Some(max), Some(signature)) = (number(&voucher["signedMaxClaimable"]), signature) else {
                return Ok(false);
            };
            let message = signed::Voucher { channelId: id, maxClaimableAmount: max };
            let digest = message.eip712_signing_hash(&domain(self.chain_id));
            if charged > max || !signed_by(self.account.address(), &digest, &signature) {
                return Err(ClientError::BadOffer("it claims a sum that we never signed".into()));
            }
        }
        self.memory.insert(id, Known { charged: Units(charged), balance: Units(balance) });
        Ok(true)
    }

    /// Closes the channel with the operator of `model`: what was not charged comes back.
    pub async fn refund(&mut self, model: &str) -> Result<SettleResponse, ClientError> {
        let url = format!("{}/v1/chat/completions?model={model}", self.url);
        let mut offer = required(http::send(Method::GET, &url, &[], Vec::new()).await?).await?;
        for attempt in 0..2 {
            let requirements = choose(&offer, BATCH)?.clone();
            let config = self.config(&requirements)?;
            let id = channel_id(&config, self.chain_id);
            let charged = self.memory.get(&id).copied().unwrap_or_default().charged;
            let message = signed::Voucher { channelId: id, maxClaimableAmount: charged.0 };
            let signature = self.account.sign(&message.eip712_signing_hash(&domain(self.chain_id)));
            let voucher =
                WireVoucher { channel_id: id, max_claimable_amount: charged, signature: bytes(&signature) };
            let payload =
                BatchPayload::Refund { channel_config: WireConfig::from(&config), voucher, amount: None };
            let payment = PaymentPayload {
                x402_version: 2,
                accepted: requirements,
                payload: json!(payload),
                resource: None,
                extensions: None,
            };
            let header = wire::encode(&payment);
            let response = http::send(Method::GET, &url, &[(PAYMENT_SIGNATURE, &header)], Vec::new()).await?;
            if response.status == StatusCode::OK {
                self.memory.remove(&id);
                return settled(&response.headers)
                    .ok_or_else(|| ClientError::Malformed("a refund without PAYMENT-RESPONSE".into()));
            }
            let corrected = required(response).await?;
            if attempt > 0 || !self.adopt(&corrected)? {
                let (code, message) = (corrected.error.clone(), corrected.error);
                return Err(ClientError::Refused { status: StatusCode::PAYMENT_REQUIRED, code, message });
            }
            offer = corrected;
        }
        Err(ClientError::BadOffer("the sums do not meet".into()))
    }
}

/// A response and the channel that paid for it.
#[derive(Debug)]
pub struct Exchange {
    /// As it comes.
    pub response: http::Incomplete,
    /// Whose charge the response tells, if it was paid.
    pub channel: Option<B256>,
}

/// The response if it is an answer, or the error that it is.
async fn answered(response: http::Incomplete) -> Result<http::Incomplete, ClientError> {
    if response.status == StatusCode::OK { Ok(response) } else { Err(failure(response).await) }
}

async fn failure(response: http::Incomplete) -> ClientError {
    let status = response.status;
    let body = match response.whole(MAX_RESPONSE_BYTES).await {
        Ok(response) => response.body,
        Err(error) => return error.into(),
    };
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let text = |name: &str| body["error"][name].as_str().unwrap_or_default().to_string();
    ClientError::Refused { status, code: text("code"), message: text("message") }
}

fn bytes(signature: &Signature) -> Bytes {
    Bytes::from(signature.as_bytes().to_vec())
}

fn random() -> Result<[u8; 32], ClientError> {
    let mut random = [0; 32];
    getrandom::fill(&mut random).map_err(|error| ClientError::Malformed(error.to_string()))?;
    Ok(random)
}

fn choose<'a>(offer: &'a PaymentRequired, scheme: &str) -> Result<&'a Requirements, ClientError> {
    let found = offer.accepts.iter().find(|way| way.scheme == scheme);
    found.ok_or_else(|| ClientError::BadOffer(format!("it does not take `{scheme}`")))
}

fn settled(headers: &HeaderMap) -> Option<SettleResponse> {
    wire::decode(headers.get(PAYMENT_RESPONSE)?.as_bytes()).ok()
}

/// What a response says it charged; nothing on streams, where the next 402 corrects the sum.
fn charged(headers: &HeaderMap) -> u128 {
    let settled = settled(headers);
    let charged = settled.as_ref().and_then(|settled| settled.extra["chargedAmount"].as_str());
    charged.and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// The offer of a 402, or the error that the response is.
async fn required(response: http::Incomplete) -> Result<PaymentRequired, ClientError> {
    let status = response.status;
    let offer = response.headers.get(PAYMENT_REQUIRED).map(|header| wire::decode(header.as_bytes()));
    if status == StatusCode::PAYMENT_REQUIRED
        && let Some(offer) = offer
    {
        return offer.map_err(|error| ClientError::BadOffer(error.to_string()));
    }
    Err(failure(response).await)
}
