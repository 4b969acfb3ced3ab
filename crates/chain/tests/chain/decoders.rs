//! What peers and light clients read: hostile bytes are refused, and one value has one encoding.
//! `fuzz/` runs the same for as long as one likes.

use crate::transfers::Wallet;
use alloy_primitives::{B256, U256};
use chain::{
    block::{Block, Header, PrivateKey, transactions_root},
    gossip,
    light::{EventProof, FinalityProof, Handover, WordEvidence},
    network_rules::Rules,
    receipt::{Outcome, ReceiptError, TransactionReceipt, decode_block_logs},
    transaction::{TransactionError, decode},
};
use commonware_codec::{Codec, Copying, Decode as _, Encode as _};
use commonware_cryptography::Signer as _;
use commonware_glue::stateful::db::ManagedDb;
use commonware_runtime::deterministic::Context;
use ledger::Log;
use proptest::prelude::*;

fn block() -> Block {
    let mut genesis = ledger::Genesis::development(&[Wallet::new(1).address]);
    genesis.validators[0].key =
        alloy_primitives::Bytes::copy_from_slice(PrivateKey::from_seed(1).public_key().as_ref());
    let rules = Rules::new(genesis).expect("a valid genesis");
    let mut block =
        rules.genesis_block(<chain::state::Database<Context> as ManagedDb<Context>>::initial_sync_target());
    block.transactions = (0..3)
        .map(|nonce| Wallet::new(1).transfer(31_337, nonce, rules.genesis.validators[0].account, 1).0)
        .collect();
    block.header.transactions_root = transactions_root(&block.transactions);
    block
}

fn canonical<T: Codec<Cfg = ()>>(bytes: &[u8]) -> bool {
    match T::decode_cfg(Copying(bytes), &()) {
        Ok(value) => {
            assert_eq!(value.encode().as_ref(), bytes, "a second encoding of one value");
            true
        }
        Err(_) => false,
    }
}

#[test]
fn a_block_with_another_body_cannot_be_read() {
    let block = block();
    assert!(canonical::<Block>(&block.encode()));
    let mut reordered = block.clone();
    reordered.transactions.swap(0, 1);
    assert!(!canonical::<Block>(&reordered.encode()));
    let mut shorter = block;
    shorter.transactions.pop();
    assert!(!canonical::<Block>(&shorter.encode()));
}

#[test]
fn every_field_of_a_header_is_under_its_digest() {
    let header = block().header;
    let bytes = header.encode();
    for at in 0..bytes.len() {
        let mut flipped = bytes.to_vec();
        flipped[at] ^= 1;
        if let Ok(other) = Header::decode_cfg(Copying(&flipped), &()) {
            assert_ne!(other.digest(), header.digest(), "byte {at}");
        }
    }
}

/// A signature's twin with high `s` is valid elsewhere; accepting it would give one transaction two hashes.
#[test]
fn an_outcome_without_the_leaf_of_the_blocks_own_events_is_refused() {
    let outcome = Outcome { receipts: Vec::new(), block_logs: Vec::new() };
    assert_eq!(Outcome::decode(&outcome.encode()), Ok(outcome));
    // No leaf at all would read as the same outcome by other bytes.
    assert_eq!(Outcome::decode(&[0; 4]), Err(ReceiptError::NoBlockLogs));
}

#[test]
fn a_signature_with_high_s_is_refused() {
    use alloy_consensus::{SignableTransaction as _, TxEip1559, TxEnvelope};
    use alloy_eips::eip2718::Encodable2718 as _;
    use alloy_primitives::{Signature, TxKind};
    let order = U256::from_str_radix("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141", 16)
        .expect("hex");
    let unsigned = TxEip1559 {
        chain_id: 1,
        gas_limit: 21_000,
        to: TxKind::Call(Wallet::new(2).address),
        ..TxEip1559::default()
    };
    let signature = Wallet::new(1).sign(&unsigned.signature_hash());
    let twin = Signature::new(signature.r(), order - signature.s(), !signature.v());
    let raw = |signature| TxEnvelope::from(unsigned.clone().into_signed(signature)).encoded_2718().into();
    assert_eq!(decode(raw(signature), 1).expect("accepted").sender(), Wallet::new(1).address);
    assert!(matches!(decode(raw(twin), 1), Err(TransactionError::Signature(_))));
    let creation = TxEip1559 { to: TxKind::Create, ..unsigned.clone() };
    let signature = Wallet::new(1).sign(&creation.signature_hash());
    let raw = TxEnvelope::from(creation.into_signed(signature)).encoded_2718().into();
    assert!(matches!(decode(raw, 1), Err(TransactionError::ContractCreation)));
}

/// Signs with [`Wallet`] 1 and encodes.
fn signed<T>(unsigned: T) -> bytes::Bytes
where
    T: alloy_consensus::SignableTransaction<alloy_primitives::Signature>,
    alloy_consensus::TxEnvelope: From<alloy_consensus::Signed<T>>,
{
    use alloy_eips::eip2718::Encodable2718 as _;
    let signature = Wallet::new(1).sign(&unsigned.signature_hash());
    alloy_consensus::TxEnvelope::from(unsigned.into_signed(signature)).encoded_2718().into()
}

#[test]
fn what_is_signed_for_no_chain_or_asks_for_what_is_not_there_is_refused_by_name() {
    use alloy_consensus::{TxEip1559, TxEip2930, TxLegacy};
    use alloy_eips::eip2930::{AccessList, AccessListItem};
    use alloy_primitives::TxKind;
    let to = TxKind::Call(Wallet::new(2).address);
    let legacy = TxLegacy { chain_id: Some(1), gas_limit: 21_000, to, ..TxLegacy::default() };
    assert_eq!(decode(signed(legacy.clone()), 1).expect("accepted").sender(), Wallet::new(1).address);
    let unprotected = TxLegacy { chain_id: None, ..legacy.clone() };
    assert!(matches!(decode(signed(unprotected), 1), Err(TransactionError::Unprotected(1))));
    let elsewhere = decode(signed(TxLegacy { chain_id: Some(2), ..legacy }), 1);
    assert!(matches!(elsewhere, Err(TransactionError::WrongChain { found: 2, expected: 1 })));

    let item = AccessListItem { address: Wallet::new(2).address, storage_keys: vec![B256::ZERO] };
    let listed = TxEip2930 { chain_id: 1, to, access_list: AccessList(vec![item]), ..TxEip2930::default() };
    assert!(matches!(decode(signed(listed), 1), Err(TransactionError::AccessList)));
    let greedy = TxEip1559 { chain_id: 1, to, max_priority_fee_per_gas: 1, ..TxEip1559::default() };
    assert!(matches!(decode(signed(greedy), 1), Err(TransactionError::TipAboveCap { tip: 1, cap: 0 })));
    for kind in [0, 3, 4, 0x7f, 0xbf] {
        let refused = decode(bytes::Bytes::from(vec![kind, 0xc0]), 1);
        assert!(matches!(refused, Err(TransactionError::UnsupportedType(found)) if found == kind));
    }
    assert!(matches!(decode(bytes::Bytes::new(), 1), Err(TransactionError::Malformed(_))));
}

fn logs() -> impl Strategy<Value = Vec<Log>> {
    let log = (any::<[u8; 20]>(), prop::collection::vec(any::<[u8; 32]>(), 0..=4), any::<Vec<u8>>());
    let log = log.prop_map(|(address, topics, data)| Log {
        address: address.into(),
        topics: topics.into_iter().map(B256::from).collect(),
        data: data.into(),
    });
    prop::collection::vec(log, 0..4)
}

proptest! {
    #[test]
    fn outcomes_come_back_as_they_were(receipts in prop::collection::vec((any::<[u8; 32]>(), any::<bool>(), any::<u32>(), any::<u128>(), any::<Vec<u8>>(), logs()), 0..5), block_logs in logs()) {
        let receipts = receipts.into_iter().map(|(transaction, success, gas_used, effective_gas_price, output, logs)| TransactionReceipt {
            transaction: transaction.into(), success, gas_used: gas_used.into(), effective_gas_price, output: output.into(), logs,
        }).collect();
        let outcome = Outcome { receipts, block_logs };
        prop_assert_eq!(Outcome::decode(&outcome.encode()), Ok(outcome));
    }

    #[test]
    fn arbitrary_bytes_are_refused_or_canonical(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        canonical::<Header>(&bytes);
        canonical::<Block>(&bytes);
        canonical::<FinalityProof>(&bytes);
        canonical::<Handover>(&bytes);
        canonical::<WordEvidence>(&bytes);
        canonical::<EventProof>(&bytes);
        let _ = (gossip::decode(Copying(&bytes)), Outcome::decode(&bytes), decode_block_logs(&bytes));
        prop_assert!(decode(bytes.into(), 31_337).is_err());
    }

    #[test]
    fn a_damaged_block_is_refused_or_canonical(at: prop::sample::Index, bit in 0u8..8) {
        let mut bytes = block().encode().to_vec();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        canonical::<Block>(&bytes);
    }
}
