use super::*;
use crate::{MemoryLedger, State, testing::*};
use alloy_primitives::{Address, B256, U256};
use interfaces::{
    addresses::{DATANETS, MODELS},
    datanets::{IDatanets, IDatanets::Policy},
    models::{IModels, IModels::Status, lineage_escrow, model_id},
};
use primitives::{Amount, licence::Use, mmr::Mmr};
use proptest::prelude::*;

const ZERO: U256 = U256::ZERO;

/// A Datanet of one contribution under `licence`, frozen.
fn frozen(ledger: &mut MemoryLedger, salt: u8, policy: Policy, licence: &str) -> IModels::DatanetVersion {
    let datanet = datanet(ledger, salt, policy, &[licence, "CC0-1.0"]);
    let contribution = contribute(ledger, datanet, OWNER, reveal(B256::repeat_byte(salt), 4, licence));
    if policy == Policy::Curated {
        accepted(ledger, CREATOR, DATANETS, ZERO, IDatanets::acceptCall { contribution });
    }
    let version = accepted(ledger, OWNER, DATANETS, ZERO, IDatanets::freezeCall { datanet });
    IModels::DatanetVersion { datanet, version }
}

fn describe(model: B256, data: Vec<IModels::DatanetVersion>) -> IModels::describeCall {
    let descriptor = IModels::Descriptor {
        hyperparameters: B256::repeat_byte(0x41),
        opSet: 1,
        steps: 32,
        maxUnreviewed: 50,
        data,
    };
    IModels::describeCall { model, descriptor }
}

fn registered(ledger: &mut MemoryLedger, manifest: u8) -> B256 {
    accepted(ledger, DEVELOPER, MODELS, ZERO, registration(manifest, B256::ZERO, 0))
}

fn training(ledger: &mut MemoryLedger, model: B256) -> IModels::Training {
    ledger.view(MODELS, &IModels::trainingCall { model }).expect("known")
}

fn checkpoint(model: B256, step: u64) -> IModels::checkpointCall {
    let (root, chain) = (B256::repeat_byte(step as u8), B256::repeat_byte(!step as u8));
    IModels::checkpointCall { model, step, root, chain }
}

#[test]
fn a_model_goes_from_descriptor_over_checkpoints_to_ready() {
    let mut ledger = chain();
    let data = frozen(&mut ledger, 1, Policy::Open, "MIT");
    let model = registered(&mut ledger, 1);
    assert_eq!(model, model_id(DEVELOPER, B256::repeat_byte(1)));
    accepted(&mut ledger, DEVELOPER, MODELS, ZERO, describe(model, vec![data.clone()]));
    let _: IModels::SeedNotDrawn = refused(&mut ledger, DEVELOPER, MODELS, ZERO, checkpoint(model, 16));
    ledger.advance(1_000);
    ledger.advance(1_000);
    let mut range = Mmr::new();
    for step in [0, 16, 32] {
        accepted(&mut ledger, DEVELOPER, MODELS, ZERO, checkpoint(model, step));
        let call = checkpoint(model, step);
        range.append(checkpoint_leaf(step, call.root, call.chain));
    }
    let after = training(&mut ledger, model);
    assert_eq!((after.checkpoints, after.checkpointCount), (range.root(), 3));
    assert_eq!(after.descriptor.data, [data]);
    accepted(&mut ledger, DEVELOPER, MODELS, ZERO, finalise(model, B256::repeat_byte(32)));
    let shown = ledger.view(MODELS, &IModels::modelCall { model }).expect("known");
    assert_eq!((shown.status, shown.finalRoot), (Status::Ready, B256::repeat_byte(32)));
    assert_eq!(shown.cache.root, B256::repeat_byte(0xca));
}

#[test]
fn the_seed_comes_from_the_block_that_holds_the_descriptor_and_is_drawn_by_the_next() {
    let mut ledger = chain();
    let data = frozen(&mut ledger, 1, Policy::Open, "MIT");
    let model = registered(&mut ledger, 1);
    accepted(&mut ledger, DEVELOPER, MODELS, ZERO, describe(model, vec![data]));
    ledger.advance(1_000);
    assert_eq!(training(&mut ledger, model).seed, B256::ZERO, "not in its own block");
    let digest = training(&mut ledger, model).descriptorDigest;
    let beacon = ledger.block.parent_hash;
    ledger.advance(1_000);
    let seed = training(&mut ledger, model).seed;
    assert_eq!(seed, seeds::seed(beacon, model, digest));
    ledger.advance(5_000);
    assert_eq!(training(&mut ledger, model).seed, seed, "drawn once");
}

#[test]
fn a_licence_that_forbids_a_use_is_named_before_training() {
    let mut ledger = chain();
    let free = frozen(&mut ledger, 1, Policy::Open, "MIT");
    let model = registered(&mut ledger, 1);
    for (salt, licence, what) in [
        (2, "CC-BY-NC-4.0", Use::Commercial),
        (3, "CC-BY-ND-4.0", Use::Train),
        (4, "CC-BY-SA-4.0", Use::Distribute),
        (5, "LicenseRef-unknown", Use::Train),
    ] {
        let bound = frozen(&mut ledger, salt, Policy::Open, licence);
        let call = describe(model, vec![free.clone(), bound.clone()]);
        let named: IModels::LicenceForbids = refused(&mut ledger, DEVELOPER, MODELS, ZERO, call);
        assert_eq!((named.datanet, named.licence.as_str()), (bound.datanet, licence));
        assert_eq!(named.r#use, what.name());
        assert!(!named.reason.is_empty());
    }
    accepted(&mut ledger, DEVELOPER, MODELS, ZERO, describe(model, vec![free]));
}

#[test]
fn only_licences_that_contributions_carry_count() {
    let mut ledger = chain();
    let datanet = datanet(&mut ledger, 1, Policy::Open, &["MIT", "CC-BY-NC-4.0"]);
    contribute(&mut ledger, datanet, OWNER, reveal(B256::repeat_byte(1), 1, "MIT"));
    let bound = contribute(&mut ledger, datanet, OWNER, reveal(B256::repeat_byte(2), 1, "CC-BY-NC-4.0"));
    accepted(&mut ledger, OWNER, DATANETS, ZERO, IDatanets::freezeCall { datanet });
    accepted(&mut ledger, OWNER, DATANETS, ZERO, IDatanets::withdrawCall { contribution: bound });
    accepted(&mut ledger, OWNER, DATANETS, ZERO, IDatanets::freezeCall { datanet });
    let model = registered(&mut ledger, 1);
    let first = describe(model, vec![IModels::DatanetVersion { datanet, version: 1 }]);
    let _: IModels::LicenceForbids = refused(&mut ledger, DEVELOPER, MODELS, ZERO, first);
    let second = describe(model, vec![IModels::DatanetVersion { datanet, version: 2 }]);
    accepted(&mut ledger, DEVELOPER, MODELS, ZERO, second);
}

#[test]
fn a_base_models_licence_is_checked_too() {
    let mut ledger = chain();
    let import = IModels::importModelCall {
        manifest: B256::repeat_byte(0xee),
        uses: 0,
        licence: "CC-BY-NC-4.0".into(),
        name: "base".into(),
    };
    let base = accepted(&mut ledger, BUYER, MODELS, ZERO, import.clone());
    assert_eq!(base, model_id(Address::ZERO, B256::repeat_byte(0xee)));
    let _: IModels::ModelExists = refused(&mut ledger, OWNER, MODELS, ZERO, import);
    let named: IModels::LicenceForbids =
        refused(&mut ledger, DEVELOPER, MODELS, ZERO, registration(1, base, 0));
    assert_eq!((named.datanet, named.r#use.as_str()), (B256::ZERO, Use::Commercial.name()));
}

#[test]
fn a_descriptor_with_missing_repeated_or_too_many_unreviewed_data_is_refused() {
    let mut ledger = chain();
    let data = frozen(&mut ledger, 1, Policy::Open, "MIT");
    let reviewed = frozen(&mut ledger, 2, Policy::Curated, "MIT");
    let model = registered(&mut ledger, 1);
    let missing = IModels::DatanetVersion { version: 9, ..data.clone() };
    let _: IModels::UnknownVersion =
        refused(&mut ledger, DEVELOPER, MODELS, ZERO, describe(model, vec![missing]));
    let twice = describe(model, vec![data.clone(), data.clone()]);
    let _: IModels::RepeatedDatanet = refused(&mut ledger, DEVELOPER, MODELS, ZERO, twice);
    let _: IModels::LimitExceeded = refused(&mut ledger, DEVELOPER, MODELS, ZERO, describe(model, vec![]));
    let mut strict = describe(model, vec![data.clone(), reviewed.clone()]);
    strict.descriptor.maxUnreviewed = 3;
    let over: IModels::TooManyUnreviewed = refused(&mut ledger, DEVELOPER, MODELS, ZERO, strict.clone());
    assert_eq!(over.items, 4, "the curated Datanet's items are reviewed");
    let mut newer = describe(model, vec![data.clone()]);
    newer.descriptor.opSet = 2;
    let _: IModels::UnknownOpSet = refused(&mut ledger, DEVELOPER, MODELS, ZERO, newer);
    let _: IModels::NotDeveloper = refused(&mut ledger, RIVAL, MODELS, ZERO, describe(model, vec![data]));
    strict.descriptor.data = vec![reviewed];
    accepted(&mut ledger, DEVELOPER, MODELS, ZERO, strict.clone());
    let _: IModels::WrongStatus = refused(&mut ledger, DEVELOPER, MODELS, ZERO, strict);
}

#[test]
fn checkpoints_go_forward_and_the_last_one_is_the_model() {
    let mut ledger = chain();
    let data = frozen(&mut ledger, 1, Policy::Open, "MIT");
    let model = registered(&mut ledger, 1);
    accepted(&mut ledger, DEVELOPER, MODELS, ZERO, describe(model, vec![data]));
    ledger.advance(1_000);
    ledger.advance(1_000);
    accepted(&mut ledger, DEVELOPER, MODELS, ZERO, checkpoint(model, 16));
    for step in [16, 15, 0, 33] {
        let _: IModels::StepOutOfOrder =
            refused(&mut ledger, DEVELOPER, MODELS, ZERO, checkpoint(model, step));
    }
    let early: IModels::TrainingUnfinished =
        refused(&mut ledger, DEVELOPER, MODELS, ZERO, finalise(model, B256::repeat_byte(16)));
    assert_eq!((early.lastStep, early.steps), (16, 32));
    accepted(&mut ledger, DEVELOPER, MODELS, ZERO, checkpoint(model, 32));
    let _: IModels::NotLastCheckpoint =
        refused(&mut ledger, DEVELOPER, MODELS, ZERO, finalise(model, B256::repeat_byte(16)));
    let mut bare = finalise(model, B256::repeat_byte(32));
    bare.cache.root = B256::ZERO;
    let _: IModels::CacheMissing = refused(&mut ledger, DEVELOPER, MODELS, ZERO, bare);
    accepted(&mut ledger, DEVELOPER, MODELS, ZERO, finalise(model, B256::repeat_byte(32)));
    let _: IModels::WrongStatus = refused(&mut ledger, DEVELOPER, MODELS, ZERO, checkpoint(model, 32));
}

#[test]
fn lineage_shares_what_the_developer_earns_and_holds_what_is_unproven() {
    let mut ledger = chain();
    let import = IModels::importModelCall {
        manifest: B256::repeat_byte(0xee),
        uses: 0,
        licence: "Apache-2.0".into(),
        name: "base".into(),
    };
    let base = accepted(&mut ledger, BUYER, MODELS, ZERO, import);
    let middle = accepted(&mut ledger, RIVAL, MODELS, ZERO, registration(2, base, 5_000));
    let top = accepted(&mut ledger, DEVELOPER, MODELS, ZERO, registration(3, middle, 2_500));
    assert_eq!(ledger.view(MODELS, &IModels::lineageCall { model: top }), Ok(vec![top, middle, base]));
    let parts = inside(&mut ledger, MODELS, |ctx| developer_parts(ctx.state, top, Amount(1_001)));
    let expected = [(DEVELOPER, Amount(751)), (RIVAL, Amount(125)), (lineage_escrow(base), Amount(125))];
    assert_eq!(parts, expected);
}

#[test]
fn an_imported_models_developer_is_paid_what_was_held_once_control_is_proven() {
    let mut ledger = chain();
    let import = IModels::importModelCall {
        manifest: B256::repeat_byte(0xee),
        uses: 0,
        licence: "Apache-2.0".into(),
        name: "base".into(),
    };
    let base = accepted(&mut ledger, BUYER, MODELS, ZERO, import);
    ledger.send(BUYER, lineage_escrow(base), U256::from(125), Vec::new());
    let before = ledger.balance(RIVAL);
    let paid = inside(&mut ledger, MODELS, |ctx| prove_control(ctx.state, base, RIVAL));
    assert_eq!((paid, ledger.balance(RIVAL) - before), (Amount(125), 125));
    let parts = inside(&mut ledger, MODELS, |ctx| developer_parts(ctx.state, base, Amount(10)));
    assert_eq!(parts, [(RIVAL, Amount(10))]);
    let twice = inside(&mut ledger, MODELS, |ctx| Ok(prove_control(ctx.state, base, OWNER).is_err()));
    assert!(twice, "control is proven once");
    ledger.assert_conserved();
}

#[test]
fn a_lineage_too_deep_or_a_share_without_a_base_is_refused() {
    let mut ledger = chain();
    let _: IModels::BadBaseShare =
        refused(&mut ledger, DEVELOPER, MODELS, ZERO, registration(1, B256::ZERO, 1));
    let mut base = registered(&mut ledger, 1);
    let _: IModels::BadBaseShare =
        refused(&mut ledger, DEVELOPER, MODELS, ZERO, registration(99, base, 10_001));
    for manifest in 2..=MAX_LINEAGE {
        base = accepted(&mut ledger, DEVELOPER, MODELS, ZERO, registration(manifest, base, 1_000));
    }
    let _: IModels::LineageTooDeep =
        refused(&mut ledger, DEVELOPER, MODELS, ZERO, registration(50, base, 1_000));
    let stranger = B256::repeat_byte(0x99);
    let _: IModels::UnknownModel =
        refused(&mut ledger, DEVELOPER, MODELS, ZERO, registration(51, stranger, 0));
}

#[test]
fn a_retired_model_is_not_served() {
    let mut ledger = chain();
    let model = ready_model(&mut ledger);
    let rates =
        |ledger: &mut MemoryLedger| inside(ledger, MODELS, |ctx| servable_rates(ctx.state, model)).is_some();
    assert!(rates(&mut ledger));
    let retire = IModels::retireCall { model };
    let _: IModels::NotDeveloper = refused(&mut ledger, RIVAL, MODELS, ZERO, retire.clone());
    accepted(&mut ledger, DEVELOPER, MODELS, ZERO, retire);
    assert!(!rates(&mut ledger));
}

/// A call reads its words in few rounds however long its lists are: [`MemoryLedger`] allows 64, and a list read one by one would
/// need several for each element.
#[test]
fn a_descriptor_of_many_datanets_and_a_block_of_many_descriptors_are_read_at_once() {
    let mut ledger = chain();
    let data: Vec<_> = (1..=40).map(|salt| frozen(&mut ledger, salt, Policy::Curated, "MIT")).collect();
    let models: Vec<B256> = (1..=70).map(|manifest| registered(&mut ledger, manifest)).collect();
    for model in &models {
        accepted(&mut ledger, DEVELOPER, MODELS, ZERO, describe(*model, data.clone()));
    }
    ledger.advance(1_000);
    ledger.advance(1_000);
    for model in models {
        assert_ne!(training(&mut ledger, model).seed, B256::ZERO);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_lineages_parts_add_up(amount in 0u128..1 << 90, shares in prop::collection::vec(0u16..=10_000, 1..7)) {
        let mut ledger = chain();
        let mut model = registered(&mut ledger, 1);
        for (i, share) in shares.iter().enumerate() {
            model = accepted(&mut ledger, DEVELOPER, MODELS, ZERO, registration(2 + i as u8, model, *share));
        }
        let parts = inside(&mut ledger, MODELS, |ctx| developer_parts(ctx.state, model, Amount(amount)));
        prop_assert_eq!(parts.iter().map(|(_, part)| part.0).sum::<u128>(), amount);
    }

    #[test]
    fn any_call_data_is_answered(data: Vec<u8>, selector in 0usize..64) {
        use alloy_sol_types::SolInterface;
        let selectors: Vec<[u8; 4]> = IModels::IModelsCalls::selectors().collect();
        let mut ledger = chain();
        let known = [selectors[selector % selectors.len()].as_slice(), &data].concat();
        ledger.call(&crate::Call { to: MODELS, data: known.into(), gas_limit: 1_000_000, ..crate::Call::default() });
    }
}

#[test]
fn no_seed_is_drawn_where_none_waits() {
    let mut state = State::new();
    end_block(&mut state, &chain().block).expect("nothing to do");
    assert_eq!(state.writes().count(), 0);
}
