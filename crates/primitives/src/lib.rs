//! Floor 0: the words every other crate speaks.
//!
//! Identifiers, amounts, hashes with domains, Merkle trees and their proofs, mountain ranges, and the
//! canonical encoding of what is hashed. Nothing here knows a ledger, a model or a file.
//!
//! - [`hash`]: BLAKE3 under a named [`hash::Domain`], so that a byte string hashed for one purpose can
//!   never be taken for another.
//! - [`merkle`]: membership and multi-proofs over a list; the root binds the number of leaves.
//! - [`merkle_sum`]: the same with an amount at each leaf, whose total the root binds.
//! - [`mmr`]: an append-only Merkle mountain range.
//! - [`encoding`]: little-endian, length-prefixed bytes with one encoding per value.
//! - [`amount`]: OPEN in its smallest unit, checked arithmetic only.

pub mod amount;
pub mod encoding;
pub mod hash;
pub mod ids;
pub mod licence;
pub mod merkle;
pub mod merkle_sum;
pub mod mmr;

pub use alloy_primitives::{Address, B256, Bytes, U256, address, b256, keccak256};
pub use amount::Amount;
pub use hash::Domain;
pub use ids::{BatchId, DatanetId, ItemId, ModelId, RunId};
