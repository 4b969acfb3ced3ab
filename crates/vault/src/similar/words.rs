//! Words and shingles.
//!
//! A word is a longest run of letters and digits (Unicode), in lower case; everything else separates. Case, punctuation
//! and spacing therefore do not tell texts apart. A word is hashed to 32 bits and a shingle, three words in a
//! row, to 64, under the network's key; the functions are written out here because independent programs must reproduce
//! published signatures.

/// Words in a shingle.
pub const SHINGLE_WORDS: usize = 3;
/// The network-wide key: every Datanet hashes under it, so that duplicates are found across Datanets.
pub const NETWORK_KEY: u64 = 0x6f70_656e_6c65_6467;

const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

/// Finaliser of MurmurHash3 (Appleby): every input bit moves every output bit.
pub(crate) fn mix(mut h: u64) -> u64 {
    h ^= h >> 33;
    h = h.wrapping_mul(0xff51_afd7_ed55_8ccd);
    h ^= h >> 33;
    h = h.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    h ^ (h >> 33)
}

/// Hash of one word: eight bytes at a time, the last padded with zeros, then the length.
fn hash_word(word: &[u8]) -> u32 {
    let mut h = NETWORK_KEY;
    let mut lanes = word.chunks_exact(8);
    for lane in &mut lanes {
        let lane = u64::from_le_bytes(lane.try_into().expect("eight bytes"));
        h = (h ^ lane).wrapping_mul(MULTIPLIER);
        h ^= h >> 32;
    }
    let rest = lanes.remainder();
    if !rest.is_empty() {
        let mut lane = [0; 8];
        lane[..rest.len()].copy_from_slice(rest);
        h = (h ^ u64::from_le_bytes(lane)).wrapping_mul(MULTIPLIER);
        h ^= h >> 32;
    }
    mix(h ^ word.len() as u64) as u32
}

/// The words of `text`, hashed, in order.
pub fn words(text: &str) -> Vec<u32> {
    let mut hashes = Vec::with_capacity(text.len() / 5);
    let mut word = Vec::with_capacity(32);
    for c in text.chars() {
        if c.is_ascii() {
            if c.is_ascii_alphanumeric() {
                word.push(c.to_ascii_lowercase() as u8);
                continue;
            }
        } else if c.is_alphanumeric() {
            for lower in c.to_lowercase() {
                word.extend_from_slice(lower.encode_utf8(&mut [0; 4]).as_bytes());
            }
            continue;
        }
        if !word.is_empty() {
            hashes.push(hash_word(&word));
            word.clear();
        }
    }
    if !word.is_empty() {
        hashes.push(hash_word(&word));
    }
    hashes
}

/// The shingles of a word sequence, in order, repeats included. Fewer than three words make one shingle; none, none.
pub fn shingles(words: &[u32]) -> Vec<u64> {
    if words.is_empty() {
        return Vec::new();
    }
    if words.len() < SHINGLE_WORDS {
        return vec![shingle(words)];
    }
    words.windows(SHINGLE_WORDS).map(shingle).collect()
}

fn shingle(words: &[u32]) -> u64 {
    let mut h = NETWORK_KEY ^ words.len() as u64;
    for word in words {
        h = (h ^ u64::from(*word)).wrapping_mul(MULTIPLIER);
        h ^= h >> 29;
    }
    mix(h)
}

/// The distinct shingles, ascending.
pub fn distinct_shingles(words: &[u32]) -> Vec<u64> {
    let mut all = shingles(words);
    all.sort_unstable();
    all.dedup();
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_punctuation_and_spacing_do_not_matter() {
        assert_eq!(words("Hello, WORLD!  It's\n2026"), words("hello world it s 2026"));
        assert_eq!(words("Straße ÉTÉ"), words("straße été"));
        assert_ne!(words("hello world"), words("world hello"));
    }

    #[test]
    fn golden_hashes_do_not_move() {
        // Published signatures depend on these: a change is a change of the protocol.
        assert_eq!(words("openledger internationalisation"), [GOLDEN.0, GOLDEN.1]);
        assert_eq!(shingles(&[1, 2, 3]), [GOLDEN.2]);
    }
    /// Computed by an independent program from the description above.
    const GOLDEN: (u32, u32, u64) = (2_603_879_329, 463_066_361, 9_071_854_963_094_763_975);

    #[test]
    fn short_texts_have_one_shingle_and_empty_ones_none() {
        assert!(shingles(&words("... !")).is_empty());
        assert_eq!(shingles(&words("one two")).len(), 1);
        assert_eq!(shingles(&words("one two three four")).len(), 2);
    }
}
