//! Key pairs, sealing to a public key (HPKE), and wrapping keys under keys.
//!
//! HPKE (RFC 9180) in base mode with DHKEM(X25519, HKDF-SHA256), HKDF-SHA256 and ChaCha20Poly1305: suite 0x0020, 0x0001, 0x0003.

use super::{CryptError, random};
use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{KeyInit, XChaCha20Poly1305};
use hpke::{Deserializable, Kem, OpModeR, OpModeS, Serializable};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};
use zeroize::Zeroizing;

type Suite = hpke::kem::X25519HkdfSha256;
type Kdf = hpke::kdf::HkdfSha256;
type Aead = hpke::aead::ChaCha20Poly1305;

/// Bytes of an authentication tag.
pub const TAG_BYTES: usize = 16;
/// Bytes of a wrapped key.
pub const WRAPPED_BYTES: usize = 32 + TAG_BYTES;

/// A symmetric key, wiped when dropped.
pub type Key = Zeroizing<[u8; 32]>;

/// A fresh random key.
pub fn new_key() -> Result<Key, CryptError> {
    random::<32>().map(Zeroizing::new)
}

/// An X25519 public key: what a keeper or grantee gives out.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey(pub [u8; 32]);

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for PublicKey {
    type Err = CryptError;
    fn from_str(text: &str) -> Result<PublicKey, CryptError> {
        let bytes = text.strip_prefix("0x").unwrap_or(text).parse::<primitives::B256>();
        bytes.map(|b| PublicKey(b.0)).map_err(|_| CryptError::NotAKey)
    }
}

impl Serialize for PublicKey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<PublicKey, D::Error> {
        <std::borrow::Cow<'de, str>>::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// An X25519 secret key, wiped when dropped and never shown.
#[derive(Clone)]
pub struct SecretKey(Key);

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey of {}", self.public())
    }
}

impl SecretKey {
    /// A new key pair.
    pub fn generate() -> Result<SecretKey, CryptError> {
        Ok(SecretKey::derive(&*new_key()?))
    }

    /// From at least 32 bytes of secret material, such as a wallet's private key hashed for this purpose: RFC 9180's
    /// `DeriveKeyPair`. The same material gives the same pair.
    pub fn derive(material: &[u8]) -> SecretKey {
        let (secret, _) = Suite::derive_keypair(material);
        SecretKey(Zeroizing::new(secret.to_bytes().into()))
    }

    /// From the 32 bytes of [`SecretKey::to_bytes`].
    pub fn from_bytes(bytes: [u8; 32]) -> SecretKey {
        SecretKey(Zeroizing::new(bytes))
    }

    /// The 32 secret bytes, for a keystore.
    pub fn to_bytes(&self) -> Key {
        self.0.clone()
    }

    fn secret(&self) -> <Suite as Kem>::PrivateKey {
        Deserializable::from_bytes(self.0.as_slice()).expect("any 32 bytes are an X25519 secret key")
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        PublicKey(Suite::sk_to_pk(&self.secret()).to_bytes().into())
    }
}

/// Something encrypted to one recipient.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    /// Who can open it.
    pub to: PublicKey,
    /// HPKE's encapsulated key.
    pub encapsulated: [u8; 32],
    /// Ciphertext and tag.
    pub ciphertext: Vec<u8>,
}

/// Encrypts `plaintext` to `to`; `info` names the purpose, `context` what it belongs to.
pub fn seal(to: &PublicKey, info: &[u8], context: &[u8], plaintext: &[u8]) -> Result<Sealed, CryptError> {
    let key = Deserializable::from_bytes(&to.0).map_err(|_| CryptError::NotAKey)?;
    // A point of low order is refused here, so that no key can be forced.
    let (encapsulated, mut sender) = hpke::setup_sender::<Aead, Kdf, Suite>(&OpModeS::Base, &key, info)
        .map_err(|_| CryptError::NotAKey)?;
    let ciphertext = sender.seal(plaintext, context).map_err(|_| CryptError::Wrong("the sealed key"))?;
    Ok(Sealed { to: *to, encapsulated: encapsulated.to_bytes().into(), ciphertext })
}

/// Decrypts what [`seal`] made, with the same `info` and `context`.
pub fn open(
    secret: &SecretKey,
    info: &[u8],
    context: &[u8],
    sealed: &Sealed,
) -> Result<Zeroizing<Vec<u8>>, CryptError> {
    let wrong = |_| CryptError::Wrong("the sealed key");
    let encapsulated = Deserializable::from_bytes(&sealed.encapsulated).map_err(wrong)?;
    let mut receiver =
        hpke::setup_receiver::<Aead, Kdf, Suite>(&OpModeR::Base, &secret.secret(), &encapsulated, info)
            .map_err(wrong)?;
    receiver.open(&sealed.ciphertext, context).map(Zeroizing::new).map_err(wrong)
}

/// Nonce number `count` of a purpose under one key.
pub(super) fn nonce(purpose: u8, count: u64, last: bool) -> chacha20poly1305::XNonce {
    let mut nonce = [0; 24];
    nonce[..8].copy_from_slice(&count.to_le_bytes());
    nonce[8] = purpose;
    nonce[9] = u8::from(last);
    nonce.into()
}

const PURPOSE_WRAP: u8 = 2;

/// Item key number `index` under a contribution's (or a grant's) key. XChaCha20-Poly1305; each index is wrapped once
/// under a key, so the nonce is the index; `context` says what the key belongs to.
pub fn wrap(under: &Key, index: u64, context: &[u8], key: &Key) -> [u8; WRAPPED_BYTES] {
    let cipher = XChaCha20Poly1305::new((&**under).into());
    let mut out = [0; WRAPPED_BYTES];
    let (body, tag) = out.split_at_mut(32);
    body.copy_from_slice(key.as_slice());
    let made = cipher
        .encrypt_inout_detached(&nonce(PURPOSE_WRAP, index, false), context, body.into())
        .expect("32 bytes are below the cipher's limit");
    tag.copy_from_slice(&made);
    out
}

/// What [`wrap`] wrapped.
pub fn unwrap(
    under: &Key,
    index: u64,
    context: &[u8],
    wrapped: &[u8; WRAPPED_BYTES],
) -> Result<Key, CryptError> {
    let cipher = XChaCha20Poly1305::new((&**under).into());
    let mut key = Zeroizing::new([0; 32]);
    key.copy_from_slice(&wrapped[..32]);
    let tag: [u8; TAG_BYTES] = wrapped[32..].try_into().expect("sixteen bytes follow");
    cipher
        .decrypt_inout_detached(
            &nonce(PURPOSE_WRAP, index, false),
            context,
            key.as_mut_slice().into(),
            &tag.into(),
        )
        .map_err(|_| CryptError::Wrong("an item key"))?;
    Ok(key)
}

/// Secret keys at hand, found by their public half.
#[derive(Clone, Debug, Default)]
pub struct Keyring(Vec<(PublicKey, SecretKey)>);

impl Keyring {
    /// No keys.
    pub fn new() -> Keyring {
        Keyring::default()
    }

    /// Adds a key.
    pub fn add(&mut self, secret: SecretKey) -> &mut Keyring {
        self.0.push((secret.public(), secret));
        self
    }

    /// The secret of `public`, if it is at hand.
    pub fn get(&self, public: &PublicKey) -> Option<&SecretKey> {
        self.0.iter().find(|(own, _)| own == public).map(|(_, secret)| secret)
    }

    /// Public halves of all keys at hand.
    pub fn public_keys(&self) -> impl Iterator<Item = &PublicKey> {
        self.0.iter().map(|(public, _)| public)
    }
}

impl FromIterator<SecretKey> for Keyring {
    fn from_iter<I: IntoIterator<Item = SecretKey>>(keys: I) -> Keyring {
        let mut ring = Keyring::new();
        keys.into_iter().for_each(|key| {
            ring.add(key);
        });
        ring
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_recipient_opens_and_only_in_its_context() {
        let (alice, eve) = (SecretKey::generate().unwrap(), SecretKey::generate().unwrap());
        let sealed = seal(&alice.public(), b"info", b"context", b"secret").unwrap();
        assert_eq!(open(&alice, b"info", b"context", &sealed).unwrap().as_slice(), b"secret");
        for wrong in [
            open(&eve, b"info", b"context", &sealed),
            open(&alice, b"other", b"context", &sealed),
            open(&alice, b"info", b"other", &sealed),
        ] {
            assert_eq!(wrong, Err(CryptError::Wrong("the sealed key")));
        }
    }

    #[test]
    fn a_key_of_low_order_is_refused() {
        assert!(seal(&PublicKey([0; 32]), b"", b"", b"secret").is_err());
    }

    #[test]
    fn a_wrapped_key_is_bound_to_its_index_and_context() {
        let (under, key) = (new_key().unwrap(), new_key().unwrap());
        let wrapped = wrap(&under, 7, b"c", &key);
        assert_eq!(unwrap(&under, 7, b"c", &wrapped).unwrap(), key);
        assert!(unwrap(&under, 8, b"c", &wrapped).is_err());
        assert!(unwrap(&under, 7, b"d", &wrapped).is_err());
        assert!(unwrap(&key, 7, b"c", &wrapped).is_err());
    }

    #[test]
    fn secrets_are_not_shown() {
        let secret = SecretKey::generate().unwrap();
        let hex: String = secret.to_bytes().iter().map(|b| format!("{b:02x}")).collect();
        assert!(!format!("{secret:?}").contains(&hex));
        assert_eq!(secret.public().to_string().parse(), Ok(secret.public()));
    }
}
