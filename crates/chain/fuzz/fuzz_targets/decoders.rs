//! Everything peers and light clients read: arbitrary bytes never panic, and what is read encodes to the same bytes.
#![no_main]
use chain::{
    block::{Block, Digest, Header, Scheme},
    gossip,
    light::{EventProof, FinalityProof, Handover, WordEvidence},
    receipt::{Outcome, TransactionReceipt, decode_block_logs, encode_block_logs},
};
use commonware_codec::{Codec, Copying};
use commonware_consensus::simplex::types::{Activity, Certificate, Vote};
use libfuzzer_sys::fuzz_target;

const VALIDATORS: usize = 4;

fn canonical<T: Codec>(data: &[u8], cfg: &T::Cfg) {
    if let Ok(value) = T::decode_cfg(Copying(data), cfg) {
        assert_eq!(value.encode().as_ref(), data);
    }
}

fuzz_target!(|data: &[u8]| {
    // The first byte picks the decoder, so that what the fuzzer learns is about one of them.
    let Some((kind, data)) = data.split_first() else { return };
    match kind % 13 {
        0 => canonical::<Header>(data, &()),
        1 => canonical::<Block>(data, &()),
        2 => canonical::<FinalityProof>(data, &()),
        3 => canonical::<Handover>(data, &()),
        4 => canonical::<WordEvidence>(data, &()),
        5 => canonical::<EventProof>(data, &()),
        6 => canonical::<Vote<Scheme, Digest>>(data, &()),
        7 => canonical::<Certificate<Scheme, Digest>>(data, &VALIDATORS),
        8 => canonical::<Activity<Scheme, Digest>>(data, &VALIDATORS),
        9 => {
            let _ = gossip::decode(Copying(data));
        }
        10 => {
            if let Ok(receipt) = TransactionReceipt::decode(data) {
                assert_eq!(receipt.encode(), data);
            }
        }
        11 => {
            if let Ok(logs) = decode_block_logs(data) {
                assert_eq!(encode_block_logs(&logs), data);
            }
        }
        _ => {
            if let Ok(outcome) = Outcome::decode(data) {
                assert_eq!(outcome.encode(), data);
            }
        }
    }
});
