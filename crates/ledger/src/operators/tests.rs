use super::{offers::MAX_MODELS, stake::MAX_OPEN_UNBONDINGS, *};
use crate::{MemoryLedger, State, testing::*};
use alloy_primitives::{Address, B256, Bytes, U256};
use interfaces::{
    addresses::{MODELS, OPERATORS},
    operators::{IOperators, IOperators::Status},
};
use primitives::Amount;

fn register(endpoint: &str) -> IOperators::registerCall {
    IOperators::registerCall { endpoint: endpoint.into() }
}

fn shown(ledger: &mut MemoryLedger) -> IOperators::Operator {
    ledger.view(OPERATORS, &IOperators::operatorCall { operator: OPERATOR }).expect("a view")
}

#[test]
fn an_operator_registers_with_a_stake_and_shows_it() {
    let mut ledger = chain();
    accepted(&mut ledger, OPERATOR, OPERATORS, open(100), register("https://a.example"));
    accepted(&mut ledger, OPERATOR, OPERATORS, open(5), IOperators::addStakeCall {});
    let operator = shown(&mut ledger);
    assert_eq!((operator.status, operator.stake), (Status::Active, open(105)));
    assert_eq!(operator.endpoint, "https://a.example");
    assert_eq!(ledger.balance(OPERATORS), Amount::open(105).0);
    assert_eq!(ledger.view(OPERATORS, &IOperators::operatorAtCall { index: 0 }), Ok(OPERATOR));
    ledger.assert_conserved();
}

#[test]
fn registration_is_refused_with_little_stake_a_bad_endpoint_or_twice() {
    let mut ledger = chain();
    let small: IOperators::StakeTooSmall =
        refused(&mut ledger, OPERATOR, OPERATORS, open(99), register("https://a.example"));
    assert_eq!(small.least, open(100));
    for endpoint in ["", "ftp://a", "https://", "https://a b", "https://a\n"] {
        let _: IOperators::BadEndpoint =
            refused(&mut ledger, OPERATOR, OPERATORS, open(100), register(endpoint));
    }
    let long = format!("https://{}", "a".repeat(300));
    let _: IOperators::LimitExceeded = refused(&mut ledger, OPERATOR, OPERATORS, open(100), register(&long));
    accepted(&mut ledger, OPERATOR, OPERATORS, open(100), register("http://a"));
    let _: IOperators::AlreadyOperator =
        refused(&mut ledger, OPERATOR, OPERATORS, open(100), register("http://a"));
    let _: IOperators::NotOperator =
        refused(&mut ledger, OWNER, OPERATORS, open(1), IOperators::addStakeCall {});
    ledger.assert_conserved();
}

#[test]
fn an_offer_needs_a_ready_model_and_rates_not_below_its_developers() {
    let mut ledger = chain();
    let model = ready_model(&mut ledger);
    let rates = interfaces::models::IModels::Rates {
        rateIn: U256::from(5),
        rateOut: U256::from(6),
        platformFee: U256::from(7),
    };
    let set = interfaces::models::IModels::setRatesCall { model, rates };
    accepted(&mut ledger, DEVELOPER, MODELS, U256::ZERO, set);
    accepted(&mut ledger, OPERATOR, OPERATORS, open(100), register("https://a.example"));
    let offer = |model, out| IOperators::offerCall {
        model,
        rateIn: U256::from(5),
        rateOut: U256::from(out),
        platformFee: U256::from(7),
    };
    let low: IOperators::RateTooLow = refused(&mut ledger, OPERATOR, OPERATORS, U256::ZERO, offer(model, 5));
    assert_eq!((low.rate.as_str(), low.least), ("rateOut", U256::from(6)));
    let none = B256::repeat_byte(0x77);
    let _: IOperators::ModelNotReady = refused(&mut ledger, OPERATOR, OPERATORS, U256::ZERO, offer(none, 6));
    let _: IOperators::NotOperator = refused(&mut ledger, OWNER, OPERATORS, U256::ZERO, offer(model, 6));
    accepted(&mut ledger, OPERATOR, OPERATORS, U256::ZERO, offer(model, 6));
    let call = IOperators::offerOfCall { operator: OPERATOR, model };
    let shown = ledger.view(OPERATORS, &call).expect("a view");
    assert!(shown.active && shown.escrow == interfaces::addresses::escrow(OPERATOR, model));
    let withdraw = IOperators::withdrawOfferCall { model };
    accepted(&mut ledger, OPERATOR, OPERATORS, U256::ZERO, withdraw.clone());
    let _: IOperators::NotOffered = refused(&mut ledger, OPERATOR, OPERATORS, U256::ZERO, withdraw);
    assert!(!ledger.view(OPERATORS, &call).expect("a view").active);
}

#[test]
fn unsettled_revenue_is_what_the_escrows_hold_and_binds_the_stake() {
    let mut ledger = chain();
    let model = ready_model(&mut ledger);
    let escrow = serve(&mut ledger, model);
    ledger.send(BUYER, escrow, open(33), Bytes::new());
    let unsettled = ledger.view(OPERATORS, &IOperators::unsettledCall { operator: OPERATOR });
    assert_eq!(unsettled, Ok(open(33)));
    let limit = ledger.view(OPERATORS, &IOperators::limitCall { operator: OPERATOR });
    assert_eq!(limit, Ok(open(33_000)), "q is 3.3 %");
    let too_much = IOperators::unbondCall { amount: open(999_001) };
    let in_use: IOperators::StakeInUse = refused(&mut ledger, OPERATOR, OPERATORS, U256::ZERO, too_much);
    assert_eq!(in_use.free, open(999_000), "33 unsettled need a stake of 1,000");
    accepted(&mut ledger, OPERATOR, OPERATORS, U256::ZERO, IOperators::unbondCall { amount: open(999_000) });
    let within = |ledger: &mut MemoryLedger| {
        inside(ledger, OPERATORS, |ctx| Ok(require_within_limit(ctx.state, OPERATOR).is_ok()))
    };
    assert!(within(&mut ledger));
    ledger.send(BUYER, escrow, U256::from(1), Bytes::new());
    assert!(!within(&mut ledger), "one unit too many");
}

#[test]
fn unbonding_takes_its_time_and_pays_once() {
    let mut ledger = chain();
    accepted(&mut ledger, OPERATOR, OPERATORS, open(300), register("https://a.example"));
    let unbond = IOperators::unbondCall { amount: open(200) };
    assert_eq!(accepted(&mut ledger, OPERATOR, OPERATORS, U256::ZERO, unbond), 0);
    let rest: IOperators::StakeTooSmall =
        refused(&mut ledger, OPERATOR, OPERATORS, U256::ZERO, IOperators::unbondCall { amount: open(1) });
    assert_eq!(rest.stake, open(99));
    let complete = IOperators::completeUnbondCall { operator: OPERATOR, id: 0 };
    let _: IOperators::StillUnbonding = refused(&mut ledger, BUYER, OPERATORS, U256::ZERO, complete.clone());
    ledger.advance(200_000);
    let before = ledger.balance(OPERATOR);
    accepted(&mut ledger, BUYER, OPERATORS, U256::ZERO, complete.clone());
    assert_eq!(ledger.balance(OPERATOR) - before, Amount::open(200).0);
    let _: IOperators::UnknownUnbonding = refused(&mut ledger, BUYER, OPERATORS, U256::ZERO, complete);
    ledger.assert_conserved();
}

#[test]
fn who_unbonds_everything_has_left_and_may_come_back() {
    let mut ledger = chain();
    accepted(&mut ledger, OPERATOR, OPERATORS, open(100), register("https://a.example"));
    accepted(&mut ledger, OPERATOR, OPERATORS, U256::ZERO, IOperators::unbondCall { amount: open(100) });
    assert_eq!(shown(&mut ledger).status, Status::Leaving);
    let _: IOperators::NotActive =
        refused(&mut ledger, OPERATOR, OPERATORS, open(1), IOperators::addStakeCall {});
    accepted(&mut ledger, OPERATOR, OPERATORS, open(150), register("https://b.example"));
    let back = shown(&mut ledger);
    assert_eq!((back.status, back.stake, back.unbonding), (Status::Active, open(150), open(100)));
    assert_eq!(ledger.view(OPERATORS, &IOperators::countCall {}), Ok(1));
}

#[test]
fn a_slash_reaches_what_unbonds_and_goes_to_reporter_payers_and_fire() {
    let mut ledger = chain();
    accepted(&mut ledger, OPERATOR, OPERATORS, open(300), register("https://a.example"));
    accepted(&mut ledger, OPERATOR, OPERATORS, U256::ZERO, IOperators::unbondCall { amount: open(200) });
    let (reporter, payer) = (Address::repeat_byte(0xb1), Address::repeat_byte(0xb2));
    ledger.accounts.extend([reporter, payer]);
    let burned = ledger.burned();
    let taken = inside(&mut ledger, OPERATORS, |ctx| {
        slash(ctx, OPERATOR, Amount::open(250), reporter, &[(payer, Amount::open(40))])
    });
    assert_eq!(taken, Amount::open(250));
    let operator = shown(&mut ledger);
    assert_eq!((operator.stake, operator.unbonding), (U256::ZERO, open(50)));
    assert_eq!(ledger.balance(reporter), Amount::open(25).0);
    assert_eq!(ledger.balance(payer), Amount::open(40).0);
    assert_eq!(ledger.burned() - burned, Amount::open(185).0);
    let all = inside(&mut ledger, OPERATORS, |ctx| slash(ctx, OPERATOR, Amount::open(999), reporter, &[]));
    assert_eq!(all, Amount::open(50), "no more than there is");
    ledger.assert_conserved();
}

#[test]
fn a_jailed_operator_neither_offers_nor_washes_it_off() {
    let mut ledger = chain();
    let model = ready_model(&mut ledger);
    serve(&mut ledger, model);
    inside(&mut ledger, OPERATORS, |ctx| jail(ctx.state, OPERATOR));
    let offer =
        IOperators::offerCall { model, rateIn: U256::ZERO, rateOut: U256::ZERO, platformFee: U256::ZERO };
    let jailed: IOperators::NotActive = refused(&mut ledger, OPERATOR, OPERATORS, U256::ZERO, offer);
    assert_eq!(jailed.status, Status::Jailed);
    let everything = IOperators::unbondCall { amount: open(1_000_000) };
    accepted(&mut ledger, OPERATOR, OPERATORS, U256::ZERO, everything);
    let _: IOperators::AlreadyOperator =
        refused(&mut ledger, OPERATOR, OPERATORS, open(100), register("https://a.example"));
}

#[test]
fn lists_are_bounded() {
    let mut ledger = chain();
    accepted(&mut ledger, OPERATOR, OPERATORS, open(200), register("https://a.example"));
    for _ in 0..MAX_OPEN_UNBONDINGS {
        accepted(&mut ledger, OPERATOR, OPERATORS, U256::ZERO, IOperators::unbondCall { amount: open(1) });
    }
    let full: IOperators::LimitExceeded =
        refused(&mut ledger, OPERATOR, OPERATORS, U256::ZERO, IOperators::unbondCall { amount: open(1) });
    assert_eq!(full.limit, U256::from(MAX_OPEN_UNBONDINGS));
    ledger.advance(201_000);
    let complete = IOperators::completeUnbondCall { operator: OPERATOR, id: 0 };
    accepted(&mut ledger, OPERATOR, OPERATORS, U256::ZERO, complete);
    accepted(&mut ledger, OPERATOR, OPERATORS, U256::ZERO, IOperators::unbondCall { amount: open(1) });
    const { assert!(MAX_MODELS <= 64) };
}

#[test]
fn a_bond_is_fees_over_q_rounded_up() {
    let mut state = State::new();
    assert_eq!(bond_for(&mut state, Amount(33)), Ok(Amount(1_000)));
    assert_eq!(bond_for(&mut state, Amount(34)), Ok(Amount(1_031)));
    assert_eq!(bond_for(&mut state, Amount(0)), Ok(Amount(0)));
}
