//! Attacks on the ledger's own rules, played with real calls (RULEBOOK, attacks).

use alloy_primitives::{Address, B256, U256};
use alloy_sol_types::{SolCall, SolError};
use interfaces::{
    addresses::{MODELS, OPERATORS, SETTLEMENT, escrow},
    models::IModels,
    operators::IOperators,
    settlement::{ISettlement, ISettlement::Kind, batch_id, payout_key},
};
use ledger::{Genesis, MemoryLedger};
use primitives::{
    Amount,
    merkle_sum::{SumTree, leaf},
};

const ATTACKER: Address = Address::repeat_byte(0xa7);
const FRIEND: Address = Address::repeat_byte(0xf1);
const EPOCH_SECONDS: u64 = 60;
const CHALLENGE_SECONDS: u64 = 100;

/// Sends a call that must be accepted; tells the gas it cost.
fn send(ledger: &mut MemoryLedger, to: Address, value: u128, call: &impl SolCall) -> u128 {
    let receipt = ledger.send(ATTACKER, to, U256::from(value), call.abi_encode());
    assert!(receipt.success, "{}", receipt.output);
    u128::from(receipt.gas_used) * ledger.block.base_fee
}

/// A chain where the attacker develops the model, operates it and is the only validator. With the model.
fn owned() -> (MemoryLedger, B256) {
    let mut genesis = Genesis::development(&[ATTACKER, FRIEND]);
    genesis.validators[0].account = ATTACKER;
    genesis.parameters.insert("epoch_seconds".into(), EPOCH_SECONDS);
    genesis.parameters.insert("challenge_seconds".into(), CHALLENGE_SECONDS);
    let mut ledger = MemoryLedger::new(genesis);
    let what = IModels::Registration {
        manifest: B256::repeat_byte(1),
        base: B256::ZERO,
        baseShareBps: 0,
        uses: 3,
        licence: "MIT".into(),
        name: "wash".into(),
    };
    send(&mut ledger, MODELS, 0, &IModels::registerCall { what });
    let model = interfaces::models::model_id(ATTACKER, B256::repeat_byte(1));
    let zero = U256::ZERO;
    let cache = IModels::Cache { root: B256::ZERO, curvature: B256::ZERO, floor: 0, cap: 0, damping: 0 };
    let rates = IModels::Rates { rateIn: zero, rateOut: zero, platformFee: zero };
    let final_root = B256::repeat_byte(2);
    send(&mut ledger, MODELS, 0, &IModels::finaliseCall { model, finalRoot: final_root, cache, rates });
    let register = IOperators::registerCall { endpoint: "https://wash.example".into() };
    send(&mut ledger, OPERATORS, Amount::open(1_000_000).0, &register);
    let offer = IOperators::offerCall { model, rateIn: zero, rateOut: zero, platformFee: zero };
    send(&mut ledger, OPERATORS, 0, &offer);
    (ledger, model)
}

/// A batch that pays the whole data share to the attacker.
fn batch(model: B256, epoch: u64, first: u64, count: u64, fees: u128) -> (ISettlement::postCall, SumTree) {
    let share = fees * 4_000 / 10_000;
    let tree = SumTree::new(vec![leaf(&payout_key(ATTACKER, Kind::Liquid), share)]).expect("one leaf");
    let batch = ISettlement::Batch {
        model,
        epoch,
        firstSequence: first,
        count,
        receipts: B256::repeat_byte(3),
        folds: B256::repeat_byte(4),
        fees: U256::from(fees),
        payouts: tree.root(),
        payoutTotal: U256::from(share),
        payoutCount: 1,
    };
    (ISettlement::postCall { batch }, tree)
}

#[test]
fn wash_inference_loses_at_least_five_percent_even_to_who_owns_every_role() {
    let (mut ledger, model) = owned();
    let start = ledger.balance(ATTACKER);
    let mut gas = 0;
    let fees = Amount::open(1_000).0;
    for round in 0..5 {
        let receipt = ledger.send(ATTACKER, escrow(ATTACKER, model), U256::from(fees), Vec::new());
        gas += u128::from(receipt.gas_used) * ledger.block.base_fee;
        gas += send(&mut ledger, SETTLEMENT, 0, &ISettlement::closeCall { model });
        let (post, tree) = batch(model, round + 1, round, 1, fees);
        gas += send(&mut ledger, SETTLEMENT, 0, &post);
        ledger.advance(CHALLENGE_SECONDS * 1_000);
        let id = batch_id(ATTACKER, model, round + 1);
        gas += send(&mut ledger, SETTLEMENT, 0, &ISettlement::finaliseCall { id });
        let amount = U256::from(tree.total());
        let leaves =
            vec![ISettlement::Leaf { index: 0, account: ATTACKER, kind: Kind::Liquid, amount, path: vec![] }];
        gas += send(&mut ledger, SETTLEMENT, 0, &ISettlement::claimCall { id, leaves });
        // The validators' pot comes back too.
        ledger.advance(2 * EPOCH_SECONDS * 1_000);
    }
    let lost = start - ledger.balance(ATTACKER) - gas;
    assert!(lost * 100 >= 5 * 5 * fees, "only {lost} of {} lost", 5 * fees);
    // Treasury, burn and auditors are out of reach: 12 % exactly.
    assert_eq!(lost, 5 * fees * 12 / 100);
    ledger.assert_conserved();
}

#[test]
fn an_operator_that_settles_less_than_it_sold_is_refused() {
    let (mut ledger, model) = owned();
    // Two buyers pay; the operator would rather have sold one answer.
    for _ in 0..2 {
        ledger.send(FRIEND, escrow(ATTACKER, model), U256::from(1_000), Vec::new());
    }
    send(&mut ledger, SETTLEMENT, 0, &ISettlement::closeCall { model });
    let (half, _) = batch(model, 1, 0, 1, 1_000);
    let refused = ledger.transact(ATTACKER, SETTLEMENT, U256::ZERO, &half).expect_err("half is missing");
    let error = ISettlement::FeesDifferFromIncome::abi_decode(&refused).expect("the custom error");
    assert_eq!((error.fees, error.income), (U256::from(1_000), U256::from(2_000)));
    // Nor can it start over at another sequence number, so that a receipt falls out of the chain.
    let (gap, _) = batch(model, 1, 1, 1, 2_000);
    let refused = ledger.transact(ATTACKER, SETTLEMENT, U256::ZERO, &gap).expect_err("a gap");
    assert!(ISettlement::SequenceGap::abi_decode(&refused).is_ok());
    let (whole, _) = batch(model, 1, 0, 2, 2_000);
    send(&mut ledger, SETTLEMENT, 0, &whole);
}

#[test]
fn nobodys_dust_spoils_a_batch_between_making_and_landing() {
    let (mut ledger, model) = owned();
    let escrow = escrow(ATTACKER, model);
    ledger.send(FRIEND, escrow, U256::from(1_000), Vec::new());
    send(&mut ledger, SETTLEMENT, 0, &ISettlement::closeCall { model });
    ledger.send(FRIEND, escrow, U256::from(1), Vec::new());
    let (post, _) = batch(model, 1, 0, 1, 1_000);
    send(&mut ledger, SETTLEMENT, 0, &post);
    assert_eq!(ledger.balance(escrow), 1, "the dust waits for the next epoch");
}
