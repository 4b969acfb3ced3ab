//! MinHash signatures: 64 bands of 3 rows (RULEBOOK R3; Broder 1997).
//!
//! Row i keeps the least value of `(low 32 bits of shingle ^ XOR_i) * MULTIPLY_i mod 2^32` over the shingles. Each row is a
//! permutation of 32-bit numbers, so two sets agree in a row with a probability close to their Jaccard similarity.
//! A pair of similarity J shares at least one band with probability 1 - (1 - J^3)^64.

use super::PPM;
use super::words::{NETWORK_KEY, mix};

/// Bands of a signature.
pub const BANDS: usize = 64;
/// Rows of a band.
pub const ROWS: usize = 3;
/// Rows in all.
pub const LENGTH: usize = BANDS * ROWS;

/// Least values per row.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature(pub [u32; LENGTH]);

impl std::fmt::Debug for Signature {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Signature({:08x} {:08x} ..)", self.0[0], self.0[1])
    }
}

struct Rows {
    xor: [u32; LENGTH],
    multiply: [u32; LENGTH],
}

const fn rows() -> Rows {
    let mut rows = Rows { xor: [0; LENGTH], multiply: [0; LENGTH] };
    let (mut i, mut state) = (0, NETWORK_KEY);
    while i < LENGTH {
        // SplitMix64 (Steele, Lea, Flood 2014).
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        rows.xor[i] = z as u32;
        rows.multiply[i] = (z >> 32) as u32 | 1;
        i += 1;
    }
    rows
}

static ROW_CONSTANTS: Rows = rows();

/// Rows that are folded together: their values and constants stay in registers over all shingles.
const BLOCK: usize = 32;

#[inline(always)]
fn fold(shingles: &[u64], least: &mut [u32; LENGTH]) {
    let constants = ROW_CONSTANTS.xor.chunks_exact(BLOCK).zip(ROW_CONSTANTS.multiply.chunks_exact(BLOCK));
    for (least, (xor, multiply)) in least.chunks_exact_mut(BLOCK).zip(constants) {
        let mut block: [u32; BLOCK] = std::array::from_fn(|row| least[row]);
        for shingle in shingles {
            let x = *shingle as u32;
            for row in 0..BLOCK {
                block[row] = block[row].min((x ^ xor[row]).wrapping_mul(multiply[row]));
            }
        }
        least.copy_from_slice(&block);
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn fold_avx2(shingles: &[u64], least: &mut [u32; LENGTH]) {
    fold(shingles, least);
}

/// Signature of a set of shingles; `None` for the empty set, which resembles nothing.
pub fn signature(shingles: &[u64]) -> Option<Signature> {
    if shingles.is_empty() {
        return None;
    }
    let mut least = [u32::MAX; LENGTH];
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2, checked above; the function is otherwise safe code.
        unsafe { fold_avx2(shingles, &mut least) };
        return Some(Signature(least));
    }
    fold(shingles, &mut least);
    Some(Signature(least))
}

impl Signature {
    /// Key of one band: its three rows and its number, mixed.
    pub fn band(&self, band: usize) -> u64 {
        let [a, b, c] = [0, 1, 2].map(|row| u64::from(self.0[band * ROWS + row]));
        mix(mix(a | b << 32) ^ (c | (band as u64) << 32))
    }

    /// Estimated Jaccard similarity of the shingle sets, in ppm: the share of rows that agree.
    pub fn jaccard_ppm(&self, other: &Signature) -> u32 {
        let same = self.0.iter().zip(&other.0).filter(|(a, b)| a == b).count();
        (same * PPM as usize / LENGTH) as u32
    }

    /// 768 bytes, rows in order, little-endian.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.iter().flat_map(|row| row.to_le_bytes()).collect()
    }

    /// Its leaf in the tree of a contribution's published signatures.
    pub fn leaf(&self) -> primitives::B256 {
        primitives::B256::new(blake3::derive_key("openledger signature leaf v1", &self.to_bytes()))
    }

    /// From [`Signature::to_bytes`]; `None` unless there are exactly 768 bytes.
    pub fn from_bytes(bytes: &[u8]) -> Option<Signature> {
        if bytes.len() != LENGTH * 4 {
            return None;
        }
        let mut rows = [0; LENGTH];
        for (row, bytes) in rows.iter_mut().zip(bytes.chunks_exact(4)) {
            *row = u32::from_le_bytes(bytes.try_into().expect("four bytes"));
        }
        Some(Signature(rows))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(from: u64, to: u64) -> Vec<u64> {
        (from..to).map(|i| mix(i.wrapping_mul(0x1234_5677))).collect()
    }

    #[test]
    fn rows_agree_as_often_as_the_sets_overlap() {
        // 600 common of 1,400: Jaccard 0.4286, averaged over 20 pairs the estimate has a deviation below 0.01.
        let mut total = 0u64;
        for round in 0..20 {
            let at = round * 10_000;
            let a = signature(&set(at, at + 1000)).unwrap();
            let b = signature(&set(at + 400, at + 1400)).unwrap();
            total += u64::from(a.jaccard_ppm(&b));
        }
        let mean = total / 20;
        assert!((400_000..457_000).contains(&mean), "{mean}");
    }

    #[test]
    fn both_code_paths_agree_and_bytes_round_trip() {
        let shingles = set(5, 500);
        let least: [u32; LENGTH] = std::array::from_fn(|i| {
            let value = |s: &u64| (*s as u32 ^ ROW_CONSTANTS.xor[i]).wrapping_mul(ROW_CONSTANTS.multiply[i]);
            shingles.iter().map(value).min().unwrap()
        });
        let mut portable = [u32::MAX; LENGTH];
        fold(&shingles, &mut portable);
        assert_eq!(portable, least);
        let signature = signature(&shingles).unwrap();
        assert_eq!(signature.0, least);
        assert_eq!(Signature::from_bytes(&signature.to_bytes()), Some(signature));
        assert_eq!(Signature::from_bytes(&[0; 767]), None);
    }

    #[test]
    fn nothing_resembles_nothing() {
        assert!(signature(&[]).is_none());
    }
}
