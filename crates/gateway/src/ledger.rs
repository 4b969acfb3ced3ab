//! What the gateway needs of a ledger: views, and transactions of the operator's.

use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_sol_types::{SolCall, SolEvent};
use futures::future::BoxFuture;
use interfaces::{addresses, channels::IChannels, multicall3::IMulticall3, token::IToken};

/// A ledger as one operator sees it: a node's JSON-RPC ([`crate::RpcLedger`]) or one in the same process.
pub trait Ledger: Send + Sync + 'static {
    /// Asks a view as `from`.
    fn call(&self, from: Address, to: Address, data: Bytes) -> BoxFuture<'_, Result<Bytes, LedgerError>>;

    /// Sends a transaction of the operator's and waits until it is in a block. A call that would fail is not sent.
    fn transact(&self, to: Address, value: U256, data: Bytes)
    -> BoxFuture<'_, Result<Included, LedgerError>>;
}

/// A transaction in a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Included {
    /// Its hash.
    pub hash: B256,
    /// Events.
    pub logs: Vec<Event>,
}

/// An event a module emitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The module.
    pub address: Address,
    /// Signature and indexed arguments.
    pub topics: Vec<B256>,
    /// The other arguments.
    pub data: Bytes,
}

/// Why the ledger did not do it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    /// No answer: try again later. A transaction may still be included.
    #[error("the ledger cannot be reached: {0}")]
    Away(String),
    /// The module refused; `data` is its ABI-encoded error.
    #[error("the ledger refused the call: {reason}")]
    Refused { reason: String, data: Bytes },
    /// Not what the interface says: another version, or no ledger at all.
    #[error("the ledger answered something else than its interface says: {0}")]
    Malformed(String),
}

impl LedgerError {
    /// The error of the interface that the call reverted with, if it is this one.
    pub fn decode<E: alloy_sol_types::SolError>(&self) -> Option<E> {
        match self {
            LedgerError::Refused { data, .. } => E::abi_decode(data).ok(),
            _ => None,
        }
    }

    /// Whether the call reverted with this error of the interface.
    pub fn is<E: alloy_sol_types::SolError>(&self) -> bool {
        matches!(self, LedgerError::Refused { data, .. } if data.starts_with(&E::SELECTOR))
    }
}

impl Included {
    /// The first event of this kind.
    pub fn event<E: SolEvent>(&self) -> Option<E> {
        self.logs.iter().find_map(|log| E::decode_raw_log(log.topics.iter().copied(), &log.data).ok())
    }
}

/// Asks a view of a module, typed.
pub async fn view<C: SolCall>(ledger: &dyn Ledger, to: Address, call: &C) -> Result<C::Return, LedgerError> {
    let output = ledger.call(Address::ZERO, to, call.abi_encode().into()).await?;
    decoded::<C>(&output)
}

/// Sends a module call, typed.
pub async fn send<C: SolCall>(
    ledger: &dyn Ledger,
    to: Address,
    value: U256,
    call: &C,
) -> Result<Included, LedgerError> {
    ledger.transact(to, value, call.abi_encode().into()).await
}

/// What the ledger holds of a channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChannelOnLedger {
    /// Deposits less refunds and withdrawals.
    pub balance: u128,
    /// What the receiver side took.
    pub total_claimed: u128,
    /// When a withdrawal was started; 0 when none is.
    pub withdraw_requested_at: u64,
    /// The next refund's nonce.
    pub refund_nonce: u64,
}

/// Reads a channel.
pub async fn channel(ledger: &dyn Ledger, id: B256) -> Result<ChannelOnLedger, LedgerError> {
    let to = addresses::CHANNELS;
    let calls = [
        IChannels::channelsCall { channelId: id }.abi_encode(),
        IChannels::pendingWithdrawalsCall { channelId: id }.abi_encode(),
        IChannels::refundNonceCall { channelId: id }.abi_encode(),
    ];
    let [channel, pending, nonce]: [Bytes; 3] =
        views(ledger, to, calls.into_iter().map(Bytes::from).collect())
            .await?
            .try_into()
            .map_err(|_| LedgerError::Malformed("another number of answers than of questions".into()))?;
    let channel = decoded::<IChannels::channelsCall>(&channel)?;
    let pending = decoded::<IChannels::pendingWithdrawalsCall>(&pending)?;
    let nonce = decoded::<IChannels::refundNonceCall>(&nonce)?;
    Ok(ChannelOnLedger {
        balance: channel.balance,
        total_claimed: channel.totalClaimed,
        withdraw_requested_at: pending.initiatedAt.to(),
        refund_nonce: nonce.try_into().unwrap_or(u64::MAX),
    })
}

/// Asks many views of one module in one call; answers in their order. All of one block, or none.
pub async fn views(ledger: &dyn Ledger, to: Address, calls: Vec<Bytes>) -> Result<Vec<Bytes>, LedgerError> {
    let calls = calls.into_iter().map(|data| IMulticall3::Call { target: to, callData: data }).collect();
    Ok(view(ledger, addresses::MULTICALL3, &IMulticall3::aggregateCall { calls }).await?.returnData)
}

/// The return value in the answer to a view.
pub fn decoded<C: SolCall>(output: &[u8]) -> Result<C::Return, LedgerError> {
    C::abi_decode_returns(output).map_err(|error| LedgerError::Malformed(error.to_string()))
}

/// OPEN that an account holds.
pub async fn balance(ledger: &dyn Ledger, account: Address) -> Result<u128, LedgerError> {
    let held = view(ledger, addresses::TOKEN, &IToken::balanceOfCall { account }).await?;
    u128::try_from(held).map_err(|_| LedgerError::Malformed("a balance above the supply".into()))
}
