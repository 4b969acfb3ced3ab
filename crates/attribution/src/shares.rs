//! The one place where scores become integers (RULEBOOK R2).
//!
//! Input: a score per unit, the unit's length in tokens, its novelty and its owner; a rule (floor, cap, scale)
//! that was committed with the model's cache before the first query; the data share `D` of the fee.
//!
//! ```text
//! a_u     = trunc(score_u * 2^scale_bits)                 the only use of a float
//! floor_u = ceil(floor * tokens_u / U)                    noise floor of a unit of this length
//! cap_u   = cap * tokens_u / U                            most that a unit of this length may weigh
//! w_u     = min(max(0, a_u - floor_u), cap_u) * nu_u
//! pay_u   = D * w_u / sum(w)                              rounded down
//! ```
//!
//! What rounding leaves goes to the treasury; when no unit is above its floor nobody is paid, the outcome says
//! so ([`Outcome::NoEvidence`]) and all of `D` goes to the treasury.
//!
//! Why it is so, property by property:
//! - *Cut-neutral* (a): floor and cap scale with the unit's tokens, the floor rounded up and the cap rounded
//!   down, so that cutting a unit whose score divides with its tokens never gains.
//! - *Identity-neutral* (b): pay is computed per unit; an owner's pay is the plain sum of its units' pay.
//! - *Silent* (c): at or below the floor a unit weighs nothing, and zero novelty weighs nothing.
//! - *Bounded* (d): the cap. *Committed* (e): [`Rule`] is encoded into the cache's header.

use primitives::{Amount, encoding::Writer};
use serde::{Deserialize, Serialize};

#[cfg(test)]
mod tests;

/// Most units one payout may divide among.
pub const MAX_UNITS: usize = 1 << 24;
/// Largest magnitude of a score once it is an integer: leaves room for novelty and the sum over [`MAX_UNITS`].
pub const MAX_FIXED: i64 = 1 << 62;
/// Novelty of a unit nobody committed before any part of. Novelty is counted in parts of this.
pub const NOVELTY_ONE: u32 = 1 << 16;
/// Most bits a scale may shift by.
pub const MAX_SCALE_BITS: u32 = 60;

/// What is fixed before the first query.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Scores are multiplied by 2 to this power before they are truncated.
    pub scale_bits: u32,
    /// Integer score that a full unit must exceed.
    pub floor: u64,
    /// Integer score above the floor at which a full unit stops earning more.
    pub cap: u64,
    /// Tokens of a full unit (U of R2a). A unit never has more.
    pub unit_tokens: u32,
}

/// One unit of one owner, as it is scored.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scored {
    /// Signed score; positive helps the answer.
    pub score: f64,
    /// Length, 1 to [`Rule::unit_tokens`].
    pub tokens: u32,
    /// Novelty in parts of [`NOVELTY_ONE`].
    pub novelty: u32,
    /// Index of the owner.
    pub owner: u32,
}

/// How the data share is divided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shares {
    /// Whether anything was above the floor.
    pub outcome: Outcome,
    /// Integer weight of each unit, in the order given.
    pub weights: Vec<u128>,
    /// Pay of each unit, in the order given.
    pub pay: Vec<Amount>,
    /// Sum of the weights.
    pub total_weight: u128,
    /// What is not paid to units: all of the data share when there is no evidence.
    pub treasury: Amount,
}

/// Why a division came out as it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// At least one unit has weight.
    Paid,
    /// No unit's score is above its floor: the answer owes nobody, and the data share goes to the treasury.
    NoEvidence,
}

/// Why scores cannot be divided.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SharesError {
    /// More units than the limit.
    #[error(
        "{0} units are more than the {MAX_UNITS} one payout may divide among: score fewer shards at a time"
    )]
    TooManyUnits(usize),
    /// A score that is no number, or too large for the scale.
    #[error(
        "the score {score} of unit {unit} does not fit at scale 2^{scale_bits}: the attribution that produced it is invalid"
    )]
    BadScore {
        /// Index of the unit.
        unit: usize,
        /// Its score.
        score: f64,
        /// Scale of the rule.
        scale_bits: u32,
    },
    /// A unit of no tokens, or of more than a unit may have.
    #[error("unit {unit} has {tokens} tokens; a unit has 1 to {limit}: cut the text by the protocol first")]
    BadTokens {
        /// Index of the unit.
        unit: usize,
        /// Its tokens.
        tokens: u32,
        /// Tokens of a full unit.
        limit: u32,
    },
    /// Novelty above one.
    #[error("unit {unit} has novelty {novelty} of {NOVELTY_ONE}: novelty is a fraction")]
    BadNovelty {
        /// Index of the unit.
        unit: usize,
        /// Its novelty.
        novelty: u32,
    },
    /// A rule outside its limits.
    #[error("the rule's {0} is out of range: the cache that commits it is invalid")]
    BadRule(&'static str),
}

impl Rule {
    /// Checks the limits that keep every later step inside its integers.
    pub fn check(&self) -> Result<(), SharesError> {
        if self.scale_bits > MAX_SCALE_BITS {
            return Err(SharesError::BadRule("scale"));
        }
        if self.unit_tokens == 0 {
            return Err(SharesError::BadRule("unit length"));
        }
        if self.floor > MAX_FIXED as u64 {
            return Err(SharesError::BadRule("floor"));
        }
        if self.cap == 0 || self.cap > MAX_FIXED as u64 {
            return Err(SharesError::BadRule("cap"));
        }
        Ok(())
    }

    /// Canonical bytes, for the cache's header.
    pub fn encode(&self, into: &mut Writer) {
        let Rule { scale_bits, floor, cap, unit_tokens } = *self;
        into.u32(scale_bits).u64(floor).u64(cap).u32(unit_tokens);
    }

    /// A score as the integer that is compared with floor and cap; `None` when it is not finite or too large.
    /// Scaling by a power of two and truncating are exact, so every machine agrees.
    pub fn fixed(&self, score: f64) -> Option<i64> {
        let scaled = score * (1u64 << self.scale_bits.min(MAX_SCALE_BITS)) as f64;
        (scaled.abs() <= MAX_FIXED as f64).then(|| scaled.trunc() as i64)
    }

    /// Weight of one unit before it is compared with the others.
    fn weight(&self, index: usize, unit: &Scored) -> Result<u128, SharesError> {
        if unit.tokens == 0 || unit.tokens > self.unit_tokens {
            return Err(SharesError::BadTokens { unit: index, tokens: unit.tokens, limit: self.unit_tokens });
        }
        if unit.novelty > NOVELTY_ONE {
            return Err(SharesError::BadNovelty { unit: index, novelty: unit.novelty });
        }
        let score = self.fixed(unit.score).ok_or(SharesError::BadScore {
            unit: index,
            score: unit.score,
            scale_bits: self.scale_bits,
        })?;
        let of_length = |full: u64| u128::from(full) * u128::from(unit.tokens);
        let floor = of_length(self.floor).div_ceil(u128::from(self.unit_tokens));
        let cap = of_length(self.cap) / u128::from(self.unit_tokens);
        let above = u128::try_from(score).unwrap_or(0).saturating_sub(floor);
        Ok(above.min(cap) * u128::from(unit.novelty))
    }
}

/// Divides the data share of one answer's fee.
pub fn divide(rule: &Rule, units: &[Scored], data_share: Amount) -> Result<Shares, SharesError> {
    rule.check()?;
    if units.len() > MAX_UNITS {
        return Err(SharesError::TooManyUnits(units.len()));
    }
    let weights =
        units.iter().enumerate().map(|(i, unit)| rule.weight(i, unit)).collect::<Result<Vec<_>, _>>()?;
    // At most 2^24 weights of at most 2^62 * 2^16 each: the sum stays under 2^102.
    let total_weight: u128 = weights.iter().sum();
    if total_weight == 0 {
        let pay = vec![Amount::ZERO; units.len()];
        return Ok(Shares { outcome: Outcome::NoEvidence, weights, pay, total_weight, treasury: data_share });
    }
    let pay: Vec<Amount> = weights
        .iter()
        .map(|weight| data_share.mul_div(*weight, total_weight).expect("a part of the data share fits"))
        .collect();
    let paid = Amount(pay.iter().map(|amount| amount.0).sum());
    let treasury = data_share.checked_sub(paid).expect("parts rounded down never exceed the whole");
    Ok(Shares { outcome: Outcome::Paid, weights, pay, total_weight, treasury })
}

/// Sums per owner. `owners` is their number; a unit of an owner past it is an error of the caller's.
///
/// # Panics
/// When a unit names an owner at or past `owners`.
pub fn by_owner(units: &[Scored], shares: &Shares, owners: usize) -> Vec<Amount> {
    let mut totals = vec![Amount::ZERO; owners];
    for (unit, pay) in units.iter().zip(&shares.pay) {
        let total = &mut totals[unit.owner as usize];
        *total = total.checked_add(*pay).expect("sums of parts of the data share fit");
    }
    totals
}
