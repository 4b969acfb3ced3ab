//! A ledger with a payer, an operator and a registered escrow, and everything that they sign.

use crate::{Genesis, MemoryLedger, testing::enrol};
use alloy_primitives::{Address, B256, Bytes, U256, Uint, keccak256};
use alloy_sol_types::{Eip712Domain, SolCall, SolError, SolEvent, SolStruct, SolValue};
use interfaces::{
    addresses::{CHANNELS, DEPOSIT_COLLECTOR, TOKEN, escrow},
    channels::{
        ChannelConfig, CollectorData, IChannels, IChannels::VoucherClaim, channel_id, deposit_nonce, domain,
        signed,
    },
    token::{self, ReceiveWithAuthorization},
};
use k256::ecdsa::SigningKey;
use primitives::Amount;

/// The model that the fixture's operator serves.
pub const MODEL: B256 = B256::repeat_byte(0x4d);

/// An account that can sign.
#[derive(Clone)]
pub struct Party {
    key: SigningKey,
    pub address: Address,
}

pub fn party(seed: u8) -> Party {
    let key = SigningKey::from_slice(&[seed; 32]).expect("a valid scalar");
    let point = key.verifying_key().to_encoded_point(false);
    Party { address: Address::from_slice(&keccak256(&point.as_bytes()[1..])[12..]), key }
}

impl Party {
    /// 65 bytes r, s, v over an EIP-712 message.
    pub fn sign(&self, domain: &Eip712Domain, message: &impl SolStruct) -> Bytes {
        let digest = message.eip712_signing_hash(domain);
        let (signature, parity) = self.key.sign_prehash_recoverable(digest.as_slice()).expect("signs");
        [signature.to_bytes().to_vec(), vec![27 + parity.to_byte()]].concat().into()
    }
}

/// The scene.
pub struct Scene {
    pub ledger: MemoryLedger,
    pub payer: Party,
    pub operator: Party,
    /// Carries transactions for others.
    pub relay: Party,
    pub config: ChannelConfig,
}

impl Scene {
    pub fn new() -> Scene {
        Scene::with_parameters(&[])
    }

    /// A network whose parameters differ.
    pub fn with_parameters(parameters: &[(&str, u64)]) -> Scene {
        let (payer, operator, relay) = (party(1), party(2), party(3));
        let mut genesis = Genesis::development(&[payer.address, operator.address, relay.address]);
        genesis.parameters.extend(parameters.iter().map(|(name, value)| ((*name).into(), *value)));
        let mut ledger = MemoryLedger::new(genesis);
        let register = IChannels::registerEscrowCall { operator: operator.address, model: MODEL };
        let receiver = ledger
            .transact(relay.address, CHANNELS, U256::ZERO, &register)
            .expect("anyone may register an escrow");
        assert_eq!(receiver, escrow(operator.address, MODEL));
        enrol(&mut ledger, operator.address, MODEL, Amount::open(1_000_000));
        let config = ChannelConfig {
            payer: payer.address,
            payerAuthorizer: payer.address,
            receiver,
            receiverAuthorizer: operator.address,
            token: TOKEN,
            withdrawDelay: Uint::from(86_400u64),
            salt: B256::ZERO,
        };
        Scene { ledger, payer, operator, relay, config }
    }

    pub fn domain(&self) -> Eip712Domain {
        domain(self.ledger.block.chain_id)
    }

    pub fn id(&self) -> B256 {
        channel_id(&self.config, self.ledger.block.chain_id)
    }

    /// Sends a call to the channels.
    pub fn send<C: SolCall>(&mut self, sender: Address, call: &C) -> Result<C::Return, Bytes> {
        self.ledger.transact(sender, CHANNELS, U256::ZERO, call)
    }

    /// A deposit as the stock client signs it.
    pub fn deposit_call(&self, amount: u128, salt: u64) -> IChannels::depositCall {
        let config = self.config.clone();
        let valid_before = U256::from(self.ledger.block.seconds() + 300);
        let message = ReceiveWithAuthorization {
            from: config.payer,
            to: DEPOSIT_COLLECTOR,
            value: U256::from(amount),
            validAfter: U256::ZERO,
            validBefore: valid_before,
            nonce: deposit_nonce(channel_id(&config, self.ledger.block.chain_id), U256::from(salt)),
        };
        let token_domain = Eip712Domain::new(
            Some(token::NAME.into()),
            Some(token::VERSION.into()),
            Some(U256::from(self.ledger.block.chain_id)),
            Some(TOKEN),
            None,
        );
        let data = CollectorData {
            validAfter: U256::ZERO,
            validBefore: valid_before,
            salt: U256::from(salt),
            signature: self.payer.sign(&token_domain, &message),
        };
        IChannels::depositCall {
            config,
            amount,
            collector: DEPOSIT_COLLECTOR,
            collectorData: data.abi_encode_params().into(),
        }
    }

    pub fn deposit(&mut self, amount: u128, salt: u64) -> Result<(), Bytes> {
        let call = self.deposit_call(amount, salt);
        self.send(self.relay.address, &call).map(drop)
    }

    /// A row: the payer signs up to `ceiling`, the receiver side takes `total`.
    pub fn row(&self, ceiling: u128, total: u128) -> VoucherClaim {
        let voucher = signed::Voucher { channelId: self.id(), maxClaimableAmount: ceiling };
        VoucherClaim {
            voucher: IChannels::ClaimVoucher { channel: self.config.clone(), maxClaimableAmount: ceiling },
            signature: self.payer.sign(&self.domain(), &voucher),
            totalClaimed: total,
        }
    }

    pub fn claim(&mut self, ceiling: u128, total: u128) -> Result<(), Bytes> {
        let call = IChannels::claimCall { voucherClaims: vec![self.row(ceiling, total)] };
        self.send(self.operator.address, &call).map(drop)
    }

    /// A claim that anyone can carry.
    pub fn signed_claim(&self, rows: Vec<VoucherClaim>) -> IChannels::claimWithSignatureCall {
        let claims = rows
            .iter()
            .map(|row| signed::ClaimEntry {
                channelId: channel_id(&row.voucher.channel, self.ledger.block.chain_id),
                maxClaimableAmount: row.voucher.maxClaimableAmount,
                totalClaimed: row.totalClaimed,
            })
            .collect();
        let signature = self.operator.sign(&self.domain(), &signed::ClaimBatch { claims });
        IChannels::claimWithSignatureCall { voucherClaims: rows, authorizerSignature: signature }
    }

    /// A refund that anyone can carry.
    pub fn signed_refund(&self, amount: u128, nonce: u64) -> IChannels::refundWithSignatureCall {
        let nonce = U256::from(nonce);
        let message = signed::Refund { channelId: self.id(), nonce, amount };
        IChannels::refundWithSignatureCall {
            config: self.config.clone(),
            amount,
            nonce,
            receiverAuthorizerSignature: self.operator.sign(&self.domain(), &message),
        }
    }

    pub fn settle(&mut self) -> Result<(), Bytes> {
        let call = IChannels::settleCall { receiver: self.config.receiver, token: TOKEN };
        self.send(self.relay.address, &call).map(drop)
    }

    pub fn initiate(&mut self, amount: u128) -> Result<(), Bytes> {
        let call = IChannels::initiateWithdrawCall { config: self.config.clone(), amount };
        self.send(self.payer.address, &call).map(drop)
    }

    pub fn finalize(&mut self) -> Result<(), Bytes> {
        let call = IChannels::finalizeWithdrawCall { config: self.config.clone() };
        self.send(self.payer.address, &call).map(drop)
    }

    pub fn refund(&mut self, amount: u128) -> Result<(), Bytes> {
        let call = IChannels::refundCall { config: self.config.clone(), amount };
        self.send(self.operator.address, &call).map(drop)
    }

    /// Balance and total claimed.
    pub fn channel(&mut self) -> (u128, u128) {
        let id = self.id();
        let state = self.ledger.view(CHANNELS, &IChannels::channelsCall { channelId: id }).expect("a view");
        (state.balance, state.totalClaimed)
    }

    /// Amount and second of start.
    pub fn pending(&mut self) -> (u128, u64) {
        let id = self.id();
        let state =
            self.ledger.view(CHANNELS, &IChannels::pendingWithdrawalsCall { channelId: id }).expect("a view");
        (state.amount, state.initiatedAt.to())
    }

    pub fn refund_nonce(&mut self) -> u64 {
        let id = self.id();
        self.ledger.view(CHANNELS, &IChannels::refundNonceCall { channelId: id }).expect("a view").to()
    }

    /// The `E` events of the last transaction.
    pub fn events<E: SolEvent>(&self) -> Vec<E> {
        self.ledger
            .logs
            .iter()
            .filter(|log| log.topics.first() == Some(&E::SIGNATURE_HASH))
            .map(|log| E::decode_raw_log(log.topics.iter().copied(), &log.data).expect("decodes"))
            .collect()
    }
}

/// Refused with `E`, whatever its arguments.
pub fn is<E: SolError, T: std::fmt::Debug>(result: Result<T, Bytes>) -> bool {
    match result {
        Err(data) => E::abi_decode(&data).is_ok(),
        Ok(value) => panic!("accepted with {value:?}"),
    }
}

/// Whole OPEN in units.
pub fn open(whole: u64) -> u128 {
    Amount::open(whole).0
}
