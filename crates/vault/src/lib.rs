//! The vault: licensed data, encrypted off the ledger and provable on it.
//!
//! People contribute only what stays theirs: encrypted, licensed, revocable and traceable to the item. This crate takes a folder of files to a
//! clean, deduplicated, licensed training set, and keeps everything in between encrypted. It knows nothing of the ledger: it
//! produces the roots, commitments and flags that the ledger records.
//!
//! - [`read`]: files to documents, streaming, bounded, every problem named.
//! - [`similar`]: exact and near duplicates, novelty (RULEBOOK R3).
//! - [`screen`]: personal data, secrets and junk.
//! - [`crypt`]: the item format, keys, keepers. Byte layouts stand in `docs/VAULT.md`.
//! - [`document`]: what an item is and what its leaf commits to.

pub mod access;
pub mod commands;
pub mod crypt;
pub mod datanet;
pub mod document;
pub mod export;
pub mod licence;
pub mod read;
pub mod screen;
pub mod similar;
pub mod store;
pub mod vault;

pub use vault::{Vault, VaultError};
