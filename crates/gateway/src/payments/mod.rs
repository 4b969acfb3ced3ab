//! Payment by x402 (`docs/X402.md`): offers, verification, charging.
//!
//! # States of a payment
//! ```text
//! by channel   verified ─▶ held (channel busy) ─▶ answer in the log with its charge ─▶ charged
//!                               └─ no answer ─▶ released, nothing charged
//! exact        verified ─▶ held (nonce in use) ─▶ answer made ─▶ intent on disk ─▶ transfer on the ledger ─▶ answer in the log
//!                               └─ no answer ─▶ released                └─ refused ─▶ dropped, nothing charged
//! ```
//! A channel's charge is part of the answer's log entry. At start the log is read once, and with it every channel's sum, newest
//! voucher and last answer ([`Payments::remember`]).
//!
//! # The same answer again
//! A client that did not get its answer asks again with the same voucher, the same authorization or the same payment identifier,
//! and the same body. It gets the answer it paid for and is not charged again. The same identifier with another body is refused.

use crate::{
    config::GatewayConfig,
    disk::Disk,
    ledger::{Ledger, LedgerError},
};
use alloy_primitives::{Address, B256};
use alloy_sol_types::SolStruct as _;
use compute::Account;
use interfaces::{addresses, channels::signed::Voucher};
use primitives::Amount;
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

pub mod admit;
pub mod channel;
pub mod exact;
pub mod intent;
pub mod note;
pub mod redeem;
pub mod refund;
pub mod refusal;
pub mod wire;

pub use admit::{Admitted, Asked};
pub use channel::{Channel, ChannelHold};
pub use exact::ExactHold;
pub use note::{Endpoint, Note, Paid};
pub use refusal::{Refusal, code};

/// How long an authorization must last, in seconds: an answer's time and a block's.
pub const MAX_TIMEOUT_SECONDS: u64 = 300;
/// Deposit that a 402 suggests, in answers like this one.
const DEPOSIT_ANSWERS: u128 = 20;
/// Payment identifiers remembered; the oldest are forgotten first.
const MAX_IDENTIFIERS: usize = 1 << 17;

/// An answer that was paid for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Served {
    /// The model.
    pub model: B256,
    /// Its place in that model's log.
    pub sequence: u64,
    /// Digest of the request's body.
    pub body: B256,
}

#[derive(Default)]
struct Book {
    channels: HashMap<B256, Channel>,
    /// By payer and nonce; `None` while an answer is being made.
    authorizations: HashMap<(Address, B256), Option<Served>>,
    /// By payment identifier; `None` while an answer is being made.
    identifiers: HashMap<String, Option<Served>>,
    identifier_order: std::collections::VecDeque<String>,
}

/// All payments to one operator.
pub struct Payments {
    ledger: Arc<dyn Ledger>,
    operator: Account,
    chain_id: u64,
    network: String,
    /// EIP-712's hash of the channels' domain.
    channels_domain: B256,
    /// EIP-712's hash of a voucher's type.
    voucher_type: B256,
    withdraw_delay_s: u64,
    intents: PathBuf,
    disk: Arc<dyn Disk>,
    book: Mutex<Book>,
}

impl Payments {
    /// Nothing paid yet. Pending intents stand in `data_dir/intents`.
    pub fn new(
        config: &GatewayConfig,
        ledger: Arc<dyn Ledger>,
        disk: Arc<dyn Disk>,
    ) -> std::io::Result<Payments> {
        let intents = config.data_dir.join("intents");
        disk.create_folder(&intents)?;
        intent::clean(disk.as_ref(), &intents)?;
        Ok(Payments {
            ledger,
            operator: config.operator.clone(),
            chain_id: config.chain_id,
            network: format!("eip155:{}", config.chain_id),
            channels_domain: interfaces::channels::domain(config.chain_id).hash_struct(),
            voucher_type: Voucher { channelId: B256::ZERO, maxClaimableAmount: 0 }.eip712_type_hash(),
            withdraw_delay_s: config.withdraw_delay_s,
            intents,
            disk,
            book: Mutex::new(Book::default()),
        })
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// CAIP-2 name of the ledger.
    pub fn network(&self) -> &str {
        &self.network
    }

    /// Takes up what an entry of the log says about payment. Entries come in order, at start.
    pub fn remember(&self, model: B256, sequence: u64, note: &Note) {
        let served = Served { model, sequence, body: note.body };
        let mut book = self.book();
        match &note.paid {
            Paid::Free => {}
            Paid::Channel { config, signed_max, signature, charged } => {
                let id = interfaces::channels::channel_id(config, self.chain_id);
                let channel = book.channels.entry(id).or_insert_with(|| Channel::new(config.clone(), model));
                channel.charge(*signed_max, signature.clone(), *charged, served);
            }
            Paid::Exact { from, nonce, .. } => {
                book.authorizations.insert((*from, *nonce), Some(served));
            }
        }
        if !note.identifier.is_empty() {
            book.finish_identifier(&note.identifier, served);
        }
    }

    /// The ways to pay `amount` for an answer of `model`; under `exact` nothing is streamed.
    pub fn accepts(&self, model: B256, amount: Amount, streams: bool) -> Vec<wire::Requirements> {
        let escrow = addresses::escrow(self.operator.address(), model);
        let requirements = |scheme: &str, extra: Value| wire::Requirements {
            scheme: scheme.into(),
            network: self.network.clone(),
            amount: wire::Units(amount.0),
            asset: addresses::TOKEN.to_checksum(None),
            pay_to: escrow.to_checksum(None),
            max_timeout_seconds: MAX_TIMEOUT_SECONDS,
            extra,
        };
        let (name, version) = (interfaces::token::NAME, interfaces::token::VERSION);
        let mut accepts = vec![requirements(
            wire::BATCH,
            json!({
                "name": name,
                "version": version,
                "assetTransferMethod": "eip3009",
                "receiverAuthorizer": self.operator.address().to_checksum(None),
                "withdrawDelay": self.withdraw_delay_s,
                "minDeposit": amount.0.saturating_mul(DEPOSIT_ANSWERS).to_string(),
            }),
        )];
        if !streams {
            let extra = json!({ "name": name, "version": version, "assetTransferMethod": "eip3009" });
            accepts.push(requirements(wire::EXACT, extra));
        }
        accepts
    }
}

impl Book {
    /// Marks an identifier as in use; what it was used for before, if anything.
    fn begin_identifier(&mut self, identifier: &str) -> Option<Option<Served>> {
        if let Some(known) = self.identifiers.get(identifier) {
            return Some(*known);
        }
        self.identifiers.insert(identifier.into(), None);
        None
    }

    fn finish_identifier(&mut self, identifier: &str, served: Served) {
        self.identifiers.insert(identifier.into(), Some(served));
        self.identifier_order.push_back(identifier.into());
        if self.identifier_order.len() > MAX_IDENTIFIERS
            && let Some(oldest) = self.identifier_order.pop_front()
        {
            self.identifiers.remove(&oldest);
        }
    }

    fn release_authorization(&mut self, key: (Address, B256)) {
        if self.authorizations.get(&key) == Some(&None) {
            self.authorizations.remove(&key);
        }
    }

    fn release_identifier(&mut self, identifier: &str) {
        if self.identifiers.get(identifier) == Some(&None) {
            self.identifiers.remove(identifier);
        }
    }
}

/// A ledger's error as a payment's refusal.
fn refused(error: LedgerError, code: &'static str) -> Refusal {
    match error {
        LedgerError::Refused { reason, .. } => Refusal::new(code, reason),
        LedgerError::Away(_) | LedgerError::Malformed(_) => Refusal::away(error.to_string()),
    }
}

impl Payments {
    /// Notes a transfer that is about to be sent, durably.
    pub fn note_intent(&self, intent: &intent::Intent) -> std::io::Result<()> {
        intent.write(self.disk.as_ref(), &self.intents)
    }

    /// Forgets a transfer whose outcome is known.
    pub fn forget_intent(&self, intent: &intent::Intent) -> std::io::Result<()> {
        intent.remove(self.disk.as_ref(), &self.intents)
    }

    /// Transfers whose outcome is not known.
    pub fn pending_intents(&self) -> std::io::Result<Vec<intent::Intent>> {
        intent::read_all(&self.intents)
    }

    /// Whether this authorization has its answer.
    pub fn was_served(&self, from: Address, nonce: B256) -> bool {
        matches!(self.book().authorizations.get(&(from, nonce)), Some(Some(_)))
    }

    /// What a payer was told when this answer was paid, told again.
    pub fn settled_before(&self, entry: &compute::Entry) -> Option<wire::SettleResponse> {
        let note = Note::decode(&entry.note).ok()?;
        let fee = entry.signed.receipt.fee.0.to_string();
        let response =
            |transaction: String, payer: Address, amount: String, extra: Value| wire::SettleResponse {
                success: true,
                error_reason: None,
                transaction,
                network: self.network.clone(),
                payer: payer.to_checksum(None),
                amount,
                extra,
            };
        match note.paid {
            Paid::Free => None,
            Paid::Channel { config, .. } => {
                let id = interfaces::channels::channel_id(&config, self.chain_id);
                let state = self.book().channels.get(&id).map(|c| refusal::channel_state(id, c));
                let extra = json!({ "chargedAmount": fee, "channelState": state });
                Some(response(String::new(), config.payer, String::new(), extra))
            }
            Paid::Exact { from, transaction, .. } => {
                Some(response(transaction.to_string(), from, fee, Value::Null))
            }
        }
    }
}
