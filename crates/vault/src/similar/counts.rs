//! How many items have a shingle: open addressing, one place in memory a shingle.
//!
//! A place is chosen by the key's high bits, so that a table twice as large is filled in the order of the smaller one.

/// Places at first, as a power of two.
const FIRST_BITS: u32 = 10;
/// Keys that are looked at together, so that the processor waits for their places at the same time.
pub(super) const TOGETHER: usize = 32;

/// Counts by mixed 64-bit key.
#[derive(Default)]
pub(super) struct Counts {
    /// Key and count; a count of zero is empty.
    places: Vec<(u64, u32)>,
    bits: u32,
    keys: usize,
}

impl Counts {
    /// Adds one to each of `keys`, at most [`TOGETHER`] of them; returns their counts before, in order.
    pub(super) fn add(&mut self, keys: &[u64]) -> [u32; TOGETHER] {
        // At most three quarters full.
        while self.places.is_empty() || 4 * (self.keys + keys.len()) > 3 << self.bits {
            self.grow();
        }
        // Loads that no branch waits for; what follows finds their lines in the cache.
        let touched = keys.iter().fold(0, |all, key| all ^ self.places[self.first(*key)].1);
        std::hint::black_box(touched);
        let mut before = [0; TOGETHER];
        for (key, before) in keys.iter().zip(&mut before) {
            let place = self.find(*key);
            *before = self.places[place].1;
            self.keys += usize::from(*before == 0);
            self.places[place] = (*key, before.saturating_add(1));
        }
        before
    }

    fn first(&self, key: u64) -> usize {
        (key >> (64 - self.bits)) as usize
    }

    /// Where a key stands or may be put.
    fn find(&self, key: u64) -> usize {
        let mut place = self.first(key);
        while self.places[place].1 != 0 && self.places[place].0 != key {
            place = (place + 1) & (self.places.len() - 1);
        }
        place
    }

    fn grow(&mut self) {
        self.bits = if self.places.is_empty() { FIRST_BITS } else { self.bits + 1 };
        let before = std::mem::replace(&mut self.places, vec![(0, 0); 1 << self.bits]);
        for entry in before.into_iter().filter(|entry| entry.1 != 0) {
            let place = self.find(entry.0);
            self.places[place] = entry;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::words::mix;
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn counts_are_those_of_a_plain_map() {
        let (mut counts, mut plain) = (Counts::default(), BTreeMap::new());
        for round in 0..2000u64 {
            // Zero is a key like any other, and so are neighbours.
            let keys: Vec<u64> =
                (0..round % 32).map(|i| if i == 3 { i - 3 } else { mix(round / 3 + i * 7) }).collect();
            let before = counts.add(&keys);
            for (key, before) in keys.iter().zip(before) {
                let plain = plain.entry(*key).or_insert(0);
                assert_eq!(before, *plain);
                *plain += 1;
            }
        }
    }
}
