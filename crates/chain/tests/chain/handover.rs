//! Light clients across a change of the validator set: the format is fixed before the first change happens.

use alloy_primitives::{Address, B256, Bytes};
use chain::{
    block::{Digest, Header, PrivateKey, PublicKey, Scheme},
    light::{FinalityProof, Handover, LightClient, LightError, set_hash},
    network_rules::Rules,
    state::Database,
};
use commonware_codec::Encode as _;
use commonware_consensus::{
    simplex::types::{Finalization, Finalize, Proposal},
    types::{Epoch, Round, View},
};
use commonware_cryptography::Signer as _;
use commonware_glue::stateful::db::ManagedDb;
use commonware_parallel::Sequential;
use commonware_runtime::deterministic::Context;
use commonware_utils::{TryCollect as _, iter::NonEmpty, ordered::Set};
use ledger::{Genesis, genesis::Validator};

pub fn keys(seeds: std::ops::Range<u64>) -> Vec<PrivateKey> {
    let mut keys: Vec<PrivateKey> = seeds.map(PrivateKey::from_seed).collect();
    keys.sort_by_key(|key| key.public_key());
    keys
}

pub fn public(keys: &[PrivateKey]) -> Vec<PublicKey> {
    keys.iter().map(|key| key.public_key()).collect()
}

pub fn genesis(validators: &[PrivateKey]) -> Genesis {
    let mut genesis = Genesis::development(&[Address::repeat_byte(1)]);
    let validator = |key: &PrivateKey| Validator {
        key: Bytes::copy_from_slice(key.public_key().as_ref()),
        account: Address::repeat_byte(2),
    };
    genesis.validators = validators.iter().map(validator).collect();
    genesis
}

/// A header of `epoch` that hands over to the set with the hash `next`.
pub fn header(rules: &Rules, epoch: u64, next: B256) -> Header {
    let target = <Database<Context> as ManagedDb<Context>>::initial_sync_target();
    let mut header = rules.genesis_block(target).header;
    header.context.round = Round::new(Epoch::new(epoch), View::new(9));
    header.height = 9;
    header.next_validators = next;
    header
}

/// Certifies `header` by the signers at `signing` among `set`; `None` when they are no quorum.
pub fn certify(
    rules: &Rules,
    header: &Header,
    set: &[PrivateKey],
    signing: &[usize],
) -> Option<FinalityProof> {
    let participants: Set<PublicKey> = public(set).into_iter().try_collect().expect("distinct keys");
    let signer = |key: &PrivateKey| {
        Scheme::signer(&rules.namespace(), participants.clone(), key.clone()).expect("in the set")
    };
    let proposal = Proposal::new(header.context.round, View::zero(), header.digest());
    let votes: Vec<Finalize<Scheme, Digest>> = signing
        .iter()
        .map(|i| Finalize::sign(&signer(&set[*i]), proposal.clone()).expect("a signer signs"))
        .collect();
    let mut votes = votes.into_iter();
    let votes = NonEmpty::new(votes.next()?, votes);
    let certificate = Finalization::from_owned_finalizes(&signer(&set[0]), votes, &Sequential).ok()?;
    Some(FinalityProof { headers: vec![header.clone()], certificate: certificate.encode() })
}

#[test]
fn a_client_follows_the_validators_through_a_handover() {
    let (old, new) = (keys(0..4), keys(10..17));
    let rules = Rules::new(genesis(&old)).expect("a valid genesis");
    let mut light = LightClient::new(rules.genesis.clone()).expect("a valid genesis");

    let last = header(&rules, 0, set_hash(&public(&new)));
    let finality = certify(&rules, &last, &old, &[0, 1, 3]).expect("three of four are a quorum");
    let forged = Handover { finality: finality.clone(), next: public(&keys(20..27)) };
    assert!(matches!(light.follow(&forged), Err(LightError::OtherValidators)));
    light.follow(&Handover { finality, next: public(&new) }).expect("a valid handover");
    assert_eq!(light.epoch(), 1);

    let later = header(&rules, 1, set_hash(&public(&new)));
    let proof = certify(&rules, &later, &new, &[0, 1, 2, 3, 4]).expect("five of seven are a quorum");
    light.verify(&proof).expect("signed by the new set");
    let by_old = certify(&rules, &later, &old, &[0, 1, 2]).expect("three of four are a quorum");
    assert!(light.verify(&by_old).is_err(), "the old set has nothing to say any more");
}

#[test]
fn too_few_validators_certify_nothing() {
    let old = keys(0..4);
    let rules = Rules::new(genesis(&old)).expect("a valid genesis");
    let light = LightClient::new(rules.genesis.clone()).expect("a valid genesis");
    let header = header(&rules, 0, rules.validators_hash);
    for signing in [&[0][..], &[0, 1]] {
        assert!(certify(&rules, &header, &old, signing).is_none());
    }
    // A liar who is a quorum of a set of its own.
    let own = certify(&rules, &header, &old[..1], &[0]).expect("one of one");
    assert!(light.verify(&own).is_err());
}

#[test]
fn headers_between_a_block_and_its_certificate_must_connect() {
    let old = keys(0..4);
    let rules = Rules::new(genesis(&old)).expect("a valid genesis");
    let light = LightClient::new(rules.genesis.clone()).expect("a valid genesis");
    let first = header(&rules, 0, rules.validators_hash);
    let mut second = first.clone();
    (second.height, second.parent) = (10, first.digest());
    let mut proof = certify(&rules, &second, &old, &[0, 1, 2]).expect("a quorum");
    proof.headers = vec![first.clone(), second.clone()];
    assert_eq!(light.verify(&proof).expect("connected").digest(), &first.digest());
    proof.headers[0].gas_used = 1;
    assert!(matches!(light.verify(&proof), Err(LightError::Unconnected(9))));
    proof.headers = vec![second, first];
    assert!(light.verify(&proof).is_err());
}
