//! Granting, revoking, and reading under a grant.

use super::items::{Items, KeySource};
use super::layout::{self, ContributionId, GrantObject};
use super::log::Event;
use super::training::{SetItems, TrainingSet};
use super::{Vault, VaultError};
use crate::access::{Grant, Scope};
use crate::crypt::keys::{self, Keyring, PublicKey, SecretKey, new_key};
use crate::crypt::{CryptError, random};
use primitives::B256;
use std::collections::{BTreeMap, HashMap};

const INFO: &[u8] = b"openledger vault grant v1";

/// What to grant.
#[derive(Clone, Debug)]
pub struct GrantOptions {
    /// To whom.
    pub grantee: PublicKey,
    /// Which items.
    pub scope: Scope,
    /// Hash of the registered training descriptor it is for; the caller checks it on the ledger.
    pub run: Option<B256>,
    /// First second at which it is void.
    pub expires_at: u64,
    /// For what, in words.
    pub purpose: String,
    /// Seconds since 1970.
    pub now: u64,
}

impl Vault {
    /// Re-wraps the keys of a scope's items for a grantee. `ring` holds enough keepers' secrets.
    ///
    /// # Errors
    /// When a key is missing, the scope is unknown, or `expires_at` is not after `now`.
    pub fn grant(&mut self, options: GrantOptions, ring: &Keyring) -> Result<Grant, VaultError> {
        if options.expires_at <= options.now {
            return Err(VaultError::Declaration("a grant must expire after now".into()));
        }
        let id = B256::new(random()?);
        let key = new_key()?;
        let mut object = GrantObject {
            sealed: keys::seal(&options.grantee, INFO, id.as_slice(), key.as_slice())?,
            entries: Vec::new(),
        };
        for (contribution, indices) in self.in_scope(&options.scope)? {
            let items = self.items(&contribution, ring)?;
            for index in indices {
                let Some(item_key) = items.item_key(index)? else { continue };
                let place = object.entries.len() as u64;
                let wrapped = keys::wrap(&key, place, id.as_slice(), &item_key);
                object.entries.push((contribution, index, Some(wrapped)));
            }
        }
        let GrantOptions { grantee, scope, run, expires_at, purpose, now } = options;
        let items = object.entries.len() as u64;
        let grant = Grant { id, grantee, scope, run, expires_at, items, purpose };
        let name = layout::grant_name(&id);
        self.store.create(&name, &layout::encode_grant(&object))?;
        if let Err(error) = self.record(now, Event::Granted(grant.clone())) {
            if matches!(error, VaultError::Raced) {
                // What came in between may be an erasure, which could not know of these keys.
                self.store.remove(&name)?;
            }
            return Err(error);
        }
        Ok(grant)
    }

    /// The items of a scope, by contribution in commit order, item numbers ascending.
    fn in_scope(&self, scope: &Scope) -> Result<Vec<(ContributionId, Vec<u64>)>, VaultError> {
        match scope {
            Scope::Contributions { ids } => {
                ids.iter().map(|id| Ok((*id, (0..self.contribution(id)?.items).collect()))).collect()
            }
            Scope::Set { root } => {
                let mut by: BTreeMap<ContributionId, Vec<u64>> = BTreeMap::new();
                for entry in &self.set(root)?.entries {
                    by.entry(entry.contribution).or_default().push(entry.index);
                }
                Ok(by.into_iter().collect())
            }
        }
    }

    /// Ends a grant: recorded first, then its keys are removed. What was decrypted before cannot be called back.
    pub fn revoke(&mut self, grant: &B256, reason: &str, now: u64) -> Result<(), VaultError> {
        if !self.grants.contains_key(grant) {
            return Err(VaultError::NoGrant(*grant));
        }
        if !self.revoked.contains(grant) {
            self.record(now, Event::Revoked { grant: *grant, reason: reason.into() })?;
        }
        self.store.remove(&layout::grant_name(grant))?;
        Ok(())
    }

    /// All grants with whether each was revoked.
    pub fn grants(&self) -> impl Iterator<Item = (&Grant, bool)> {
        self.grants.values().map(|g| (g, self.revoked.contains(&g.id)))
    }

    /// The grant, if it holds at `now`.
    fn live_grant(&self, id: &B256, now: u64) -> Result<&Grant, VaultError> {
        let grant = self.grants.get(id).ok_or(VaultError::NoGrant(*id))?;
        if self.revoked.contains(id) {
            return Err(VaultError::GrantEnded { grant: *id, why: "was revoked" });
        }
        if now >= grant.expires_at {
            return Err(VaultError::GrantEnded { grant: *id, why: "has expired" });
        }
        Ok(grant)
    }

    /// Decrypts what a grant opens, in order, for the holder of `secret`. Recorded in the log before the first item.
    ///
    /// # Errors
    /// [`VaultError::GrantEnded`] after expiry or revocation, [`CryptError::Wrong`] with another key.
    pub fn open_grant(
        &mut self,
        id: &B256,
        secret: &SecretKey,
        now: u64,
    ) -> Result<GrantItems<'_>, VaultError> {
        let grant = self.live_grant(id, now)?.clone();
        let name = layout::grant_name(id);
        let bytes = self.store.read(&name)?;
        let object = layout::decode_grant(&bytes).map_err(VaultError::damaged(&name))?;
        let opened = keys::open(secret, INFO, id.as_slice(), &object.sealed)?;
        let key: [u8; 32] = opened.as_slice().try_into().map_err(|_| CryptError::Malformed("granted key"))?;
        let key = zeroize::Zeroizing::new(key);
        let mut wrapped: BTreeMap<ContributionId, HashMap<u64, (u64, _)>> = BTreeMap::new();
        let mut order = Vec::new();
        for (place, (contribution, index, bytes)) in object.entries.into_iter().enumerate() {
            if let Some(bytes) = bytes {
                wrapped.entry(contribution).or_default().insert(index, (place as u64, bytes));
                order.push((contribution, index));
            }
        }
        let set = match &grant.scope {
            Scope::Set { root } => Some(self.set(root)?),
            Scope::Contributions { .. } => None,
        };
        let event = Event::Opened {
            by: grant.grantee,
            grant: Some(*id),
            set: set.as_ref().map(|s| s.root),
            items: order.len() as u64,
            purpose: grant.purpose.clone(),
        };
        self.record(now, event)?;
        let mut readers = BTreeMap::new();
        for (contribution, wrapped) in wrapped {
            let source = KeySource::Grant { key: key.clone(), grant: *id, wrapped };
            readers.insert(contribution, self.items_from(&contribution, source)?);
        }
        Ok(GrantItems { grant, set, readers, order })
    }
}

/// What a grant opens.
pub struct GrantItems<'v> {
    grant: Grant,
    set: Option<TrainingSet>,
    readers: BTreeMap<ContributionId, Items<'v>>,
    order: Vec<(ContributionId, u64)>,
}

impl<'v> GrantItems<'v> {
    /// The grant.
    pub fn grant(&self) -> &Grant {
        &self.grant
    }

    /// Contribution and number of each item, in order.
    pub fn order(&self) -> &[(ContributionId, u64)] {
        &self.order
    }

    /// One of the items.
    pub fn open(
        &mut self,
        contribution: &ContributionId,
        index: u64,
    ) -> Result<super::items::OpenItem, VaultError> {
        self.readers.get_mut(contribution).ok_or(VaultError::NoContribution(*contribution))?.open(index)
    }

    /// The items of the training set that the grant is for, in the set's order.
    ///
    /// # Errors
    /// [`VaultError::NoSet`] when the grant is for contributions.
    pub fn into_set(self) -> Result<SetItems<'v>, VaultError> {
        let set = self.set.ok_or(VaultError::NoSet(B256::ZERO))?;
        Ok(SetItems { set, readers: self.readers, next: 0 })
    }
}
