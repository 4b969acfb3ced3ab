//! Everything peers and light clients read: arbitrary bytes never panic, and what is read encodes to the same bytes.
#![no_main]
use chain::{
    block::{Block, Header},
    gossip,
    light::{EventProof, FinalityProof, Handover, WordEvidence},
    receipt::{Outcome, TransactionReceipt, decode_block_logs, encode_block_logs},
};
use commonware_codec::{Codec, Copying, Decode as _, Encode as _};
use libfuzzer_sys::fuzz_target;

fn canonical<T: Codec<Cfg = ()>>(data: &[u8]) {
    if let Ok(value) = T::decode_cfg(Copying(data), &()) {
        assert_eq!(value.encode().as_ref(), data);
    }
}

fuzz_target!(|data: &[u8]| {
    canonical::<Header>(data);
    canonical::<Block>(data);
    canonical::<FinalityProof>(data);
    canonical::<Handover>(data);
    canonical::<WordEvidence>(data);
    canonical::<EventProof>(data);
    let _ = gossip::decode(Copying(data));
    if let Ok(receipt) = TransactionReceipt::decode(data) {
        assert_eq!(receipt.encode(), data);
    }
    if let Ok(logs) = decode_block_logs(data) {
        assert_eq!(encode_block_logs(&logs), data);
    }
    if let Ok(outcome) = Outcome::decode(data) {
        assert_eq!(outcome.encode(), data);
    }
});
