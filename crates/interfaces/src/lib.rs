//! Floor 0: the public ABI of every ledger module.
//!
//! Each file is one module's interface as Solidity: calls, views, events and custom errors. Wallets and
//! Ethereum libraries talk to the modules through it; `docs/abi/` holds the same as JSON for other languages.
//! Rules live in `ledger`; nothing here decides anything.

pub mod datanets;
pub mod models;
pub mod operators;
pub mod settlement;
pub mod treasury;

pub use alloy_sol_types as sol_types;
