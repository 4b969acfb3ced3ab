//! The ledger over a map in memory: what a node does around the state machine, without a network. Tests of every
//! module, simulations and fuzzers run the real rules through it, and since each transaction starts from an overlay that knows
//! nothing, every one of them also exercises the protocol of misses.

use crate::{
    BlockEnv, Call, CallOutcome, Genesis, Invalid, Log, Misses, Receipt, State, Transaction,
    account::{Account, account_slot},
    begin_block, end_block, execute, next_base_fee, tables,
};
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_sol_types::{SolCall, SolEvent};
use interfaces::{addresses, token::IToken};
use primitives::amount::SUPPLY;
use std::collections::{BTreeMap, BTreeSet};

/// Gas a transaction of [`MemoryLedger::send`] may use.
const GAS_LIMIT: u64 = 20_000_000;
/// Most rounds of misses a transaction may need before something is wrong.
const MAX_MISS_ROUNDS: usize = 64;

/// A chain of one process and no disk.
#[derive(Clone, Debug)]
pub struct MemoryLedger {
    /// The document it started from.
    pub genesis: Genesis,
    /// Committed words.
    pub words: BTreeMap<B256, B256>,
    /// The block transactions run in.
    pub block: BlockEnv,
    /// Every account that was ever named, to add up balances.
    pub accounts: BTreeSet<Address>,
    /// Events of the last transaction.
    pub logs: Vec<Log>,
    gas_used: u64,
}

impl MemoryLedger {
    /// Starts a chain; its first block is open.
    ///
    /// # Panics
    /// When the genesis is invalid.
    pub fn new(genesis: Genesis) -> MemoryLedger {
        genesis.validate().expect("a valid genesis");
        let block = BlockEnv {
            chain_id: genesis.chain_id,
            number: 1,
            timestamp_ms: genesis.timestamp_ms + 1000,
            parent_hash: genesis.hash(),
            base_fee: genesis.base_fee,
            proposer: genesis.validators[0].account,
            signers: genesis.validators.iter().map(|validator| validator.account).collect(),
            gas_limit: genesis.gas_limit,
        };
        let mut accounts: BTreeSet<_> = genesis.allocations.keys().copied().collect();
        accounts.insert(block.proposer);
        accounts.extend(addresses::ALL);
        let mut ledger =
            MemoryLedger { genesis, words: BTreeMap::new(), block, accounts, logs: Vec::new(), gas_used: 0 };
        ledger.begin();
        ledger
    }

    /// A chain whose whole supply is shared by `holders`.
    pub fn with_holders(holders: &[Address]) -> MemoryLedger {
        MemoryLedger::new(Genesis::development(holders))
    }

    /// Runs `step`, providing words until none is missed, and commits what it wrote.
    fn drive<T>(&mut self, commit: bool, mut step: impl FnMut(&mut State) -> Result<T, Misses>) -> T {
        let mut state = State::new();
        for _ in 0..MAX_MISS_ROUNDS {
            match step(&mut state) {
                Ok(value) => {
                    if commit {
                        for (slot, word) in state.writes() {
                            if word.is_zero() {
                                self.words.remove(slot)
                            } else {
                                self.words.insert(*slot, *word)
                            };
                        }
                    }
                    return value;
                }
                Err(Misses(slots)) => {
                    for slot in slots {
                        assert!(!state.knows(&slot), "a known word was missed");
                        state.provide(slot, self.words.get(&slot).copied().unwrap_or_default());
                    }
                }
            }
        }
        panic!("a transaction missed words {MAX_MISS_ROUNDS} times");
    }

    fn begin(&mut self) {
        let (genesis, block) = (self.genesis.clone(), self.block.clone());
        self.drive(true, |state| begin_block(state, &genesis, &block));
    }

    /// Ends the block and opens one `elapsed_ms` later. Gaps longer than a block may cover are filled with blocks.
    pub fn advance(&mut self, elapsed_ms: u64) {
        let mut left = elapsed_ms.max(1);
        while left > 0 {
            let step = left.min(10_000);
            left -= step;
            let block = self.block.clone();
            self.drive(true, |state| end_block(state, &block));
            self.block.base_fee =
                next_base_fee(block.base_fee, self.gas_used, self.genesis.gas_target_per_second, step);
            self.block.parent_hash =
                keccak256([block.number.to_be_bytes().as_slice(), block.parent_hash.as_slice()].concat());
            self.block.number += 1;
            self.block.timestamp_ms += step;
            self.gas_used = 0;
            self.begin();
        }
    }

    /// Executes a whole transaction.
    pub fn execute(&mut self, tx: &Transaction) -> Result<Receipt, Invalid> {
        let block = self.block.clone();
        let outcome = self.drive(true, |state| execute(state, &block, tx));
        if let Ok(receipt) = &outcome {
            self.gas_used += receipt.gas_used;
            self.accounts.extend([tx.sender, tx.to]);
            for log in &receipt.logs {
                if log.topics.first() == Some(&IToken::Transfer::SIGNATURE_HASH) {
                    self.accounts.extend(log.topics[1..].iter().map(|t| Address::from_word(*t)));
                }
            }
            self.logs = receipt.logs.clone();
        }
        outcome
    }

    /// Sends a call with value from `sender`, with the right nonce and enough gas.
    ///
    /// # Panics
    /// When the transaction cannot be included (the sender lacks funds for gas).
    pub fn send(&mut self, sender: Address, to: Address, value: U256, data: impl Into<Bytes>) -> Receipt {
        let tx = Transaction {
            hash: B256::ZERO,
            sender,
            to,
            nonce: self.account(sender).nonce,
            value,
            data: data.into(),
            gas_limit: GAS_LIMIT,
            max_fee: self.block.base_fee,
            max_priority_fee: 0,
        };
        self.execute(&tx).unwrap_or_else(|invalid| panic!("{invalid}"))
    }

    /// Sends a module call; the decoded return value, or the revert data.
    pub fn transact<C: SolCall>(
        &mut self,
        sender: Address,
        to: Address,
        value: U256,
        call: &C,
    ) -> Result<C::Return, Bytes> {
        let receipt = self.send(sender, to, value, call.abi_encode());
        if receipt.success {
            Ok(C::abi_decode_returns(&receipt.output).expect("a handler encodes what its interface says"))
        } else {
            Err(receipt.output)
        }
    }

    /// Asks a view; the decoded return value, or the revert data.
    pub fn view<C: SolCall>(&mut self, to: Address, call: &C) -> Result<C::Return, Bytes> {
        let call_data = Call { to, data: call.abi_encode().into(), gas_limit: u64::MAX, ..Call::default() };
        let outcome = self.call(&call_data);
        if outcome.success {
            Ok(C::abi_decode_returns(&outcome.output).expect("a handler encodes what its interface says"))
        } else {
            Err(outcome.output)
        }
    }

    /// Runs a call that changes nothing.
    pub fn call(&mut self, call: &Call) -> CallOutcome {
        let block = self.block.clone();
        self.drive(false, |state| crate::call(state, &block, call))
    }

    /// An account as committed.
    pub fn account(&self, address: Address) -> Account {
        Account::from_word(self.words.get(&account_slot(address)).copied().unwrap_or_default())
    }

    /// Units an account holds.
    pub fn balance(&self, address: Address) -> u128 {
        self.account(address).balance.0
    }

    /// Units burned so far.
    pub fn burned(&self) -> u128 {
        let word = self.words.get(&tables::BURNED.slot(&())).copied().unwrap_or_default();
        U256::from_be_bytes(word.0).try_into().expect("less than the supply was burned")
    }

    /// Invariant 1: all balances and what was burned are the genesis supply.
    ///
    /// # Panics
    /// When they are not.
    pub fn assert_conserved(&self) {
        let held: u128 = self.accounts.iter().map(|a| self.balance(*a)).sum();
        assert_eq!(held + self.burned(), SUPPLY.0, "balances and burned units must add up to the supply");
    }
}
