//! The ledger from outside: whole chains in memory, driven by calls.
//!
//! - [`conservation`]: random use of all modules against a plain model, audited every block.
//! - [`attacks`]: attacks on the ledger's own rules, played with real calls.
//! - [`selectors`]: every function of every interface is answered.
//! - [`vectors`]: what other implementations must compute to the byte.

mod attacks;
mod conservation;
mod selectors;
mod vectors;
