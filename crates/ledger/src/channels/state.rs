//! What is stored of channels and escrows, and how it is packed into words.

use crate::{
    error::{Error, Result},
    record,
    storage::State,
    tables::{CHANNEL_RECEIVERS, CHANNEL_WITHDRAWALS, CHANNELS},
};
use alloy_primitives::{Address, B256};
use primitives::Amount;

/// Puts two amounts into the halves of a word.
fn pack(high: Amount, low: Amount) -> B256 {
    let mut word = [0u8; 32];
    word[..16].copy_from_slice(&high.0.to_be_bytes());
    word[16..].copy_from_slice(&low.0.to_be_bytes());
    B256::new(word)
}

/// The two amounts of a word.
fn unpack(word: B256) -> (Amount, Amount) {
    let half = |bytes: &[u8]| Amount(u128::from_be_bytes(bytes.try_into().expect("half of a word")));
    (half(&word[..16]), half(&word[16..]))
}

/// What a channel holds. All zero is a channel that was never funded, or was emptied before anything was claimed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Channel {
    /// Deposits less refunds and withdrawals; claims do not lower it.
    pub balance: Amount,
    /// Claimed for the receiver so far.
    pub total_claimed: Amount,
}

impl Channel {
    /// The channel with this id.
    pub fn load(state: &mut State, id: B256) -> Result<Channel> {
        let (balance, total_claimed) = unpack(CHANNELS.get_word(state, &id)?);
        Ok(Channel { balance, total_claimed })
    }

    pub(super) fn store(&self, state: &mut State, id: B256) -> Result<()> {
        CHANNELS.set_word(state, &id, pack(self.balance, self.total_claimed))
    }

    /// What nobody has claimed: all that can go back to the payer.
    pub fn available(&self) -> Result<Amount> {
        self.balance
            .checked_sub(self.total_claimed)
            .ok_or(Error::Inconsistent("a channel has more claimed than it holds"))
    }

    /// Takes `amount` of what is available out of the channel.
    pub(super) fn give_back(&mut self, amount: Amount) -> Result<()> {
        self.balance = self
            .balance
            .checked_sub(amount)
            .ok_or(Error::Inconsistent("a channel gives back more than it holds"))?;
        Ok(())
    }

    /// Whether nothing is in it and nothing was ever claimed: the scheme calls that closed.
    pub fn is_closed(&self) -> bool {
        *self == Channel::default()
    }
}

/// A withdrawal that the payer started. A start of zero is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Withdrawal {
    /// What the payer asked for.
    pub amount: Amount,
    /// Block second of the start.
    pub initiated_at: u64,
}

impl Withdrawal {
    /// The pending withdrawal of a channel.
    pub fn load(state: &mut State, id: B256) -> Result<Withdrawal> {
        let (amount, started) = unpack(CHANNEL_WITHDRAWALS.get_word(state, &id)?);
        let initiated_at =
            u64::try_from(started.0).map_err(|_| Error::Inconsistent("a withdrawal started after time"))?;
        Ok(Withdrawal { amount, initiated_at })
    }

    pub(super) fn store(&self, state: &mut State, id: B256) -> Result<()> {
        CHANNEL_WITHDRAWALS.set_word(state, &id, pack(self.amount, Amount(u128::from(self.initiated_at))))
    }

    /// Whether one is pending.
    pub fn is_pending(&self) -> bool {
        self.initiated_at != 0
    }
}

/// What an escrow was claimed and paid, over all its channels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Receiver {
    /// Claimed so far.
    pub total_claimed: Amount,
    /// Paid to the escrow so far.
    pub total_settled: Amount,
}

impl Receiver {
    /// The totals of an escrow.
    pub fn load(state: &mut State, escrow: Address) -> Result<Receiver> {
        let (total_claimed, total_settled) = unpack(CHANNEL_RECEIVERS.get_word(state, &escrow)?);
        Ok(Receiver { total_claimed, total_settled })
    }

    pub(super) fn store(&self, state: &mut State, escrow: Address) -> Result<()> {
        CHANNEL_RECEIVERS.set_word(state, &escrow, pack(self.total_claimed, self.total_settled))
    }

    /// Claimed and not yet paid.
    pub fn due(&self) -> Result<Amount> {
        self.total_claimed
            .checked_sub(self.total_settled)
            .ok_or(Error::Inconsistent("an escrow was paid more than was claimed"))
    }
}

record! {
    /// The operator and model whose payments an escrow receives.
    pub struct EscrowOwner {
        /// Who serves; also the receiver authorizer of its channels.
        pub operator: Address,
        /// What is served.
        pub model: B256,
    }
}
