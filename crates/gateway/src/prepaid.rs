//! Prepaid keys: how OpenAI clients that know nothing of payment are used by people without a wallet, with nobody holding their money.
//!
//! ```text
//!  client ── Authorization: Bearer ol-… ──▶ signer on this machine ── vouchers ──▶ gateway
//!            base_url = the signer's         [`proxy`]: limit, balance               charges by use, never holds the money
//!                                            session key, no wallet                  ledger: deposits, withdrawals to the payer
//! ```
//! # Who holds what
//! - The **payer** (the user, or a sponsor) deposits into channels on the ledger. What is left goes back to the payer's account and nowhere
//!   else: by a refund that the operator makes at once, or by a withdrawal that nobody can refuse after the channel's delay.
//! - The **signer** keeps a session key, the channels' `payerAuthorizer`. It can sign vouchers to that one operator and model up to the deposits, and
//!   nothing else: neither deposit nor withdraw. A stolen session key costs at most what is left.
//! - The **gateway** sees vouchers, as from any payer. The `ol-` key is the signer's alone: it admits programs of this machine to the signer and is
//!   never sent on. A gateway that is called with one answers 402.
//!
//! # Limits
//! The ledger's limit is the deposit. Below it the key has a spend limit of its own, and a limit for one answer. A channel answers one request at a
//! time, so a key has several channels ([`Key::lanes`]), and requests past them wait for one.

use crate::{
    client::{Client, Known, Memory},
    payments::wire::WireConfig,
};
use alloy_primitives::{Address, B256, hex};
use compute::Account;
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
};
use zeroize::Zeroizing;

pub mod fund;
pub mod lanes;
pub mod proxy;

/// Most channels of a key.
pub const MAX_LANES: usize = 64;
/// What every key begins with.
pub const PREFIX: &str = "ol-";
/// Longest file of a key.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// A prepaid key as its file has it. Whoever reads the file can spend what is left.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// What clients send as their API key.
    pub token: String,
    /// The operator's API, such as `http://127.0.0.1:8000`.
    pub gateway: String,
    /// The model's name there.
    pub model: String,
    /// EIP-155 chain id of the ledger.
    pub chain_id: u64,
    /// Who paid in, and gets back what is left.
    pub payer: Address,
    /// The session key's 32 bytes.
    secret: Secret,
    /// The most that may be spent in all, in units; the deposits are another limit.
    pub limit: u128,
    /// The channels.
    pub lanes: Vec<Lane>,
}

/// One channel of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lane {
    /// Its id.
    pub id: B256,
    /// What it is: all that its payer needs to withdraw from it without the operator.
    pub config: WireConfig,
    /// What is known of it.
    pub known: Known,
}

/// Hexadecimal of a session key; cleared from memory when it goes.
#[derive(Clone)]
struct Secret(Zeroizing<String>);

impl Serialize for Secret {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
        Ok(Secret(Zeroizing::new(String::deserialize(deserializer)?)))
    }
}

/// Why a key cannot be made, read or written.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The disk.
    #[error("{0}: {1}")]
    Io(PathBuf, io::Error),
    /// Not a key's file.
    #[error("{0} is not a prepaid key's file: {1}")]
    Malformed(PathBuf, String),
    /// No randomness.
    #[error("the system gives no random bytes: {0}")]
    Random(String),
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Key { gateway, model, payer, limit, lanes, token: _, chain_id: _, secret: _ } = self;
        f.debug_struct("Key")
            .field("gateway", gateway)
            .field("model", model)
            .field("payer", payer)
            .field("limit", limit)
            .field("lanes", lanes)
            .finish_non_exhaustive()
    }
}

fn random<const N: usize>() -> Result<Zeroizing<[u8; N]>, KeyError> {
    let mut bytes = Zeroizing::new([0; N]);
    getrandom::fill(bytes.as_mut()).map_err(|error| KeyError::Random(error.to_string()))?;
    Ok(bytes)
}

impl Key {
    /// A new session key and token, without channels.
    pub fn generate(
        gateway: &str,
        model: &str,
        chain_id: u64,
        payer: Address,
        limit: u128,
    ) -> Result<Key, KeyError> {
        let secret = loop {
            let bytes = random::<32>()?;
            // All but about 2^-128 of them are keys.
            if Account::from_bytes(&bytes).is_ok() {
                break Secret(Zeroizing::new(hex::encode(bytes.as_slice())));
            }
        };
        Ok(Key {
            token: format!("{PREFIX}{}", hex::encode(random::<24>()?.as_slice())),
            gateway: gateway.trim_end_matches('/').into(),
            model: model.into(),
            chain_id,
            payer,
            secret,
            limit,
            lanes: Vec::new(),
        })
    }

    /// Reads a key's file.
    pub fn read(path: &Path) -> Result<Key, KeyError> {
        let io = |error| KeyError::Io(path.into(), error);
        let malformed = |why: String| KeyError::Malformed(path.into(), why);
        if fs::metadata(path).map_err(io)?.len() > MAX_FILE_BYTES {
            return Err(malformed("it is too long".into()));
        }
        let bytes = Zeroizing::new(fs::read(path).map_err(io)?);
        let key: Key = serde_json::from_slice(&bytes).map_err(|error| malformed(error.to_string()))?;
        key.account().map_err(|why| malformed(why.into()))?;
        if key.lanes.len() > MAX_LANES {
            return Err(malformed(format!("it has more than {MAX_LANES} channels")));
        }
        Ok(key)
    }

    /// Replaces a key's file, all or nothing, readable by its owner alone.
    pub fn write(&self, path: &Path) -> Result<(), KeyError> {
        let io = |error| KeyError::Io(path.into(), error);
        let json = serde_json::to_vec_pretty(self);
        let json = Zeroizing::new(json.map_err(|error| KeyError::Malformed(path.into(), error.to_string()))?);
        let aside = path.with_extension("new");
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&aside).map_err(io)?;
        file.write_all(&json).and_then(|()| file.sync_all()).map_err(io)?;
        fs::rename(&aside, path).map_err(io)
    }

    fn account(&self) -> Result<Account, &'static str> {
        let mut bytes = Zeroizing::new([0; 32]);
        hex::decode_to_slice(self.secret.0.as_str(), bytes.as_mut())
            .map_err(|_| "its session key is not 32 bytes in hexadecimal")?;
        Account::from_bytes(&bytes).map_err(|_| "its session key is none")
    }

    /// The session key's address: the `payerAuthorizer` of the key's channels.
    pub fn authorizer(&self) -> Address {
        self.account().map_or(Address::ZERO, |account| account.address())
    }

    /// Charged over all channels, as far as is known.
    pub fn spent(&self) -> u128 {
        self.lanes.iter().map(|lane| lane.known.charged.0).sum()
    }

    /// What may still be spent: the deposits and the key's limit allow it.
    pub fn left(&self) -> u128 {
        let held: u128 = self.lanes.iter().map(|lane| lane.known.balance.0).sum();
        self.limit.min(held).saturating_sub(self.spent())
    }

    /// A payer by one of the key's channels, that spends at most `most` on an answer.
    ///
    /// # Panics
    /// When the key has no such channel.
    pub fn client(&self, lane: usize, most: u128) -> Result<Client, &'static str> {
        let Lane { id, config, known } = self.lanes[lane].clone();
        let client = Client::new(&self.gateway, self.account()?, self.chain_id, most);
        let mut client = client.on_behalf_of(self.payer);
        client.salt = config.salt;
        client.memory = Memory::from([(id, known)]);
        Ok(client)
    }
}

/// Whether a token is the key's, in time that does not tell how much of it is.
pub fn same(given: &str, token: &str) -> bool {
    given.len() == token.len()
        && given.bytes().zip(token.bytes()).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payments::wire::Units;

    fn key() -> Key {
        let mut key =
            Key::generate("http://127.0.0.1:1/", "m", 31_337, Address::repeat_byte(1), 100).unwrap();
        key.lanes = (1..3u8)
            .map(|n| Lane {
                id: B256::repeat_byte(n),
                config: WireConfig {
                    payer: key.payer,
                    payer_authorizer: key.authorizer(),
                    receiver: Address::ZERO,
                    receiver_authorizer: Address::ZERO,
                    token: Address::ZERO,
                    withdraw_delay: 900,
                    salt: B256::repeat_byte(n),
                },
                known: Known { charged: Units(u128::from(n)), balance: Units(60) },
            })
            .collect();
        key
    }

    #[test]
    fn a_key_is_kept_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.json");
        let key = key();
        key.write(&path).unwrap();
        key.write(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let again = Key::read(&path).unwrap();
        assert_eq!((again.token.as_str(), again.authorizer()), (key.token.as_str(), key.authorizer()));
        assert_eq!(again.lanes, key.lanes);
        fs::write(&path, "{}").unwrap();
        assert!(matches!(Key::read(&path), Err(KeyError::Malformed(..))));
    }

    #[test]
    fn no_secret_is_shown() {
        let key = key();
        let shown = format!("{key:?}");
        assert!(!shown.contains(key.secret.0.as_str()) && !shown.contains(&key.token), "{shown}");
    }

    #[test]
    fn what_is_left_is_under_both_limits() {
        let mut key = key();
        assert_eq!((key.spent(), key.left()), (3, 97));
        key.limit = 1_000;
        assert_eq!(key.left(), 117);
        key.limit = 2;
        assert_eq!(key.left(), 0);
    }

    #[test]
    fn tokens_are_compared_whole() {
        assert!(same("ol-12", "ol-12"));
        assert!(!same("ol-12", "ol-13") && !same("ol-1", "ol-12") && !same("", "ol-12"));
    }
}
