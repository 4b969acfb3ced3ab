//! Accounts, and transfers signed by them.

use crate::Failure;
use alloy_consensus::{SignableTransaction as _, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::Encodable2718 as _;
use alloy_primitives::{Address, Bytes, Signature, TxKind, U256, hex, keccak256};
use k256::ecdsa::SigningKey;
use std::time::Instant;

/// The first account of the mnemonic that development chains fund.
const FUNDED: &str = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";

/// An account and its key.
pub struct Account {
    key: SigningKey,
    /// Where it is.
    pub address: Address,
}

impl Account {
    /// The account that the node funds.
    pub fn funded() -> Result<Self, Failure> {
        Self::of(&hex::decode(FUNDED)?)
    }

    /// The account of a seed.
    pub fn new(seed: u64) -> Result<Self, Failure> {
        Self::of(keccak256([b"load".as_slice(), &seed.to_le_bytes()].concat()).as_slice())
    }

    fn of(secret: &[u8]) -> Result<Self, Failure> {
        let key = SigningKey::from_slice(secret)?;
        let address = Address::from_public_key(key.verifying_key());
        Ok(Self { key, address })
    }

    /// A signed transfer.
    pub fn transfer(&self, chain_id: u64, nonce: u64, to: Address, value: U256) -> Result<Bytes, Failure> {
        let unsigned = TxEip1559 {
            chain_id,
            nonce,
            gas_limit: 21_000,
            max_fee_per_gas: 50_000_000_000,
            max_priority_fee_per_gas: 1_000_000_000,
            to: TxKind::Call(to),
            value,
            ..TxEip1559::default()
        };
        let (signature, recovery) =
            self.key.sign_prehash_recoverable(unsigned.signature_hash().as_slice())?;
        let signed = unsigned.into_signed(Signature::from((signature, recovery)));
        Ok(TxEnvelope::from(signed).encoded_2718().into())
    }
}

/// Decodes and recovers `count` transfers on all cores.
pub fn recovery(count: u64) -> Result<String, Failure> {
    let account = Account::new(1)?;
    let transfers: Vec<bytes::Bytes> = (0..count)
        .map(|nonce| Ok(account.transfer(31_337, nonce, account.address, U256::from(1))?.0))
        .collect::<Result<_, Failure>>()?;
    let started = Instant::now();
    let decoded = chain::transaction::decode_many(transfers, 31_337);
    let seconds = started.elapsed().as_secs_f64();
    if decoded.iter().any(Result::is_err) {
        return Err("a transfer does not decode".into());
    }
    Ok(format!("{count} signatures recovered: {:.0}/s\n", count as f64 / seconds))
}
