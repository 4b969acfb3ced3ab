//! Accounts: one word each. Bytes 0 to 15 hold the balance, 16 to 23 the nonce, both big-endian; the rest is zero.
//!
//! The balance is OPEN's only balance: the native coin and the ERC-20 read and write the same word. All movement of money
//! in the ledger goes through [`transfer`] and [`burn`].

use crate::{
    error::{Error, Result},
    storage::{State, TableId, slot},
    tables::BURNED,
};
use alloy_primitives::{Address, B256, U256};
use interfaces::token::IToken;
use primitives::Amount;

/// What an account's word holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Units held.
    pub balance: Amount,
    /// Transactions sent.
    pub nonce: u64,
}

impl Account {
    /// The word of an account; zero for an empty one.
    pub fn to_word(self) -> B256 {
        let mut word = [0u8; 32];
        word[..16].copy_from_slice(&self.balance.0.to_be_bytes());
        word[16..24].copy_from_slice(&self.nonce.to_be_bytes());
        B256::new(word)
    }

    /// Reads an account's word.
    pub fn from_word(word: B256) -> Account {
        Account {
            balance: Amount(u128::from_be_bytes(word[..16].try_into().expect("16 bytes"))),
            nonce: u64::from_be_bytes(word[16..24].try_into().expect("8 bytes")),
        }
    }
}

/// Slot of an account's word.
pub fn account_slot(address: Address) -> B256 {
    slot(TableId::Account, &address, 0)
}

/// The account at `address`; all zero when nothing ever happened to it.
pub fn load(state: &mut State, address: Address) -> Result<Account> {
    Ok(Account::from_word(state.load(account_slot(address))?))
}

pub(crate) fn store(state: &mut State, address: Address, account: Account) -> Result<()> {
    state.store(account_slot(address), account.to_word())
}

/// Units held by `address`.
pub fn balance(state: &mut State, address: Address) -> Result<Amount> {
    Ok(load(state, address)?.balance)
}

/// Moves units between accounts; refuses with ERC-6093's errors.
pub fn transfer(state: &mut State, from: Address, to: Address, amount: Amount) -> Result<()> {
    let mut payer = load(state, from)?;
    let short = payer.balance;
    payer.balance = short.checked_sub(amount).ok_or_else(|| {
        Error::rejected(IToken::ERC20InsufficientBalance {
            sender: from,
            balance: short.to_word(),
            needed: amount.to_word(),
        })
    })?;
    if from == to {
        return Ok(());
    }
    let mut payee = load(state, to)?;
    // The supply fits in 128 bits, so a sum of balances cannot leave them unless the state is broken.
    payee.balance =
        payee.balance.checked_add(amount).ok_or(Error::Inconsistent("balances exceed the supply"))?;
    store(state, from, payer)?;
    store(state, to, payee)
}

/// Destroys units of an account.
pub fn burn(state: &mut State, from: Address, amount: Amount) -> Result<()> {
    let mut payer = load(state, from)?;
    payer.balance =
        payer.balance.checked_sub(amount).ok_or(Error::Inconsistent("burning more than is held"))?;
    store(state, from, payer)?;
    let burned = BURNED.get(state, &())?;
    BURNED.set(state, &(), burned + U256::from(amount.0))
}
