//! Encryption: keys, sealing to a recipient, the item format, and splitting a key among keepers.
//!
//! The byte layout of everything here is in `docs/VAULT.md`; an independent HPKE and XChaCha20-Poly1305 implementation can
//! decrypt from it. In short: an item has a random key; its text is cut into chunks of 64 KiB, each compressed
//! (zstd) and encrypted (XChaCha20-Poly1305) under a nonce that counts ([`item`]). Item keys are wrapped under a
//! contribution's key ([`keys::wrap`]), which is split among the Datanet's keepers ([`threshold`]), each share sealed to
//! its keeper with HPKE ([`keys::seal`]).

pub mod item;
pub mod keys;
pub mod threshold;

/// Why something could not be decrypted or encrypted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CryptError {
    /// The tag does not match: another key, or bytes that were changed.
    #[error("{0} does not decrypt: the key is another one, or the bytes were changed")]
    Wrong(&'static str),
    /// None of the keys at hand belongs to a recipient.
    #[error("none of the keys at hand opens this; {needed} of the keepers {keepers:?} must be present")]
    NoKey {
        /// How many keepers are needed.
        needed: u8,
        /// Their public keys.
        keepers: Vec<keys::PublicKey>,
    },
    /// Fewer keepers than the threshold.
    #[error("{present} keepers are present, {needed} are needed")]
    TooFewKeepers {
        /// How many opened their share.
        present: u8,
        /// How many are needed.
        needed: u8,
    },
    /// A threshold that cannot be met, or keepers named twice.
    #[error(
        "{needed} of {keepers} keepers is not a valid rule: name 1 to 255 different keepers and at most as many needed"
    )]
    Rule {
        /// How many were to be needed.
        needed: u8,
        /// How many keepers.
        keepers: usize,
    },
    /// Not a public key.
    #[error("not an X25519 public key: 64 hexadecimal digits are wanted")]
    NotAKey,
    /// A chunk table or chunk outside its limits.
    #[error("the item's {0} is not as the format says")]
    Malformed(&'static str),
    /// Compression failed or a compressed chunk grows past its limit.
    #[error("a chunk does not decompress to at most 65,536 bytes")]
    Compression,
    /// The operating system gave no randomness.
    #[error("the operating system gave no random bytes")]
    NoRandomness,
}

/// `N` random bytes of the operating system.
pub fn random<const N: usize>() -> Result<[u8; N], CryptError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| CryptError::NoRandomness)?;
    Ok(bytes)
}
