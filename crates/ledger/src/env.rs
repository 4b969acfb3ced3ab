//! What surrounds a call: the block, the transaction, and what comes of it.

use alloy_primitives::{Address, B256, Bytes, U256};

/// The block a transaction runs in. Times are the block's, never a clock's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockEnv {
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// Height.
    pub number: u64,
    /// Unix time in milliseconds; strictly above the parent's (RULEBOOK R0).
    pub timestamp_ms: u64,
    /// Digest of the parent block: the beacon that nobody could know before it was final.
    pub parent_hash: B256,
    /// EIP-1559 base fee, units of OPEN per gas; burned.
    pub base_fee: u128,
    /// Account of the proposing validator; receives the tips.
    pub proposer: Address,
    /// Accounts of the validators whose signatures on the parent this block carries, one for each signature, in the
    /// order of the validators' keys. Empty when it carries none (block 1).
    pub signers: Vec<Address>,
    /// Most gas a block may use.
    pub gas_limit: u64,
}

impl BlockEnv {
    /// Unix time in whole seconds, the unit of every window.
    pub fn seconds(&self) -> u64 {
        self.timestamp_ms / 1000
    }
}

/// A transaction whose envelope was decoded and whose sender was recovered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// Hash of the signed envelope.
    pub hash: B256,
    /// Recovered sender.
    pub sender: Address,
    /// Account or module called. Contract creation is refused before it comes here.
    pub to: Address,
    /// The sender's nonce.
    pub nonce: u64,
    /// OPEN sent along, in units.
    pub value: U256,
    /// Call data.
    pub data: Bytes,
    /// Most gas the sender pays for.
    pub gas_limit: u64,
    /// Most units per gas, base fee included.
    pub max_fee: u128,
    /// Most units per gas for the proposer.
    pub max_priority_fee: u128,
}

/// A call that changes nothing: `eth_call` and `eth_estimateGas`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Call {
    /// Who calls.
    pub from: Address,
    /// Account or module called.
    pub to: Address,
    /// OPEN sent along; the caller must hold it.
    pub value: U256,
    /// Call data.
    pub data: Bytes,
    /// Gas allowed; at most the block's limit is used.
    pub gas_limit: u64,
}

/// What a call that changes nothing came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallOutcome {
    /// Whether the handler accepted.
    pub success: bool,
    /// Return data, or the ABI-encoded error.
    pub output: Bytes,
    /// Gas used, intrinsic gas included.
    pub gas_used: u64,
}

/// An event a module emitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// The module.
    pub address: Address,
    /// Event signature and indexed arguments.
    pub topics: Vec<B256>,
    /// The other arguments, ABI-encoded.
    pub data: Bytes,
}

/// What an included transaction came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Whether the handler accepted; if not, only gas and nonce changed.
    pub success: bool,
    /// Gas paid for.
    pub gas_used: u64,
    /// Return data, or the ABI-encoded error.
    pub output: Bytes,
    /// Events, in order; none when the call failed.
    pub logs: Vec<Log>,
    /// Units paid per gas.
    pub effective_gas_price: u128,
}

/// Why a transaction cannot stand in a block. The proposer leaves it out; a block that holds it is invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// Already used.
    #[error("nonce too low: the account's next nonce is {expected}, the transaction has {given}")]
    NonceTooLow { expected: u64, given: u64 },
    /// Earlier ones are missing.
    #[error(
        "nonce too high: the account's next nonce is {expected}, the transaction has {given}; send the ones between first"
    )]
    NonceTooHigh { expected: u64, given: u64 },
    /// The sender cannot pay value and gas.
    #[error("insufficient funds: value and gas may cost {needed} units, {sender} holds {balance}")]
    InsufficientFunds { sender: Address, balance: u128, needed: U256 },
    /// Below the base fee.
    #[error("max fee per gas {max_fee} is below the base fee {base_fee}")]
    FeeTooLow { max_fee: u128, base_fee: u128 },
    /// The tip exceeds the cap.
    #[error("max priority fee per gas {priority} is above max fee per gas {max_fee}")]
    PriorityAboveMax { priority: u128, max_fee: u128 },
    /// The call data alone costs more.
    #[error("gas limit {limit} is below the {intrinsic} the transaction costs before it runs")]
    GasBelowIntrinsic { limit: u64, intrinsic: u64 },
    /// More than a block holds.
    #[error("gas limit {limit} is above the block's {block}")]
    GasAboveBlock { limit: u64, block: u64 },
}
