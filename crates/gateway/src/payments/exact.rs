//! `exact`: one ERC-3009 transfer to the escrow, sent by the operator once the answer is made.

use super::{
    Payments, Refusal, Served, code,
    wire::{ExactPayload, SettleResponse, WireTransfer},
};
use crate::ledger::{self, LedgerError};
use alloy_primitives::{Address, B256, Signature, U256};
use alloy_sol_types::{Eip712Domain, SolStruct};
use compute::account::signed_by;
use interfaces::{
    addresses,
    token::{IToken, NAME, TransferWithAuthorization, VERSION},
};
use primitives::Amount;
use serde_json::Value;
use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

/// Time that must be left on an authorization, in seconds: to make the answer and include the transfer.
const MIN_LEFT_S: u64 = 6;

/// An authorization held for one answer. Dropped before it was sent it is released, and nothing is owed.
pub struct ExactHold {
    payments: Arc<Payments>,
    /// What the payer signed.
    pub authorization: WireTransfer,
    signature: alloy_primitives::Bytes,
    served: bool,
}

impl Drop for ExactHold {
    fn drop(&mut self) {
        if !self.served {
            let key = (self.authorization.from, self.authorization.nonce);
            self.payments.book().release_authorization(key);
        }
    }
}

/// What came of sending the transfer.
pub enum Transferred {
    /// It is in a block.
    Paid(B256),
    /// The ledger will not take it.
    Refused(Refusal),
    /// Nobody knows yet: the intent stays, and is looked into until the authorization ends.
    Unknown(Refusal),
}

impl ExactHold {
    /// What is paid.
    pub fn amount(&self) -> Amount {
        Amount(self.authorization.value.0)
    }

    /// Sends the transfer.
    pub async fn transfer(&self) -> Transferred {
        let WireTransfer { from, to, value, valid_after, valid_before, nonce } = self.authorization;
        let call = IToken::transferWithAuthorization_1Call {
            from,
            to,
            value: U256::from(value.0),
            validAfter: U256::from(valid_after.0),
            validBefore: U256::from(valid_before.0),
            nonce,
            signature: self.signature.clone(),
        };
        match ledger::send(self.payments.ledger.as_ref(), addresses::TOKEN, U256::ZERO, &call).await {
            Ok(included) => Transferred::Paid(included.hash),
            Err(error @ LedgerError::Refused { .. }) => {
                Transferred::Refused(super::refused(error, code::EXACT_FAILED))
            }
            Err(error) => Transferred::Unknown(Refusal::away(error.to_string())),
        }
    }

    /// Takes up the payment, now that the log has it, and says so to the client.
    pub fn paid(mut self, transaction: B256, served: Served) -> SettleResponse {
        self.served = true;
        let WireTransfer { from, value, nonce, .. } = self.authorization;
        self.payments.book().authorizations.insert((from, nonce), Some(served));
        SettleResponse {
            success: true,
            error_reason: None,
            transaction: transaction.to_string(),
            network: self.payments.network.clone(),
            payer: from.to_checksum(None),
            amount: value.0.to_string(),
            extra: Value::Null,
        }
    }
}

/// The nonce of an intent that is looked into. Dropped before it was served it is released.
pub struct IntentHold {
    payments: Arc<Payments>,
    key: (Address, B256),
}

impl Drop for IntentHold {
    fn drop(&mut self) {
        self.payments.book().release_authorization(self.key);
    }
}

/// An authorization that is held, or the answer it already paid for.
pub enum Authorized {
    /// Held for a new answer.
    Held(ExactHold),
    /// It was answered before.
    Again(Served),
}

/// Unix time in seconds.
pub fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs())
}

/// The domain under which transfers are signed.
pub fn token_domain(chain_id: u64) -> Eip712Domain {
    Eip712Domain::new(
        Some(NAME.into()),
        Some(VERSION.into()),
        Some(U256::from(chain_id)),
        Some(addresses::TOKEN),
        None,
    )
}

impl Payments {
    /// Verifies an authorization of exactly `amount` and holds its nonce.
    pub(super) async fn authorize(
        self: &Arc<Self>,
        model: B256,
        payload: ExactPayload,
        amount: Amount,
        body: B256,
    ) -> Result<Authorized, Refusal> {
        let ExactPayload { signature, authorization } = payload;
        self.check_authorization(model, &authorization, &signature, amount)?;
        let WireTransfer { from, nonce, valid_before, .. } = authorization;
        let key = (from, nonce);
        match self.book().authorizations.get(&key) {
            Some(Some(served)) if served.body == body => return Ok(Authorized::Again(*served)),
            Some(Some(_)) => {
                return Err(Refusal::new(code::EXACT_NONCE, "this authorization paid for another request"));
            }
            Some(None) => {
                return Err(Refusal::conflict(
                    code::IN_PROGRESS,
                    "this payment is being answered: wait for it",
                ));
            }
            None => {}
        }
        // Held before anything is awaited, so that two requests cannot both hold it.
        if let Some(other) = self.book().authorizations.insert(key, None) {
            self.book().authorizations.insert(key, other);
            return Err(Refusal::conflict(code::IN_PROGRESS, "this payment is being answered: wait for it"));
        }
        let hold = ExactHold { payments: self.clone(), authorization, signature, served: false };
        if valid_before.0 < u128::from(now_s() + MIN_LEFT_S) {
            return Err(Refusal::new(code::EXACT_BEFORE, "the authorization ends too soon"));
        }
        if self.is_used(from, nonce).await.map_err(|e| super::refused(e, code::EXACT_NONCE))? {
            return Err(Refusal::new(code::EXACT_NONCE, "this authorization was used before"));
        }
        let held = ledger::balance(self.ledger.as_ref(), from).await;
        if held.map_err(|error| super::refused(error, code::EXACT_BALANCE))? < amount.0 {
            return Err(Refusal::new(
                code::EXACT_BALANCE,
                format!("the payer holds less than {} units", amount.0),
            ));
        }
        Ok(Authorized::Held(hold))
    }

    fn check_authorization(
        &self,
        model: B256,
        authorization: &WireTransfer,
        signature: &[u8],
        amount: Amount,
    ) -> Result<(), Refusal> {
        let WireTransfer { from, to, value, valid_after, valid_before, nonce } = *authorization;
        let refuse = |code, message: &str| Err(Refusal::new(code, message));
        if to != addresses::escrow(self.operator.address(), model) {
            return refuse(code::EXACT_RECIPIENT, "the transfer must go to `payTo` of this model's offer");
        }
        if value.0 != amount.0 {
            return refuse(code::EXACT_VALUE, "the transfer must be of exactly the offer's amount");
        }
        if valid_after.0 > u128::from(now_s()) {
            return refuse(code::EXACT_AFTER, "the authorization is not valid yet");
        }
        let message = TransferWithAuthorization {
            from,
            to,
            value: U256::from(value.0),
            validAfter: U256::from(valid_after.0),
            validBefore: U256::from(valid_before.0),
            nonce,
        };
        let digest = message.eip712_signing_hash(&token_domain(self.chain_id));
        let parsed = Signature::from_raw(signature).ok().filter(|_| signature.len() == 65);
        if !parsed.is_some_and(|parsed| signed_by(from, &digest, &parsed)) {
            return refuse(code::EXACT_SIGNATURE, "the authorization is not signed by its payer");
        }
        Ok(())
    }

    /// Holds the nonce of an intent, unless somebody does already: an answer that is being made, or another look at the same intent.
    pub(crate) fn hold_intent(self: &Arc<Self>, from: Address, nonce: B256) -> Option<IntentHold> {
        let key = (from, nonce);
        let mut book = self.book();
        if book.authorizations.contains_key(&key) {
            return None;
        }
        book.authorizations.insert(key, None);
        Some(IntentHold { payments: self.clone(), key })
    }

    /// Whether an authorization was used on the ledger.
    pub(crate) async fn is_used(&self, authorizer: Address, nonce: B256) -> Result<bool, LedgerError> {
        let call = IToken::authorizationStateCall { authorizer, nonce };
        ledger::view(self.ledger.as_ref(), addresses::TOKEN, &call).await
    }
}
