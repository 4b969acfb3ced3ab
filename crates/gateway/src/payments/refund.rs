//! Returning what a channel's payer has not used.

use super::{
    Payments, Refusal,
    channel::Vouched,
    code,
    refusal::{channel_state, voucher_state},
    wire::{self, BatchPayload, PaymentPayload, SettleResponse},
};
use crate::ledger;
use alloy_primitives::{B256, U256};
use alloy_sol_types::SolCall;
use interfaces::{
    addresses,
    channels::{IChannels, IChannels::VoucherClaim},
};
use serde_json::json;
use std::{sync::Arc, time::Duration};

impl Payments {
    /// Refunds as the payment in `header` asks: claims what is charged, then returns the rest, or the amount asked for.
    pub async fn refund(self: &Arc<Self>, model: B256, header: &[u8]) -> Result<SettleResponse, Refusal> {
        let bad = |error: wire::BadHeader| Refusal::new(code::HEADER, error.to_string());
        let payment: PaymentPayload = wire::decode(header).map_err(bad)?;
        if payment.accepted.network != self.network {
            return Err(Refusal::new(code::NETWORK, format!("this operator is paid on {}", self.network)));
        }
        let payload: BatchPayload = serde_json::from_value(payment.payload)
            .map_err(|error| Refusal::new(code::HEADER, error.to_string()))?;
        let BatchPayload::Refund { channel_config, voucher, amount } = payload else {
            return Err(Refusal::new(code::PAYLOAD, "GET takes refunds only: ask with POST"));
        };
        let config = self.check_voucher(model, &channel_config, &voucher)?;
        let (id, max) = (voucher.channel_id, voucher.max_claimable_amount.0);
        // A refund is no answer: no body has this digest.
        let held = self.hold(id, &config, model, max, &voucher.signature, B256::repeat_byte(0xff))?;
        let Vouched::Held(_hold) = held else {
            return Err(Refusal::new(code::BUSY, "the channel is in use"));
        };
        self.refresh(id, Duration::ZERO).await?;
        let channel = self.book().channels.get(&id).cloned();
        let channel =
            channel.ok_or_else(|| Refusal::new(code::MISSING_CHANNEL, "there is no such channel"))?;
        if max != channel.charged {
            let message =
                format!("a refund's voucher must allow the {} units that were charged", channel.charged);
            let mut state = json!({ "channelState": channel_state(id, &channel) });
            if let Some(voucher) = voucher_state(&channel) {
                state["voucherState"] = voucher;
            }
            return Err(Refusal { state: Some(state), ..Refusal::new(code::MISMATCH, message) });
        }
        let left = channel.on_ledger.balance.saturating_sub(channel.charged);
        let amount = amount.map_or(left, |amount| amount.0.min(left));
        if amount == 0 {
            return Err(Refusal::new(code::REFUND_EMPTY, "the channel holds nothing that was not charged"));
        }
        let refund = IChannels::refundCall { config: config.clone(), amount }.abi_encode();
        let mut calls = Vec::new();
        if channel.charged > channel.on_ledger.total_claimed {
            let row = VoucherClaim {
                voucher: IChannels::ClaimVoucher {
                    channel: config.clone(),
                    maxClaimableAmount: channel.signed_max,
                },
                signature: channel.signature.clone().into(),
                totalClaimed: channel.charged,
            };
            calls.push(IChannels::claimCall { voucherClaims: vec![row] }.abi_encode().into());
        }
        calls.push(refund.into());
        let call = IChannels::multicallCall { data: calls };
        let included = ledger::send(self.ledger.as_ref(), addresses::CHANNELS, U256::ZERO, &call)
            .await
            .map_err(|error| super::refused(error, code::REFUND_FAILED))?;
        self.refresh(id, Duration::ZERO).await?;
        let state = self.book().channels.get(&id).map(|channel| channel_state(id, channel));
        Ok(SettleResponse {
            success: true,
            error_reason: None,
            transaction: included.hash.to_string(),
            network: self.network.clone(),
            payer: config.payer.to_checksum(None),
            amount: amount.to_string(),
            extra: json!({ "channelState": state }),
        })
    }
}
