//! Transactions as they arrive: Ethereum envelopes, decoded, checked and their sender recovered.
//!
//! Accepted: legacy with a chain id (EIP-155), EIP-2930 and EIP-1559, to an address, without an access list
//! (the ledger has no slots that a client could name). Refused with a reason: contract creation, blobs,
//! code delegation, another chain's id, a signature with high `s` (EIP-2), anything malleable or oversized.

use crate::block::MAX_TRANSACTION_BYTES;
use alloy_consensus::{Transaction as _, TxEnvelope, transaction::SignerRecoverable as _};
use alloy_eips::eip2718::{Decodable2718 as _, Encodable2718 as _};
use alloy_primitives::{Address, B256, TxKind};
use bytes::Bytes;
use rayon::prelude::*;

/// Why a raw transaction cannot be accepted by any node of this chain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransactionError {
    /// More bytes than [`MAX_TRANSACTION_BYTES`].
    #[error(
        "transaction of {0} bytes: the limit is {MAX_TRANSACTION_BYTES}; put long content in the vault and its hash here"
    )]
    TooLarge(usize),
    /// Not the RLP of a known envelope, or bytes follow it.
    #[error("malformed transaction: {0}")]
    Malformed(String),
    /// Blobs (type 3), delegation (type 4) or an unknown type.
    #[error("transaction type {0} is not supported: use EIP-1559 (type 2), EIP-2930 (type 1) or legacy")]
    UnsupportedType(u8),
    /// No EIP-155 chain id, so that the transaction could be replayed elsewhere.
    #[error("legacy transaction without a chain id: sign it for chain id {0} (EIP-155)")]
    Unprotected(u64),
    /// Signed for another chain.
    #[error("transaction is signed for chain id {found}, this chain is {expected}")]
    WrongChain {
        /// Chain id in the transaction.
        found: u64,
        /// Chain id of this chain.
        expected: u64,
    },
    /// `to` is empty.
    #[error(
        "contract creation is not supported: the ledger has native modules only; send to a module's address"
    )]
    ContractCreation,
    /// An access list names slots, which have no meaning here.
    #[error("access lists are not supported: leave the list empty")]
    AccessList,
    /// The tip exceeds the cap.
    #[error("max priority fee {tip} exceeds max fee {cap}")]
    TipAboveCap {
        /// Tip in the transaction.
        tip: u128,
        /// Cap in the transaction.
        cap: u128,
    },
    /// Signature with high `s`, bad recovery id, or no matching key.
    #[error("invalid signature: {0}")]
    Signature(String),
}

/// A transaction whose signature has been checked.
#[derive(Clone, Debug)]
pub struct SignedTransaction {
    /// The bytes as signed, in EIP-2718 form.
    pub raw: Bytes,
    /// Envelope with its signature, for JSON-RPC.
    pub envelope: TxEnvelope,
    /// What the ledger executes.
    pub call: ledger::Transaction,
}

impl SignedTransaction {
    /// Transaction hash (keccak of the envelope).
    pub fn hash(&self) -> B256 {
        self.call.hash
    }

    /// Account that signed.
    pub fn sender(&self) -> Address {
        self.call.sender
    }

    /// Tip per gas for the proposer at `base_fee`, `None` when the cap is below the base fee.
    pub fn effective_tip(&self, base_fee: u128) -> Option<u128> {
        let room = self.call.max_fee.checked_sub(base_fee)?;
        Some(room.min(self.call.max_priority_fee))
    }
}

/// Decodes and checks one raw transaction for the chain `chain_id`, and recovers its sender.
pub fn decode(raw: Bytes, chain_id: u64) -> Result<SignedTransaction, TransactionError> {
    if raw.len() > MAX_TRANSACTION_BYTES {
        return Err(TransactionError::TooLarge(raw.len()));
    }
    match raw.first() {
        None => return Err(TransactionError::Malformed("empty".into())),
        Some(&kind) if kind == 0 || (3..0xc0).contains(&kind) => {
            return Err(TransactionError::UnsupportedType(kind));
        }
        Some(_) => {}
    }
    let mut rest: &[u8] = &raw;
    let envelope =
        TxEnvelope::decode_2718(&mut rest).map_err(|error| TransactionError::Malformed(error.to_string()))?;
    if !rest.is_empty() {
        return Err(TransactionError::Malformed(format!("{} bytes follow the transaction", rest.len())));
    }
    // One transaction has one encoding, or a relay could change its bytes and with them the block.
    if envelope.encode_2718_len() != raw.len() || envelope.encoded_2718() != raw {
        return Err(TransactionError::Malformed("not in canonical form".into()));
    }
    match envelope.chain_id() {
        None => return Err(TransactionError::Unprotected(chain_id)),
        Some(found) if found != chain_id => {
            return Err(TransactionError::WrongChain { found, expected: chain_id });
        }
        Some(_) => {}
    }
    let TxKind::Call(to) = envelope.kind() else { return Err(TransactionError::ContractCreation) };
    if envelope.access_list().is_some_and(|list| !list.is_empty()) {
        return Err(TransactionError::AccessList);
    }
    let cap = envelope.max_fee_per_gas();
    let tip = envelope.max_priority_fee_per_gas().unwrap_or(cap);
    if tip > cap {
        return Err(TransactionError::TipAboveCap { tip, cap });
    }
    let sender = envelope.recover_signer().map_err(|error| TransactionError::Signature(error.to_string()))?;
    let call = ledger::Transaction {
        hash: *envelope.tx_hash(),
        sender,
        to,
        nonce: envelope.nonce(),
        value: envelope.value(),
        data: envelope.input().clone(),
        gas_limit: envelope.gas_limit(),
        max_fee: cap,
        max_priority_fee: tip,
    };
    Ok(SignedTransaction { raw, envelope, call })
}

/// [`decode`] for many at once, on all cores, in the order given.
pub fn decode_many(raw: Vec<Bytes>, chain_id: u64) -> Vec<Result<SignedTransaction, TransactionError>> {
    raw.into_par_iter().map(|raw| decode(raw, chain_id)).collect()
}
