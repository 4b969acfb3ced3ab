//! The ERC-3009 deposit collector: pulls what a payer authorized and passes it on to the channels.
//!
//! It stands at an address of its own because payers sign that address as the payee. Only a deposit reaches
//! [`collect`]; calling the collector from outside is refused, as on other chains.

use crate::{
    context::{Context, decode},
    error::{Error, Result},
    gas,
    signature::Passed,
    token::{AuthorizedTransfer, receive_with_authorization},
};
use alloy_primitives::{Address, B256, Bytes};
use alloy_sol_types::{SolCall, SolValue};
use interfaces::{
    addresses,
    channels::{CollectorData, IChannels, IDepositCollector, deposit_nonce},
};
use primitives::Amount;

/// Moves `amount` from the payer to the collector by its authorization, and from there to the channels' account.
pub(super) fn collect(
    ctx: &mut Context,
    payer: Address,
    amount: Amount,
    channel_id: B256,
    data: &[u8],
) -> Result<()> {
    let CollectorData { validAfter, validBefore, salt, signature } =
        CollectorData::abi_decode_params_validate(data)
            .map_err(|_| Error::rejected(IChannels::DepositCollectionFailed {}))?;
    ctx.state.charge(2 * gas::HASH_WORD)?;
    let terms = AuthorizedTransfer {
        from: payer,
        to: addresses::DEPOSIT_COLLECTOR,
        value: amount.to_word(),
        valid_after: validAfter,
        valid_before: validBefore,
        nonce: deposit_nonce(channel_id, salt),
    };
    // The token sees the collector as the caller: it is the payee that the payer signed.
    let mut as_collector = Context {
        state: &mut *ctx.state,
        block: ctx.block,
        caller: addresses::DEPOSIT_COLLECTOR,
        this: addresses::TOKEN,
        value: Amount::ZERO,
        depth: ctx.depth,
    };
    receive_with_authorization(&mut as_collector, terms, Passed::Bytes(&signature))?;
    ctx.transfer(addresses::DEPOSIT_COLLECTOR, addresses::CHANNELS, amount)
}

pub(crate) fn dispatch_collector(ctx: &mut Context, data: &[u8]) -> Result<Bytes> {
    use IDepositCollector::IDepositCollectorCalls as Calls;
    ctx.not_payable()?;
    match decode::<Calls>(data)? {
        Calls::collect(_) => Err(Error::rejected(IDepositCollector::OnlyX402BatchSettlement {})),
        Calls::x402BatchSettlement(_) => {
            Ok(IDepositCollector::x402BatchSettlementCall::abi_encode_returns(&addresses::CHANNELS).into())
        }
    }
}
