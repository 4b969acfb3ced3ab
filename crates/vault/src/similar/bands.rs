//! Per band, the last item with each key: 64 tables that grow together.
//!
//! A place holds 32 bits of the key and the item's number. Two keys that agree in those bits share a chain, which costs a look at one
//! signature more and changes nothing: a chain's items are candidates, and every candidate is compared. With n items a
//! query meets 64 n / 2^32 such.

use super::signature::{BANDS, Signature};

/// No item: end of a chain.
pub(super) const NONE: u32 = u32::MAX;
/// Places per band at first, as a power of two.
const FIRST_BITS: u32 = 6;

/// Last item by band and key.
#[derive(Default)]
pub(super) struct Bands {
    /// `BANDS` tables one after the other. A place is `tag << 32 | number + 1`; zero is empty.
    places: Vec<u64>,
    /// Places of a table, as a power of two.
    bits: u32,
    /// Items that were entered: no table has more.
    items: usize,
}

impl Bands {
    /// Enters an item in every band; returns the item that had its key before, or [`NONE`].
    pub(super) fn swap(&mut self, signature: &Signature, number: u32) -> [u32; BANDS] {
        // At most three quarters full, so that a free place is near.
        if self.places.is_empty() || 4 * (self.items + 1) > 3 << self.bits {
            self.grow();
        }
        self.items += 1;
        let size = 1usize << self.bits;
        let tags: [u32; BANDS] = std::array::from_fn(|band| signature.band(band) as u32);
        // Loads that no branch waits for; what follows finds their lines in the cache.
        let places = tags.iter().enumerate().map(|(band, tag)| band * size + first(*tag, self.bits));
        std::hint::black_box(places.fold(0, |all, place| all ^ self.places[place]));
        std::array::from_fn(|band| {
            let (table, tag) = (&mut self.places[band * size..(band + 1) * size], tags[band]);
            let (place, earlier) = find(table, tag, self.bits);
            table[place] = u64::from(tag) << 32 | (u64::from(number) + 1);
            earlier
        })
    }

    fn grow(&mut self) {
        let (before, size) = (std::mem::take(&mut self.places), 1usize << self.bits);
        self.bits = if before.is_empty() { FIRST_BITS } else { self.bits + 1 };
        let wide = 1usize << self.bits;
        self.places = vec![0; BANDS * wide];
        for (band, table) in before.chunks_exact(size).enumerate() {
            let into = &mut self.places[band * wide..(band + 1) * wide];
            for entry in table.iter().filter(|entry| **entry != 0) {
                let (place, _) = find(into, (entry >> 32) as u32, self.bits);
                into[place] = *entry;
            }
        }
    }
}

/// Where a tag stands unless others do.
fn first(tag: u32, bits: u32) -> usize {
    (tag >> (32 - bits)) as usize
}

/// Where a tag stands or may be put, and the item there.
fn find(table: &[u64], tag: u32, bits: u32) -> (usize, u32) {
    let mut place = first(tag, bits);
    loop {
        let entry = table[place];
        if entry == 0 {
            return (place, NONE);
        }
        if (entry >> 32) as u32 == tag {
            return (place, entry as u32 - 1);
        }
        place = (place + 1) & (table.len() - 1);
    }
}

#[cfg(test)]
mod tests {
    use super::super::signature::LENGTH;
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn each_band_remembers_the_last_item_with_its_key() {
        let mut bands = Bands::default();
        let mut plain: HashMap<(usize, u64), u32> = HashMap::new();
        for number in 0..3000u32 {
            // Rows repeat with different periods, so that bands meet often and separately.
            let signature =
                Signature(std::array::from_fn::<u32, LENGTH, _>(|row| number % (40 + row as u32 * 7)));
            let earlier = bands.swap(&signature, number);
            for (band, earlier) in earlier.into_iter().enumerate() {
                let before = plain.insert((band, signature.band(band)), number);
                assert_eq!(earlier, before.unwrap_or(NONE), "item {number}, band {band}");
            }
        }
    }
}
