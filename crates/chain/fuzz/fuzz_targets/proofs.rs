//! Forged light-client proofs: no change to a valid proof is believed, unless it says the same.
//!
//! The valid proofs are the seeds of this target, read at the start: a finality certificate of three of four validators
//! with a word, an absent word and an event under it. The input is a list of changes: position, kind, byte.
#![no_main]
use chain::light::{EventProof, FinalityProof, LightClient, WordEvidence};
use commonware_codec::{Copying, Decode as _};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static GENESIS: &[u8] = include_bytes!("../fixtures/genesis.json");
static FINALITY: &[u8] = include_bytes!("../fixtures/finality.bin");
static PROOFS: [&[u8]; 3] = [
    include_bytes!("../fixtures/word.bin"),
    include_bytes!("../fixtures/absent.bin"),
    include_bytes!("../fixtures/event.bin"),
];

static CLIENT: LazyLock<LightClient> = LazyLock::new(|| {
    LightClient::new(serde_json::from_slice(GENESIS).expect("a genesis")).expect("a valid genesis")
});

/// What the client believes, as text.
fn believed(finality: &[u8], which: usize, proof: &[u8]) -> Option<String> {
    let finality = FinalityProof::decode_cfg(Copying(finality), &()).ok()?;
    let header = CLIENT.verify(&finality).ok()?;
    if which == 2 {
        let event = EventProof::decode_cfg(Copying(proof), &()).ok()?;
        return Some(format!("{:?}", event.verify(&header).ok()?));
    }
    let word = WordEvidence::decode_cfg(Copying(proof), &()).ok()?;
    Some(format!("{:?} {:?}", word.slot, word.verify(&header)?))
}

static TRUTH: LazyLock<Vec<String>> = LazyLock::new(|| {
    let truth = |(which, proof): (usize, &&[u8])| believed(FINALITY, which, proof).expect("valid");
    PROOFS.iter().enumerate().map(truth).collect()
});

fn change(bytes: &mut Vec<u8>, patch: &[u8]) {
    let at = usize::from(u16::from_le_bytes([patch[0], patch[1]])) % (bytes.len() + 1);
    match patch[2] % 4 {
        0 => bytes.insert(at, patch[3]),
        1 if at < bytes.len() => drop(bytes.remove(at)),
        2 if at < bytes.len() => bytes[at] = patch[3],
        _ if at < bytes.len() => bytes[at] ^= 1 << (patch[3] % 8),
        _ => {}
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((which, patches)) = data.split_first() else { return };
    let (which, of_finality) = (usize::from(*which) % 3, which & 0x80 != 0);
    let (mut finality, mut proof) = (FINALITY.to_vec(), PROOFS[which].to_vec());
    for patch in patches.chunks_exact(4).take(16) {
        change(if of_finality { &mut finality } else { &mut proof }, patch);
    }
    let Some(found) = believed(&finality, which, &proof) else {
        assert!(finality != FINALITY || proof != PROOFS[which]);
        return;
    };
    if of_finality {
        // Another quorum could certify the same block; three of four signers cannot be changed into one.
        assert!(finality == FINALITY, "a changed certificate was believed");
    }
    // A proof of absence covers a gap between two slots: another slot in it is absent indeed.
    let absent = found.ends_with(&format!("{:?}", alloy_primitives::B256::ZERO));
    assert!(found == TRUTH[which] || (which == 1 && absent), "a forgery was believed: {found}");
});
