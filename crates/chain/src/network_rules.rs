//! What the genesis file fixes for every node: chain id, limits, validators.

use crate::block::{Block, Digest, Header, MAX_STEP_MS, PublicKey, Scheme};
use alloy_primitives::{Address, B256, Bytes};
use commonware_codec::{Copying, DecodeExt as _};
use commonware_storage::{mmb, qmdb::sync::Target};
use commonware_utils::{TryCollect as _, ordered::Set};
use ledger::{BlockEnv, Genesis};
use primitives::{Domain, encoding::Writer, hash::hash};
use std::collections::BTreeMap;

/// Most validators of one network.
pub const MAX_VALIDATORS: usize = 128;

/// Why a genesis file cannot start a chain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RulesError {
    /// The ledger refuses the document.
    #[error("genesis: {0}")]
    Genesis(#[from] ledger::genesis::GenesisError),
    /// Too many validators.
    #[error("genesis names {0} validators: at most {MAX_VALIDATORS} are possible")]
    ValidatorCount(usize),
    /// Not an ed25519 public key.
    #[error("validator {index}: {key} is not an ed25519 public key")]
    Key {
        /// Position in the file.
        index: usize,
        /// The key in question.
        key: Bytes,
    },
    /// The same key twice.
    #[error("genesis names a validator key twice: each validator needs its own")]
    DuplicateKey,
}

/// The rules of one network.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The genesis file.
    pub genesis: Genesis,
    /// Hash of the genesis file: the identity of the network.
    pub genesis_hash: B256,
    /// Validators, in the order of their keys.
    pub validators: Set<PublicKey>,
    /// Hash of the validator set.
    pub validators_hash: B256,
    rewards: BTreeMap<PublicKey, Address>,
}

impl Rules {
    /// Checks `genesis` and derives everything from it.
    pub fn new(genesis: Genesis) -> Result<Self, RulesError> {
        genesis.validate()?;
        let count = genesis.validators.len();
        if count > MAX_VALIDATORS {
            return Err(RulesError::ValidatorCount(count));
        }
        let mut rewards = BTreeMap::new();
        for (index, validator) in genesis.validators.iter().enumerate() {
            let key = PublicKey::decode(Copying(&validator.key))
                .map_err(|_| RulesError::Key { index, key: validator.key.clone() })?;
            if rewards.insert(key, validator.account).is_some() {
                return Err(RulesError::DuplicateKey);
            }
        }
        let validators: Set<PublicKey> =
            rewards.keys().cloned().try_collect().map_err(|_| RulesError::DuplicateKey)?;
        let validators_hash = validators_hash(validators.iter());
        let genesis_hash = genesis.hash();
        Ok(Self { genesis, genesis_hash, validators, validators_hash, rewards })
    }

    /// Domain of every consensus signature and of the peer handshake: differs between networks.
    pub fn namespace(&self) -> Vec<u8> {
        [b"openledger/consensus/v1/".as_slice(), self.genesis_hash.as_slice()].concat()
    }

    /// Scheme that verifies certificates and cannot sign.
    pub fn verifier(&self) -> Scheme {
        Scheme::verifier(&self.namespace(), self.validators.clone())
    }

    /// Account that receives the tips of `leader`'s blocks; `None` when it is no validator.
    pub fn reward_account(&self, leader: &PublicKey) -> Option<Address> {
        self.rewards.get(leader).copied()
    }

    /// Block 0 over an empty database.
    pub fn genesis_block(&self, target: Target<mmb::Family, Digest>) -> Block {
        Block::genesis(
            self.genesis_hash,
            self.genesis.timestamp_ms,
            self.genesis.base_fee,
            self.validators_hash,
            target,
        )
    }

    /// The rules of a header that need no execution. The error names the broken one.
    pub fn check_header(
        &self,
        header: &Header,
        parent: &Header,
        parent_digest: Digest,
    ) -> Result<(), &'static str> {
        let step_ms = header.timestamp_ms.checked_sub(parent.timestamp_ms);
        let rules = [
            (header.parent == parent_digest, "parent"),
            (header.height == parent.height + 1, "height"),
            (step_ms.is_some_and(|step_ms| 0 < step_ms && step_ms <= MAX_STEP_MS), "time (R0)"),
            (self.reward_account(&header.context.leader) == Some(header.proposer), "proposer"),
            (header.next_validators == self.validators_hash, "next validators"),
        ];
        rules.into_iter().find(|(holds, _)| !holds).map_or(Ok(()), |(_, name)| Err(name))
    }

    /// Base fee per gas of a block that follows one of `base_fee` and `gas_used` by `elapsed_ms`.
    pub fn next_base_fee(&self, base_fee: u128, gas_used: u64, elapsed_ms: u64) -> u128 {
        ledger::next_base_fee(base_fee, gas_used, self.genesis.gas_target_per_second, elapsed_ms)
    }

    /// Environment of a block on `parent`.
    pub fn env(
        &self,
        parent: &Header,
        parent_hash: Digest,
        timestamp_ms: u64,
        proposer: Address,
        signers: Vec<Address>,
    ) -> BlockEnv {
        let elapsed_ms = timestamp_ms.saturating_sub(parent.timestamp_ms);
        let base_fee = self.next_base_fee(parent.base_fee, parent.gas_used, elapsed_ms);
        BlockEnv {
            chain_id: self.genesis.chain_id,
            number: parent.height + 1,
            timestamp_ms,
            parent_hash: B256::from_slice(&parent_hash),
            base_fee,
            proposer,
            signers,
            gas_limit: self.genesis.gas_limit,
        }
    }
}

/// Hash of a validator set: its keys in ascending order, with their count.
pub fn validators_hash<'a>(keys: impl Iterator<Item = &'a PublicKey>) -> B256 {
    let mut sorted: Vec<&PublicKey> = keys.collect();
    sorted.sort();
    let mut writer = Writer::new();
    writer.text("openledger/validators/v1");
    writer.list(&sorted, |writer, key| {
        writer.hash(&B256::from_slice(key.as_ref()));
    });
    hash(Domain::Genesis, writer.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{block::PrivateKey, state::Database};
    use commonware_cryptography::Signer as _;
    use commonware_glue::stateful::db::ManagedDb;
    use commonware_runtime::deterministic::Context;

    fn rules() -> Rules {
        let mut genesis = Genesis::development(&[Address::repeat_byte(1)]);
        genesis.validators[0].key = Bytes::copy_from_slice(PrivateKey::from_seed(4).public_key().as_ref());
        Rules::new(genesis).expect("a valid genesis")
    }

    /// Block 0, and a header on it that keeps every rule.
    fn pair(rules: &Rules) -> (Header, Header) {
        let target = <Database<Context> as ManagedDb<Context>>::initial_sync_target();
        let parent = rules.genesis_block(target).header;
        let mut header = parent.clone();
        header.context.leader = PrivateKey::from_seed(4).public_key();
        header.parent = parent.digest();
        header.height = 1;
        header.timestamp_ms += 1;
        header.proposer = rules.genesis.validators[0].account;
        (parent, header)
    }

    #[test]
    fn a_leader_that_moves_the_clock_is_refused() {
        let rules = rules();
        let (parent, mut header) = pair(&rules);
        let start_ms = parent.timestamp_ms;
        for (step_ms, holds) in
            [(0, false), (1, true), (MAX_STEP_MS, true), (MAX_STEP_MS + 1, false), (3_600_000, false)]
        {
            header.timestamp_ms = start_ms + step_ms;
            assert_eq!(rules.check_header(&header, &parent, parent.digest()).is_ok(), holds, "{step_ms} ms");
        }
        header.timestamp_ms = start_ms - 1;
        assert_eq!(rules.check_header(&header, &parent, parent.digest()), Err("time (R0)"));
    }

    #[test]
    fn each_broken_rule_of_a_header_is_named() {
        let rules = rules();
        let (parent, good) = pair(&rules);
        let broken = |change: fn(&mut Header)| {
            let mut header = good.clone();
            change(&mut header);
            rules.check_header(&header, &parent, parent.digest()).err()
        };
        assert_eq!(broken(|_| {}), None);
        assert_eq!(broken(|header| header.height = 2), Some("height"));
        assert_eq!(broken(|header| header.proposer = Address::ZERO), Some("proposer"));
        assert_eq!(broken(|header| header.next_validators = B256::ZERO), Some("next validators"));
        assert_eq!(
            broken(|header| header.context.leader = PrivateKey::from_seed(9).public_key()),
            Some("proposer")
        );
        assert_eq!(broken(|header| header.parent = Digest::from([0; 32])), Some("parent"));
    }

    #[test]
    fn another_genesis_is_another_network() {
        let (one, mut other) = (rules(), rules().genesis);
        other.timestamp_ms += 1;
        let other = Rules::new(other).expect("a valid genesis");
        assert_ne!(one.namespace(), other.namespace());
    }
}
