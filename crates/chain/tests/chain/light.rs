//! A record and an event, believed from the genesis file and certificates alone.

use crate::{client::Client, handover::certify, network::TestNetwork, nodes::TestNode, transfers::Wallet};
use alloy_primitives::{B256, Bytes, U256};
use alloy_sol_types::SolCall as _;
use chain::light::{EventProof, FinalityProof, LightClient, VerifiedReceipt, WordEvidence};
use chain::network_rules::Rules;
use commonware_codec::{Copying, Decode as _, Encode as _};
use interfaces::{addresses, token::IToken};
use serde_json::{Value, json};

fn bytes(value: &Value) -> Vec<u8> {
    serde_json::from_value::<Bytes>(value.clone()).expect("data").to_vec()
}

/// Word, if everything holds.
fn word(light: &LightClient, finality: &[u8], evidence: &[u8]) -> Option<(B256, B256)> {
    let finality = FinalityProof::decode_cfg(Copying(finality), &()).ok()?;
    let header = light.verify(&finality).ok()?;
    let evidence = WordEvidence::decode_cfg(Copying(evidence), &()).ok()?;
    evidence.verify(&header).map(|word| (evidence.slot, word))
}

/// Receipt, if everything holds.
fn receipt(light: &LightClient, finality: &[u8], evidence: &[u8]) -> Option<VerifiedReceipt> {
    let finality = FinalityProof::decode_cfg(Copying(finality), &()).ok()?;
    let header = light.verify(&finality).ok()?;
    EventProof::decode_cfg(Copying(evidence), &()).ok()?.verify(&header).ok()
}

fn flips(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> + '_ {
    (0..bytes.len()).map(|at| {
        let mut flipped = bytes.to_vec();
        flipped[at] ^= 1;
        flipped
    })
}

fn transfer_token(node: &TestNode, client: &Client) -> Value {
    let call = IToken::transferCall { to: Wallet::new(2).address, value: U256::from(77) }.abi_encode();
    let raw = Wallet::new(1).call(node.chain_id(), 0, addresses::TOKEN, 0, call.into(), 200_000);
    client.include(&raw)
}

#[test]
fn a_word_is_proven_present_or_absent_and_any_flipped_byte_fails() {
    let node = TestNode::start();
    let client = node.client();
    transfer_token(&node, &client);
    let light = LightClient::new(node.config.genesis.clone()).expect("a valid genesis");
    let held = ledger::account::account_slot(Wallet::new(2).address);
    let absent = ledger::account::account_slot(Wallet::new(99).address);
    let answer = client.call("openledger_getProof", json!([[held, absent]]));
    let finality = bytes(&answer["finality"]);
    let proofs: Vec<Vec<u8>> = (0..2).map(|i| bytes(&answer["words"][i]["bytes"])).collect();

    let (slot, account) = word(&light, &finality, &proofs[0]).expect("proven");
    assert_eq!((slot, ledger::account::Account::from_word(account).balance.0), (held, 77));
    assert_eq!(word(&light, &finality, &proofs[1]), Some((absent, B256::ZERO)));

    for proof in &proofs {
        for flipped in flips(proof) {
            let other_slot = flipped[..32] != proof[..32];
            let believed = word(&light, &finality, &flipped);
            // A flipped slot may still lie in the gap that an exclusion proves; then it is absent indeed.
            let truly_absent = other_slot && believed.is_some_and(|(_, word)| word.is_zero());
            assert!(believed.is_none() || truly_absent);
        }
    }
    for flipped in flips(&finality) {
        assert!(word(&light, &flipped, &proofs[0]).is_none());
    }
}

#[test]
fn an_event_is_proven_and_any_flipped_byte_fails() {
    let node = TestNode::start();
    let client = node.client();
    let included = transfer_token(&node, &client);
    let light = LightClient::new(node.config.genesis.clone()).expect("a valid genesis");
    let answer = client.call("openledger_getReceiptProof", json!([included["transactionHash"]]));
    let (finality, proof) = (bytes(&answer["finality"]), bytes(&answer["bytes"]));
    let Some(VerifiedReceipt::Transaction(_, proven)) = receipt(&light, &finality, &proof) else {
        panic!("the receipt is proven")
    };
    assert_eq!(json!(proven.transaction), included["transactionHash"]);
    assert_eq!(json!(proven.logs[0].topics), included["logs"][0]["topics"]);
    for flipped in flips(&proof) {
        assert!(receipt(&light, &finality, &flipped).is_none());
    }
    for flipped in flips(&finality) {
        assert!(receipt(&light, &flipped, &proof).is_none());
    }
}

#[test]
fn a_certificate_of_another_network_is_not_believed() {
    let (node, other) = (TestNode::start(), TestNode::start());
    let light = LightClient::new(other.config.genesis.clone()).expect("a valid genesis");
    transfer_token(&node, &node.client());
    let answer = node.client().call("openledger_getFinality", json!(["latest"]));
    let finality = FinalityProof::decode_cfg(Copying(&bytes(&answer["bytes"])), &()).expect("well-formed");
    assert!(light.verify(&finality).is_err());
}

#[test]
fn one_lying_node_among_four_convinces_nobody() {
    let mut network = TestNetwork::new(40);
    (0..4).for_each(|index| network.start(index));
    // Balances are those of the genesis file once block 1 is executed.
    network.reach(1, 1);
    let genesis = network.configs[0].genesis.clone();
    let (to, chain_id) = (Wallet::new(2).address, genesis.chain_id);
    network.include(1, &Wallet::new(1).transfer(chain_id, 0, to, 77));
    let light = LightClient::new(genesis.clone()).expect("a valid genesis");
    let slot = ledger::account::account_slot(to);

    // Three answer as they are; whatever the fourth makes of its answer is found out.
    for index in 0..3 {
        let answer = network.client(index).call("openledger_getProof", json!([[slot]]));
        let believed = word(&light, &bytes(&answer["finality"]), &bytes(&answer["words"][0]["bytes"]));
        let (_, account) = believed.expect("an honest answer is believed");
        assert_eq!(ledger::account::Account::from_word(account).balance.0, 77);
    }
    let answer = network.client(3).call("openledger_getProof", json!([[slot]]));
    let (finality, evidence) = (bytes(&answer["finality"]), bytes(&answer["words"][0]["bytes"]));
    assert!(word(&light, &finality, &evidence).is_some(), "the lies below start from the truth");

    // Another word under the true certificate.
    let mut richer = evidence.clone();
    richer[32 + 15] += 1;
    assert!(word(&light, &finality, &richer).is_none());
    // The slot is absent, it says, with the proof of an absence elsewhere.
    let absent = ledger::account::account_slot(Wallet::new(99).address);
    let elsewhere = network.client(3).call("openledger_getProof", json!([[absent]]));
    let mut hidden = bytes(&elsewhere["words"][0]["bytes"]);
    hidden[..32].copy_from_slice(slot.as_slice());
    assert!(word(&light, &bytes(&elsewhere["finality"]), &hidden).is_none());
    // Another state under a true certificate, and under one of its own.
    let mut forged = FinalityProof::decode_cfg(Copying(&finality), &()).expect("well-formed");
    forged.headers[0].state_root = chain::block::Digest::from([7; 32]);
    assert!(light.verify(&forged).is_err());
    let rules = Rules::new(genesis).expect("a valid genesis");
    let own = [network.configs[3].key.clone()];
    let alone = certify(&rules, &forged.headers[0], &own, &[0]).expect("one of one");
    assert!(light.verify(&alone).is_err());
    assert!(word(&light, &alone.encode(), &evidence).is_none());
}
