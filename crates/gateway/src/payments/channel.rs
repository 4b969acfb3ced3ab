//! One channel as the gateway knows it, and the verification of vouchers.

use super::{
    Payments, Refusal, Served, code,
    refusal::{channel_state, voucher_state},
    wire::{BatchPayload, WireConfig, WireDeposit, WireVoucher},
};
use crate::ledger::{self, ChannelOnLedger, LedgerError};
use alloy_primitives::{B256, Signature, U256, keccak256};
use alloy_sol_types::{SolStruct, SolValue};
use compute::account::signed_by;
use interfaces::{
    addresses,
    channels::{ChannelConfig, CollectorData, IChannels},
};
use primitives::Amount;
use serde_json::json;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// How old what is known of the ledger may be before it is read again.
const FRESH_FOR: Duration = Duration::from_secs(5);
/// How old it may be while the ledger is away: well under the shortest withdrawal delay, so that a payer cannot be out before a claim.
const USABLE_FOR: Duration = Duration::from_secs(600);

/// A channel of ours.
#[derive(Clone, Debug)]
pub struct Channel {
    /// What it is.
    pub config: ChannelConfig,
    /// The model whose escrow it pays.
    pub model: B256,
    /// What the ledger holds, when it was last read.
    pub on_ledger: ChannelOnLedger,
    read_at: Option<Instant>,
    /// What its payer owes in all.
    pub charged: u128,
    /// The newest voucher's ceiling.
    pub signed_max: u128,
    /// Its signature; empty before the first.
    pub signature: Vec<u8>,
    busy: bool,
    last: Option<Served>,
}

impl Channel {
    /// A channel nothing is known of.
    pub fn new(config: ChannelConfig, model: B256) -> Channel {
        Channel {
            config,
            model,
            on_ledger: ChannelOnLedger::default(),
            read_at: None,
            charged: 0,
            signed_max: 0,
            signature: Vec::new(),
            busy: false,
            last: None,
        }
    }

    /// Takes up an answer's charge: `charged` in all, under this voucher.
    pub fn charge(&mut self, signed_max: u128, signature: Vec<u8>, charged: u128, served: Served) {
        self.charged = self.charged.max(charged);
        self.signed_max = signed_max;
        self.signature = signature;
        self.last = Some(served);
    }

    /// Takes up what the ledger holds.
    pub fn update(&mut self, on_ledger: ChannelOnLedger) {
        // A channel of an operator that lost its log: what was claimed was charged.
        self.charged = self.charged.max(on_ledger.total_claimed);
        self.on_ledger = on_ledger;
        self.read_at = Some(Instant::now());
    }

    fn age(&self) -> Duration {
        self.read_at.map_or(Duration::MAX, |at| at.elapsed())
    }
}

/// A channel held for one answer. Dropped without a charge it is released, and nothing is owed.
pub struct ChannelHold {
    payments: Arc<Payments>,
    /// The channel.
    pub id: B256,
    /// What it is.
    pub config: ChannelConfig,
    /// The voucher's ceiling.
    pub signed_max: u128,
    /// Its signature.
    pub signature: Vec<u8>,
    /// Charged before this answer.
    pub charged_before: u128,
    /// The deposit's transaction, if this payment made one.
    pub deposit: Option<(B256, u128)>,
}

impl Drop for ChannelHold {
    fn drop(&mut self) {
        let mut book = self.payments.book();
        if let Some(channel) = book.channels.get_mut(&self.id) {
            channel.busy = false;
            // Anyone can sign vouchers for channels that do not exist: they are not remembered.
            if channel.charged == 0 && channel.on_ledger.balance == 0 {
                book.channels.remove(&self.id);
            }
        }
    }
}

impl ChannelHold {
    /// What the channel has been charged once this fee is.
    pub fn charged_after(&self, fee: Amount) -> u128 {
        self.charged_before.saturating_add(fee.0)
    }

    /// Takes up the charge, now that the log has it, and says so to the client.
    pub fn charged(self, fee: Amount, served: Served) -> super::wire::SettleResponse {
        let charged = self.charged_after(fee);
        let mut book = self.payments.book();
        let channel =
            book.channels.entry(self.id).or_insert_with(|| Channel::new(self.config.clone(), served.model));
        channel.charge(self.signed_max, self.signature.clone(), charged, served);
        let state = channel_state(self.id, channel);
        let payer = self.config.payer.to_checksum(None);
        drop(book);
        let (transaction, amount) = match self.deposit {
            Some((hash, amount)) => (hash.to_string(), amount.to_string()),
            None => (String::new(), String::new()),
        };
        super::wire::SettleResponse {
            success: true,
            error_reason: None,
            transaction,
            network: self.payments.network.clone(),
            payer,
            amount,
            extra: json!({ "chargedAmount": fee.0.to_string(), "channelState": state }),
        }
    }
}

/// A voucher that is held, or the answer it already paid for.
// One lives at a time, on the stack of the request it pays for.
#[expect(clippy::large_enum_variant)]
pub enum Vouched {
    /// Held for a new answer.
    Held(ChannelHold),
    /// This voucher and body were answered before.
    Again(Served),
}

impl Payments {
    /// EIP-712's hash of a message to the channels by the hash of its structure. The domain is hashed once.
    fn signing_hash(&self, structure: B256) -> B256 {
        let mut bytes = [0; 66];
        bytes[..2].copy_from_slice(&[0x19, 0x01]);
        bytes[2..34].copy_from_slice(self.channels_domain.as_slice());
        bytes[34..].copy_from_slice(structure.as_slice());
        keccak256(bytes)
    }

    /// EIP-712's hash of a voucher, whose type is hashed once.
    fn voucher_hash(&self, channel: B256, max_claimable: u128) -> B256 {
        let mut bytes = [0; 96];
        bytes[..32].copy_from_slice(self.voucher_type.as_slice());
        bytes[32..64].copy_from_slice(channel.as_slice());
        bytes[80..].copy_from_slice(&max_claimable.to_be_bytes());
        self.signing_hash(keccak256(bytes))
    }

    /// Checks what a channel is and who signed the voucher. Nothing is looked up.
    pub(super) fn check_voucher(
        &self,
        model: B256,
        wire: &WireConfig,
        voucher: &WireVoucher,
    ) -> Result<ChannelConfig, Refusal> {
        let refuse = |code, message: &str| Err(Refusal::new(code, message));
        let config = wire.config().filter(|_| wire.withdraw_delay == self.withdraw_delay_s);
        // What follows from a channel's id was derived when it became known.
        let known = self.book().channels.get(&voucher.channel_id).is_some_and(|known| {
            known.model == model && config.as_ref().is_some_and(|config| *config == known.config)
        });
        if !known && wire.receiver != addresses::escrow(self.operator.address(), model) {
            return refuse(code::RECEIVER, "the channel's receiver must be `payTo` of this model's offer");
        }
        if wire.receiver_authorizer != self.operator.address() {
            return refuse(code::AUTHORIZER, "the channel's receiverAuthorizer must be the offer's");
        }
        if wire.token != addresses::TOKEN {
            return refuse(code::TOKEN, "channels hold OPEN");
        }
        let Some(config) = config else {
            return refuse(code::WITHDRAW_DELAY, "the channel's withdrawDelay must be the offer's");
        };
        if !known && self.signing_hash(config.eip712_hash_struct()) != voucher.channel_id {
            return refuse(code::CHANNEL_ID, "the voucher's channelId is not the channel's");
        }
        let digest = self.voucher_hash(voucher.channel_id, voucher.max_claimable_amount.0);
        let signature =
            Signature::from_raw(&voucher.signature).ok().filter(|_| voucher.signature.len() == 65);
        if !signature.is_some_and(|signature| signed_by(config.voucher_signer(), &digest, &signature)) {
            return refuse(code::VOUCHER_SIGNATURE, "the voucher is not signed by the channel's payer side");
        }
        Ok(config)
    }

    /// Checks a voucher payment as far as it can be without looking anything up: what it costs a gateway to refuse.
    pub fn verify_voucher(&self, model: B256, payload: &BatchPayload) -> Result<ChannelConfig, Refusal> {
        let (BatchPayload::Deposit { channel_config, voucher, .. }
        | BatchPayload::Voucher { channel_config, voucher }
        | BatchPayload::Refund { channel_config, voucher, .. }) = payload;
        self.check_voucher(model, channel_config, voucher)
    }

    /// Holds a channel for one answer that may cost `amount`.
    pub(super) async fn vouch(
        self: &Arc<Self>,
        model: B256,
        payload: &BatchPayload,
        amount: Amount,
        body: B256,
    ) -> Result<Vouched, Refusal> {
        let (wire, voucher, deposit) = match payload {
            BatchPayload::Deposit { channel_config, voucher, deposit } => {
                (channel_config, voucher, Some(deposit))
            }
            BatchPayload::Voucher { channel_config, voucher } => (channel_config, voucher, None),
            BatchPayload::Refund { .. } => {
                return Err(Refusal::new(code::PAYLOAD, "a refund is asked for with GET"));
            }
        };
        let config = self.check_voucher(model, wire, voucher)?;
        let (id, max) = (voucher.channel_id, voucher.max_claimable_amount.0);
        let mut hold = match self.hold(id, &config, model, max, &voucher.signature, body)? {
            Vouched::Again(served) => return Ok(Vouched::Again(served)),
            Vouched::Held(hold) => hold,
        };
        self.refresh(id, FRESH_FOR).await?;
        // A sum that does not fit is corrected before any money moves.
        self.check_sum(id, max, amount)?;
        if let Some(deposit) = deposit {
            hold.deposit = self.deposit(&config, id, max, deposit).await?;
        }
        self.check_cover(id, max)?;
        hold.charged_before = self.book().channels.get(&id).map_or(0, |channel| channel.charged);
        Ok(Vouched::Held(hold))
    }

    /// Marks a channel as busy.
    pub(super) fn hold(
        self: &Arc<Self>,
        id: B256,
        config: &ChannelConfig,
        model: B256,
        max: u128,
        signature: &[u8],
        body: B256,
    ) -> Result<Vouched, Refusal> {
        let mut book = self.book();
        let channel = book.channels.entry(id).or_insert_with(|| Channel::new(config.clone(), model));
        if channel.busy {
            let message = "the channel is answering another request: wait for it, or open another channel";
            return Err(Refusal::new(code::BUSY, message));
        }
        match channel.last {
            Some(served) if channel.signed_max == max && served.body == body => {
                return Ok(Vouched::Again(served));
            }
            _ => {}
        }
        channel.busy = true;
        Ok(Vouched::Held(ChannelHold {
            payments: self.clone(),
            id,
            config: config.clone(),
            signed_max: max,
            signature: signature.to_vec(),
            charged_before: channel.charged,
            deposit: None,
        }))
    }

    /// Reads the channel on the ledger unless that was done a moment ago. While the ledger is away, what was known serves for a while.
    pub(super) async fn refresh(&self, id: B256, older_than: Duration) -> Result<(), Refusal> {
        let age = self.book().channels.get(&id).map_or(Duration::MAX, Channel::age);
        if age < older_than {
            return Ok(());
        }
        match ledger::channel(self.ledger.as_ref(), id).await {
            Ok(on_ledger) => {
                if let Some(channel) = self.book().channels.get_mut(&id) {
                    channel.update(on_ledger);
                }
                Ok(())
            }
            Err(error) if age < USABLE_FOR => {
                tracing::warn!(%error, channel = %id, "serving a channel as it was last read");
                Ok(())
            }
            Err(error) => Err(super::refused(error, "rpc_read_failed")),
        }
    }

    /// The voucher's ceiling must be what was charged and this answer's most.
    fn check_sum(&self, id: B256, max: u128, amount: Amount) -> Result<(), Refusal> {
        let book = self.book();
        let Some(channel) = book.channels.get(&id) else {
            return Err(Refusal::new(code::MISSING_CHANNEL, "open the channel with a deposit first"));
        };
        let expected = channel.charged.checked_add(amount.0);
        if expected == Some(max) {
            return Ok(());
        }
        let message = format!(
            "the voucher allows {max} in all; with {} charged before, this answer needs {}",
            channel.charged,
            expected.map_or("more than 128 bits".into(), |sum| sum.to_string()),
        );
        let mut state = json!({ "channelState": channel_state(id, channel) });
        if let Some(voucher) = voucher_state(channel) {
            state["voucherState"] = voucher;
        }
        Err(Refusal { state: Some(state), ..Refusal::new(code::MISMATCH, message) })
    }

    /// The channel must hold what the voucher allows, and not be on its way out.
    fn check_cover(&self, id: B256, max: u128) -> Result<(), Refusal> {
        let book = self.book();
        let Some(channel) = book.channels.get(&id) else {
            return Err(Refusal::new(code::MISSING_CHANNEL, "open the channel with a deposit first"));
        };
        let on = &channel.on_ledger;
        if on.withdraw_requested_at != 0 {
            let message = "a withdrawal from this channel is pending: open another channel";
            return Err(Refusal::new(code::ABOVE_BALANCE, message));
        }
        if max > on.balance {
            let message =
                format!("the channel holds {} units, the voucher allows {max}: top it up", on.balance);
            return Err(Refusal::new(code::ABOVE_BALANCE, message));
        }
        Ok(())
    }

    /// Sends a deposit to the ledger, for a voucher of `max`; its transaction and amount, or `None` when it had gone through before.
    async fn deposit(
        &self,
        config: &ChannelConfig,
        id: B256,
        max: u128,
        deposit: &WireDeposit,
    ) -> Result<Option<(B256, u128)>, Refusal> {
        let Some(authorization) = &deposit.authorization.erc3009_authorization else {
            return Err(Refusal::new(code::ERC3009_REQUIRED, "deposits are made by ERC-3009 authorization"));
        };
        let salt = authorization.salt.parse::<U256>();
        let salt = salt.map_err(|_| Refusal::new(code::HEADER, "the deposit's salt is not a number"))?;
        let data = CollectorData {
            validAfter: U256::from(authorization.valid_after.0),
            validBefore: U256::from(authorization.valid_before.0),
            salt,
            signature: authorization.signature.clone(),
        };
        let call = IChannels::depositCall {
            config: config.clone(),
            amount: deposit.amount.0,
            collector: addresses::DEPOSIT_COLLECTOR,
            collectorData: data.abi_encode_params().into(),
        };
        let sent = ledger::send(self.ledger.as_ref(), addresses::CHANNELS, U256::ZERO, &call).await;
        self.refresh(id, Duration::ZERO).await?;
        match sent {
            Ok(included) => Ok(Some((included.hash, deposit.amount.0))),
            // An earlier attempt went through and its answer was lost: the money is there.
            Err(LedgerError::Refused { .. }) if self.check_cover(id, max).is_ok() => Ok(None),
            Err(error) => Err(super::refused(error, code::DEPOSIT_FAILED)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::GatewayConfig;
    use interfaces::channels::signed::Voucher;

    #[test]
    fn a_vouchers_hash_is_eip_712s() {
        let folder = tempfile::tempdir().unwrap();
        let operator = compute::Account::from_bytes(&[1; 32]).unwrap();
        let config = GatewayConfig::local(folder.path().into(), operator);
        let ledger =
            Arc::new(crate::RpcLedger::new("http://127.0.0.1:1", config.operator.clone(), config.chain_id));
        let payments = Payments::new(&config, ledger, Arc::new(crate::disk::RealDisk)).unwrap();
        for (channel, max) in
            [(B256::ZERO, 0), (B256::repeat_byte(0xa5), 1), (B256::repeat_byte(7), u128::MAX)]
        {
            let voucher = Voucher { channelId: channel, maxClaimableAmount: max };
            let expected = voucher.eip712_signing_hash(&interfaces::channels::domain(config.chain_id));
            assert_eq!(payments.voucher_hash(channel, max), expected);
        }
    }
}
