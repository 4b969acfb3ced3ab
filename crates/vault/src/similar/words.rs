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
    let bytes = text.as_bytes();
    let mut hashes = Vec::with_capacity(text.len() / 5);
    let mut at = 0;
    while at < bytes.len() {
        let start = at;
        at += bytes[start..].iter().take_while(|b| b.is_ascii_alphanumeric()).count();
        if bytes.get(at).is_some_and(|b| *b >= 0x80) {
            at = other_word(text, start, &mut hashes);
            continue;
        }
        if at > start {
            hashes.push(hash_ascii(bytes, start, at));
        }
        at += 1;
    }
    hashes
}

/// The word that begins at `start` and may have letters outside ASCII; returns where to go on.
fn other_word(text: &str, start: usize, hashes: &mut Vec<u32>) -> usize {
    let (mut word, mut end) = (Vec::with_capacity(32), text.len());
    for (at, c) in text[start..].char_indices() {
        if !c.is_alphanumeric() {
            end = start + at + c.len_utf8();
            break;
        }
        for lower in c.to_lowercase() {
            word.extend_from_slice(lower.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }
    if !word.is_empty() {
        hashes.push(hash_word(&word));
    }
    end
}

/// [`hash_word`] of the ASCII letters and digits `bytes[start..end]` in lower case, read where they stand: the bit that makes
/// a letter lower-case is set in every digit.
fn hash_ascii(bytes: &[u8], start: usize, end: usize) -> u32 {
    const LOWER: u64 = 0x2020_2020_2020_2020;
    let (mut h, mut at) = (NETWORK_KEY, start);
    while at < end {
        let length = (end - at).min(8);
        let lane = match bytes.get(at..at + 8) {
            Some(lane) => u64::from_le_bytes(lane.try_into().expect("eight bytes")),
            None => {
                let mut lane = [0; 8];
                lane[..length].copy_from_slice(&bytes[at..end]);
                u64::from_le_bytes(lane)
            }
        };
        let lane = (lane | LOWER) & (u64::MAX >> (64 - 8 * length));
        h = (h ^ lane).wrapping_mul(MULTIPLIER);
        h ^= h >> 32;
        at += 8;
    }
    mix(h ^ (end - start) as u64) as u32
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

/// Items with more words than this have their shingles sorted: a table of them would be too large.
const MOST_IN_TABLE: usize = 1 << 20;

/// The distinct shingles, in no order that means anything.
pub fn distinct_shingles(words: &[u32]) -> Vec<u64> {
    let mut all = shingles(words);
    if all.len() > MOST_IN_TABLE {
        all.sort_unstable();
        all.dedup();
        return all;
    }
    // Open addressing by the low bits, which are mixed already. Zero marks an empty place, so that shingle is told apart.
    let mask = (2 * all.len()).next_power_of_two().max(2) - 1;
    let (mut table, mut zero) = (vec![0u64; mask + 1], false);
    all.retain(|shingle| {
        if *shingle == 0 {
            return !std::mem::replace(&mut zero, true);
        }
        let mut place = *shingle as usize & mask;
        while table[place] != 0 && table[place] != *shingle {
            place = (place + 1) & mask;
        }
        let new = table[place] == 0;
        table[place] = *shingle;
        new
    });
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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

    /// The definition, character by character.
    fn plain(text: &str) -> Vec<u32> {
        let lower = |word: &str| word.chars().flat_map(char::to_lowercase).collect::<String>();
        let split = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
        split.map(|word| hash_word(lower(word).as_bytes())).collect()
    }

    proptest! {
        #[test]
        fn words_are_what_the_definition_says(text in "[a-zA-Z0-9éßÇΩ中 —.]{0,60}|\\PC{0,40}") {
            prop_assert_eq!(words(&text), plain(&text));
        }

        #[test]
        fn each_shingle_is_kept_once(words in prop::collection::vec(0u32..5, 0..80)) {
            let mut kept = distinct_shingles(&words);
            let mut all = shingles(&words);
            kept.sort_unstable();
            all.sort_unstable();
            all.dedup();
            prop_assert_eq!(kept, all);
        }
    }

    #[test]
    fn short_texts_have_one_shingle_and_empty_ones_none() {
        assert!(shingles(&words("... !")).is_empty());
        assert_eq!(shingles(&words("one two")).len(), 1);
        assert_eq!(shingles(&words("one two three four")).len(), 2);
    }
}
