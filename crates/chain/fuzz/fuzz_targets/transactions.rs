//! Raw transactions: arbitrary bytes never panic, and an accepted one has exactly one encoding.
#![no_main]
use chain::transaction::decode;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(transaction) = decode(bytes::Bytes::copy_from_slice(data), 31_337) {
        assert_eq!(transaction.raw, data);
        // What a block holds is what was signed: any cut or extended form is refused.
        assert!(decode(bytes::Bytes::copy_from_slice(&data[..data.len() - 1]), 31_337).is_err());
    }
});
