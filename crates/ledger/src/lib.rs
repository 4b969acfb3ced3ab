//! Floor 1: the state machine. Pure and synchronous: no clock, disk, network, thread or float.
//!
//! # How a transaction runs
//! A node decodes an envelope, recovers its sender, and hands a [`Transaction`] to [`execute`] with a
//! [`State`]: an overlay over the words the node has provided. Reads of words not provided are noted and
//! answered with zero; when any was missed the run is undone and [`Misses`] tells the node what to fetch before
//! it runs the transaction again. So the state machine stays synchronous over a database that is not.
//!
//! # Block phases
//! [`begin_block`] (block 1 writes the genesis allocations), then each transaction, then [`end_block`]. The order
//! of the modules inside a phase stands in [`phases`] and nowhere else.
//!
//! # Modules
//! A module stands at a fixed address ([`interfaces::addresses`]) and answers ABI calls. Each is a folder with
//! `mod.rs` (its specification and state), one file per concern, `dispatch.rs` (calls to handlers, by an
//! exhaustive match, so that a selector without a handler does not compile) and `tests.rs`. Every handler has one
//! shape: load, authorise, check bounds, checked arithmetic, write, transfer, emit.
//!
//! # Errors
//! A call ends in a value, in a rejection ([`Error::Rejected`], ABI-encoded for the caller), out of gas, or in a
//! defect of ours ([`Error::Inconsistent`]). None stops a block: the transaction's effects are undone and its gas is
//! paid.
//!
//! # Money
//! One word per account holds balance and nonce ([`account`]). Nothing mints: genesis allocations less what was burned equal
//! all balances (invariant 1).

#![cfg_attr(not(test), deny(clippy::unwrap_used))]

pub mod account;
pub mod channels;
pub mod context;
pub mod datanets;
pub mod env;
pub mod error;
pub mod executor;
pub mod fee;
pub mod gas;
pub mod genesis;
pub mod licences;
pub mod memory;
pub mod models;
pub mod modules;
pub mod multicall3;
pub mod operators;
pub mod phases;
pub mod query;
pub mod record;
pub mod settlement;
pub mod signature;
pub mod slashing;
pub mod storage;
pub mod tables;
#[cfg(test)]
mod testing;
pub mod token;
pub mod treasury;

pub use context::Context;
pub use env::{BlockEnv, Call, CallOutcome, Invalid, Log, Receipt, Transaction};
pub use error::{Error, Result};
pub use executor::{call, execute};
pub use fee::next_base_fee;
pub use genesis::Genesis;
pub use memory::MemoryLedger;
pub use modules::is_module;
pub use phases::{begin_block, end_block};
pub use storage::{Misses, State};
