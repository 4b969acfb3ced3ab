//! The vault's own objects: arbitrary bytes are refused, and what is read encodes to the same bytes.
#![no_main]
use libfuzzer_sys::fuzz_target;
use vault::vault::layout;

fuzz_target!(|data: &[u8]| {
    if let Ok(rows) = layout::decode_rows(data) {
        assert_eq!(layout::encode_rows(&rows), data);
    }
    if let Ok(keys) = layout::decode_keys(data) {
        assert_eq!(layout::encode_keys(&keys), data);
    }
    if let Ok(grant) = layout::decode_grant(data) {
        assert_eq!(layout::encode_grant(&grant), data);
    }
    if let Ok((segments, keys)) = layout::decode_pending(data) {
        assert_eq!(layout::encode_pending(&segments, &keys), data);
    }
});
