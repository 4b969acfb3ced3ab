//! The chunk format: what is sealed opens to itself, and arbitrary bytes never panic or open.
#![no_main]
use libfuzzer_sys::fuzz_target;
use vault::crypt::item::{Opener, Sealer};

fuzz_target!(|data: &[u8]| {
    let key = zeroize_key(data);
    let (mut sealer, mut opener) = (Sealer::new().expect("memory"), Opener::new().expect("memory"));
    let mut sealed = Vec::new();
    let lengths = sealer.text(&key, data, &mut sealed).expect("sealed");
    assert_eq!(opener.text(&key, &lengths, &sealed).as_deref(), Ok(data));
    let arbitrary = [data.len() as u32];
    assert!(opener.text(&key, &arbitrary, data).is_err());
    let _ = opener.meta(&key, data);
});

fn zeroize_key(data: &[u8]) -> vault::crypt::keys::Key {
    let mut bytes = [7; 32];
    for (to, from) in bytes.iter_mut().zip(data) {
        *to ^= from;
    }
    vault::crypt::keys::SecretKey::from_bytes(bytes).to_bytes()
}
