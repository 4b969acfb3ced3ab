//! A list of byte strings in one value, any of which is read without the others.
//!
//! Layout: `u32` count, then the `u32` end of each string, then the strings.

const WORD: usize = 4;

/// Packs `items`.
pub fn pack<I: AsRef<[u8]>>(items: &[I]) -> Vec<u8> {
    let total: usize = items.iter().map(|item| item.as_ref().len()).sum();
    let mut packed = Vec::with_capacity(WORD * (items.len() + 1) + total);
    packed.extend_from_slice(&(items.len() as u32).to_le_bytes());
    let mut end = 0u32;
    for item in items {
        end += item.as_ref().len() as u32;
        packed.extend_from_slice(&end.to_le_bytes());
    }
    for item in items {
        packed.extend_from_slice(item.as_ref());
    }
    packed
}

fn word(packed: &[u8], index: usize) -> Option<usize> {
    let bytes = packed.get(index * WORD..(index + 1) * WORD)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?) as usize)
}

/// Number of strings.
pub fn count(packed: &[u8]) -> usize {
    word(packed, 0).unwrap_or(0)
}

/// String `index`, or `None` past the end or in a damaged value.
pub fn get(packed: &[u8], index: usize) -> Option<&[u8]> {
    let count = count(packed);
    if index >= count {
        return None;
    }
    let start = if index == 0 { 0 } else { word(packed, index)? };
    let end = word(packed, index + 1)?;
    packed.get(WORD * (count + 1)..)?.get(start..end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn each_string_comes_back_alone(items: Vec<Vec<u8>>) {
            let packed = pack(&items);
            prop_assert_eq!(count(&packed), items.len());
            for (index, item) in items.iter().enumerate() {
                prop_assert_eq!(get(&packed, index), Some(item.as_slice()));
            }
            prop_assert_eq!(get(&packed, items.len()), None);
        }

        #[test]
        fn damaged_values_do_not_panic(bytes: Vec<u8>, index in 0usize..8) {
            let _ = get(&bytes, index);
        }
    }
}
