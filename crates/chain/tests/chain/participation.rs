//! Who signed is counted from what blocks carry, and nothing else can be slipped in.

use crate::handover::{certify, genesis, header, keys, public};
use alloy_primitives::Address;
use bytes::Bytes;
use chain::{
    block::{Digest, Header, PrivateKey},
    network_rules::Rules,
    participation::{Certificate, Participation, signers},
};
use commonware_codec::{Decode as _, Encode as _};
use commonware_consensus::simplex::types::Finalization;
use std::sync::Arc;

/// Rules of four validators with an account each, and a parent.
fn rules() -> (Vec<PrivateKey>, Arc<Rules>, Header) {
    let validators = keys(0..4);
    let mut genesis = genesis(&validators);
    for (index, validator) in genesis.validators.iter_mut().enumerate() {
        validator.account = Address::repeat_byte(index as u8 + 1);
    }
    let rules = Rules::new(genesis).expect("a valid genesis");
    let parent = header(&rules, 0, rules.validators_hash);
    (validators, Arc::new(rules), parent)
}

fn certificate(rules: &Rules, parent: &Header, keys: &[PrivateKey], signing: &[usize]) -> Certificate {
    let proof = certify(rules, parent, keys, signing).expect("a quorum");
    let decoded = Finalization::decode_cfg(proof.certificate, &keys.len()).expect("well-formed");
    Certificate::Finalization(decoded)
}

#[test]
fn a_block_names_those_who_signed_its_parent() {
    let (keys, rules, parent) = rules();
    let participation = Participation::new(rules.clone());
    let digest = parent.digest();
    assert_eq!(participation.votes(&digest), Bytes::new(), "nothing was seen yet");
    assert_eq!(signers(&rules, &Bytes::new(), &digest), Ok(Vec::new()));

    participation.learn(certificate(&rules, &parent, &keys, &[0, 1, 3]));
    let votes = participation.votes(&digest);
    let account = |byte| Address::repeat_byte(byte);
    assert_eq!(signers(&rules, &votes, &digest), Ok(vec![account(1), account(2), account(4)]));
    assert!(participation.verify(&votes));

    participation.learn(certificate(&rules, &parent, &keys, &[0, 1, 2, 3]));
    assert_eq!(signers(&rules, &participation.votes(&digest), &digest).map(|all| all.len()), Ok(4));
    participation.learn(certificate(&rules, &parent, &keys, &[0, 1, 2]));
    assert_eq!(signers(&rules, &participation.votes(&digest), &digest).map(|all| all.len()), Ok(4));
}

#[test]
fn votes_of_another_block_or_of_strangers_are_refused() {
    let (keys, rules, parent) = rules();
    let participation = Participation::new(rules.clone());
    let votes = certificate(&rules, &parent, &keys, &[0, 1, 3]).encode();
    assert!(signers(&rules, &votes, &Digest::from([7; 32])).is_err());

    let (strangers, digest) = (crate::handover::keys(20..24), parent.digest());
    assert_ne!(public(&strangers), public(&keys));
    let forged = certificate(&rules, &parent, &strangers, &[0, 1, 3]).encode();
    assert!(signers(&rules, &forged, &digest).is_ok(), "positions alone look right");
    assert!(!participation.verify(&forged));
}

#[test]
fn any_flipped_byte_of_the_votes_is_refused() {
    let (keys, rules, parent) = rules();
    let participation = Participation::new(rules.clone());
    let (votes, digest) = (certificate(&rules, &parent, &keys, &[0, 2, 3]).encode(), parent.digest());
    for at in 0..votes.len() {
        let mut flipped = votes.to_vec();
        flipped[at] ^= 1;
        let flipped = Bytes::from(flipped);
        let accepted = signers(&rules, &flipped, &digest).is_ok() && participation.verify(&flipped);
        assert!(!accepted, "byte {at}");
    }
}
