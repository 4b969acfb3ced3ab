//! Signed transfers to put into blocks.

use alloy_consensus::{SignableTransaction as _, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::Encodable2718 as _;
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256};
use k256::ecdsa::SigningKey;

/// An account with its key.
pub struct Wallet {
    key: SigningKey,
    /// Where it is.
    pub address: Address,
}

impl Wallet {
    /// The wallet of a seed.
    pub fn new(seed: u8) -> Self {
        let key = SigningKey::from_slice(&[seed.max(1); 32]).expect("a small number is a key");
        let address = Address::from_public_key(key.verifying_key());
        Self { key, address }
    }

    /// Signs a digest.
    pub fn sign(&self, digest: &B256) -> Signature {
        let (signature, recovery) =
            self.key.sign_prehash_recoverable(digest.as_slice()).expect("any digest signs");
        Signature::from((signature, recovery))
    }

    /// A signed transfer of `value` units.
    pub fn transfer(&self, chain_id: u64, nonce: u64, to: Address, value: u128) -> Bytes {
        self.call(chain_id, nonce, to, value, Bytes::new(), 21_000)
    }

    /// A signed call.
    pub fn call(
        &self,
        chain_id: u64,
        nonce: u64,
        to: Address,
        value: u128,
        input: Bytes,
        gas_limit: u64,
    ) -> Bytes {
        let unsigned = TxEip1559 {
            chain_id,
            nonce,
            gas_limit,
            max_fee_per_gas: 10_000_000_000,
            max_priority_fee_per_gas: 1_000_000,
            to: TxKind::Call(to),
            value: U256::from(value),
            input,
            ..TxEip1559::default()
        };
        let signature = self.sign(&unsigned.signature_hash());
        TxEnvelope::from(unsigned.into_signed(signature)).encoded_2718().into()
    }
}
