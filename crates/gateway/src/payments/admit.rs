//! From a request's headers to a payment that is held.

use super::{
    ChannelHold, Endpoint, ExactHold, Payments, Refusal, Served,
    channel::Vouched,
    code,
    exact::Authorized,
    wire::{self, BatchPayload, ExactPayload, PaymentPayload},
};
use alloy_primitives::B256;
use primitives::Amount;
use std::sync::Arc;

/// What is asked, as far as payment is concerned.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// Which endpoint.
    pub endpoint: Endpoint,
    /// Which model.
    pub model: B256,
    /// The most the answer can cost.
    pub amount: Amount,
    /// Digest of the body.
    pub body: B256,
    /// Whether the answer is to be streamed.
    pub streams: bool,
}

/// A payment that was taken.
pub enum Admitted {
    /// A channel is held.
    Channel(ChannelHold, IdentifierHold),
    /// An authorization is held.
    Exact(ExactHold, IdentifierHold),
    /// This payment was answered before: give the same answer again.
    Again(Served),
}

/// A payment identifier in use. Dropped without an answer it is released.
pub struct IdentifierHold {
    payments: Arc<Payments>,
    /// The identifier; empty without.
    pub identifier: String,
}

impl IdentifierHold {
    /// Remembers what it was used for.
    pub fn served(self, served: Served) {
        if !self.identifier.is_empty() {
            self.payments.book().finish_identifier(&self.identifier, served);
        }
    }
}

impl Drop for IdentifierHold {
    fn drop(&mut self) {
        if !self.identifier.is_empty() {
            self.payments.book().release_identifier(&self.identifier);
        }
    }
}

impl Payments {
    /// Reads and verifies the payment in `header`, and holds it.
    pub async fn admit(self: &Arc<Self>, asked: &Asked, header: &[u8]) -> Result<Admitted, Refusal> {
        let bad = |error: wire::BadHeader| Refusal::new(code::HEADER, error.to_string());
        let payment: PaymentPayload = wire::decode(header).map_err(bad)?;
        if payment.accepted.network != self.network {
            let message = format!("this operator is paid on {}", self.network);
            return Err(Refusal::new(code::NETWORK, message));
        }
        let identifier = payment.identifier().map_err(bad)?.unwrap_or_default();
        let identifier = match self.begin(identifier, asked.body)? {
            Ok(hold) => hold,
            Err(served) => return Ok(Admitted::Again(served)),
        };
        let malformed = |error: serde_json::Error| Refusal::new(code::HEADER, error.to_string());
        match payment.accepted.scheme.as_str() {
            wire::BATCH => {
                let payload: BatchPayload = serde_json::from_value(payment.payload).map_err(malformed)?;
                let vouched = self.vouch(asked.model, &payload, asked.amount, asked.body).await?;
                Ok(match vouched {
                    Vouched::Held(hold) => Admitted::Channel(hold, identifier),
                    Vouched::Again(served) => Admitted::Again(served),
                })
            }
            wire::EXACT if asked.streams => Err(Refusal::new(
                code::NO_STREAM,
                "under `exact` nothing is streamed: pay by channel, or do not stream",
            )),
            wire::EXACT => {
                let payload: ExactPayload = serde_json::from_value(payment.payload).map_err(malformed)?;
                let authorized = self.authorize(asked.model, payload, asked.amount, asked.body).await?;
                Ok(match authorized {
                    Authorized::Held(hold) => Admitted::Exact(hold, identifier),
                    Authorized::Again(served) => Admitted::Again(served),
                })
            }
            other => Err(Refusal::new(code::SCHEME, format!("the scheme `{other}` is not offered here"))),
        }
    }

    fn begin(
        self: &Arc<Self>,
        identifier: String,
        body: B256,
    ) -> Result<Result<IdentifierHold, Served>, Refusal> {
        if !identifier.is_empty() {
            match self.book().begin_identifier(&identifier) {
                None => {}
                Some(Some(served)) if served.body == body => return Ok(Err(served)),
                Some(Some(_)) => {
                    let message = "this payment identifier stands for another request: use a new one";
                    return Err(Refusal::conflict(code::REUSED, message));
                }
                Some(None) => {
                    let message = "a request with this payment identifier is being answered: wait for it";
                    return Err(Refusal::conflict(code::IN_PROGRESS, message));
                }
            }
        }
        Ok(Ok(IdentifierHold { payments: self.clone(), identifier }))
    }
}
