//! Taking what vouchers allow: claims in batches, then the move into the escrow.

use super::Payments;
use crate::ledger::{self, LedgerError};
use alloy_primitives::{B256, U256};
use interfaces::{
    addresses,
    channels::{IChannels, IChannels::VoucherClaim},
};
use std::time::Duration;

/// Claims in one transaction; the ledger takes 500.
const MAX_CLAIMS: usize = 100;

/// What redeeming came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Redeemed {
    /// Channels claimed from.
    pub channels: usize,
    /// Charges that the ledger would not pay: their channels were emptied first.
    pub lost: u128,
}

impl Payments {
    fn due(&self, model: B256) -> Vec<(B256, VoucherClaim, u128)> {
        let book = self.book();
        let mut due: Vec<_> = book
            .channels
            .iter()
            .filter(|(_, channel)| channel.model == model)
            .filter(|(_, channel)| channel.charged > channel.on_ledger.total_claimed)
            .map(|(id, channel)| {
                let voucher = IChannels::ClaimVoucher {
                    channel: channel.config.clone(),
                    maxClaimableAmount: channel.signed_max,
                };
                let claim = VoucherClaim {
                    voucher,
                    signature: channel.signature.clone().into(),
                    totalClaimed: channel.charged,
                };
                (*id, claim, channel.charged)
            })
            .collect();
        due.sort_by_key(|(id, ..)| *id);
        due
    }

    /// Whether a payer of this model started a withdrawal from a channel with unclaimed charges. Reads the ledger.
    pub async fn is_withdrawal_pending(&self, model: B256) -> bool {
        for (id, ..) in self.due(model) {
            let _ = self.refresh(id, Duration::from_secs(30)).await;
        }
        self.book().channels.values().any(|channel| {
            channel.model == model
                && channel.on_ledger.withdraw_requested_at != 0
                && channel.charged > channel.on_ledger.total_claimed
        })
    }

    /// Claims everything charged under vouchers for `model` and moves it to the escrow. Doing it again changes nothing.
    pub async fn redeem(&self, model: B256) -> Result<Redeemed, LedgerError> {
        let mut redeemed = Redeemed::default();
        // What was known may be old: an earlier claim may have gone through before a crash.
        let stale: Vec<B256> = self.due(model).into_iter().map(|(id, ..)| id).collect();
        for id in stale {
            let on_ledger = ledger::channel(self.ledger.as_ref(), id).await?;
            if let Some(channel) = self.book().channels.get_mut(&id) {
                channel.update(on_ledger);
            }
        }
        let mut claims = Vec::new();
        for (id, mut claim, charged) in self.due(model) {
            let balance = self.book().channels.get(&id).map_or(0, |channel| channel.on_ledger.balance);
            if charged > balance {
                redeemed.lost += charged - balance;
                claim.totalClaimed = balance;
            }
            claims.push((id, claim));
        }
        claims.retain(|(id, claim)| {
            let book = self.book();
            book.channels.get(id).is_some_and(|c| claim.totalClaimed > c.on_ledger.total_claimed)
        });
        for part in claims.chunks(MAX_CLAIMS) {
            let rows = part.iter().map(|(_, claim)| claim.clone()).collect();
            let call = IChannels::claimCall { voucherClaims: rows };
            ledger::send(self.ledger.as_ref(), addresses::CHANNELS, U256::ZERO, &call).await?;
            redeemed.channels += part.len();
            for (id, _) in part {
                let on_ledger = ledger::channel(self.ledger.as_ref(), *id).await?;
                if let Some(channel) = self.book().channels.get_mut(id) {
                    channel.update(on_ledger);
                }
            }
        }
        let receiver = addresses::escrow(self.operator.address(), model);
        let held = IChannels::receiversCall { receiver, token: addresses::TOKEN };
        let held = ledger::view(self.ledger.as_ref(), addresses::CHANNELS, &held).await?;
        if held.totalClaimed > held.totalSettled {
            let call = IChannels::settleCall { receiver, token: addresses::TOKEN };
            ledger::send(self.ledger.as_ref(), addresses::CHANNELS, U256::ZERO, &call).await?;
        }
        Ok(redeemed)
    }

    /// Makes the escrow of `model` known to the channels, so that payers can name it.
    pub async fn register_escrow(&self, model: B256) -> Result<(), LedgerError> {
        let operator = self.operator.address();
        let escrow = addresses::escrow(operator, model);
        let call = IChannels::escrowOfCall { escrow };
        let known = ledger::view(self.ledger.as_ref(), addresses::CHANNELS, &call).await?;
        if known.operator == operator {
            return Ok(());
        }
        let call = IChannels::registerEscrowCall { operator, model };
        ledger::send(self.ledger.as_ref(), addresses::CHANNELS, U256::ZERO, &call).await?;
        Ok(())
    }
}
