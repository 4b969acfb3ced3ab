use super::*;
use proptest::prelude::*;

const RULE: Rule = Rule { scale_bits: 20, floor: 1 << 10, cap: 1 << 30, unit_tokens: 256 };

fn units() -> impl Strategy<Value = Vec<Scored>> {
    let unit = (-50.0..200.0f64, 1..=256u32, 0..=NOVELTY_ONE, 0..8u32)
        .prop_map(|(score, tokens, novelty, owner)| Scored { score, tokens, novelty, owner });
    prop::collection::vec(unit, 0..60)
}

fn data_share() -> impl Strategy<Value = Amount> {
    (0..1u128 << 80).prop_map(Amount)
}

proptest! {
    #[test]
    fn what_is_paid_and_what_is_left_is_the_data_share(units in units(), d in data_share()) {
        let shares = divide(&RULE, &units, d).unwrap();
        let paid: u128 = shares.pay.iter().map(|a| a.0).sum();
        prop_assert_eq!(paid + shares.treasury.0, d.0);
        prop_assert!(shares.outcome == Outcome::NoEvidence || shares.treasury.0 < units.len() as u128);
    }

    #[test]
    fn the_order_of_units_changes_no_pay(units in units(), d in data_share(), seed in any::<u64>()) {
        let mut order: Vec<usize> = (0..units.len()).collect();
        order.sort_by_key(|i| (*i as u64 ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let moved: Vec<Scored> = order.iter().map(|i| units[*i]).collect();
        let (here, there) = (divide(&RULE, &units, d).unwrap(), divide(&RULE, &moved, d).unwrap());
        for (to, from) in order.iter().enumerate() {
            prop_assert_eq!(there.pay[to], here.pay[*from]);
        }
        prop_assert_eq!(here.treasury, there.treasury);
    }

    #[test]
    fn relabelling_owners_or_splitting_one_into_many_changes_no_unit(units in units(), d in data_share()) {
        let mut split = units.clone();
        for (i, unit) in split.iter_mut().enumerate() {
            unit.owner = i as u32;
        }
        let (here, there) = (divide(&RULE, &units, d).unwrap(), divide(&RULE, &split, d).unwrap());
        prop_assert_eq!(&here, &there);
        let (few, many) = (by_owner(&units, &here, 8), by_owner(&split, &there, split.len()));
        prop_assert_eq!(few.iter().map(|a| a.0).sum::<u128>(), many.iter().map(|a| a.0).sum::<u128>());
    }

    #[test]
    fn units_without_novelty_or_influence_change_nothing_and_earn_nothing(
        units in units(), d in data_share(), score in -50.0..200.0f64, at in any::<prop::sample::Index>()
    ) {
        let here = divide(&RULE, &units, d).unwrap();
        for silent in [
            Scored { score, tokens: 9, novelty: 0, owner: 3 },
            Scored { score: 0.0, tokens: 256, novelty: NOVELTY_ONE, owner: 3 },
            Scored { score: -score.abs(), tokens: 1, novelty: NOVELTY_ONE, owner: 3 },
        ] {
            let mut more = units.clone();
            let position = at.index(units.len() + 1);
            more.insert(position, silent);
            let there = divide(&RULE, &more, d).unwrap();
            prop_assert_eq!(there.pay[position], Amount::ZERO);
            let mut rest = there.pay.clone();
            rest.remove(position);
            prop_assert_eq!(&rest, &here.pay);
            prop_assert_eq!(there.treasury, here.treasury);
        }
    }

    #[test]
    fn cutting_a_unit_in_proportion_to_its_tokens_never_gains(
        units in units(), d in data_share(), at in any::<prop::sample::Index>(), cut in 1..256u32
    ) {
        prop_assume!(!units.is_empty());
        let index = at.index(units.len());
        let whole = units[index];
        prop_assume!(whole.tokens > 1);
        let left = 1 + cut % (whole.tokens - 1);
        let part = |tokens: u32| Scored {
            score: whole.score * f64::from(tokens) / f64::from(whole.tokens), tokens, ..whole
        };
        let mut recut = units.clone();
        recut[index] = part(left);
        recut.push(part(whole.tokens - left));
        let (here, there) = (divide(&RULE, &units, d).unwrap(), divide(&RULE, &recut, d).unwrap());
        // Two roundings of a score to an integer: one unit of weight times novelty each.
        let slack = 2 * u128::from(whole.novelty);
        prop_assert!(there.weights[index] + there.weights[units.len()] <= here.weights[index] + slack);
    }

    #[test]
    fn no_unit_weighs_more_than_its_cap(units in units(), inflate in 1.0..1e9f64) {
        let loud: Vec<Scored> = units.iter().map(|u| Scored { score: u.score * inflate, ..*u }).collect();
        for (unit, weight) in loud.iter().zip(divide(&RULE, &loud, Amount::open(1)).unwrap().weights) {
            let cap = u128::from(RULE.cap) * u128::from(unit.tokens) / 256;
            prop_assert!(weight <= cap * u128::from(unit.novelty));
        }
    }

    #[test]
    fn splitting_never_gains_from_rounding(a in 0..u64::MAX, b in 0..u64::MAX, d in 0..1u128 << 90, more in 0..u64::MAX) {
        let (a, b) = (u128::from(a), u128::from(b));
        let total = a + b + u128::from(more) + 1;
        let part = |w: u128| Amount(d).mul_div(w, total).unwrap().0;
        prop_assert!(part(a) + part(b) <= part(a + b));
    }
}

#[test]
fn without_evidence_nobody_is_paid_and_the_treasury_keeps_all() {
    for units in [
        vec![],
        vec![Scored { score: 0.0, tokens: 256, novelty: NOVELTY_ONE, owner: 0 }; 3],
        vec![Scored { score: 0.0009, tokens: 256, novelty: NOVELTY_ONE, owner: 0 }],
        vec![Scored { score: 100.0, tokens: 256, novelty: 0, owner: 0 }],
    ] {
        let shares = divide(&RULE, &units, Amount::open(5)).unwrap();
        assert_eq!(shares.outcome, Outcome::NoEvidence);
        assert_eq!(shares.treasury, Amount::open(5));
        assert!(shares.pay.iter().all(|pay| *pay == Amount::ZERO));
    }
}

#[test]
fn one_owner_with_evidence_takes_the_whole_share() {
    let units = [Scored { score: 3.5, tokens: 256, novelty: NOVELTY_ONE, owner: 0 }];
    let shares = divide(&RULE, &units, Amount(999)).unwrap();
    assert_eq!((shares.pay[0], shares.treasury), (Amount(999), Amount::ZERO));
}

#[test]
fn pay_follows_the_rule_on_a_worked_example() {
    // floor 1024, so a score of 0.002 = 2097.152 -> 2097 weighs 1073; half novelty halves it.
    let rule = Rule { cap: 2000, ..RULE };
    let unit = |score, novelty| Scored { score, tokens: 256, novelty, owner: 0 };
    let units = [unit(0.002, NOVELTY_ONE), unit(0.002, NOVELTY_ONE / 2), unit(1.0, NOVELTY_ONE)];
    let shares = divide(&rule, &units, Amount(1_000_000)).unwrap();
    let weights = [1073 << 16, 1073 << 15, 2000 << 16];
    assert_eq!(shares.weights, weights);
    let total: u128 = weights.iter().sum();
    assert_eq!(shares.pay[2], Amount(1_000_000 * weights[2] / total));
}

#[test]
fn bad_units_and_rules_are_refused() {
    let good = Scored { score: 1.0, tokens: 1, novelty: NOVELTY_ONE, owner: 0 };
    let refused = |rule: Rule, unit: Scored| divide(&rule, &[unit], Amount(1)).unwrap_err();
    for score in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300] {
        assert!(matches!(refused(RULE, Scored { score, ..good }), SharesError::BadScore { unit: 0, .. }));
    }
    for tokens in [0, 257] {
        assert!(matches!(refused(RULE, Scored { tokens, ..good }), SharesError::BadTokens { .. }));
    }
    assert!(matches!(
        refused(RULE, Scored { novelty: NOVELTY_ONE + 1, ..good }),
        SharesError::BadNovelty { .. }
    ));
    for rule in [
        Rule { scale_bits: 61, ..RULE },
        Rule { unit_tokens: 0, ..RULE },
        Rule { cap: 0, ..RULE },
        Rule { floor: u64::MAX, ..RULE },
    ] {
        assert!(matches!(refused(rule, good), SharesError::BadRule(_)));
    }
}
