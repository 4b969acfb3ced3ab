//! Reads for nodes: views that need no call.

use crate::{
    account::{self, Account},
    storage::{Misses, State},
};
use alloy_primitives::Address;

/// Balance and nonce of an account.
pub fn account(state: &mut State, address: Address) -> Result<Account, Misses> {
    let account = account::load(state, address).unwrap_or_default();
    state.take_misses()?;
    Ok(account)
}
