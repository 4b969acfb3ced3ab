//! Edit distance of word sequences, bounded.
//!
//! Ukkonen's furthest-reaching diagonals (1985, "Algorithms for approximate string matching"): the work grows with the square of
//! the distance, not with the product of the lengths, so confirming a close copy of a long text is cheap.

use super::PPM;

/// Fewest insertions, deletions and substitutions that turn `a` into `b`, if at most `limit`.
pub fn distance_within(a: &[u32], b: &[u32], limit: usize) -> Option<usize> {
    let prefix = a.iter().zip(b).take_while(|(x, y)| x == y).count();
    let (a, b) = (&a[prefix..], &b[prefix..]);
    let suffix = a.iter().rev().zip(b.iter().rev()).take_while(|(x, y)| x == y).count();
    let (a, b) = (&a[..a.len() - suffix], &b[..b.len() - suffix]);
    let (n, m) = (a.len() as isize, b.len() as isize);
    if n.abs_diff(m) > limit {
        return None;
    }
    if n == 0 || m == 0 {
        return Some(n.max(m) as usize);
    }
    // reach[d + offset]: how many words of `a` are consumed on diagonal d (= place in b - place in a).
    let limit = limit.min(n.max(m) as usize) as isize;
    let offset = limit + 1;
    let unreached = isize::MIN / 2;
    let mut reach = vec![unreached; (2 * offset + 1) as usize];
    let mut next = reach.clone();
    for edits in 0..=limit {
        // A diagonal from which the last one is out of reach with the edits that are left leads nowhere.
        let (last, left) = (m - n, limit - edits);
        for d in (-edits).max(last - left)..=edits.min(last + left) {
            let at = (d + offset) as usize;
            let mut i = if edits == 0 {
                0
            } else {
                // Substitution, deletion from a, insertion into a.
                (reach[at] + 1).max(reach[at + 1] + 1).max(reach[at - 1])
            };
            i = i.min(n).min(m - d);
            if i < 0 || i + d < 0 {
                next[at] = unreached;
                continue;
            }
            while i < n && i + d < m && a[i as usize] == b[(i + d) as usize] {
                i += 1;
            }
            if i == n && i + d == m {
                return Some(edits as usize);
            }
            next[at] = i;
        }
        std::mem::swap(&mut reach, &mut next);
    }
    None
}

/// Distances up to this are found faster than the words are sorted.
const SORTED_FROM: usize = 32;

/// Whether two sequences can be within `limit` edits by their words alone, in any order (bag distance; Bartolini, Ciaccia, Patella
/// 2002): each edit adds or removes at most one word on either side.
fn bags_within(a: &[u32], b: &[u32], limit: usize) -> bool {
    let sorted = |words: &[u32]| {
        let mut words = words.to_vec();
        words.sort_unstable();
        words
    };
    let (a, b) = (sorted(a), sorted(b));
    let (mut i, mut j, mut common) = (0, 0, 0);
    while i < a.len() && j < b.len() {
        let (x, y) = (a[i], b[j]);
        common += usize::from(x == y);
        i += usize::from(x <= y);
        j += usize::from(y <= x);
    }
    a.len().max(b.len()) - common <= limit
}

/// Similarity in ppm, `1 - distance / longer length`, if at least `least_ppm`.
pub fn similarity_ppm(a: &[u32], b: &[u32], least_ppm: u32) -> Option<u32> {
    let longer = a.len().max(b.len());
    if longer == 0 {
        return Some(PPM);
    }
    let limit = longer as u64 * u64::from(PPM - least_ppm) / u64::from(PPM);
    if limit as usize > SORTED_FROM && !bags_within(a, b, limit as usize) {
        return None;
    }
    let distance = distance_within(a, b, limit as usize)? as u64;
    Some(PPM - (distance * u64::from(PPM) / longer as u64) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The textbook table.
    fn plain(a: &[u32], b: &[u32]) -> usize {
        let mut row: Vec<usize> = (0..=b.len()).collect();
        for (i, x) in a.iter().enumerate() {
            let mut diagonal = row[0];
            row[0] = i + 1;
            for (j, y) in b.iter().enumerate() {
                let best = (diagonal + usize::from(x != y)).min(row[j] + 1).min(row[j + 1] + 1);
                diagonal = std::mem::replace(&mut row[j + 1], best);
            }
        }
        row[b.len()]
    }

    proptest! {
        #[test]
        fn agrees_with_the_textbook_table(a in prop::collection::vec(0u32..4, 0..24), b in prop::collection::vec(0u32..4, 0..24), limit in 0usize..26) {
            let expected = plain(&a, &b);
            prop_assert_eq!(distance_within(&a, &b, limit), (expected <= limit).then_some(expected));
            // The bags never rule out what is within the limit.
            prop_assert!(expected > limit || bags_within(&a, &b, limit));
        }
    }

    #[test]
    fn a_fifth_of_the_words_changed_is_just_similar_enough() {
        let a: Vec<u32> = (0..100).collect();
        let mut b = a.clone();
        (0..20).for_each(|i| b[i * 5] = 1000 + i as u32);
        assert_eq!(similarity_ppm(&a, &b, 800_000), Some(800_000));
        b[1] = 2000;
        assert_eq!(similarity_ppm(&a, &b, 800_000), None);
    }
}
