//! Proven words, and the ledger's views over them.

use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_sol_types::SolCall;
use ledger::{BlockEnv, Call, Misses, State};
use std::{cell::RefCell, collections::BTreeSet};

/// A view's answer is not known until its words are fetched.
pub const UNFETCHED: &str = "the node has not proven it yet";

/// The state of one block, as far as it was proven.
#[derive(Debug)]
pub struct Snapshot {
    state: RefCell<State>,
    env: BlockEnv,
    missed: RefCell<BTreeSet<B256>>,
}

impl Snapshot {
    /// Over these words. Without a block no word is known, so whatever the views say is thrown away.
    pub(super) fn new(state: State, env: Option<BlockEnv>) -> Snapshot {
        let env = env.unwrap_or(BlockEnv {
            chain_id: 0,
            number: 0,
            timestamp_ms: 0,
            parent_hash: B256::ZERO,
            base_fee: 0,
            proposer: Address::ZERO,
            signers: Vec::new(),
            gas_limit: u64::MAX,
        });
        Snapshot { state: RefCell::new(state), env, missed: RefCell::default() }
    }

    pub(super) fn into_missed(self) -> BTreeSet<B256> {
        self.missed.into_inner()
    }

    /// Asks a module's view; `None` when the module refuses (an id it does not know).
    pub fn view<C: SolCall>(&self, to: Address, call: &C) -> Result<Option<C::Return>, String> {
        let request = Call {
            from: Address::ZERO,
            to,
            value: U256::ZERO,
            data: Bytes::from(call.abi_encode()),
            gas_limit: u64::MAX,
        };
        match ledger::call(&mut self.state.borrow_mut(), &self.env, &request) {
            Err(Misses(slots)) => {
                self.missed.borrow_mut().extend(slots);
                Err(UNFETCHED.into())
            }
            Ok(outcome) if !outcome.success => Ok(None),
            Ok(outcome) => {
                let decoded = C::abi_decode_returns(&outcome.output);
                decoded.map(Some).map_err(|error| format!("{} does not decode: {error}", C::SIGNATURE))
            }
        }
    }
}
