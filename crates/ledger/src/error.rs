//! How a call fails. A rejection is the caller's to mend, an inconsistency is ours; the match in [`Error::output`]
//! has no wildcard, so a new kind must decide which it is.

use alloy_primitives::Bytes;
use alloy_sol_types::SolError;
use interfaces::errors::ILedger;

/// Result of everything a module does.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a call failed. Its effects are undone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The module refused; the bytes are the ABI-encoded custom error.
    Rejected(Bytes),
    /// The gas limit was reached.
    OutOfGas,
    /// A defect of the ledger: stored state contradicts itself. Every node finds the same, so the transaction fails
    /// and the chain goes on.
    Inconsistent(&'static str),
}

impl Error {
    /// A refusal with one of the module's custom errors.
    pub fn rejected(error: impl SolError) -> Error {
        Error::Rejected(error.abi_encode().into())
    }

    /// A sum or product left its range.
    pub fn overflow() -> Error {
        Error::rejected(ILedger::ArithmeticOverflow {})
    }

    /// Revert data, as clients decode it.
    pub fn output(&self) -> Bytes {
        match self {
            Error::Rejected(data) => data.clone(),
            Error::OutOfGas => Bytes::new(),
            Error::Inconsistent(what) => ILedger::Inconsistent { what: (*what).into() }.abi_encode().into(),
        }
    }
}

/// Refuses with `error` unless `condition` holds.
pub fn ensure(condition: bool, error: impl FnOnce() -> Error) -> Result<()> {
    if condition { Ok(()) } else { Err(error()) }
}
