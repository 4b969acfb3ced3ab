use super::*;
use crate::transaction::decode;
use alloy_consensus::{SignableTransaction as _, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::Encodable2718 as _;
use alloy_primitives::{Signature, TxKind, address};

const CHAIN: u64 = 31_337;
const RICH: Account = Account { nonce: 0, balance: U256::MAX };

/// A transaction with a made-up, well-formed signature: its sender is whoever that signature belongs to.
fn transaction(seed: u8, nonce: u64, tip: u128) -> Arc<SignedTransaction> {
    let sender = Address::repeat_byte(seed);
    let unsigned = TxEip1559 {
        chain_id: CHAIN,
        nonce,
        gas_limit: 21_000,
        max_fee_per_gas: 1_000 + tip,
        max_priority_fee_per_gas: tip,
        to: TxKind::Call(address!("00000000000000000000000000000000000000aa")),
        ..TxEip1559::default()
    };
    let signature =
        Signature::new(U256::from(seed) + U256::from(1), U256::from(nonce) + U256::from(1), false);
    let envelope = TxEnvelope::from(unsigned.into_signed(signature));
    let raw = Bytes::from(envelope.encoded_2718());
    let call = ledger::Transaction {
        hash: *envelope.tx_hash(),
        sender,
        to: address!("00000000000000000000000000000000000000aa"),
        nonce,
        value: U256::ZERO,
        data: Default::default(),
        gas_limit: 21_000,
        max_fee: 1_000 + tip,
        max_priority_fee: tip,
    };
    Arc::new(SignedTransaction { raw, envelope, call })
}

fn pool(limits: Limits) -> Mempool {
    Mempool::new(limits, 30_000_000)
}

fn chosen(pool: &Mempool, parent: &Digest) -> Vec<(Address, u64)> {
    pool.select(parent, 1_000).iter().map(|tx| (tx.sender(), tx.call.nonce)).collect()
}

fn digest(byte: u8) -> Digest {
    Digest::from([byte; 32])
}

#[test]
fn a_sender_is_served_in_order_of_nonce_and_the_best_tip_first() {
    let pool = pool(Limits::default());
    for (seed, nonce, tip) in [(1, 1, 90), (1, 0, 1), (2, 0, 50), (2, 1, 50)] {
        pool.insert(transaction(seed, nonce, tip), RICH, 0).expect("fits");
    }
    let (one, two) = (Address::repeat_byte(1), Address::repeat_byte(2));
    assert_eq!(chosen(&pool, &digest(0)), [(two, 0), (two, 1), (one, 0), (one, 1)]);
}

#[test]
fn what_follows_a_gap_waits() {
    let pool = pool(Limits::default());
    pool.insert(transaction(1, 1, 5), RICH, 0).expect("fits");
    assert!(chosen(&pool, &digest(0)).is_empty());
    assert!(!pool.has_ready(&digest(0), 1_000));
    assert_eq!(pool.next_nonce(&Address::repeat_byte(1)), Some(0));
    pool.insert(transaction(1, 0, 5), RICH, 0).expect("fits");
    assert_eq!(chosen(&pool, &digest(0)).len(), 2);
    assert_eq!(pool.next_nonce(&Address::repeat_byte(1)), Some(2));
}

#[test]
fn replacement_needs_ten_percent_more() {
    let pool = pool(Limits::default());
    pool.insert(transaction(1, 0, 1_000), RICH, 0).expect("fits");
    assert_eq!(pool.insert(transaction(1, 0, 1_000), RICH, 0), Err(Rejection::Known));
    assert_eq!(pool.insert(transaction(1, 0, 1_099), RICH, 0), Err(Rejection::Underpriced));
    pool.insert(transaction(1, 0, 1_300), RICH, 0).expect("outbids");
    assert_eq!(pool.len(), 1);
}

#[test]
fn a_full_pool_keeps_what_pays_more() {
    let pool = pool(Limits { transactions: 2, ..Limits::default() });
    pool.insert(transaction(1, 0, 10), RICH, 0).expect("fits");
    pool.insert(transaction(1, 1, 10), RICH, 0).expect("fits");
    assert_eq!(pool.insert(transaction(2, 0, 10), RICH, 0), Err(Rejection::Full));
    pool.insert(transaction(2, 0, 11), RICH, 0).expect("pays more");
    // The last nonce went, so that nothing waits behind a gap.
    assert_eq!(chosen(&pool, &digest(0)).len(), 2);
}

#[test]
fn bounds_of_an_account_hold() {
    let pool = pool(Limits { per_account: 2, ..Limits::default() });
    let poor = Account { nonce: 0, balance: U256::from(1) };
    assert!(matches!(pool.insert(transaction(1, 0, 1), poor, 0), Err(Rejection::InsufficientFunds { .. })));
    assert!(matches!(pool.insert(transaction(1, 2, 1), RICH, 0), Err(Rejection::NonceTooHigh { .. })));
    let used = Account { nonce: 1, balance: U256::MAX };
    assert!(matches!(pool.insert(transaction(1, 0, 1), used, 0), Err(Rejection::NonceTooLow { .. })));
}

#[test]
fn a_block_on_an_unfinalized_one_does_not_take_the_same() {
    let pool = pool(Limits::default());
    for nonce in 0..3 {
        pool.insert(transaction(1, nonce, 1), RICH, 0).expect("fits");
    }
    let sender = Address::repeat_byte(1);
    pool.executed(digest(1), digest(0), 1, HashMap::from([(sender, 1)]));
    pool.executed(digest(2), digest(1), 2, HashMap::from([(sender, 2)]));
    assert_eq!(chosen(&pool, &digest(2)), [(sender, 2)]);
    assert_eq!(chosen(&pool, &digest(1)), [(sender, 1), (sender, 2)]);
    assert_eq!(chosen(&pool, &digest(0)).len(), 3);
    pool.finalized(1, &HashMap::from([(sender, 1)]), 0);
    assert_eq!(chosen(&pool, &digest(2)), [(sender, 2)]);
    assert_eq!(pool.len(), 2);
}

#[test]
fn accounts_that_were_read_before_a_block_are_read_again() {
    let pool = pool(Limits::default());
    let as_of = pool.finalized_blocks();
    // Between reading and inserting, a block uses nonce 0 up; nothing of the sender waits any more.
    pool.finalized(1, &HashMap::from([(Address::repeat_byte(1), 1)]), 0);
    let second = transaction(1, 1, 5);
    assert_eq!(pool.insert_all(&[(second.clone(), RICH)], 0, as_of), None);
    assert!(pool.is_empty());
    let read_again = Account { nonce: 1, ..RICH };
    assert_eq!(pool.insert_all(&[(second, read_again)], 0, pool.finalized_blocks()), Some(vec![Ok(())]));
    assert!(pool.has_ready(&digest(0), 1_000));
}

#[test]
fn what_waits_too_long_is_dropped() {
    let pool = pool(Limits { expiry_ms: 1_000, ..Limits::default() });
    pool.insert(transaction(1, 0, 1), RICH, 0).expect("fits");
    pool.finalized(1, &HashMap::new(), 900);
    assert_eq!(pool.len(), 1);
    pool.finalized(2, &HashMap::new(), 9_000);
    assert!(pool.is_empty());
}

#[test]
fn a_fee_cap_below_the_base_fee_waits() {
    let pool = pool(Limits::default());
    pool.insert(transaction(1, 0, 5), RICH, 0).expect("fits");
    assert!(pool.select(&digest(0), 2_000).is_empty());
    assert!(!pool.has_ready(&digest(0), 2_000), "nothing that a block could take hurries one");
    assert_eq!(pool.select(&digest(0), 1_000).len(), 1);
    assert!(pool.has_ready(&digest(0), 1_000));
}

#[test]
fn what_a_block_could_not_take_stays_a_candidate_and_hurries_no_other() {
    let pool = pool(Limits::default());
    let stuck = transaction(1, 0, 5);
    pool.insert(stuck.clone(), RICH, 0).expect("fits");
    pool.unhurry(&[stuck.hash()]);
    assert!(!pool.has_ready(&digest(0), 1_000));
    assert_eq!(pool.select(&digest(0), 1_000).len(), 1);
    pool.insert(transaction(2, 0, 5), RICH, 0).expect("fits");
    assert!(pool.has_ready(&digest(0), 1_000), "another is a reason");
    pool.finalized(1, &HashMap::from([(Address::repeat_byte(2), 1)]), 0);
    pool.insert(transaction(1, 0, 200), RICH, 0).expect("outbids");
    assert!(pool.has_ready(&digest(0), 1_000), "so is its replacement");
}

#[test]
fn raw_bytes_of_another_chain_are_refused() {
    let raw = transaction(1, 0, 1).raw.clone();
    assert!(matches!(
        decode(raw, 1),
        Err(crate::transaction::TransactionError::WrongChain { found: CHAIN, expected: 1 })
    ));
}
