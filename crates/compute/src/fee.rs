//! What an answer costs and how the fee divides (RULEBOOK R1). Integers only.

use crate::request::Usage;
use primitives::Amount;
use serde::{Deserialize, Serialize};

/// Data contributors' part of a fee in hundredths of a percent, unless governance changed it.
pub const DATA_SHARE_BPS: u16 = 4_000;
/// All of a fee, in hundredths of a percent.
const WHOLE_BPS: u128 = 10_000;
/// Tokens that a rate is for.
const TOKENS_PER_RATE: u128 = 1_000;

/// Prices in the smallest unit, as the operator's offer on the ledger states them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Price {
    /// Per 1,000 tokens read.
    pub rate_in: Amount,
    /// Per 1,000 tokens written.
    pub rate_out: Amount,
    /// Flat per answer.
    pub platform_fee: Amount,
}

impl Price {
    /// F: `tokens_in/1000 * rate_in + tokens_out/1000 * rate_out + platform fee`, each product floored; `None` past 128 bits.
    pub fn of(&self, usage: Usage) -> Option<Amount> {
        let read = self.rate_in.mul_div(usage.prompt_tokens.into(), TOKENS_PER_RATE)?;
        let written = self.rate_out.mul_div(usage.completion_tokens.into(), TOKENS_PER_RATE)?;
        read.checked_add(written)?.checked_add(self.platform_fee)
    }

    /// Whether answers cost nothing.
    pub fn is_free(&self) -> bool {
        *self == Price::default()
    }
}

/// What may be charged for one answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Terms {
    /// By use, at most `most` (what the payer signed).
    Metered { price: Price, most: Amount },
    /// This much, whatever the use: x402 `exact`.
    Flat(Amount),
    /// Nothing: an operator that was told to answer for free.
    Free,
}

impl Terms {
    /// The fee of an answer of this use: never above what was quoted.
    pub fn charge(&self, usage: Usage) -> Amount {
        match self {
            Terms::Metered { price, most } => price.of(usage).map_or(*most, |fee| fee.min(*most)),
            Terms::Flat(amount) => *amount,
            Terms::Free => Amount::ZERO,
        }
    }
}

/// D: the data contributors' part of a fee.
pub fn data_share(fee: Amount, bps: u16) -> Amount {
    fee.mul_div(u128::from(bps), WHOLE_BPS).unwrap_or(Amount::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_fee_follows_the_formula() {
        let price = Price { rate_in: Amount(1_000), rate_out: Amount(5_000), platform_fee: Amount(7) };
        let usage = Usage { prompt_tokens: 3, completion_tokens: 10 };
        assert_eq!(price.of(usage), Some(Amount(3 + 50 + 7)));
        assert_eq!(data_share(Amount(61), DATA_SHARE_BPS), Amount(24));
    }

    proptest! {
        #[test]
        fn a_charge_never_passes_the_quote(rate: u128, most: u64, read: u32, written: u32) {
            let price = Price { rate_in: Amount(rate), rate_out: Amount(rate), platform_fee: Amount(rate) };
            let terms = Terms::Metered { price, most: Amount(most.into()) };
            let usage = Usage { prompt_tokens: read, completion_tokens: written };
            prop_assert!(terms.charge(usage) <= Amount(most.into()));
        }

        #[test]
        fn data_shares_of_parts_never_exceed_that_of_the_sum(a: u64, b: u64, bps in 0u16..=10_000) {
            let of = |x: u128| data_share(Amount(x), bps).0;
            prop_assert!(of(a.into()) + of(b.into()) <= of(u128::from(a) + u128::from(b)));
        }
    }
}
