use super::{claims::MAX_LEAVES_PER_CLAIM, *};
use crate::{MemoryLedger, operators, testing::*, treasury};
use alloy_primitives::{Address, B256, Bytes, U256};
use interfaces::{
    addresses::{OPERATORS, SETTLEMENT, TREASURY},
    operators::IOperators,
    settlement::{ISettlement, ISettlement::Kind, ISettlement::Status, batch_id, payout_key},
    treasury::ITreasury,
};
use primitives::{
    Amount,
    merkle_sum::{SumTree, leaf},
};
use proptest::prelude::*;

const ZERO: U256 = U256::ZERO;

/// A chain with a served model, and the escrow.
fn served() -> (MemoryLedger, B256, Address) {
    let mut ledger = chain();
    let model = ready_model(&mut ledger);
    let escrow = serve(&mut ledger, model);
    (ledger, model, escrow)
}

fn pay(ledger: &mut MemoryLedger, escrow: Address, units: u128) {
    assert!(ledger.send(BUYER, escrow, U256::from(units), Bytes::new()).success);
}

fn close(ledger: &mut MemoryLedger, model: B256) -> ISettlement::closeReturn {
    accepted(ledger, OPERATOR, SETTLEMENT, ZERO, ISettlement::closeCall { model })
}

/// Payouts of these units, liquid and vesting in turn, to the accounts.
struct Payouts {
    entries: Vec<(Address, Kind, u128)>,
    tree: SumTree,
}

fn payouts(entries: &[(Address, Kind, u128)]) -> Payouts {
    let leaves = entries.iter().map(|(account, kind, units)| leaf(&payout_key(*account, *kind), *units));
    let tree = SumTree::new(leaves.collect()).expect("small amounts");
    Payouts { entries: entries.to_vec(), tree }
}

impl Payouts {
    fn leaf(&self, index: u64) -> ISettlement::Leaf {
        let (account, kind, units) = self.entries[index as usize];
        let proof = self.tree.prove(index).expect("in range");
        let step = |node: &primitives::merkle_sum::SumNode| ISettlement::SumNode {
            digest: node.digest,
            sum: U256::from(node.sum),
        };
        let path = proof.path.iter().map(step).collect();
        ISettlement::Leaf { index, account, kind, amount: U256::from(units), path }
    }

    fn leaves(&self) -> Vec<ISettlement::Leaf> {
        (0..self.entries.len() as u64).map(|index| self.leaf(index)).collect()
    }
}

fn batch(model: B256, epoch: u64, first: u64, fees: u128, payouts: &Payouts) -> ISettlement::postCall {
    let batch = ISettlement::Batch {
        model,
        epoch,
        firstSequence: first,
        count: 3,
        receipts: B256::repeat_byte(0x11),
        folds: B256::repeat_byte(0x12),
        fees: U256::from(fees),
        payouts: if payouts.entries.is_empty() { B256::ZERO } else { payouts.tree.root() },
        payoutTotal: U256::from(payouts.tree.total()),
        payoutCount: payouts.entries.len() as u64,
    };
    ISettlement::postCall { batch }
}

/// Pays, closes, posts; the batch's id.
fn post(ledger: &mut MemoryLedger, model: B256, escrow: Address, fees: u128, payouts: &Payouts) -> B256 {
    pay(ledger, escrow, fees);
    let call = ISettlement::progressCall { operator: OPERATOR, model };
    let first = ledger.view(SETTLEMENT, &call).expect("a view").nextSequence;
    let epoch = close(ledger, model).epoch;
    accepted(ledger, OPERATOR, SETTLEMENT, ZERO, batch(model, epoch, first, fees, payouts))
}

fn record(ledger: &mut MemoryLedger, id: B256) -> ISettlement::Record {
    ledger.view(SETTLEMENT, &ISettlement::batchCall { id }).expect("known")
}

#[test]
fn a_batch_goes_from_income_to_payouts_and_every_unit_is_accounted_for() {
    let (mut ledger, model, escrow) = served();
    let payouts =
        payouts(&[(OWNER, Kind::Liquid, 150), (OWNER, Kind::Vesting, 150), (RIVAL, Kind::Liquid, 50)]);
    let id = post(&mut ledger, model, escrow, 1_001, &payouts);
    assert_eq!(id, batch_id(OPERATOR, model, 1));
    assert_eq!((ledger.balance(escrow), ledger.balance(SETTLEMENT)), (0, 1_001));
    let finalise = ISettlement::finaliseCall { id };
    let _: ISettlement::WindowOpen = refused(&mut ledger, OWNER, SETTLEMENT, ZERO, finalise.clone());
    ledger.advance(100_000);
    let (developer, operator, burned) =
        (ledger.balance(DEVELOPER), ledger.balance(OPERATOR), ledger.burned());
    let gas = accepted_gas(&mut ledger, OWNER, finalise);
    assert_eq!(ledger.balance(DEVELOPER) - developer, 200);
    assert_eq!(ledger.balance(OPERATOR) - operator, 230);
    assert_eq!(ledger.burned() - burned - gas, 50);
    // 20 for auditors, 50 for validators, 50 for the treasury, 50 silent of 400, 1 of rounding.
    assert_eq!(ledger.balance(TREASURY), 20 + 50 + 51 + 50);
    assert_eq!(ledger.balance(SETTLEMENT), 350);
    let balances = ledger.view(TREASURY, &ITreasury::balancesCall {}).expect("a view");
    assert_eq!(
        (balances.free, balances.validators, balances.auditors),
        (U256::from(101), U256::from(50), U256::from(20))
    );
    let leaves = payouts.leaves();
    let (owner, rival) = (ledger.balance(OWNER), ledger.balance(RIVAL));
    let paid = accepted(&mut ledger, BUYER, SETTLEMENT, ZERO, ISettlement::claimCall { id, leaves });
    assert_eq!(paid, U256::from(350));
    assert_eq!((ledger.balance(OWNER) - owner, ledger.balance(RIVAL) - rival), (150, 50));
    assert_eq!(ledger.balance(SETTLEMENT), 150, "what vests");
    ledger.assert_conserved();
}

/// Sends an accepted call and tells the base fee burned for it.
fn accepted_gas(ledger: &mut MemoryLedger, sender: Address, call: impl alloy_sol_types::SolCall) -> u128 {
    let receipt = ledger.send(sender, SETTLEMENT, ZERO, call.abi_encode());
    assert!(receipt.success, "{}", receipt.output);
    u128::from(receipt.gas_used) * ledger.block.base_fee
}

#[test]
fn fees_that_differ_from_the_income_are_refused() {
    let (mut ledger, model, escrow) = served();
    pay(&mut ledger, escrow, 1_000);
    close(&mut ledger, model);
    for fees in [999, 1_001] {
        let call = batch(model, 1, 0, fees, &payouts(&[]));
        let differ: ISettlement::FeesDifferFromIncome =
            refused(&mut ledger, OPERATOR, SETTLEMENT, ZERO, call);
        assert_eq!(differ.income, U256::from(1_000));
    }
    // A late payment belongs to the next epoch and cannot spoil this one.
    pay(&mut ledger, escrow, 7);
    accepted(&mut ledger, OPERATOR, SETTLEMENT, ZERO, batch(model, 1, 0, 1_000, &payouts(&[])));
    assert_eq!(ledger.balance(escrow), 7);
}

#[test]
fn an_epoch_is_closed_by_its_operator_with_income_and_not_too_soon() {
    let (mut ledger, model, escrow) = served();
    let call = ISettlement::closeCall { model };
    let _: ISettlement::NoIncome = refused(&mut ledger, OPERATOR, SETTLEMENT, ZERO, call.clone());
    let _: ISettlement::NotOffered = refused(&mut ledger, RIVAL, SETTLEMENT, ZERO, call.clone());
    post(&mut ledger, model, escrow, 10, &payouts(&[]));
    pay(&mut ledger, escrow, 10);
    let _: ISettlement::EpochTooShort = refused(&mut ledger, OPERATOR, SETTLEMENT, ZERO, call.clone());
    ledger.advance(60_000);
    assert_eq!(close(&mut ledger, model).epoch, 2);
    pay(&mut ledger, escrow, 10);
    ledger.advance(60_000);
    let unposted: ISettlement::EpochUnposted = refused(&mut ledger, OPERATOR, SETTLEMENT, ZERO, call);
    assert_eq!(unposted.epoch, 2);
}

#[test]
fn sequence_numbers_are_dense_over_batches() {
    let (mut ledger, model, escrow) = served();
    post(&mut ledger, model, escrow, 10, &payouts(&[]));
    ledger.advance(60_000);
    pay(&mut ledger, escrow, 10);
    close(&mut ledger, model);
    for first in [0, 2, 4] {
        let call = batch(model, 2, first, 10, &payouts(&[]));
        let gap: ISettlement::SequenceGap = refused(&mut ledger, OPERATOR, SETTLEMENT, ZERO, call);
        assert_eq!(gap.expected, 3);
    }
    let mut empty = batch(model, 2, 3, 10, &payouts(&[]));
    empty.batch.count = 0;
    let _: ISettlement::SequenceGap = refused(&mut ledger, OPERATOR, SETTLEMENT, ZERO, empty);
    let wrong = batch(model, 1, 3, 10, &payouts(&[]));
    let _: ISettlement::EpochNotClosed = refused(&mut ledger, OPERATOR, SETTLEMENT, ZERO, wrong);
    accepted(&mut ledger, OPERATOR, SETTLEMENT, ZERO, batch(model, 2, 3, 10, &payouts(&[])));
    let again = batch(model, 2, 6, 10, &payouts(&[]));
    let _: ISettlement::EpochNotClosed = refused(&mut ledger, OPERATOR, SETTLEMENT, ZERO, again);
}

#[test]
fn payouts_above_the_data_share_or_without_a_root_are_refused() {
    let (mut ledger, model, escrow) = served();
    pay(&mut ledger, escrow, 1_000);
    close(&mut ledger, model);
    let over = payouts(&[(OWNER, Kind::Liquid, 401)]);
    let exceed: ISettlement::PayoutsExceedData =
        refused(&mut ledger, OPERATOR, SETTLEMENT, ZERO, batch(model, 1, 0, 1_000, &over));
    assert_eq!(exceed.data, U256::from(400));
    let good = payouts(&[(OWNER, Kind::Liquid, 400)]);
    let break_it = |change: &dyn Fn(&mut ISettlement::Batch)| {
        let mut call = batch(model, 1, 0, 1_000, &good);
        change(&mut call.batch);
        call
    };
    for call in [
        break_it(&|batch| batch.payouts = B256::ZERO),
        break_it(&|batch| batch.payoutCount = 0),
        break_it(&|batch| batch.receipts = B256::ZERO),
        break_it(&|batch| batch.folds = B256::ZERO),
    ] {
        let _: ISettlement::BadRoot = refused(&mut ledger, OPERATOR, SETTLEMENT, ZERO, call);
    }
    for call in [
        break_it(&|batch| batch.count = batches::MAX_RECEIPTS + 1),
        break_it(&|batch| batch.payoutCount = batches::MAX_LEAVES + 1),
    ] {
        let _: ISettlement::LimitExceeded = refused(&mut ledger, OPERATOR, SETTLEMENT, ZERO, call);
    }
    accepted(&mut ledger, OPERATOR, SETTLEMENT, ZERO, break_it(&|_| ()));
}

#[test]
fn nothing_is_posted_while_unsettled_revenue_passes_the_limit() {
    let (mut ledger, model, escrow) = served();
    let units = |whole| Amount::open(whole).0;
    // The stake of a million carries 33,000 unsettled.
    pay(&mut ledger, escrow, units(30_000));
    close(&mut ledger, model);
    pay(&mut ledger, escrow, units(3_001));
    let call = batch(model, 1, 0, units(30_000), &payouts(&[]));
    let over: IOperators::RevenueLimit = refused(&mut ledger, OPERATOR, SETTLEMENT, ZERO, call.clone());
    assert_eq!((over.unsettled, over.limit), (open(33_001), open(33_000)));
    // The value sent along is stake.
    accepted(&mut ledger, OPERATOR, SETTLEMENT, open(100), call);
    let shown = ledger.view(OPERATORS, &IOperators::operatorCall { operator: OPERATOR }).expect("a view");
    assert_eq!(shown.stake, open(1_000_100));
    let bond = ledger.view(SETTLEMENT, &ISettlement::bondForCall { fees: open(30_000) });
    assert_eq!(bond, Ok(shown.locked));
    ledger.assert_conserved();
}

#[test]
fn stake_bound_to_a_batch_stays_until_it_is_final() {
    let (mut ledger, model, escrow) = served();
    let id = post(&mut ledger, model, escrow, Amount::open(33).0, &payouts(&[]));
    assert_eq!(record(&mut ledger, id).bond, open(1_000));
    let all = IOperators::unbondCall { amount: open(1_000_000) };
    let _: IOperators::StakeInUse = refused(&mut ledger, OPERATOR, OPERATORS, ZERO, all.clone());
    ledger.advance(100_000);
    accepted(&mut ledger, BUYER, SETTLEMENT, ZERO, ISettlement::finaliseCall { id });
    let unsettled = ledger.view(OPERATORS, &IOperators::unsettledCall { operator: OPERATOR });
    assert_eq!(unsettled, Ok(ZERO));
    accepted(&mut ledger, OPERATOR, OPERATORS, ZERO, all);
}

#[test]
fn a_leaf_is_paid_once_and_only_as_it_stands_in_the_tree() {
    let (mut ledger, model, escrow) = served();
    let payouts =
        payouts(&[(OWNER, Kind::Liquid, 100), (RIVAL, Kind::Liquid, 100), (BUYER, Kind::Vesting, 100)]);
    let id = post(&mut ledger, model, escrow, 1_000, &payouts);
    let claim = |leaves: Vec<ISettlement::Leaf>| ISettlement::claimCall { id, leaves };
    let early: ISettlement::WrongStatus =
        refused(&mut ledger, OWNER, SETTLEMENT, ZERO, claim(payouts.leaves()));
    assert_eq!(early.status, Status::Posted);
    ledger.advance(100_000);
    accepted(&mut ledger, OWNER, SETTLEMENT, ZERO, ISettlement::finaliseCall { id });
    let _: ISettlement::WrongStatus =
        refused(&mut ledger, OWNER, SETTLEMENT, ZERO, ISettlement::finaliseCall { id });
    let good = payouts.leaf(0);
    let wrong = [
        ISettlement::Leaf { account: RIVAL, ..good.clone() },
        ISettlement::Leaf { amount: U256::from(101), ..good.clone() },
        ISettlement::Leaf { amount: U256::MAX, ..good.clone() },
        ISettlement::Leaf { kind: Kind::Vesting, ..good.clone() },
        ISettlement::Leaf { index: 1, ..good.clone() },
        ISettlement::Leaf { index: 3, ..good.clone() },
        ISettlement::Leaf { path: vec![], ..good.clone() },
    ];
    for leaf in wrong {
        let _: ISettlement::BadProof = refused(&mut ledger, OWNER, SETTLEMENT, ZERO, claim(vec![leaf]));
    }
    let _: ISettlement::AlreadyClaimed =
        refused(&mut ledger, OWNER, SETTLEMENT, ZERO, claim(vec![good.clone(), good.clone()]));
    accepted(&mut ledger, BUYER, SETTLEMENT, ZERO, claim(vec![good.clone()]));
    let _: ISettlement::AlreadyClaimed =
        refused(&mut ledger, OWNER, SETTLEMENT, ZERO, claim(vec![payouts.leaf(1), good.clone()]));
    assert_eq!(ledger.view(SETTLEMENT, &ISettlement::isClaimedCall { id, index: 1 }), Ok(false));
    let many: ISettlement::LimitExceeded =
        refused(&mut ledger, OWNER, SETTLEMENT, ZERO, claim(vec![good; MAX_LEAVES_PER_CLAIM + 1]));
    assert_eq!(many.limit, U256::from(MAX_LEAVES_PER_CLAIM));
    ledger.assert_conserved();
}

#[test]
fn a_vesting_leaf_pays_linearly_and_in_full_at_the_end() {
    let (mut ledger, model, escrow) = served();
    let payouts = payouts(&[(OWNER, Kind::Vesting, 3_000)]);
    let id = post(&mut ledger, model, escrow, 10_000, &payouts);
    ledger.advance(100_000);
    accepted(&mut ledger, BUYER, SETTLEMENT, ZERO, ISettlement::finaliseCall { id });
    let leaves = payouts.leaves();
    accepted(&mut ledger, BUYER, SETTLEMENT, ZERO, ISettlement::claimCall { id, leaves });
    let release = ISettlement::releaseCall { account: OWNER };
    assert_eq!(accepted(&mut ledger, BUYER, SETTLEMENT, ZERO, release.clone()), ZERO);
    // Vesting takes 3,000 s from the next hundredth second on.
    let wait = 100 - ledger.block.seconds() % 100;
    ledger.advance((wait + 600) * 1_000);
    assert_eq!(accepted(&mut ledger, BUYER, SETTLEMENT, ZERO, release.clone()), U256::from(600));
    let shown = ledger.view(SETTLEMENT, &ISettlement::vestingCall { account: OWNER }).expect("a view");
    assert_eq!(
        (shown.granted, shown.vested, shown.paid),
        (U256::from(3_000), U256::from(600), U256::from(600))
    );
    ledger.advance(2_400_000);
    assert_eq!(accepted(&mut ledger, BUYER, SETTLEMENT, ZERO, release.clone()), U256::from(2_400));
    assert_eq!(accepted(&mut ledger, BUYER, SETTLEMENT, ZERO, release), ZERO);
    assert_eq!(ledger.balance(SETTLEMENT), 0);
    ledger.assert_conserved();
}

#[test]
fn the_grants_of_many_days_are_released_in_one_call() {
    let (mut ledger, model, escrow) = served();
    let one = payouts(&[(OWNER, Kind::Vesting, 30)]);
    for _ in 0..28 {
        let id = post(&mut ledger, model, escrow, 1_000, &one);
        ledger.advance(100_000);
        accepted(&mut ledger, BUYER, SETTLEMENT, ZERO, ISettlement::finaliseCall { id });
        accepted(&mut ledger, BUYER, SETTLEMENT, ZERO, ISettlement::claimCall { id, leaves: one.leaves() });
    }
    ledger.advance(3_200_000);
    let shown = ledger.view(SETTLEMENT, &ISettlement::vestingCall { account: OWNER }).expect("a view");
    assert_eq!((shown.granted, shown.vested), (U256::from(840), U256::from(840)));
    let release = ISettlement::releaseCall { account: OWNER };
    assert_eq!(accepted(&mut ledger, BUYER, SETTLEMENT, ZERO, release), U256::from(840));
    ledger.assert_conserved();
}

#[test]
fn a_clawback_takes_only_what_has_not_vested() {
    let (mut ledger, model, escrow) = served();
    let payouts = payouts(&[(RIVAL, Kind::Vesting, 3_000)]);
    let id = post(&mut ledger, model, escrow, 10_000, &payouts);
    ledger.advance(100_000);
    accepted(&mut ledger, BUYER, SETTLEMENT, ZERO, ISettlement::finaliseCall { id });
    let leaves = payouts.leaves();
    accepted(&mut ledger, BUYER, SETTLEMENT, ZERO, ISettlement::claimCall { id, leaves });
    let wait = 100 - ledger.block.seconds() % 100;
    ledger.advance((wait + 1_000) * 1_000);
    let rival = ledger.balance(RIVAL);
    let taken = inside(&mut ledger, SETTLEMENT, |ctx| claw_back(ctx, RIVAL));
    assert_eq!(taken, Amount(2_000));
    assert_eq!(ledger.balance(RIVAL) - rival, 1_000);
    ledger.advance(3_000_000);
    let release = ISettlement::releaseCall { account: RIVAL };
    assert_eq!(accepted(&mut ledger, BUYER, SETTLEMENT, ZERO, release), ZERO);
    assert_eq!(ledger.balance(SETTLEMENT), 0);
    ledger.assert_conserved();
}

#[test]
fn a_refuted_batch_pays_nobody_and_hinders_no_other() {
    let (mut ledger, model, escrow) = served();
    let payouts = payouts(&[(RIVAL, Kind::Liquid, 400)]);
    let id = post(&mut ledger, model, escrow, 1_000, &payouts);
    inside(&mut ledger, SETTLEMENT, |ctx| refute(ctx, id));
    assert_eq!(record(&mut ledger, id).status, Status::Refuted);
    ledger.advance(100_000);
    let _: ISettlement::WrongStatus =
        refused(&mut ledger, OPERATOR, SETTLEMENT, ZERO, ISettlement::finaliseCall { id });
    let leaves = payouts.leaves();
    let _: ISettlement::WrongStatus =
        refused(&mut ledger, RIVAL, SETTLEMENT, ZERO, ISettlement::claimCall { id, leaves });
    assert_eq!(ledger.balance(SETTLEMENT), 1_000, "held for the payers");
    let next = post(&mut ledger, model, escrow, 500, &payouts_of_nobody());
    ledger.advance(100_000);
    accepted(&mut ledger, BUYER, SETTLEMENT, ZERO, ISettlement::finaliseCall { id: next });
    let locked = ledger.view(OPERATORS, &IOperators::operatorCall { operator: OPERATOR });
    assert_eq!(locked.expect("a view").locked, ZERO);
    ledger.assert_conserved();
}

fn payouts_of_nobody() -> Payouts {
    payouts(&[])
}

#[test]
fn the_split_of_a_posted_batch_stays_when_parameters_move() {
    let (mut ledger, model, escrow) = served();
    let id = post(&mut ledger, model, escrow, 1_000, &payouts(&[(OWNER, Kind::Liquid, 400)]));
    inside(&mut ledger, TREASURY, |ctx| {
        use treasury::Parameter::{DataBps, DeveloperBps};
        treasury::parameters::set(ctx.state, &[(DataBps, 2_000), (DeveloperBps, 4_000)])
    });
    let developer = ledger.balance(DEVELOPER);
    ledger.advance(100_000);
    accepted(&mut ledger, BUYER, SETTLEMENT, ZERO, ISettlement::finaliseCall { id });
    assert_eq!(ledger.balance(DEVELOPER) - developer, 200);
    ledger.assert_conserved();
}

#[test]
fn who_owns_every_role_still_loses_the_burn() {
    let (mut ledger, model, escrow) = served();
    // The same person is data owner, developer, operator, auditor and validator: only treasury and burn are not theirs.
    let fees = 1_000_000;
    let split = ledger.view(SETTLEMENT, &ISettlement::quoteSplitCall { fees: U256::from(fees) });
    let split = split.expect("a view");
    let back = split.data + split.developer + split.operator + split.auditors + split.validators;
    assert!(U256::from(fees) - back >= U256::from(fees / 20), "at least 5 % is lost");
    let subsidy = (split.treasury + split.burned) / U256::from(2);
    assert!(U256::from(fees) - back - subsidy >= U256::from(fees / 20), "subsidies do not change that");
    post(&mut ledger, model, escrow, fees, &payouts(&[]));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn the_parts_are_the_fees_exactly_and_splitting_never_gains(a in 0u128..1 << 88, b in 0u128..1 << 88) {
        let mut state = crate::State::new();
        let mut parts = |fees: u128| {
            let Split { data, developer, operator, auditors, validators, treasury, burned } =
                split(&mut state, Amount(fees)).expect("fits");
            [data, developer, operator, auditors, validators, burned, treasury].map(|part| part.0)
        };
        let (one, other, both) = (parts(a), parts(b), parts(a + b));
        prop_assert_eq!(one.iter().sum::<u128>(), a);
        prop_assert_eq!(both.iter().sum::<u128>(), a + b);
        for i in 0..6 {
            prop_assert!(one[i] + other[i] <= both[i]);
        }
    }

    #[test]
    fn any_call_data_is_answered(data: Vec<u8>, selector in 0usize..64) {
        use alloy_sol_types::SolInterface;
        let selectors: Vec<[u8; 4]> = ISettlement::ISettlementCalls::selectors().collect();
        let mut ledger = chain();
        let known = [selectors[selector % selectors.len()].as_slice(), &data].concat();
        ledger.call(&crate::Call { to: SETTLEMENT, data: known.into(), gas_limit: 1_000_000, ..crate::Call::default() });
    }

    #[test]
    fn a_bond_carries_its_fees(fees in 0u128..1 << 80) {
        let mut state = crate::State::new();
        let bond = operators::bond_for(&mut state, Amount(fees)).expect("fits");
        let carried = bond.mul_div(33_000, 1_000_000).expect("fits");
        prop_assert!(carried.0 >= fees);
        prop_assert!(bond.0 == 0 || Amount(bond.0 - 1).mul_div(33_000, 1_000_000).expect("fits").0 < fees);
    }
}
