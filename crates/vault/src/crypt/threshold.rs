//! A key shared among keepers: any `needed` of them together can open it, fewer learn nothing (RULEBOOK R15).
//!
//! Shamir's scheme over GF(256) (Shamir 1979), one polynomial a byte; share x of keeper i (from 1) is sealed to that keeper with
//! HPKE, bound to the owner of the key by `context`. With one of one the share is the key itself.

use super::CryptError;
use super::keys::{self, Key, Keyring, PublicKey, Sealed};
use blahaj::{Share, Sharks};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use zeroize::Zeroizing;

const INFO: &[u8] = b"openledger vault keeper share v1";

/// Who holds the keys to a Datanet's contributions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keepers {
    /// How many must act together.
    pub needed: u8,
    /// All of them.
    pub keys: Vec<PublicKey>,
}

impl Keepers {
    /// One keeper who suffices: the default on one machine.
    pub fn one(key: PublicKey) -> Keepers {
        Keepers { needed: 1, keys: vec![key] }
    }

    /// Whether the rule can be met: 1 to 255 different keepers, at most as many needed.
    pub fn check(&self) -> Result<(), CryptError> {
        let distinct = self.keys.iter().collect::<BTreeSet<_>>().len();
        let count = self.keys.len();
        let valid = distinct == count
            && (1..=255).contains(&count)
            && (1..=count).contains(&usize::from(self.needed));
        if valid { Ok(()) } else { Err(CryptError::Rule { needed: self.needed, keepers: count }) }
    }
}

/// A key in shares, each sealed to its keeper.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// How many shares open it.
    pub needed: u8,
    /// One a keeper.
    pub shares: Vec<Sealed>,
}

impl Envelope {
    /// Splits `key` among `keepers`; `context` binds the shares to what the key is for.
    pub fn seal(keepers: &Keepers, context: &[u8], key: &Key) -> Result<Envelope, CryptError> {
        keepers.check()?;
        let shares = Sharks(keepers.needed)
            .dealer(key.as_slice())
            .zip(&keepers.keys)
            .map(|(share, keeper)| {
                let bytes = Zeroizing::new(Vec::from(&share));
                keys::seal(keeper, INFO, context, &bytes)
            })
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Envelope { needed: keepers.needed, shares })
    }

    /// The key, if enough of the keepers' secrets are in `ring`.
    ///
    /// # Errors
    /// [`CryptError::NoKey`] when none is, [`CryptError::TooFewKeepers`] when not enough are.
    pub fn open(&self, ring: &Keyring, context: &[u8]) -> Result<Key, CryptError> {
        let mut shares = Vec::new();
        for sealed in &self.shares {
            if shares.len() == usize::from(self.needed) {
                break;
            }
            if let Some(secret) = ring.get(&sealed.to) {
                let bytes = keys::open(secret, INFO, context, sealed)?;
                let share =
                    Share::try_from(bytes.as_slice()).map_err(|_| CryptError::Malformed("keeper's share"))?;
                shares.push(share);
            }
        }
        let (present, needed) = (shares.len() as u8, self.needed);
        if present == 0 {
            return Err(CryptError::NoKey { needed, keepers: self.shares.iter().map(|s| s.to).collect() });
        }
        if present < needed {
            return Err(CryptError::TooFewKeepers { present, needed });
        }
        let key = Sharks(needed).recover(&shares).map_err(|_| CryptError::Malformed("keepers' shares"))?;
        let key = Zeroizing::new(key);
        let bytes: [u8; 32] = key.as_slice().try_into().map_err(|_| CryptError::Malformed("shared key"))?;
        Ok(Zeroizing::new(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::super::keys::{SecretKey, new_key};
    use super::*;

    #[test]
    fn any_three_of_five_open_and_no_two_do() {
        let secrets: Vec<_> = (0..5).map(|_| SecretKey::generate().unwrap()).collect();
        let keepers = Keepers { needed: 3, keys: secrets.iter().map(SecretKey::public).collect() };
        let key = new_key().unwrap();
        let envelope = Envelope::seal(&keepers, b"c", &key).unwrap();
        for mask in 0u32..32 {
            let ring: Keyring = (0..5).filter(|i| mask >> i & 1 == 1).map(|i| secrets[i].clone()).collect();
            let opened = envelope.open(&ring, b"c");
            match mask.count_ones() {
                0 => assert!(matches!(opened, Err(CryptError::NoKey { needed: 3, .. }))),
                present @ 1..=2 => {
                    let present = present as u8;
                    assert_eq!(opened, Err(CryptError::TooFewKeepers { present, needed: 3 }));
                }
                _ => assert_eq!(opened, Ok(key.clone())),
            }
        }
    }

    #[test]
    fn a_share_is_bound_to_what_the_key_is_for() {
        let secret = SecretKey::generate().unwrap();
        let envelope = Envelope::seal(&Keepers::one(secret.public()), b"c", &new_key().unwrap()).unwrap();
        let ring: Keyring = [secret].into_iter().collect();
        assert!(envelope.open(&ring, b"c").is_ok());
        assert!(envelope.open(&ring, b"d").is_err());
    }

    #[test]
    fn rules_that_cannot_be_met_are_refused() {
        let key = SecretKey::generate().unwrap().public();
        for keepers in [
            Keepers { needed: 0, keys: vec![key] },
            Keepers { needed: 2, keys: vec![key] },
            Keepers { needed: 1, keys: vec![] },
            Keepers { needed: 1, keys: vec![key, key] },
        ] {
            assert!(matches!(keepers.check(), Err(CryptError::Rule { .. })));
        }
    }
}
