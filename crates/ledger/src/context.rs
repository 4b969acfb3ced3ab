//! What a handler works with: the state, the block, and who calls with how much.

use crate::{
    account,
    env::BlockEnv,
    error::{Error, Result, ensure},
    gas, modules,
    storage::State,
};
use alloy_primitives::{Address, Bytes, U256};
use alloy_sol_types::{SolEvent, SolInterface, abi::AbiDecoderConfig};
use interfaces::errors::ILedger;
use primitives::Amount;

/// Calls between modules nest at most this deep (a multicall into a module that collects a deposit).
pub const MAX_CALL_DEPTH: usize = 4;

/// One call of one module.
#[derive(Debug)]
pub struct Context<'a> {
    /// The words.
    pub state: &'a mut State,
    /// The block.
    pub block: &'a BlockEnv,
    /// Who calls: the transaction's sender, or the module that passed the call on.
    pub caller: Address,
    /// The module called.
    pub this: Address,
    /// OPEN that came with the call; it already stands in the module's account.
    pub value: Amount,
    /// Nesting of this call, from 0.
    pub depth: usize,
}

impl Context<'_> {
    /// Block time in whole seconds.
    pub fn now(&self) -> u64 {
        self.block.seconds()
    }

    /// Emits an event of this module.
    pub fn emit(&mut self, event: impl SolEvent) -> Result<()> {
        self.state.emit(self.this, event)
    }

    /// Pays out of this module's account, with the token's `Transfer` event.
    pub fn pay(&mut self, to: Address, amount: Amount) -> Result<()> {
        crate::token::move_tokens(self.state, self.this, to, amount)
    }

    /// Moves OPEN between two accounts, with the token's `Transfer` event.
    pub fn transfer(&mut self, from: Address, to: Address, amount: Amount) -> Result<()> {
        crate::token::move_tokens(self.state, from, to, amount)
    }

    /// Refuses OPEN sent to a function that takes none.
    pub fn not_payable(&self) -> Result<()> {
        ensure(self.value == Amount::ZERO, || Error::rejected(ILedger::NotPayable {}))
    }

    /// Balance of any account.
    pub fn balance(&mut self, of: Address) -> Result<Amount> {
        account::balance(self.state, of)
    }

    /// Calls `target` with this module as the caller. What the callee did is undone if it refuses.
    pub fn call(&mut self, target: Address, value: Amount, data: &[u8]) -> Result<Bytes> {
        let depth = self.depth + 1;
        ensure(depth < MAX_CALL_DEPTH, || {
            Error::rejected(ILedger::CallTooDeep { limit: U256::from(MAX_CALL_DEPTH) })
        })?;
        let this = self.this;
        run(self.state, self.block, this, target, value, data, depth)
    }
}

/// Moves the value and runs the module at `target`, or just moves the value where no module stands.
pub(crate) fn run(
    state: &mut State,
    block: &BlockEnv,
    caller: Address,
    target: Address,
    value: Amount,
    data: &[u8],
    depth: usize,
) -> Result<Bytes> {
    let checkpoint = state.checkpoint();
    let mut go = || {
        if value > Amount::ZERO {
            crate::token::move_tokens(state, caller, target, value)?;
        }
        if !modules::is_module(target) {
            return Ok(Bytes::new());
        }
        state.charge(gas::MODULE_CALL)?;
        modules::dispatch(&mut Context { state, block, caller, this: target, value, depth }, data)
    };
    let result = go();
    if result.is_err() {
        state.revert(checkpoint);
    }
    result
}

/// How arguments are read: canonical offsets and clean padding only, so that a call has one encoding and no two arguments
/// share bytes (a few kilobytes could otherwise decode to a gigabyte). Bytes after the arguments are allowed: x402
/// facilitators append an attribution suffix.
const ARGUMENTS: AbiDecoderConfig =
    AbiDecoderConfig::new().strict(true).validate_allow_trailing_bytes(true).memory_limit(MAX_DECODED_BYTES);
/// Most memory that the arguments of one call may take.
const MAX_DECODED_BYTES: usize = 64 << 20;

/// Decodes call data as one of a module's calls.
pub fn decode<I: SolInterface>(data: &[u8]) -> Result<I> {
    let selector: [u8; 4] = data
        .get(..4)
        .and_then(|s| s.try_into().ok())
        .ok_or_else(|| Error::rejected(ILedger::UnknownSelector { selector: [0; 4].into() }))?;
    ensure(I::valid_selector(selector), || {
        Error::rejected(ILedger::UnknownSelector { selector: selector.into() })
    })?;
    I::abi_decode_with_config(data, ARGUMENTS)
        .map_err(|_| Error::rejected(ILedger::MalformedCall { selector: selector.into() }))
}
