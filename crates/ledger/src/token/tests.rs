use super::domain;
use crate::{Call, Context, MemoryLedger, State, env::Invalid};
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_sol_types::{SolCall, SolError, SolEvent, SolInterface, SolStruct};
use interfaces::{
    addresses::TOKEN,
    errors::ILedger,
    token::{IToken, Permit, ReceiveWithAuthorization, TransferWithAuthorization},
};
use k256::ecdsa::SigningKey;
use primitives::Amount;
use proptest::prelude::*;

/// A holder who can sign.
struct Holder {
    key: SigningKey,
    address: Address,
}

fn holder(seed: u8) -> Holder {
    let key = SigningKey::from_slice(&[seed; 32]).expect("a valid scalar");
    let point = key.verifying_key().to_encoded_point(false);
    Holder { address: Address::from_slice(&keccak256(&point.as_bytes()[1..])[12..]), key }
}

impl Holder {
    fn sign(&self, ledger: &MemoryLedger, message: &impl SolStruct) -> (u8, B256, B256) {
        let mut state = State::new();
        let ctx = Context {
            state: &mut state,
            block: &ledger.block,
            caller: self.address,
            this: TOKEN,
            value: Amount::ZERO,
            depth: 0,
        };
        let digest = message.eip712_signing_hash(&domain(&ctx));
        let (signature, parity) = self.key.sign_prehash_recoverable(digest.as_slice()).expect("signs");
        let (r, s) = signature.split_bytes();
        (27 + parity.to_byte(), B256::from_slice(&r), B256::from_slice(&s))
    }
}

fn ledger() -> (MemoryLedger, Holder, Holder) {
    let (alice, bob) = (holder(1), holder(2));
    (MemoryLedger::with_holders(&[alice.address, bob.address]), alice, bob)
}

fn open(whole: u64) -> U256 {
    Amount::open(whole).to_word()
}

#[test]
fn value_and_token_transfers_move_the_same_balance() {
    let (mut ledger, alice, bob) = ledger();
    let carol = Address::repeat_byte(9);
    assert!(ledger.send(alice.address, carol, open(5), Bytes::new()).success);
    assert_eq!(ledger.view(TOKEN, &IToken::balanceOfCall { account: carol }), Ok(open(5)));
    let sent =
        ledger.transact(bob.address, TOKEN, U256::ZERO, &IToken::transferCall { to: carol, value: open(2) });
    assert_eq!(sent, Ok(true));
    assert_eq!(ledger.balance(carol), Amount::open(7).0);
    let log = &ledger.logs[0];
    assert_eq!((log.address, log.topics[0]), (TOKEN, IToken::Transfer::SIGNATURE_HASH));
    ledger.assert_conserved();
}

#[test]
fn a_plain_transfer_costs_21000_gas() {
    let (mut ledger, alice, bob) = ledger();
    assert_eq!(ledger.send(alice.address, bob.address, U256::from(1), Bytes::new()).gas_used, 21_000);
}

#[test]
fn more_than_the_balance_is_refused_with_the_figures() {
    let (mut ledger, alice, _) = ledger();
    let poor = Address::repeat_byte(9);
    ledger.send(alice.address, poor, open(1), Bytes::new());
    let refused =
        ledger.transact(poor, TOKEN, U256::ZERO, &IToken::transferCall { to: alice.address, value: open(2) });
    let data = refused.expect_err("refused");
    let error = IToken::ERC20InsufficientBalance::abi_decode(&data).expect("the custom error");
    assert_eq!((error.sender, error.needed), (poor, open(2)));
    let huge = IToken::transferCall { to: alice.address, value: U256::MAX };
    let data = ledger.transact(poor, TOKEN, U256::ZERO, &huge).expect_err("refused");
    assert!(IToken::ERC20InsufficientBalance::abi_decode(&data).is_ok());
    ledger.assert_conserved();
}

#[test]
fn an_allowance_is_spent_once() {
    let (mut ledger, alice, bob) = ledger();
    let approve = IToken::approveCall { spender: bob.address, value: open(3) };
    assert_eq!(ledger.transact(alice.address, TOKEN, U256::ZERO, &approve), Ok(true));
    let take = IToken::transferFromCall { from: alice.address, to: bob.address, value: open(2) };
    assert_eq!(ledger.transact(bob.address, TOKEN, U256::ZERO, &take), Ok(true));
    let data = ledger.transact(bob.address, TOKEN, U256::ZERO, &take).expect_err("refused");
    let error = IToken::ERC20InsufficientAllowance::abi_decode(&data).expect("the custom error");
    assert_eq!((error.allowance, error.needed), (open(1), open(2)));
}

#[test]
fn a_permit_works_once_and_only_for_its_signer() {
    let (mut ledger, alice, bob) = ledger();
    let deadline = U256::from(ledger.block.seconds() + 60);
    let message =
        Permit { owner: alice.address, spender: bob.address, value: open(4), nonce: U256::ZERO, deadline };
    let (v, r, s) = alice.sign(&ledger, &message);
    let permit =
        |owner| IToken::permitCall { owner, spender: bob.address, value: open(4), deadline, v, r, s };
    let data =
        ledger.transact(bob.address, TOKEN, U256::ZERO, &permit(bob.address)).expect_err("another owner");
    assert!(IToken::ERC2612InvalidSigner::abi_decode(&data).is_ok());
    assert!(ledger.transact(bob.address, TOKEN, U256::ZERO, &permit(alice.address)).is_ok());
    assert!(
        ledger.transact(bob.address, TOKEN, U256::ZERO, &permit(alice.address)).is_err(),
        "the nonce moved"
    );
    ledger.advance(61_000);
    let data = ledger.transact(bob.address, TOKEN, U256::ZERO, &permit(alice.address)).expect_err("too late");
    assert!(IToken::ERC2612ExpiredSignature::abi_decode(&data).is_ok());
}

#[test]
fn an_authorization_pays_once_inside_its_window() {
    let (mut ledger, alice, bob) = ledger();
    let now = ledger.block.seconds();
    let (from, to, value, nonce) = (alice.address, bob.address, open(1), B256::repeat_byte(5));
    let (after, before) = (U256::from(now + 10), U256::from(now + 100));
    let message =
        TransferWithAuthorization { from, to, value, validAfter: after, validBefore: before, nonce };
    let (v, r, s) = alice.sign(&ledger, &message);
    let signature: Bytes = [r.as_slice(), s.as_slice(), &[v]].concat().into();
    let call = IToken::transferWithAuthorization_1Call {
        from,
        to,
        value,
        validAfter: after,
        validBefore: before,
        nonce,
        signature,
    };
    let carrier = holder(2).address;
    let early = ledger.transact(carrier, TOKEN, U256::ZERO, &call).expect_err("not yet");
    assert!(IToken::AuthorizationNotYetValid::abi_decode(&early).is_ok());
    ledger.advance(11_000);
    let before_balance = ledger.balance(alice.address);
    assert!(ledger.transact(carrier, TOKEN, U256::ZERO, &call).is_ok());
    assert_eq!(before_balance - ledger.balance(alice.address), Amount::open(1).0);
    let twice = ledger.transact(carrier, TOKEN, U256::ZERO, &call).expect_err("used");
    assert!(IToken::AuthorizationUsedOrCanceled::abi_decode(&twice).is_ok());
    ledger.assert_conserved();
}

#[test]
fn only_the_payee_receives_with_authorization() {
    let (mut ledger, alice, bob) = ledger();
    let (from, to, value, nonce) = (alice.address, bob.address, open(1), B256::repeat_byte(6));
    let (after, before) = (U256::ZERO, U256::MAX);
    let message = ReceiveWithAuthorization { from, to, value, validAfter: after, validBefore: before, nonce };
    let (v, r, s) = alice.sign(&ledger, &message);
    let call = IToken::receiveWithAuthorization_0Call {
        from,
        to,
        value,
        validAfter: after,
        validBefore: before,
        nonce,
        v,
        r,
        s,
    };
    let data = ledger.transact(alice.address, TOKEN, U256::ZERO, &call).expect_err("not the payee");
    assert!(IToken::CallerMustBePayee::abi_decode(&data).is_ok());
    assert!(ledger.transact(bob.address, TOKEN, U256::ZERO, &call).is_ok());
}

#[test]
fn the_malleable_twin_of_a_signature_is_refused() {
    let (mut ledger, alice, bob) = ledger();
    let (from, to, value, nonce) = (alice.address, bob.address, open(1), B256::repeat_byte(7));
    let message =
        TransferWithAuthorization { from, to, value, validAfter: U256::ZERO, validBefore: U256::MAX, nonce };
    let (v, r, s) = alice.sign(&ledger, &message);
    let order =
        alloy_primitives::uint!(0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141_U256);
    let high = B256::new((order - U256::from_be_bytes(s.0)).to_be_bytes());
    let call = IToken::transferWithAuthorization_0Call {
        from,
        to,
        value,
        validAfter: U256::ZERO,
        validBefore: U256::MAX,
        nonce,
        v: 55 - v,
        r,
        s: high,
    };
    let data = ledger.transact(bob.address, TOKEN, U256::ZERO, &call).expect_err("high s");
    assert!(IToken::InvalidSignature::abi_decode(&data).is_ok());
}

#[test]
fn unknown_selectors_and_cut_calls_are_named() {
    let (mut ledger, alice, _) = ledger();
    let receipt = ledger.send(alice.address, TOKEN, U256::ZERO, vec![1, 2, 3, 4]);
    assert!(!receipt.success);
    assert!(ILedger::UnknownSelector::abi_decode(&receipt.output).is_ok());
    let mut data = IToken::transferCall { to: alice.address, value: open(1) }.abi_encode();
    data.pop();
    let receipt = ledger.send(alice.address, TOKEN, U256::ZERO, data);
    assert!(ILedger::MalformedCall::abi_decode(&receipt.output).is_ok());
    let receipt = ledger.send(alice.address, TOKEN, open(1), IToken::nameCall {}.abi_encode());
    assert!(ILedger::NotPayable::abi_decode(&receipt.output).is_ok());
    ledger.assert_conserved();
}

#[test]
fn a_wrong_nonce_keeps_a_transaction_out() {
    let (mut ledger, alice, bob) = ledger();
    let mut tx = crate::Transaction {
        hash: B256::ZERO,
        sender: alice.address,
        to: bob.address,
        nonce: 1,
        value: U256::from(1),
        data: Bytes::new(),
        gas_limit: 21_000,
        max_fee: ledger.block.base_fee,
        max_priority_fee: 0,
    };
    assert!(matches!(ledger.execute(&tx), Err(Invalid::NonceTooHigh { expected: 0, given: 1 })));
    tx.nonce = 0;
    assert!(ledger.execute(&tx).is_ok());
    assert!(matches!(ledger.execute(&tx), Err(Invalid::NonceTooLow { expected: 1, given: 0 })));
    ledger.assert_conserved();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn units_are_conserved_over_any_transfers(moves in prop::collection::vec((0u8..4, 0u8..4, any::<u64>(), any::<bool>()), 1..30)) {
        let holders: Vec<_> = (1..5).map(Address::repeat_byte).collect();
        let mut ledger = MemoryLedger::with_holders(&holders);
        for (from, to, value, native) in moves {
            let (from, to, value) = (holders[from as usize], holders[to as usize], U256::from(value));
            if native {
                ledger.send(from, to, value, Bytes::new());
            } else {
                ledger.send(from, TOKEN, U256::ZERO, IToken::transferCall { to, value }.abi_encode());
            }
            ledger.assert_conserved();
        }
    }

    #[test]
    fn any_call_data_is_answered(data: Vec<u8>, selector in 0usize..32, gas_limit in 21_000u64..200_000) {
        let selectors: Vec<[u8; 4]> = IToken::ITokenCalls::selectors().collect();
        let mut ledger = MemoryLedger::with_holders(&[Address::repeat_byte(1)]);
        let call = Call { to: TOKEN, data: data.clone().into(), gas_limit, ..Call::default() };
        ledger.call(&call);
        let known = [selectors[selector % selectors.len()].as_slice(), &data].concat();
        ledger.call(&Call { data: known.into(), ..call });
    }
}
