use super::*;
use crate::{MemoryLedger, testing::*};
use alloy_primitives::{Address, B256, U256};
use interfaces::{
    addresses::DATANETS,
    datanets::{IDatanets, IDatanets::Policy, IDatanets::Status, datanet_id},
};
use primitives::{Amount, Domain, hash::hash, merkle::Tree, mmr::Mmr};
use proptest::prelude::*;

const ZERO: U256 = U256::ZERO;

/// The facts of `count` items, ten bytes each, whose texts start at `first`, and the tree of their leaves.
fn items(first: u64, count: u64, owner: Address) -> (Vec<(B256, IDatanets::ItemEvidence)>, Tree) {
    let mut facts = Vec::new();
    for index in 0..count {
        let item = hash(Domain::Item, &(first + index).to_le_bytes());
        let evidence = IDatanets::ItemEvidence {
            contribution: B256::ZERO,
            index,
            salt: hash(Domain::Prompt, &[owner.as_slice(), &index.to_le_bytes()].concat()),
            owner,
            licence: "MIT".into(),
            size: 10,
            promptSize: 0,
            path: Vec::new(),
        };
        facts.push((item, evidence));
    }
    let tree = Tree::new(facts.iter().map(|(item, evidence)| item_leaf(*item, evidence)).collect());
    for (index, (_, evidence)) in facts.iter_mut().enumerate() {
        evidence.path = tree.prove(index as u64).expect("in range").path;
    }
    (facts, tree)
}

/// Contributes `count` items and tells the id and the evidence of each.
fn contribute_items(
    ledger: &mut MemoryLedger,
    datanet: B256,
    owner: Address,
    first: u64,
    count: u64,
) -> (B256, Vec<(B256, IDatanets::ItemEvidence)>) {
    let (mut facts, tree) = items(first, count, owner);
    let id = contribute(ledger, datanet, owner, reveal(tree.root(), count, "MIT"));
    facts.iter_mut().for_each(|(_, evidence)| evidence.contribution = id);
    (id, facts)
}

fn shown(ledger: &mut MemoryLedger, contribution: B256) -> IDatanets::Contribution {
    ledger.view(DATANETS, &IDatanets::contributionCall { contribution }).expect("known")
}

#[test]
fn a_datanet_shows_what_it_was_made_with() {
    let mut ledger = chain();
    let id = datanet(&mut ledger, 1, Policy::Curated, &["MIT", "CC-BY-4.0"]);
    assert_eq!(id, datanet_id(CREATOR, B256::repeat_byte(1)));
    let shown = ledger.view(DATANETS, &IDatanets::datanetCall { datanet: id }).expect("known");
    assert_eq!((shown.name.as_str(), shown.policy), ("fables", Policy::Curated));
    assert_eq!(shown.licences, ["MIT", "CC-BY-4.0"]);
    assert_eq!(shown.shares, [IDatanets::Share { account: CREATOR, bps: 500 }]);
    assert_eq!(ledger.view(DATANETS, &IDatanets::datanetAtCall { index: 0 }), Ok(id));
}

#[test]
fn a_datanet_past_a_limit_or_made_twice_is_refused() {
    let mut ledger = chain();
    let good = IDatanets::createCall {
        salt: B256::ZERO,
        name: "n".into(),
        policy: Policy::Open,
        licences: vec!["MIT".into()],
        bondPerByte: ZERO,
        metadata: B256::ZERO,
        shares: vec![],
    };
    let mut refuse =
        |call| -> IDatanets::LimitExceeded { refused(&mut ledger, CREATOR, DATANETS, ZERO, call) };
    refuse(IDatanets::createCall { name: String::new(), ..good.clone() });
    refuse(IDatanets::createCall { name: "n".repeat(65), ..good.clone() });
    refuse(IDatanets::createCall { licences: vec![], ..good.clone() });
    refuse(IDatanets::createCall { licences: vec!["MIT".into(); 9], ..good.clone() });
    refuse(IDatanets::createCall { licences: vec!["x".repeat(1025)], ..good.clone() });
    let greedy = vec![IDatanets::Share { account: CREATOR, bps: 2_001 }];
    let greedy = IDatanets::createCall { shares: greedy, ..good.clone() };
    let _: IDatanets::SharesTooLarge = refused(&mut ledger, CREATOR, DATANETS, ZERO, greedy);
    accepted(&mut ledger, CREATOR, DATANETS, ZERO, good.clone());
    let _: IDatanets::DatanetExists = refused(&mut ledger, CREATOR, DATANETS, ZERO, good);
}

#[test]
fn a_contribution_to_an_open_datanet_counts_at_once_and_surplus_bond_returns() {
    let mut ledger = chain();
    let datanet = datanet(&mut ledger, 1, Policy::Open, &["MIT"]);
    let what = reveal(B256::repeat_byte(7), 4, "MIT");
    let id = commitment(what.root, what.salt, OWNER);
    let commit = IDatanets::commitCall { datanet, commitment: id };
    let height = ledger.block.number;
    assert_eq!(accepted(&mut ledger, OWNER, DATANETS, U256::from(50), commit), 0);
    ledger.advance(2_000);
    let before = ledger.balance(OWNER);
    accepted(&mut ledger, OWNER, DATANETS, ZERO, IDatanets::revealCall { commitment: id, what });
    let after = shown(&mut ledger, id);
    assert_eq!((after.status, after.commitHeight, after.bond), (Status::Accepted, height, U256::from(40)));
    assert_eq!(ledger.balance(DATANETS), 40);
    assert!(ledger.balance(OWNER) < before, "gas costs more than the ten units returned");
    assert_eq!(ledger.view(DATANETS, &IDatanets::contributionAtCall { datanet, index: 0 }), Ok(id));
    ledger.assert_conserved();
}

#[test]
fn a_copied_commitment_opens_for_nobody_else_and_stands_in_nobodys_way() {
    let mut ledger = chain();
    let datanet = datanet(&mut ledger, 1, Policy::Open, &["MIT"]);
    let what = reveal(B256::repeat_byte(7), 4, "MIT");
    let id = commitment(what.root, what.salt, OWNER);
    let commit = IDatanets::commitCall { datanet, commitment: id };
    // The rival sees the commitment in the mempool and is included first.
    accepted(&mut ledger, RIVAL, DATANETS, U256::from(40), commit.clone());
    accepted(&mut ledger, OWNER, DATANETS, U256::from(40), commit);
    ledger.advance(2_000);
    let open = IDatanets::revealCall { commitment: id, what };
    let _: IDatanets::CommitmentMismatch = refused(&mut ledger, RIVAL, DATANETS, ZERO, open.clone());
    accepted(&mut ledger, OWNER, DATANETS, ZERO, open);
    assert_eq!(shown(&mut ledger, id).owner, OWNER);
}

#[test]
fn a_commit_opens_once_and_its_height_never_changes() {
    let mut ledger = chain();
    let datanet = datanet(&mut ledger, 1, Policy::Open, &["MIT"]);
    let what = reveal(B256::repeat_byte(7), 4, "MIT");
    let id = commitment(what.root, what.salt, OWNER);
    let commit = IDatanets::commitCall { datanet, commitment: id };
    let height = ledger.block.number;
    accepted(&mut ledger, OWNER, DATANETS, U256::from(40), commit.clone());
    ledger.advance(2_000);
    let _: IDatanets::AlreadyCommitted = refused(&mut ledger, OWNER, DATANETS, ZERO, commit.clone());
    let open = IDatanets::revealCall { commitment: id, what };
    accepted(&mut ledger, OWNER, DATANETS, ZERO, open.clone());
    let _: IDatanets::UnknownCommitment = refused(&mut ledger, OWNER, DATANETS, ZERO, open);
    let _: IDatanets::AlreadyCommitted = refused(&mut ledger, OWNER, DATANETS, ZERO, commit);
    assert_eq!(shown(&mut ledger, id).commitHeight, height);
}

#[test]
fn a_reveal_waits_for_finality_and_not_past_the_window() {
    let mut ledger = chain();
    let datanet = datanet(&mut ledger, 1, Policy::Open, &["MIT"]);
    let what = reveal(B256::repeat_byte(7), 4, "MIT");
    let id = commitment(what.root, what.salt, OWNER);
    accepted(&mut ledger, OWNER, DATANETS, U256::from(40), IDatanets::commitCall { datanet, commitment: id });
    let open = IDatanets::revealCall { commitment: id, what };
    let _: IDatanets::RevealTooEarly = refused(&mut ledger, OWNER, DATANETS, ZERO, open.clone());
    let expire = IDatanets::expireCall { owner: OWNER, commitment: id };
    let _: IDatanets::NotExpired = refused(&mut ledger, RIVAL, DATANETS, ZERO, expire.clone());
    ledger.advance(100_000);
    let _: IDatanets::RevealTooLate = refused(&mut ledger, OWNER, DATANETS, ZERO, open);
    accepted(&mut ledger, RIVAL, DATANETS, ZERO, expire.clone());
    assert_eq!(ledger.balance(DATANETS), 0, "the bond went back");
    let _: IDatanets::UnknownCommitment = refused(&mut ledger, RIVAL, DATANETS, ZERO, expire);
    ledger.assert_conserved();
}

#[test]
fn a_reveal_with_a_small_bond_or_a_licence_not_allowed_is_refused() {
    let mut ledger = chain();
    let datanet = datanet(&mut ledger, 1, Policy::Open, &["MIT", "CC-BY-NC-4.0"]);
    let mut open = |what: IDatanets::Reveal, value| {
        let id = commitment(what.root, what.salt, OWNER);
        let commit = IDatanets::commitCall { datanet, commitment: id };
        let _ = ledger.transact(OWNER, DATANETS, ZERO, &commit);
        ledger.advance(2_000);
        let call = IDatanets::revealCall { commitment: id, what };
        ledger.transact(OWNER, DATANETS, U256::from(value), &call)
    };
    let good = reveal(B256::repeat_byte(7), 4, "MIT");
    let data = open(good.clone(), 39).expect_err("39 of 40");
    assert_eq!(error::<IDatanets::BondTooSmall>(&data).required, U256::from(40));
    let data =
        open(IDatanets::Reveal { licence: "MIT ".into(), ..good.clone() }, 40).expect_err("to the letter");
    error::<IDatanets::LicenceNotAllowed>(&data);
    let greedy = IDatanets::Reveal { licence: "CC-BY-NC-4.0".into(), uses: 2, ..good.clone() };
    error::<IDatanets::UseNotGranted>(&open(greedy, 40).expect_err("not for money"));
    error::<IDatanets::LimitExceeded>(
        &open(IDatanets::Reveal { count: 0, ..good.clone() }, 40).expect_err("nothing in it"),
    );
    assert!(open(good, 40).is_ok());
}

#[test]
fn curators_decide_in_a_curated_datanet() {
    let mut ledger = chain();
    let datanet = datanet(&mut ledger, 1, Policy::Curated, &["MIT"]);
    let first = contribute(&mut ledger, datanet, OWNER, reveal(B256::repeat_byte(7), 4, "MIT"));
    let second = contribute(&mut ledger, datanet, OWNER, reveal(B256::repeat_byte(8), 4, "MIT"));
    assert_eq!(shown(&mut ledger, first).status, Status::Pending);
    let accept = IDatanets::acceptCall { contribution: first };
    let _: IDatanets::NotCurator = refused(&mut ledger, RIVAL, DATANETS, ZERO, accept.clone());
    let name = IDatanets::setCuratorCall { datanet, curator: RIVAL, allowed: true };
    let _: IDatanets::NotCreator = refused(&mut ledger, OWNER, DATANETS, ZERO, name.clone());
    accepted(&mut ledger, CREATOR, DATANETS, ZERO, name);
    accepted(&mut ledger, RIVAL, DATANETS, ZERO, accept.clone());
    let again: IDatanets::WrongStatus = refused(&mut ledger, RIVAL, DATANETS, ZERO, accept);
    assert_eq!(again.status, Status::Accepted);
    let reject = IDatanets::rejectCall { contribution: second, reason: B256::repeat_byte(1) };
    accepted(&mut ledger, CREATOR, DATANETS, ZERO, reject);
    let refused_one = shown(&mut ledger, second);
    assert_eq!((refused_one.status, refused_one.bond), (Status::Rejected, ZERO));
    assert_eq!(ledger.balance(DATANETS), 40);
    // The creator cannot be left without a say.
    let resign = IDatanets::setCuratorCall { datanet, curator: CREATOR, allowed: false };
    accepted(&mut ledger, CREATOR, DATANETS, ZERO, resign);
    let call = IDatanets::isCuratorCall { datanet, account: CREATOR };
    assert_eq!(ledger.view(DATANETS, &call), Ok(true));
    ledger.assert_conserved();
}

#[test]
fn a_version_freezes_what_stands_and_later_withdrawals_leave_it_alone() {
    let mut ledger = chain();
    let datanet = datanet(&mut ledger, 1, Policy::Open, &["MIT", "CC-BY-4.0"]);
    let first = contribute(&mut ledger, datanet, OWNER, reveal(B256::repeat_byte(7), 4, "MIT"));
    let second = contribute(&mut ledger, datanet, RIVAL, reveal(B256::repeat_byte(8), 3, "CC-BY-4.0"));
    assert_eq!(accepted(&mut ledger, BUYER, DATANETS, ZERO, IDatanets::freezeCall { datanet }), 1);
    let _: IDatanets::NothingToFreeze =
        refused(&mut ledger, BUYER, DATANETS, ZERO, IDatanets::freezeCall { datanet });
    let foreign = IDatanets::withdrawCall { contribution: second };
    let _: IDatanets::NotOwner = refused(&mut ledger, OWNER, DATANETS, ZERO, foreign.clone());
    accepted(&mut ledger, RIVAL, DATANETS, ZERO, foreign);
    assert_eq!(accepted(&mut ledger, BUYER, DATANETS, ZERO, IDatanets::freezeCall { datanet }), 2);
    let mut version =
        |number| ledger.view(DATANETS, &IDatanets::versionCall { datanet, number }).expect("frozen");
    let (one, two) = (version(1), version(2));
    assert_eq!((one.items, one.licences, one.withdrawnCount), (7, 0b11, 0));
    assert_eq!((two.items, two.licences, two.withdrawnCount), (4, 0b01, 1));
    let mut accepted_range = Mmr::new();
    accepted_range.append(contribution_leaf(first, B256::repeat_byte(7), 4));
    accepted_range.append(contribution_leaf(second, B256::repeat_byte(8), 3));
    assert_eq!(one.accepted, accepted_range.root());
    assert_eq!(one.root, version_root(datanet, one.accepted, Mmr::new().root()));
    assert_ne!(one.root, two.root);
}

#[test]
fn a_withdrawn_bond_waits_and_is_released_once() {
    let mut ledger = chain();
    let datanet = datanet(&mut ledger, 1, Policy::Open, &["MIT"]);
    let contribution = contribute(&mut ledger, datanet, OWNER, reveal(B256::repeat_byte(7), 4, "MIT"));
    let release = IDatanets::releaseBondCall { contribution };
    let _: IDatanets::WrongStatus = refused(&mut ledger, OWNER, DATANETS, ZERO, release.clone());
    accepted(&mut ledger, OWNER, DATANETS, ZERO, IDatanets::withdrawCall { contribution });
    let _: IDatanets::BondLocked = refused(&mut ledger, OWNER, DATANETS, ZERO, release.clone());
    ledger.advance(200_000);
    accepted(&mut ledger, BUYER, DATANETS, ZERO, release.clone());
    assert_eq!(ledger.balance(DATANETS), 0);
    let _: IDatanets::BondLocked = refused(&mut ledger, BUYER, DATANETS, ZERO, release);
    ledger.assert_conserved();
}

#[test]
fn a_copy_is_settled_by_commit_order_and_slashed_once() {
    let mut ledger = chain();
    let ours = datanet(&mut ledger, 1, Policy::Open, &["MIT"]);
    let theirs = datanet(&mut ledger, 2, Policy::Open, &["MIT"]);
    let (first, original) = contribute_items(&mut ledger, ours, OWNER, 0, 5);
    let (second, copies) = contribute_items(&mut ledger, theirs, RIVAL, 3, 4);
    // Item 3 of the original is item 0 of the copy.
    let item = original[3].0;
    assert_eq!(item, copies[0].0);
    let report = |earlier: &(B256, IDatanets::ItemEvidence), later: &(B256, IDatanets::ItemEvidence)| {
        IDatanets::reportDuplicateCall { item, earlier: earlier.1.clone(), later: later.1.clone() }
    };
    let _: IDatanets::NotEarlier =
        refused(&mut ledger, BUYER, DATANETS, ZERO, report(&copies[0], &original[3]));
    let _: IDatanets::BadEvidence =
        refused(&mut ledger, BUYER, DATANETS, ZERO, report(&original[3], &copies[1]));
    let mut lying = report(&original[3], &copies[0]);
    lying.later.size = 11;
    let _: IDatanets::BadEvidence = refused(&mut ledger, BUYER, DATANETS, ZERO, lying);
    accepted(&mut ledger, BUYER, DATANETS, ZERO, report(&original[3], &copies[0]));
    let copy = shown(&mut ledger, second);
    assert_eq!((copy.duplicates, copy.bond), (1, U256::from(30)), "ten bytes at one unit each");
    assert_eq!(ledger.balance(DATANETS), 50 + 30);
    let call = IDatanets::duplicateOfCall { contribution: second, index: 0 };
    let found = ledger.view(DATANETS, &call).expect("a view");
    assert_eq!((found.original, found.originalIndex), (first, 3));
    let _: IDatanets::AlreadyDuplicate =
        refused(&mut ledger, BUYER, DATANETS, ZERO, report(&original[3], &copies[0]));
    assert_eq!(shown(&mut ledger, first).bond, U256::from(50), "the original loses nothing");
    ledger.assert_conserved();
}

#[test]
fn an_earlier_original_found_later_takes_over_without_a_second_slash() {
    let mut ledger = chain();
    let datanet = datanet(&mut ledger, 1, Policy::Open, &["MIT"]);
    let (first, a) = contribute_items(&mut ledger, datanet, OWNER, 0, 1);
    let (_, b) = contribute_items(&mut ledger, datanet, BUYER, 0, 1);
    let (third, c) = contribute_items(&mut ledger, datanet, RIVAL, 0, 1);
    let report = |earlier: &IDatanets::ItemEvidence, later: &IDatanets::ItemEvidence| {
        IDatanets::reportDuplicateCall { item: a[0].0, earlier: earlier.clone(), later: later.clone() }
    };
    accepted(&mut ledger, CREATOR, DATANETS, ZERO, report(&b[0].1, &c[0].1));
    accepted(&mut ledger, CREATOR, DATANETS, ZERO, report(&a[0].1, &c[0].1));
    assert_eq!(shown(&mut ledger, third).duplicates, 1);
    accepted(&mut ledger, CREATOR, DATANETS, ZERO, report(&a[0].1, &b[0].1));
    let call = IDatanets::duplicateOfCall { contribution: third, index: 0 };
    assert_eq!(ledger.view(DATANETS, &call).expect("a view").original, first);
    assert_eq!(ledger.balance(DATANETS), 10, "only the original's bond is left");
    ledger.assert_conserved();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_call_data_is_answered(data: Vec<u8>, selector in 0usize..64) {
        use alloy_sol_types::SolInterface;
        let selectors: Vec<[u8; 4]> = IDatanets::IDatanetsCalls::selectors().collect();
        let mut ledger = chain();
        let known = [selectors[selector % selectors.len()].as_slice(), &data].concat();
        ledger.call(&crate::Call { to: DATANETS, data: known.into(), gas_limit: 1_000_000, ..crate::Call::default() });
    }

    #[test]
    fn the_owner_root_and_salt_all_bind_a_commitment(root: [u8; 32], salt: [u8; 32], owner: [u8; 20], bit in 0usize..672) {
        let parts = |bytes: &[u8]| commitment(B256::from_slice(&bytes[..32]), B256::from_slice(&bytes[32..64]), Address::from_slice(&bytes[64..]));
        let mut bytes = [root.as_slice(), &salt, &owner].concat();
        let before = parts(&bytes);
        bytes[bit / 8] ^= 1 << (bit % 8);
        prop_assert_ne!(before, parts(&bytes));
    }

    #[test]
    fn a_bond_is_linear_in_bytes(a in 1u64..1 << 40, b in 1u64..1 << 40, rate in 0u128..1 << 60) {
        let bond = |bytes: u64| Amount(rate).mul_div(bytes.into(), 1).expect("fits").0;
        prop_assert_eq!(bond(a) + bond(b), bond(a + b));
    }
}
