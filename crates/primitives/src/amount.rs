//! OPEN in its smallest unit. 1 OPEN = 10^18 units; 10^9 OPEN exist, so every amount fits in 128 bits.

use alloy_primitives::U256;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::{fmt, str::FromStr};

/// A number of the smallest units of OPEN. Arithmetic is checked: there is no wrapping operator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Amount(pub u128);

/// Units in one OPEN.
pub const UNITS_PER_OPEN: u128 = 1_000_000_000_000_000_000;
/// All OPEN that exist, in units: fixed at genesis, nothing mints (RULEBOOK).
pub const SUPPLY: Amount = Amount(1_000_000_000 * UNITS_PER_OPEN);

/// Why a text is not an amount.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseAmountError {
    /// Not digits with at most one point.
    #[error("`{0}` is not an amount: write digits with at most one point, such as 12.5")]
    Malformed(String),
    /// More than 18 digits after the point.
    #[error(
        "`{0}` has more than 18 digits after the point; the smallest unit of OPEN is 0.000000000000000001"
    )]
    TooPrecise(String),
    /// Above the supply.
    #[error("`{0}` is more than the 1,000,000,000 OPEN that exist")]
    TooLarge(String),
}

impl Amount {
    /// No money.
    pub const ZERO: Amount = Amount(0);

    /// Whole OPEN.
    pub const fn open(whole: u64) -> Amount {
        Amount(whole as u128 * UNITS_PER_OPEN)
    }

    /// Sum, or `None` past 128 bits.
    pub const fn checked_add(self, other: Amount) -> Option<Amount> {
        match self.0.checked_add(other.0) {
            Some(sum) => Some(Amount(sum)),
            None => None,
        }
    }

    /// Difference, or `None` when `other` is larger.
    pub const fn checked_sub(self, other: Amount) -> Option<Amount> {
        match self.0.checked_sub(other.0) {
            Some(difference) => Some(Amount(difference)),
            None => None,
        }
    }

    /// `floor(self * numerator / denominator)`, or `None` when the denominator is zero or the result
    /// does not fit. The product is taken in 256 bits, so nothing is lost on the way.
    pub fn mul_div(self, numerator: u128, denominator: u128) -> Option<Amount> {
        if denominator == 0 {
            return None;
        }
        let product = U256::from(self.0) * U256::from(numerator);
        u128::try_from(product / U256::from(denominator)).ok().map(Amount)
    }

    /// From a 256-bit word, or `None` when it does not fit in 128 bits.
    pub fn from_word(word: U256) -> Option<Amount> {
        u128::try_from(word).ok().map(Amount)
    }

    /// As a 256-bit word.
    pub fn to_word(self) -> U256 {
        U256::from(self.0)
    }

    /// From decimal OPEN such as `12.5`.
    pub fn parse_open(text: &str) -> Result<Amount, ParseAmountError> {
        let malformed = || ParseAmountError::Malformed(text.into());
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
        if (whole.is_empty() && fraction.is_empty()) || !digits(whole) || !digits(fraction) {
            return Err(malformed());
        }
        if fraction.len() > 18 {
            return Err(ParseAmountError::TooPrecise(text.into()));
        }
        let too_large = || ParseAmountError::TooLarge(text.into());
        let whole = if whole.is_empty() { 0 } else { u128::from_str(whole).map_err(|_| too_large())? };
        let fraction = format!("{fraction:0<18}").parse::<u128>().map_err(|_| malformed())?;
        let units =
            whole.checked_mul(UNITS_PER_OPEN).and_then(|w| w.checked_add(fraction)).ok_or_else(too_large)?;
        if units > SUPPLY.0 { Err(too_large()) } else { Ok(Amount(units)) }
    }
}

/// Decimal OPEN without trailing zeros: `12.5`.
impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, fraction) = (self.0 / UNITS_PER_OPEN, self.0 % UNITS_PER_OPEN);
        if fraction == 0 {
            return write!(f, "{whole}");
        }
        let fraction = format!("{fraction:018}");
        write!(f, "{whole}.{}", fraction.trim_end_matches('0'))
    }
}

/// JSON carries the smallest unit as a decimal string, since JSON numbers lose digits past 2^53.
impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Amount, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse()
            .map(Amount)
            .map_err(|_| serde::de::Error::custom(format!("`{text}` is not a number of units")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_shown_is_read_back(units in 0..=SUPPLY.0) {
            prop_assert_eq!(Amount::parse_open(&Amount(units).to_string()), Ok(Amount(units)));
        }

        #[test]
        fn splitting_before_a_floor_never_gains(a in 0..u64::MAX as u128, b in 0..u64::MAX as u128, n in 0..1000u128, d in 1..1000u128) {
            let part = |x: u128| Amount(x).mul_div(n, d).expect("fits").0;
            prop_assert!(part(a) + part(b) <= part(a + b));
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".{0,40}") {
            let _ = Amount::parse_open(&text);
        }
    }

    #[test]
    fn amounts_above_the_supply_are_refused() {
        assert!(matches!(
            Amount::parse_open("1000000000.000000000000000001"),
            Err(ParseAmountError::TooLarge(_))
        ));
        assert_eq!(Amount::parse_open("1000000000"), Ok(SUPPLY));
        assert!(matches!(Amount::parse_open("0.0000000000000000001"), Err(ParseAmountError::TooPrecise(_))));
        for text in ["", ".", "-1", "1e3", "1.2.3", " 1"] {
            assert!(matches!(Amount::parse_open(text), Err(ParseAmountError::Malformed(_))), "{text}");
        }
    }
}
