//! Canonical encodings and proofs of the ledger: a reader never panics or allocates past its input, what it reads has one
//! encoding, and proofs of arbitrary content are refused or true.
#![no_main]
use alloy_primitives::B256;
use libfuzzer_sys::fuzz_target;
use primitives::{
    Amount,
    encoding::{Reader, Writer},
    licence, merkle, merkle_sum, mmr,
};

const LIMIT: usize = 64;

fn digests(bytes: &[u8]) -> Vec<B256> {
    bytes.chunks_exact(32).take(80).map(B256::from_slice).collect()
}

/// One value of every kind; `Some` when the bytes hold exactly that.
fn every_kind(bytes: &[u8]) -> Option<Vec<u8>> {
    let (mut reader, mut writer) = (Reader::new(bytes), Writer::new());
    writer.u8(reader.u8().ok()?).u32(reader.u32().ok()?).u64(reader.u64().ok()?).u128(reader.u128().ok()?);
    writer.f32_bits(reader.f32_bits().ok()?).f64_bits(reader.f64_bits().ok()?);
    writer.hash(&reader.hash().ok()?).address(&reader.address().ok()?);
    writer.bytes(reader.bytes(LIMIT).ok()?).text(reader.text(LIMIT).ok()?);
    let list = reader.list(LIMIT, |reader| reader.list(LIMIT, |reader| reader.bytes(LIMIT))).ok()?;
    writer.list(&list, |writer, inner| {
        writer.list(inner, |writer, bytes| {
            writer.bytes(bytes);
        });
    });
    reader.finish().ok()?;
    Some(writer.finish())
}

fn proofs(index: u64, count: u64, rest: &[u8]) {
    let leaf = B256::repeat_byte(7);
    let known: Vec<B256> = (0..9).map(|byte| B256::repeat_byte(byte)).collect();
    let tree = merkle::Tree::new(known.clone());
    let path = digests(rest);
    let proof = merkle::Proof { index, count, path: path.clone() };
    if proof.verify(&tree.root(), &leaf) {
        assert_eq!(tree.prove(index), Some(proof));
        assert_eq!(known.get(index as usize), Some(&leaf));
    }
    let indices: Vec<u64> = rest.iter().take(8).map(|byte| u64::from(*byte)).collect();
    let leaves = vec![leaf; indices.len()];
    let many = merkle::MultiProof { indices: indices.clone(), count, nodes: path.clone() };
    if many.verify(&tree.root(), &leaves) {
        assert!(indices.iter().all(|index| known.get(*index as usize) == Some(&leaf)));
    }
    let other_peaks = path.iter().rev().take(4).copied().collect();
    let mountain = mmr::MmrProof { index, count, path: path.clone(), other_peaks };
    let mut range = mmr::Mmr::new();
    known.iter().for_each(|leaf| range.append(*leaf));
    if mountain.verify(&range.root(), &leaf) {
        assert_eq!(mmr::prove(&known, index), Some(mountain));
    }
    let sum_leaf = merkle_sum::leaf(&leaf, 5);
    let sums: Vec<_> = known.iter().map(|leaf| merkle_sum::leaf(leaf, 5)).collect();
    let sum_tree = merkle_sum::SumTree::new(sums).expect("a small total");
    let path: Vec<_> = rest
        .chunks_exact(48)
        .take(80)
        .map(|node| merkle_sum::SumNode {
            digest: B256::from_slice(&node[..32]),
            sum: u128::from_le_bytes(node[32..].try_into().expect("16 bytes")),
        })
        .collect();
    let proof = merkle_sum::SumProof { index, count, path };
    if proof.verify(&sum_tree.root(), sum_tree.total(), &sum_leaf) {
        assert_eq!(sum_tree.prove(index), Some(proof));
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((kind, data)) = data.split_first() else { return };
    match kind % 4 {
        0 => {
            if let Some(encoded) = every_kind(data) {
                assert_eq!(encoded, data);
            }
        }
        1 => {
            let Some((head, rest)) = data.split_at_checked(16) else { return };
            let number = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("eight bytes"));
            proofs(number(&head[..8]), number(&head[8..]), rest);
        }
        2 => {
            let Ok(text) = std::str::from_utf8(data) else { return };
            let _ = licence::check(text, 1, "MIT");
            let _ = licence::granted(text);
            if let Ok(amount) = Amount::parse_open(text) {
                assert_eq!(Amount::from_word(amount.to_word()), Some(amount));
            }
        }
        _ => {
            if let Ok(genesis) = serde_json::from_slice::<ledger::Genesis>(data) {
                let _ = genesis.hash();
                let _ = chain::network_rules::Rules::new(genesis);
            }
        }
    }
});
