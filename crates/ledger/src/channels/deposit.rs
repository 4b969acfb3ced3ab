//! Deposits: they open a channel or top it up.

use super::{channel_id, collector, escrow, state::Channel};
use crate::{
    context::Context,
    error::{Error, Result, ensure},
    treasury::Parameter,
};
use alloy_primitives::Address;
use interfaces::{
    addresses,
    channels::{ChannelConfig, IChannels, MAX_WITHDRAW_DELAY_SECONDS},
};
use primitives::Amount;

pub(super) fn deposit(ctx: &mut Context, call: IChannels::depositCall) -> Result<()> {
    let IChannels::depositCall { config, amount, collector, collectorData } = call;
    check_config(ctx, &config)?;
    ensure(amount > 0, || Error::rejected(IChannels::ZeroDeposit {}))?;
    ensure(collector == addresses::DEPOSIT_COLLECTOR, || Error::rejected(IChannels::InvalidCollector {}))?;
    let amount = Amount(amount);
    let id = channel_id(ctx, &config)?;
    let mut channel = Channel::load(ctx.state, id)?;
    let first = channel.is_closed();
    channel.balance =
        channel.balance.checked_add(amount).ok_or_else(|| Error::rejected(IChannels::DepositOverflow {}))?;
    channel.store(ctx.state, id)?;
    collector::collect(ctx, config.payer, amount, id, &collectorData)?;
    let sender = ctx.caller;
    if first {
        ctx.emit(IChannels::ChannelCreated { channelId: id, config })?;
    }
    ctx.emit(IChannels::Deposited { channelId: id, sender, amount: amount.0, newBalance: channel.balance.0 })
}

/// Refuses configurations that no channel may have.
fn check_config(ctx: &mut Context, config: &ChannelConfig) -> Result<()> {
    let parties = [config.payer, config.receiver, config.receiverAuthorizer, config.token];
    ensure(!parties.contains(&Address::ZERO), || Error::rejected(IChannels::InvalidChannel {}))?;
    let delay = config.withdrawDelay.to::<u64>();
    let least = Parameter::LeastWithdrawDelaySeconds.get(ctx.state)?;
    ensure((least..=MAX_WITHDRAW_DELAY_SECONDS).contains(&delay), || {
        Error::rejected(IChannels::WithdrawDelayOutOfRange {})
    })?;
    ensure(config.token == addresses::TOKEN, || {
        Error::rejected(IChannels::UnsupportedToken { token: config.token })
    })?;
    escrow::check_receiver(ctx, config)
}
