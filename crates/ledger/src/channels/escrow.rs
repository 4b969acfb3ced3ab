//! Escrows: the only receivers that channels have (R1).

use super::state::EscrowOwner;
use crate::{
    context::Context,
    error::{Error, Result, ensure},
    storage::State,
    tables::ESCROWS,
};
use alloy_primitives::{Address, B256};
use interfaces::{
    addresses,
    channels::{ChannelConfig, IChannels},
};

/// Makes the escrow of `operator` and `model` known and tells its address; doing it again changes nothing.
pub fn register_escrow(state: &mut State, operator: Address, model: B256) -> Result<Address> {
    let escrow = addresses::escrow(operator, model);
    if ESCROWS.get(state, &escrow)?.is_none() {
        ESCROWS.put(state, &escrow, &EscrowOwner { operator, model })?;
        state.emit(addresses::CHANNELS, IChannels::EscrowRegistered { escrow, operator, model })?;
    }
    Ok(escrow)
}

/// Whose escrow an address is, if it was registered.
pub fn owner_of_escrow(state: &mut State, escrow: Address) -> Result<Option<EscrowOwner>> {
    ESCROWS.get(state, &escrow)
}

/// Refuses a channel whose receiver is no escrow, or whose authorizer is not the escrow's operator.
pub(super) fn check_receiver(ctx: &mut Context, config: &ChannelConfig) -> Result<()> {
    let Some(owner) = owner_of_escrow(ctx.state, config.receiver)? else {
        return Err(Error::rejected(IChannels::ReceiverIsNotEscrow { receiver: config.receiver }));
    };
    ensure(config.receiverAuthorizer == owner.operator, || {
        Error::rejected(IChannels::AuthorizerIsNotOperator {
            receiverAuthorizer: config.receiverAuthorizer,
            operator: owner.operator,
        })
    })
}
