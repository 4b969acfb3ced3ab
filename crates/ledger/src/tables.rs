//! Every stored table, declared once. A number is never reused, since it decides where words stand.

use crate::{
    channels::EscrowOwner,
    storage::{Table, WordTable},
};
use alloy_primitives::{Address, B256};

/// Which table a slot belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum TableId {
    /// Balance and nonce by account: [`crate::account`].
    Account = 1,
    /// Units burned so far.
    Burned = 2,
    /// Digest of the genesis document.
    Genesis = 3,
    /// Parameters by number: the treasury moves them.
    Parameter = 4,

    /// ERC-20 allowance by owner and spender.
    Allowance = 0x0100,
    /// ERC-2612 nonce by owner.
    PermitNonce = 0x0101,
    /// ERC-3009 authorization used or cancelled, by authorizer and nonce.
    Authorization = 0x0102,

    /// A channel's balance and total claimed, by channel id.
    Channel = 0x0700,
    /// A channel's pending withdrawal, by channel id.
    ChannelWithdrawal = 0x0701,
    /// A channel's next refund nonce, by channel id.
    ChannelRefundNonce = 0x0702,
    /// An escrow's totals claimed and settled.
    ChannelReceiver = 0x0703,
    /// Operator and model of an escrow.
    Escrow = 0x0704,
}

/// Units burned so far.
pub const BURNED: WordTable<()> = WordTable::new(TableId::Burned);
/// Digest of the genesis document.
pub const GENESIS: WordTable<()> = WordTable::new(TableId::Genesis);
/// ERC-20 allowance by owner and spender; the maximum is unlimited.
pub const ALLOWANCES: WordTable<(Address, Address)> = WordTable::new(TableId::Allowance);
/// ERC-2612 nonce by owner.
pub const PERMIT_NONCES: WordTable<Address> = WordTable::new(TableId::PermitNonce);
/// 1 when an ERC-3009 authorization was used or cancelled.
pub const AUTHORIZATIONS: WordTable<(Address, B256)> = WordTable::new(TableId::Authorization);
/// Two halves of a word by channel id: balance and total claimed.
pub const CHANNELS: WordTable<B256> = WordTable::new(TableId::Channel);
/// Amount and second of start of a pending withdrawal, by channel id.
pub const CHANNEL_WITHDRAWALS: WordTable<B256> = WordTable::new(TableId::ChannelWithdrawal);
/// Next refund nonce by channel id.
pub const CHANNEL_REFUND_NONCES: WordTable<B256> = WordTable::new(TableId::ChannelRefundNonce);
/// Two halves of a word by escrow: totals claimed and settled.
pub const CHANNEL_RECEIVERS: WordTable<Address> = WordTable::new(TableId::ChannelReceiver);
/// Whose an escrow is.
pub const ESCROWS: Table<Address, EscrowOwner> = Table::new(TableId::Escrow);
