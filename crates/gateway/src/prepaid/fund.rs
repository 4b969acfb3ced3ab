//! What a payer signs and sends to fund a key.

use super::{Key, KeyError, Lane, MAX_LANES, random};
use crate::{
    client::{Client, ClientError, Known},
    payments::{exact::token_domain, wire::WireConfig},
};
use alloy_primitives::{B256, U256};
use alloy_sol_types::{SolStruct, SolValue};
use compute::Account;
use interfaces::{
    addresses,
    channels::{ChannelConfig, CollectorData, IChannels, channel_id, deposit_nonce},
    token::ReceiveWithAuthorization,
};

/// Why a key gets no channels.
#[derive(Debug, thiserror::Error)]
pub enum FundError {
    /// The operator.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// This machine.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Too many or none.
    #[error("{0} channels: a key has 1 to {MAX_LANES}")]
    Lanes(usize),
}

/// Gives a key `count` channels with the operator, empty: each is to be funded by [`deposit`]. Their configurations, in the key's order.
pub async fn open(key: &mut Key, count: usize) -> Result<Vec<ChannelConfig>, FundError> {
    if count == 0 || count > MAX_LANES {
        return Err(FundError::Lanes(count));
    }
    let account = key.account().map_err(|why| ClientError::Malformed(why.into()))?;
    let mut client = Client::new(&key.gateway, account, key.chain_id, 0).on_behalf_of(key.payer);
    let offer = client.offer(&key.model).await?;
    let mut configs = Vec::with_capacity(count);
    for _ in 0..count {
        client.salt = B256::new(*random::<32>()?);
        let config = client.config(&offer)?;
        let id = channel_id(&config, key.chain_id);
        key.lanes.push(Lane { id, config: WireConfig::from(&config), known: Known::default() });
        configs.push(config);
    }
    Ok(configs)
}

/// The call that moves `amount` from `payer` into a channel, authorised by the payer: anyone may send it, once.
pub fn deposit(
    payer: &Account,
    chain_id: u64,
    config: ChannelConfig,
    amount: u128,
) -> Result<IChannels::depositCall, KeyError> {
    let salt = U256::from_be_bytes(*random::<32>()?);
    let message = ReceiveWithAuthorization {
        from: payer.address(),
        to: addresses::DEPOSIT_COLLECTOR,
        value: U256::from(amount),
        validAfter: U256::ZERO,
        validBefore: U256::MAX,
        nonce: deposit_nonce(channel_id(&config, chain_id), salt),
    };
    let signature = payer.sign(&message.eip712_signing_hash(&token_domain(chain_id)));
    let data = CollectorData {
        validAfter: U256::ZERO,
        validBefore: U256::MAX,
        salt,
        signature: signature.as_bytes().to_vec().into(),
    };
    Ok(IChannels::depositCall {
        config,
        amount,
        collector: addresses::DEPOSIT_COLLECTOR,
        collectorData: data.abi_encode_params().into(),
    })
}
