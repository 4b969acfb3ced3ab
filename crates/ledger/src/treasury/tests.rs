use super::{
    Income,
    parameters::{self, FEE_SHARES, ParameterError, WHOLE_BPS},
    state::books,
    *,
};
use crate::{Context, Error, Genesis, MemoryLedger, State, account, testing::*};
use alloy_primitives::{Address, B256, U256};
use interfaces::{
    addresses::{SETTLEMENT, TREASURY},
    treasury::ITreasury,
};
use primitives::Amount;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// A state that knows nothing and where settlement holds 1,000 OPEN.
fn state() -> State {
    let mut state = State::new();
    let held = account::Account { balance: Amount::open(1_000), nonce: 0 };
    account::store(&mut state, SETTLEMENT, held).expect("no meter runs");
    state
}

fn receive_into(state: &mut State, income: Income) {
    let block = chain().block;
    let mut ctx = Context {
        state,
        block: &block,
        caller: Address::ZERO,
        this: SETTLEMENT,
        value: Amount::ZERO,
        depth: 0,
    };
    receive(&mut ctx, B256::ZERO, income).expect("settlement holds enough");
}

#[test]
fn every_default_lies_in_its_bounds_and_the_shares_are_the_whole() {
    for parameter in Parameter::ALL {
        let (least, most) = parameter.bounds();
        assert!((least..=most).contains(&parameter.default_value()), "{}", parameter.name());
        assert_eq!(Parameter::from_name(parameter.name()), Some(*parameter));
        assert_eq!(Parameter::from_id(*parameter as u16), Some(*parameter));
    }
    assert_eq!(FEE_SHARES.iter().map(|p| p.default_value()).sum::<u64>(), WHOLE_BPS);
}

#[test]
fn a_genesis_sets_parameters_and_views_show_them() {
    let mut ledger = chain();
    let id = Parameter::EpochSeconds as u16;
    let shown = ledger.view(TREASURY, &ITreasury::parameterCall { id }).expect("known");
    assert_eq!((shown.name.as_str(), shown.value), ("epoch_seconds", U256::from(60)));
    let all = ledger.view(TREASURY, &ITreasury::parametersCall {}).expect("a list");
    assert_eq!(all.len(), Parameter::ALL.len());
    let data = ledger.view(TREASURY, &ITreasury::parameterCall { id: 999 }).expect_err("unknown");
    assert_eq!(error::<ITreasury::UnknownParameter>(&data).id, 999);
}

#[test]
fn a_genesis_with_bad_parameters_is_refused_by_name() {
    let genesis = |name: &str, value| {
        let mut genesis = Genesis::development(&[OWNER]);
        genesis.parameters = BTreeMap::from([(name.to_string(), value)]);
        genesis.validate().expect_err("refused").to_string()
    };
    assert!(genesis("no_such", 1).contains("no_such"));
    assert!(genesis("epoch_seconds", 0).contains("between 1 and 86400"));
    assert!(genesis("fee_data_bps", 5_000).contains("11000"));
    let window = BTreeMap::from([("reveal_delay_seconds".into(), 50), ("reveal_window_seconds".into(), 50)]);
    assert_eq!(parameters::check(&window), Err(ParameterError::RevealWindow));
}

#[test]
fn shares_move_together_or_not_at_all() {
    let mut state = state();
    let one = parameters::set(&mut state, &[(Parameter::DataBps, 4_500)]);
    assert!(
        matches!(one, Err(Error::Rejected(data)) if error::<ITreasury::SharesNotWhole>(&data).bps == U256::from(10_500))
    );
    assert_eq!(Parameter::DataBps.get(&mut state), Ok(4_000));
    let both = [(Parameter::DataBps, 4_500), (Parameter::DeveloperBps, 1_500)];
    assert_eq!(parameters::set(&mut state, &both), Ok(()));
    assert_eq!(Parameter::DataBps.get(&mut state), Ok(4_500));
    let burn = parameters::set(&mut state, &[(Parameter::BurnBps, 0), (Parameter::TreasuryBps, 1_000)]);
    assert!(
        matches!(burn, Err(Error::Rejected(data)) if error::<ITreasury::OutOfBounds>(&data).name == "fee_burn_bps")
    );
}

#[test]
fn income_is_booked_by_purpose_and_burn_leaves_the_supply() {
    let mut state = state();
    let income =
        Income { treasury: Amount(7), validators: Amount(5), auditors: Amount(3), burned: Amount(11) };
    receive_into(&mut state, income);
    let books = books(&mut state).expect("books");
    assert_eq!((books.received, books.validators, books.auditors), (Amount(7), Amount(5), Amount(3)));
    assert_eq!(free(&mut state), Ok(Amount(7)));
    assert_eq!(account::balance(&mut state, TREASURY), Ok(Amount(15)));
    assert_eq!(crate::tables::BURNED.get(&mut state, &()), Ok(U256::from(11)));
}

#[test]
fn subsidies_never_pass_half_of_what_fees_burned_and_paid_in() {
    let mut state = state();
    receive_into(&mut state, Income { treasury: Amount(60), burned: Amount(40), ..Income::default() });
    let pay = |state: &mut State, amount, earned| {
        pay_subsidy(state, OWNER, Amount(amount), Amount(earned), B256::ZERO)
    };
    assert!(
        matches!(pay(&mut state, 6, 10), Err(Error::Rejected(data)) if error::<ITreasury::SubsidyCap>(&data).allowance == U256::from(5))
    );
    assert_eq!(pay(&mut state, 30, 1_000), Ok(()));
    assert!(pay(&mut state, 21, 1_000).is_err(), "all subsidies count together");
    assert_eq!(pay(&mut state, 20, 1_000), Ok(()));
    assert_eq!(subsidy_allowance(&mut state), Ok(Amount(0)));
}

#[test]
fn pots_are_not_free_to_spend() {
    let mut state = state();
    let income =
        Income { treasury: Amount(10), validators: Amount(5), auditors: Amount(5), ..Income::default() };
    receive_into(&mut state, income);
    assert!(spend(&mut state, OWNER, Amount(11), B256::ZERO).is_err());
    assert_eq!(spend(&mut state, OWNER, Amount(10), B256::ZERO), Ok(()));
    assert!(pay_auditor(&mut state, OWNER, Amount(6), B256::ZERO).is_err());
    assert_eq!(pay_auditor(&mut state, OWNER, Amount(5), B256::ZERO), Ok(()));
    assert_eq!(account::balance(&mut state, TREASURY), Ok(Amount(5)));
}

#[test]
fn validators_are_paid_by_the_blocks_they_signed_and_not_by_those_they_proposed() {
    let mut state = state();
    receive_into(&mut state, Income { validators: Amount(1_000), ..Income::default() });
    let mut block = chain().block;
    let (often, seldom) = (Address::repeat_byte(0xa1), Address::repeat_byte(0xa2));
    let hour = Parameter::EpochSeconds.default_value();
    // Who proposes all blocks and signs none gets nothing.
    block.proposer = Address::repeat_byte(0xa3);
    for i in 0..4 {
        block.signers = if i % 2 == 0 { vec![often, seldom] } else { vec![often, often] };
        block.timestamp_ms += 1_000 * (hour / 3);
        end_block(&mut state, &block).expect("a block ends");
    }
    assert_eq!(account::balance(&mut state, often), Ok(Amount(750)));
    assert_eq!(account::balance(&mut state, seldom), Ok(Amount(250)));
    assert_eq!(account::balance(&mut state, block.proposer), Ok(Amount(0)));
    assert_eq!(books(&mut state).map(|b| (b.validators, b.to_validators)), Ok((Amount(0), Amount(1_000))));
}

#[test]
fn a_pot_that_nobody_signed_for_waits() {
    let mut state = state();
    receive_into(&mut state, Income { validators: Amount(10), ..Income::default() });
    let mut block = chain().block;
    let hour_ms = 1_000 * Parameter::EpochSeconds.default_value();
    block.signers = Vec::new();
    for _ in 0..3 {
        block.timestamp_ms += hour_ms;
        end_block(&mut state, &block).expect("a block ends");
    }
    assert_eq!(books(&mut state).map(|b| b.validators), Ok(Amount(10)));
    block.signers = vec![OWNER];
    block.timestamp_ms += hour_ms;
    end_block(&mut state, &block).expect("a block ends");
    assert_eq!(account::balance(&mut state, OWNER), Ok(Amount(10)));
}

#[test]
fn nothing_from_outside_spends_or_takes_money() {
    let mut ledger = chain();
    let receipt = ledger.send(OWNER, TREASURY, U256::from(1), Vec::new());
    assert!(!receipt.success);
    let balances = ledger.view(TREASURY, &ITreasury::balancesCall {}).expect("a view");
    assert_eq!(balances.free, U256::ZERO);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn validators_never_get_more_than_their_pot(pot in 0u128..1_000_000, signed in prop::collection::vec(prop::collection::vec(0u8..5, 0..4), 1..40)) {
        let mut state = state();
        receive_into(&mut state, Income { validators: Amount(pot), ..Income::default() });
        let mut block = MemoryLedger::with_holders(&[OWNER]).block;
        let hour_ms = 1_000 * Parameter::EpochSeconds.default_value();
        for (i, signers) in signed.iter().enumerate() {
            block.signers = signers.iter().map(|signer| Address::repeat_byte(0xa0 + signer)).collect();
            block.timestamp_ms += hour_ms / 10 * (1 + i as u64 % 3);
            end_block(&mut state, &block).expect("a block ends");
        }
        let paid: u128 = (0..5).map(|i| account::balance(&mut state, Address::repeat_byte(0xa0 + i)).expect("known").0).sum();
        let books = books(&mut state).expect("books");
        prop_assert_eq!(paid + books.validators.0, pot);
        prop_assert_eq!(paid, books.to_validators.0);
    }
}
