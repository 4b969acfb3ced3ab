//! The document a network starts from. Every node must hold the same; its hash is part of the first block.

use crate::{
    account::{self, Account},
    error::{Error, Result},
    storage::State,
    tables,
    treasury::parameters::{self, ParameterError},
};
use alloy_primitives::{Address, B256, Bytes};
use primitives::{Amount, Domain, amount::SUPPLY, encoding::Writer, hash::hash};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A validator of the first set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Validator {
    /// Consensus key (ed25519, 32 bytes).
    pub key: Bytes,
    /// Account that receives tips and the validators' share.
    pub account: Address,
}

/// The genesis document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Genesis {
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// Unix time of the start, in milliseconds.
    pub timestamp_ms: u64,
    /// Units by account; together exactly the supply.
    pub allocations: BTreeMap<Address, Amount>,
    /// The first validators, in order of their keys.
    pub validators: Vec<Validator>,
    /// Base fee of the first block, units per gas.
    pub base_fee: u128,
    /// Gas a block may use.
    pub gas_limit: u64,
    /// Gas per second at which the base fee stays as it is.
    pub gas_target_per_second: u64,
    /// Least time from a block to the next while transactions wait, in milliseconds.
    pub block_interval_ms: u64,
    /// Protocol parameters that differ from their defaults, by name.
    pub parameters: BTreeMap<String, u64>,
}

/// Why a genesis document is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GenesisError {
    /// Nothing mints, so everything must be given out at the start.
    #[error("allocations add up to {0} units; they must be exactly {supply}", supply = SUPPLY.0)]
    NotTheSupply(u128),
    /// Nobody could make a block.
    #[error("the genesis names no validator")]
    NoValidator,
    /// Keys must ascend, so that a set has one order.
    #[error("validator keys must be 32 bytes each, ascending and distinct; number {0} is not")]
    ValidatorOrder(usize),
    /// A limit of zero stops the chain.
    #[error("`{0}` must not be zero")]
    Zero(&'static str),
    /// A parameter is unknown or out of bounds.
    #[error("{0}")]
    Parameter(#[from] ParameterError),
}

/// Chain id of development networks, the one wallets know for local chains.
pub const DEVELOPMENT_CHAIN_ID: u64 = 31_337;

/// Default of [`Genesis::block_interval_ms`]: half of it is what a transaction waits for its block on average, so it
/// decides more about finality than consensus does (`docs/decisions/0004-short-blocks-while-transactions-wait.md`).
pub const BLOCK_INTERVAL_MS: u64 = 50;

impl Genesis {
    /// A development network: the supply shared evenly by `holders` (what a share's rounding leaves goes to the first), one
    /// validator with a zero key to be replaced, blocks of up to 200 M gas every [`BLOCK_INTERVAL_MS`].
    pub fn development(holders: &[Address]) -> Genesis {
        let share = SUPPLY.0 / holders.len().max(1) as u128;
        let mut allocations: BTreeMap<_, _> = holders.iter().map(|holder| (*holder, Amount(share))).collect();
        let rest = SUPPLY.0 - share * allocations.len() as u128;
        if let Some(first) = holders.first().and_then(|first| allocations.get_mut(first)) {
            first.0 += rest;
        }
        Genesis {
            chain_id: DEVELOPMENT_CHAIN_ID,
            timestamp_ms: 1_767_225_600_000,
            allocations,
            validators: vec![Validator {
                key: Bytes::from(vec![0; 32]),
                account: Address::repeat_byte(0xfe),
            }],
            base_fee: 1_000_000_000,
            gas_limit: 200_000_000,
            gas_target_per_second: 200_000_000,
            block_interval_ms: BLOCK_INTERVAL_MS,
            parameters: BTreeMap::new(),
        }
    }

    /// Checks what the type cannot.
    pub fn validate(&self) -> std::result::Result<(), GenesisError> {
        let total =
            self.allocations.values().try_fold(0u128, |sum, a| sum.checked_add(a.0)).unwrap_or(u128::MAX);
        if total != SUPPLY.0 {
            return Err(GenesisError::NotTheSupply(total));
        }
        if self.validators.is_empty() {
            return Err(GenesisError::NoValidator);
        }
        for (i, validator) in self.validators.iter().enumerate() {
            let after = i == 0 || self.validators[i - 1].key < validator.key;
            if validator.key.len() != 32 || !after {
                return Err(GenesisError::ValidatorOrder(i));
            }
        }
        for (name, value) in [
            ("chain_id", self.chain_id),
            ("gas_limit", self.gas_limit),
            ("gas_target_per_second", self.gas_target_per_second),
        ] {
            if value == 0 {
                return Err(GenesisError::Zero(name));
            }
        }
        Ok(parameters::check(&self.parameters)?)
    }

    /// Digest of the document's canonical encoding.
    pub fn hash(&self) -> B256 {
        let Genesis {
            chain_id,
            timestamp_ms,
            allocations,
            validators,
            base_fee,
            gas_limit,
            gas_target_per_second,
            block_interval_ms,
            parameters,
        } = self;
        let mut w = Writer::new();
        w.u64(*chain_id).u64(*timestamp_ms).u32(allocations.len() as u32);
        for (address, amount) in allocations {
            w.address(address).u128(amount.0);
        }
        w.list(validators, |w, v| {
            w.bytes(&v.key).address(&v.account);
        });
        w.u128(*base_fee).u64(*gas_limit).u64(*gas_target_per_second).u64(*block_interval_ms);
        w.u32(parameters.len() as u32);
        for (name, value) in parameters {
            w.text(name).u64(*value);
        }
        hash(Domain::Genesis, w.as_bytes())
    }
}

/// Writes the allocations; runs in block 1, before its transactions.
pub(crate) fn allocate(state: &mut State, genesis: &Genesis) -> Result<()> {
    genesis.validate().map_err(|_| Error::Inconsistent("the genesis document is invalid"))?;
    for (address, amount) in &genesis.allocations {
        account::store(state, *address, Account { balance: *amount, nonce: 0 })?;
    }
    parameters::at_genesis(state, &genesis.parameters)?;
    tables::GENESIS.set_word(state, &(), genesis.hash())
}
