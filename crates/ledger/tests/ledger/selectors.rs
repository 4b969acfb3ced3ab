//! Every function of every interface is answered by the module at its address, whatever the arguments.

use alloy_primitives::{Address, Bytes, U256};
use alloy_sol_types::SolError;
use interfaces::{addresses, errors::ILedger, selectors::by_module};
use ledger::{Call, MemoryLedger};
use proptest::prelude::*;

fn ask(ledger: &mut MemoryLedger, to: Address, data: Vec<u8>) -> Bytes {
    ledger.call(&Call { to, data: data.into(), gas_limit: 10_000_000, ..Call::default() }).output
}

#[test]
fn no_module_lacks_an_interface() {
    let with: Vec<Address> = by_module().map(|(module, _)| module).to_vec();
    assert_eq!(with, addresses::ALL);
}

#[test]
fn every_selector_has_a_handler_and_no_other_has() {
    let mut ledger = MemoryLedger::with_holders(&[Address::repeat_byte(1)]);
    for (module, selectors) in by_module() {
        assert!(!selectors.is_empty());
        for selector in &selectors {
            // Zeros are arguments for some functions and malformed for others; unknown they are for none.
            for zeros in [0, 32 * 24] {
                let data = [selector.as_slice(), &vec![0; zeros]].concat();
                let output = ask(&mut ledger, module, data);
                assert!(ILedger::UnknownSelector::abi_decode(&output).is_err(), "{module} {selector:?}");
            }
        }
        let stranger = [0xde, 0xad, 0xbe, 0xef];
        assert!(!selectors.contains(&stranger));
        let output = ask(&mut ledger, module, stranger.to_vec());
        assert!(ILedger::UnknownSelector::abi_decode(&output).is_ok(), "{module} answers a stranger");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_call_data_to_any_module_is_answered_and_moves_nothing(
        module in 0usize..9,
        selector in 0usize..64,
        words in prop::collection::vec(prop_oneof![Just(0u64), 0u64..2_000, any::<u64>()], 0..24),
        cut in 0usize..32,
        value in prop_oneof![Just(0u64), any::<u64>()],
    ) {
        let holder = Address::repeat_byte(1);
        let mut ledger = MemoryLedger::with_holders(&[holder]);
        let (module, selectors) = &by_module()[module];
        // Small words make offsets and lengths that often lie inside the data, so that decoding gets far.
        let arguments = words.iter().flat_map(|word| U256::from(*word).to_be_bytes::<32>());
        let mut data: Vec<u8> = selectors[selector % selectors.len()].into_iter().chain(arguments).collect();
        data.truncate(data.len().saturating_sub(cut).max(4));
        let before = ledger.balance(*module);
        let receipt = ledger.send(holder, *module, U256::from(value), data);
        ledger.assert_conserved();
        if !receipt.success {
            prop_assert_eq!(ledger.balance(*module), before);
        }
    }
}
