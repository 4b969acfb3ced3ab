//! A secp256k1 account that signs: operators sign receipts, transactions and claims, payers sign vouchers.

use alloy_primitives::{Address, B256, Signature, keccak256};
use k256::ecdsa::SigningKey;
use std::fmt;

/// A private key and its address. `Debug` shows the address alone.
#[derive(Clone)]
pub struct Account {
    key: SigningKey,
    address: Address,
}

/// Why bytes are no private key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a private key is 32 bytes, not zero and below secp256k1's order")]
pub struct BadKey;

impl Account {
    /// From the 32 bytes of a private key.
    pub fn from_bytes(secret: &[u8; 32]) -> Result<Account, BadKey> {
        let key = SigningKey::from_slice(secret).map_err(|_| BadKey)?;
        let point = key.verifying_key().to_encoded_point(false);
        let address = Address::from_slice(&keccak256(&point.as_bytes()[1..])[12..]);
        Ok(Account { key, address })
    }

    /// The account's address.
    pub fn address(&self) -> Address {
        self.address
    }

    /// Signs a digest (RFC 6979, low s): the same digest always gets the same signature.
    pub fn sign(&self, digest: &B256) -> Signature {
        let (signature, recovery) =
            self.key.sign_prehash_recoverable(digest.as_slice()).expect("a 32-byte digest can be signed");
        Signature::from_signature_and_parity(signature, recovery.is_y_odd())
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Account({})", self.address)
    }
}

/// Whether `signature` is `account`'s over `digest`. A high s, the malleable twin of a valid signature, is refused.
pub fn signed_by(account: Address, digest: &B256, signature: &Signature) -> bool {
    signature.normalize_s().is_none()
        && signature.recover_address_from_prehash(digest).is_ok_and(|signer| signer == account)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::address;

    #[test]
    fn the_address_is_the_one_every_wallet_derives() {
        // The first development account of Foundry and Hardhat.
        let secret =
            alloy_primitives::hex!("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80");
        let account = Account::from_bytes(&secret).unwrap();
        assert_eq!(account.address(), address!("f39Fd6e51aad88F6F4ce6aB8827279cffFb92266"));
    }

    #[test]
    fn a_signature_is_recovered_and_its_twin_is_refused() {
        let account = Account::from_bytes(&[7; 32]).unwrap();
        let digest = keccak256(b"digest");
        let signature = account.sign(&digest);
        assert!(signed_by(account.address(), &digest, &signature));
        assert!(!signed_by(account.address(), &keccak256(b"other"), &signature));
        let order =
            alloy_primitives::uint!(0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141_U256);
        let twin = Signature::new(signature.r(), order - signature.s(), !signature.v());
        assert!(!signed_by(account.address(), &digest, &twin));
        assert!(Account::from_bytes(&[0; 32]).is_err());
    }
}
