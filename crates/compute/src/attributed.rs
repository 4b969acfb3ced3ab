//! The attribution of one answer: integer shares by unit, span and contributor, and the root a receipt commits to.
//!
//! # Root
//! A Merkle tree over one header leaf (cache, rule, data share, total weight, treasury's part) and a leaf for each unit that has
//! weight, in the cache's order; every leaf is hashed under `Domain::Attribution`. Units without weight are owed nothing and
//! are not listed. Spans explain and are not paid, so they are not committed.

use crate::engine::{Scores, Unit};
use alloy_primitives::{Address, B256};
use attribution::shares::{self, Outcome, Rule, Scored, SharesError};
use primitives::{Amount, Domain, encoding::Writer, hash::hash, merkle};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Units named for a span.
pub const MAX_SPAN_SOURCES: usize = 3;

/// What an answer owes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attributed {
    /// Whether anything rose above the floor. If not, nobody is paid and the data share goes to the treasury.
    pub outcome: Outcome,
    /// Root of the attribution cache that scored.
    pub cache: B256,
    /// The committed rule.
    pub rule: Rule,
    /// D: what is divided.
    pub data_share: Amount,
    /// Sum of the units' weights.
    #[serde(with = "decimal")]
    pub total_weight: u128,
    /// What rounding, or lack of evidence, leaves to the treasury.
    pub treasury: Amount,
    /// Units with weight, in the cache's order.
    pub units: Vec<UnitShare>,
    /// The answer in spans with their sources.
    pub spans: Vec<Span>,
}

/// One unit's share.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UnitShare {
    /// Index in the cache's order.
    pub unit: u32,
    /// The unit, its item and owner.
    #[serde(flatten)]
    pub of: Unit,
    /// Score as the attribution computed it; a decimal string in JSON, so that every reader gets every bit.
    #[serde(with = "decimal")]
    pub score: f64,
    /// Integer weight.
    #[serde(with = "decimal")]
    pub weight: u128,
    /// Part of the data share.
    pub pay: Amount,
}

/// A stretch of the answer and what it owes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Span {
    /// Bytes of the answer's text: from, to.
    pub bytes: [u32; 2],
    /// Units and scores, best first, at most [`MAX_SPAN_SOURCES`].
    pub sources: Vec<(u32, f64)>,
}

/// One contributor's part of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contributor {
    /// Account that is paid.
    pub account: Address,
    /// Its units' pay.
    pub pay: Amount,
    /// Its units' weight in parts per million of all weight, rounded down. For people; money follows `pay`.
    pub share_ppm: u32,
}

impl Attributed {
    /// Divides `data_share` by `scores` over `units`. Byte positions of the spans are set by the caller.
    pub fn divide(
        cache: B256,
        rule: Rule,
        units: &[Unit],
        scores: &Scores,
        data_share: Amount,
    ) -> Result<Attributed, SharesError> {
        let sparse: Vec<(u32, f64)> = (0u32..).zip(scores.units.iter().copied()).collect();
        Attributed::divide_sparse(cache, rule, units, &sparse, data_share)
    }

    /// As [`Attributed::divide`], from the scores of some units: the others are taken to have no weight.
    ///
    /// # Panics
    /// When a score names a unit past the end of `units`.
    pub fn divide_sparse(
        cache: B256,
        rule: Rule,
        units: &[Unit],
        scores: &[(u32, f64)],
        data_share: Amount,
    ) -> Result<Attributed, SharesError> {
        let scored: Vec<Scored> = scores
            .iter()
            .map(|(unit, score)| {
                let Unit { tokens, novelty, .. } = units[*unit as usize];
                Scored { score: *score, tokens, novelty, owner: 0 }
            })
            .collect();
        let divided = shares::divide(&rule, &scored, data_share)?;
        let shares = scores
            .iter()
            .zip(divided.weights.iter().zip(&divided.pay))
            .filter(|(_, (weight, _))| **weight > 0)
            .map(|((unit, score), (weight, pay))| UnitShare {
                unit: *unit,
                of: units[*unit as usize].clone(),
                score: *score,
                weight: *weight,
                pay: *pay,
            })
            .collect();
        Ok(Attributed {
            outcome: divided.outcome,
            cache,
            rule,
            data_share,
            total_weight: divided.total_weight,
            treasury: divided.treasury,
            units: shares,
            spans: Vec::new(),
        })
    }

    /// The root that a receipt commits to.
    pub fn root(&self) -> B256 {
        merkle::root(&self.leaves())
    }

    /// Leaves under [`Attributed::root`]: the header, then the units.
    pub fn leaves(&self) -> Vec<B256> {
        let Attributed { outcome: _, cache, rule, data_share, total_weight, treasury, units, spans: _ } =
            self;
        let mut header = Writer::new();
        header.u8(0).hash(cache);
        rule.encode(&mut header);
        header.u128(data_share.0).u128(*total_weight).u128(treasury.0).u32(units.len() as u32);
        let mut leaves = vec![hash(Domain::Attribution, header.as_bytes())];
        leaves.extend(units.iter().map(UnitShare::leaf));
        leaves
    }

    /// Pay and weight by contributor, best paid first, ties by account.
    pub fn contributors(&self) -> Vec<Contributor> {
        let mut totals = BTreeMap::<Address, (u128, u128)>::new();
        for unit in &self.units {
            let (pay, weight) = totals.entry(unit.of.owner).or_default();
            *pay += unit.pay.0;
            *weight += unit.weight;
        }
        // Weights sum to under 2^102, so a million times one fits.
        let ppm = |weight: u128| (weight * 1_000_000 / self.total_weight.max(1)) as u32;
        let mut list: Vec<Contributor> = totals
            .into_iter()
            .map(|(account, (pay, weight))| Contributor { account, pay: Amount(pay), share_ppm: ppm(weight) })
            .collect();
        list.sort_by_key(|c| (std::cmp::Reverse((c.pay, c.share_ppm)), c.account));
        list
    }

    /// What all units are paid.
    pub fn paid(&self) -> Amount {
        Amount(self.units.iter().map(|unit| unit.pay.0).sum())
    }

    /// Units by pay, best first.
    pub fn best_units(&self, limit: usize) -> Vec<&UnitShare> {
        let mut best: Vec<&UnitShare> = self.units.iter().collect();
        best.sort_by_key(|unit| (std::cmp::Reverse((unit.pay, unit.weight)), unit.unit));
        best.truncate(limit);
        best
    }
}

impl UnitShare {
    fn leaf(&self) -> B256 {
        let UnitShare { unit, of, score, weight, pay } = self;
        let Unit { datanet, item, owner, tokens, novelty, label: _ } = of;
        let mut leaf = Writer::new();
        leaf.u8(1).u32(*unit).hash(datanet).hash(item).address(owner).u32(*tokens).u32(*novelty);
        leaf.f64_bits(*score).u128(*weight).u128(pay.0);
        hash(Domain::Attribution, leaf.as_bytes())
    }
}

/// JSON readers lose digits of integers past 2^53, and some the last bit of a fraction: such numbers are decimal strings.
mod decimal {
    use serde::{Deserialize, Deserializer, Serializer};
    use std::{fmt::Display, str::FromStr};

    pub fn serialize<T: Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub fn deserialize<'de, T: FromStr, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|_| serde::de::Error::custom(format!("`{text}` is not a number")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use attribution::shares::NOVELTY_ONE;
    use proptest::prelude::*;

    fn units(owners: &[u8]) -> Vec<Unit> {
        (0u8..)
            .zip(owners)
            .map(|(i, owner)| Unit {
                datanet: B256::repeat_byte(9),
                item: B256::repeat_byte(i),
                owner: Address::repeat_byte(*owner),
                tokens: 16,
                novelty: NOVELTY_ONE,
                label: format!("unit {i}"),
            })
            .collect()
    }

    fn rule() -> Rule {
        Rule { scale_bits: 20, floor: 100, cap: 1 << 40, unit_tokens: 16 }
    }

    proptest! {
        #[test]
        fn what_is_paid_and_what_is_left_is_the_data_share(scores in prop::collection::vec(-1.0f64..10.0, 1..20), share: u64) {
            let units = units(&vec![1; scores.len()]);
            let scores = Scores { units: scores, spans: Vec::new() };
            let done = Attributed::divide(B256::ZERO, rule(), &units, &scores, Amount(share.into())).unwrap();
            prop_assert_eq!(done.paid().0 + done.treasury.0, u128::from(share));
            let by_contributor: u128 = done.contributors().iter().map(|c| c.pay.0).sum();
            prop_assert_eq!(by_contributor, done.paid().0);
        }

        #[test]
        fn units_without_weight_change_nothing(scores in prop::collection::vec(-1.0f64..10.0, 1..20), share: u64) {
            let units = units(&vec![1; scores.len()]);
            let dense = Scores { units: scores.clone(), spans: Vec::new() };
            let all = Attributed::divide(B256::ZERO, rule(), &units, &dense, Amount(share.into())).unwrap();
            let kept: Vec<_> = all.units.iter().map(|u| (u.unit, u.score)).collect();
            let again = Attributed::divide_sparse(B256::ZERO, rule(), &units, &kept, Amount(share.into())).unwrap();
            prop_assert_eq!(again.root(), all.root());
        }
    }

    #[test]
    fn the_root_binds_every_field_that_decides_pay() {
        let units = units(&[1, 2, 1]);
        let scores = Scores { units: vec![1.0, 2.0, 3.0], spans: Vec::new() };
        let done = Attributed::divide(B256::ZERO, rule(), &units, &scores, Amount(1000)).unwrap();
        let changes: [fn(&mut Attributed); 9] = [
            |a| a.cache.0[0] ^= 1,
            |a| a.rule.floor += 1,
            |a| a.data_share.0 += 1,
            |a| a.treasury.0 += 1,
            |a| a.units[1].of.owner.0[0] ^= 1,
            |a| a.units[1].of.item.0[0] ^= 1,
            |a| a.units[1].score += 0.5,
            |a| a.units[1].pay.0 += 1,
            |a| a.units.truncate(2),
        ];
        for change in changes {
            let mut changed = done.clone();
            change(&mut changed);
            assert_ne!(changed.root(), done.root());
        }
    }

    proptest! {
        #[test]
        fn json_carries_an_attribution_to_the_bit(scores in prop::collection::vec(prop::num::f64::POSITIVE | prop::num::f64::NORMAL, 1..9)) {
            let scores = scores.into_iter().map(|s| s.abs() % 1000.0).collect::<Vec<_>>();
            let units = units(&vec![1; scores.len()]);
            let scores = Scores { units: scores, spans: Vec::new() };
            let done = Attributed::divide(B256::ZERO, rule(), &units, &scores, Amount(1000)).unwrap();
            let again: Attributed = serde_json::from_str(&serde_json::to_string(&done).unwrap()).unwrap();
            prop_assert_eq!(again.root(), done.root());
        }
    }

    #[test]
    fn no_evidence_pays_nobody() {
        let units = units(&[1, 2]);
        let scores = Scores { units: vec![0.0, -1.0], spans: Vec::new() };
        let done = Attributed::divide(B256::ZERO, rule(), &units, &scores, Amount(1000)).unwrap();
        assert_eq!((done.outcome, done.treasury), (Outcome::NoEvidence, Amount(1000)));
        assert!(done.units.is_empty() && done.contributors().is_empty());
    }
}
