//! Floor 0: the public ABI of every ledger module.
//!
//! Each file is one module's interface as Solidity: calls, views, events and custom errors. Wallets and
//! Ethereum libraries talk to the modules through it; `docs/abi/` holds the same as JSON for other languages.
//! Rules live in `ledger`; nothing here decides anything.
//!
//! Module addresses are fixed: `4f50454e` ("OPEN") followed by zeros and the module's number. The x402 modules
//! stand at the addresses that scheme fixes on every chain.

pub mod addresses;
pub mod channels;
pub mod datanets;
pub mod errors;
pub mod models;
pub mod multicall3;
pub mod operators;
pub mod selectors;
pub mod settlement;
pub mod token;
pub mod treasury;

pub use alloy_sol_types as sol_types;
