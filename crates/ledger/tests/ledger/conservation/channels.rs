//! What a payer signs to open a channel and to pay through it.

use alloy_primitives::{Address, B256, Bytes, U256, Uint, keccak256};
use alloy_sol_types::{Eip712Domain, SolStruct, SolValue};
use interfaces::{
    addresses::{DEPOSIT_COLLECTOR, TOKEN, escrow},
    channels::{ChannelConfig, CollectorData, IChannels, channel_id, deposit_nonce, domain, signed},
    token::{self, ReceiveWithAuthorization},
};
use k256::ecdsa::SigningKey;

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
    fn sign(&self, domain: &Eip712Domain, message: &impl SolStruct) -> Bytes {
        let digest = message.eip712_signing_hash(domain);
        let (signature, parity) = self.key.sign_prehash_recoverable(digest.as_slice()).expect("signs");
        [signature.to_bytes().to_vec(), vec![27 + parity.to_byte()]].concat().into()
    }
}

/// The channel of `payer` to the escrow of `operator` and `model`.
pub fn config(payer: &Party, operator: Address, model: B256) -> ChannelConfig {
    ChannelConfig {
        payer: payer.address,
        payerAuthorizer: payer.address,
        receiver: escrow(operator, model),
        receiverAuthorizer: operator,
        token: TOKEN,
        withdrawDelay: Uint::from(86_400u64),
        salt: B256::ZERO,
    }
}

pub fn deposit(
    payer: &Party,
    config: ChannelConfig,
    amount: u128,
    salt: u64,
    chain_id: u64,
) -> IChannels::depositCall {
    let message = ReceiveWithAuthorization {
        from: config.payer,
        to: DEPOSIT_COLLECTOR,
        value: U256::from(amount),
        validAfter: U256::ZERO,
        validBefore: U256::MAX,
        nonce: deposit_nonce(channel_id(&config, chain_id), U256::from(salt)),
    };
    let token_domain = Eip712Domain::new(
        Some(token::NAME.into()),
        Some(token::VERSION.into()),
        Some(U256::from(chain_id)),
        Some(TOKEN),
        None,
    );
    let data = CollectorData {
        validAfter: U256::ZERO,
        validBefore: U256::MAX,
        salt: U256::from(salt),
        signature: payer.sign(&token_domain, &message),
    };
    let collector_data = data.abi_encode_params().into();
    IChannels::depositCall { config, amount, collector: DEPOSIT_COLLECTOR, collectorData: collector_data }
}

/// The operator takes `total` under a voucher of exactly that.
pub fn claim(payer: &Party, config: ChannelConfig, total: u128, chain_id: u64) -> IChannels::claimCall {
    let id = channel_id(&config, chain_id);
    let voucher = signed::Voucher { channelId: id, maxClaimableAmount: total };
    let signature = payer.sign(&domain(chain_id), &voucher);
    let voucher = IChannels::ClaimVoucher { channel: config, maxClaimableAmount: total };
    IChannels::claimCall {
        voucherClaims: vec![IChannels::VoucherClaim { voucher, signature, totalClaimed: total }],
    }
}
