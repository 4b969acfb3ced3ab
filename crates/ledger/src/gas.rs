//! Gas: what work costs, and the meter that counts it.
//!
//! The schedule follows Ethereum's where the work is alike (EIP-2028 call data, EIP-2929 first access of a word), so that
//! wallets' estimates hold: a plain transfer costs 21,000. The first access of a word in a transaction costs the
//! same whether or not the word exists, so reads that miss cannot be had cheaply to stall a block.

use crate::error::{Error, Result};

/// Before anything runs; includes the accounts of sender and receiver.
pub const TRANSACTION: u64 = 21_000;
/// A zero byte of call data.
pub const DATA_ZERO_BYTE: u64 = 4;
/// Another byte of call data.
pub const DATA_BYTE: u64 = 16;
/// First access of a word in a transaction.
pub const COLD_WORD: u64 = 2_100;
/// Later access of a word.
pub const WARM_WORD: u64 = 100;
/// Writing a word that held something.
pub const UPDATE_WORD: u64 = 2_900;
/// Writing a word that held nothing: the state grows.
pub const NEW_WORD: u64 = 20_000;
/// An event.
pub const LOG: u64 = 375;
/// Each topic of an event.
pub const LOG_TOPIC: u64 = 375;
/// Each byte of an event's data.
pub const LOG_BYTE: u64 = 8;
/// Recovering a signer.
pub const RECOVER: u64 = 3_000;
/// Hashing, for each word of 32 bytes.
pub const HASH_WORD: u64 = 12;
/// A call into a module.
pub const MODULE_CALL: u64 = 700;

/// Gas a transaction costs before it runs.
pub fn intrinsic(data: &[u8]) -> u64 {
    let zeros = data.iter().filter(|byte| **byte == 0).count() as u64;
    TRANSACTION + zeros * DATA_ZERO_BYTE + (data.len() as u64 - zeros) * DATA_BYTE
}

/// Counts gas up to a limit.
#[derive(Clone, Debug)]
pub struct Meter {
    limit: u64,
    used: u64,
}

impl Meter {
    /// Allows `limit` gas.
    pub fn new(limit: u64) -> Meter {
        Meter { limit, used: 0 }
    }

    /// Takes `gas`, or fails and leaves nothing.
    pub fn charge(&mut self, gas: u64) -> Result<()> {
        match self.used.checked_add(gas).filter(|used| *used <= self.limit) {
            Some(used) => {
                self.used = used;
                Ok(())
            }
            None => {
                self.used = self.limit;
                Err(Error::OutOfGas)
            }
        }
    }

    /// Gas taken so far.
    pub fn used(&self) -> u64 {
        self.used
    }
}
