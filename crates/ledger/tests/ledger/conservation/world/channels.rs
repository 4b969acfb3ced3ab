//! Use of channels.

use super::World;
use crate::conservation::{channels, plain::OPEN};
use alloy_primitives::Address;
use alloy_sol_types::SolCall;
use interfaces::{
    addresses::{CHANNELS, TOKEN, escrow},
    channels::{ChannelConfig, IChannels},
};

impl World {
    /// The one payer's channel to an operator's model.
    pub fn channel(&self, (operator, model): (Address, usize)) -> ChannelConfig {
        channels::config(&self.payer, operator, self.models[model])
    }

    pub(super) fn deposit(&mut self, anyone: Address) {
        let key = (self.random.pick(&self.people), self.random.below(2) as usize);
        let amount = u128::from(1 + self.random.below(40)) * OPEN;
        self.salt += 1;
        let chain_id = self.ledger.block.chain_id;
        let call = channels::deposit(&self.payer, self.channel(key), amount, self.salt, chain_id);
        let foretold = self.plain.deposit(self.payer.address, key, amount);
        self.send("deposit", anyone, CHANNELS, 0, call.abi_encode(), foretold);
    }

    pub(super) fn channel_claim(&mut self) {
        let open: Vec<_> = self.plain.channels.keys().copied().collect();
        if open.is_empty() {
            return;
        }
        let key = self.random.pick(&open);
        if self.random.once_in(3) {
            let call = IChannels::settleCall { receiver: escrow(key.0, self.models[key.1]), token: TOKEN };
            let foretold = self.plain.channel_settle(key);
            return self.send("settle", key.0, CHANNELS, 0, call.abi_encode(), foretold);
        }
        let channel = self.plain.channels[&key].clone();
        let total = channel.claimed + u128::from(self.random.below(8)) * OPEN;
        let call = channels::claim(&self.payer, self.channel(key), total, self.ledger.block.chain_id);
        let foretold = self.plain.channel_claim(key, total);
        self.send("channelClaim", key.0, CHANNELS, 0, call.abi_encode(), foretold);
    }
}
