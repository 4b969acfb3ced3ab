//! Calls of every module through its dispatch: arbitrary arguments are answered, never panic, and move no money that
//! they do not own.
//!
//! Input: a list of calls, each module, selector, value, length of the arguments, arguments. They run one after another
//! on one ledger, with a block in between now and then, so that a call may find what an earlier one left.
#![no_main]
use alloy_primitives::{Address, U256};
use interfaces::selectors::by_module;
use ledger::MemoryLedger;
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

const HOLDERS: [Address; 2] = [Address::repeat_byte(1), Address::repeat_byte(2)];
const MAX_CALLS: usize = 8;

type Module = (Address, Vec<[u8; 4]>);

static MODULES: LazyLock<[Module; 9]> = LazyLock::new(by_module);

static START: LazyLock<MemoryLedger> = LazyLock::new(|| MemoryLedger::with_holders(&HOLDERS));

fuzz_target!(|data: &[u8]| {
    let mut ledger = START.clone();
    let mut rest = data;
    for _ in 0..MAX_CALLS {
        let Some((head, tail)) = rest.split_at_checked(6) else { break };
        let (module, selectors) = &MODULES[usize::from(head[0]) % MODULES.len()];
        let selector = selectors[usize::from(head[1]) % selectors.len()];
        let sender = HOLDERS[usize::from(head[2]) % 2];
        // Powers of two reach dust and whole stakes alike, and all calls together leave the sender some for gas: a transaction that its sender
        // cannot pay enters no block.
        let value = if head[3] == 0 { U256::ZERO } else { U256::from(1) << (head[3] % 86) };
        let length = usize::from(u16::from_le_bytes([head[4], head[5]]) % 2_048).min(tail.len());
        let (arguments, tail) = tail.split_at(length);
        rest = tail;
        let call = [selector.as_slice(), arguments].concat();
        let receipt = ledger.send(sender, *module, value, call);
        assert!(receipt.success || receipt.logs.is_empty());
        if head[2] & 0x80 != 0 {
            ledger.advance(u64::from(head[2] & 0x7f) * 1_000);
        }
        ledger.assert_conserved();
    }
});
