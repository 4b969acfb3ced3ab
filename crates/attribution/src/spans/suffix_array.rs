//! Suffix arrays of integer sequences in linear time: SA-IS.
//!
//! Nong, Zhang, Chan: "Two Efficient Algorithms for Linear Time Suffix Array Construction", IEEE Transactions
//! on Computers 60(10), 2011. Positions are classed S (smaller than their successor's suffix) or L; the
//! leftmost-S substrings are sorted by induction, named, and solved recursively when names repeat.

const EMPTY: u32 = u32::MAX;

/// Positions of `text`'s suffixes in ascending order, the end sorting before every symbol.
/// Symbols lie in `0..alphabet`; `text` has fewer than 2^32 - 1 symbols.
pub fn suffix_array(text: &[u32], alphabet: usize) -> Vec<u32> {
    debug_assert!(text.iter().all(|symbol| (*symbol as usize) < alphabet));
    match text.len() {
        0 => vec![],
        1 => vec![0],
        2 => {
            if text[0] < text[1] {
                vec![0, 1]
            } else {
                vec![1, 0]
            }
        }
        _ => Sorter::new(text, alphabet).sort(),
    }
}

struct Sorter<'a> {
    text: &'a [u32],
    /// Whether a suffix is smaller than the one after it.
    is_small: Vec<bool>,
    /// First slot of each symbol's L suffixes.
    large_start: Vec<u32>,
    /// First slot of each symbol's S suffixes.
    small_start: Vec<u32>,
    order: Vec<u32>,
}

impl<'a> Sorter<'a> {
    fn new(text: &'a [u32], alphabet: usize) -> Self {
        let n = text.len();
        let mut is_small = vec![false; n];
        for i in (0..n - 1).rev() {
            is_small[i] = if text[i] == text[i + 1] { is_small[i + 1] } else { text[i] < text[i + 1] };
        }
        let (mut large_count, mut small_count) = (vec![0u32; alphabet], vec![0u32; alphabet]);
        for (symbol, small) in text.iter().zip(&is_small) {
            if *small {
                small_count[*symbol as usize] += 1;
            } else {
                large_count[*symbol as usize] += 1;
            }
        }
        let (mut large_start, mut small_start) = (vec![0; alphabet], vec![0; alphabet]);
        let mut at = 0;
        for symbol in 0..alphabet {
            large_start[symbol] = at;
            at += large_count[symbol];
            small_start[symbol] = at;
            at += small_count[symbol];
        }
        Sorter { text, is_small, large_start, small_start, order: vec![EMPTY; n] }
    }

    /// Whether position `i` begins a leftmost-S run.
    fn is_leftmost(&self, i: usize) -> bool {
        i > 0 && self.is_small[i] && !self.is_small[i - 1]
    }

    /// Places the leftmost-S positions in the order given and induces all others from them.
    fn induce(&mut self, leftmost: &[u32]) {
        let n = self.text.len();
        self.order.fill(EMPTY);
        let mut next = self.small_start.clone();
        for &position in leftmost {
            let slot = &mut next[self.text[position as usize] as usize];
            self.order[*slot as usize] = position;
            *slot += 1;
        }
        let mut next = self.large_start.clone();
        let mut put = |order: &mut [u32], position: usize| {
            let slot = &mut next[self.text[position] as usize];
            order[*slot as usize] = position as u32;
            *slot += 1;
        };
        put(&mut self.order, n - 1);
        for i in 0..n {
            let position = self.order[i];
            if position != EMPTY && position > 0 && !self.is_small[position as usize - 1] {
                put(&mut self.order, position as usize - 1);
            }
        }
        // S suffixes go to the ends of their buckets: the end of symbol c's is the start of symbol c + 1's.
        let mut end: Vec<u32> = self.large_start[1..].iter().copied().chain([n as u32]).collect();
        for i in (0..n).rev() {
            let position = self.order[i];
            if position != EMPTY && position > 0 && self.is_small[position as usize - 1] {
                let before = position as usize - 1;
                let slot = &mut end[self.text[before] as usize];
                *slot -= 1;
                self.order[*slot as usize] = before as u32;
            }
        }
    }

    fn sort(mut self) -> Vec<u32> {
        let n = self.text.len();
        let leftmost: Vec<u32> = (1..n).filter(|i| self.is_leftmost(*i)).map(|i| i as u32).collect();
        self.induce(&leftmost);
        if leftmost.is_empty() {
            return self.order;
        }
        let sorted: Vec<u32> =
            self.order.iter().copied().filter(|p| *p != EMPTY && self.is_leftmost(*p as usize)).collect();
        let (names, distinct) = self.name(&leftmost, &sorted);
        let order_of_names = if distinct == leftmost.len() {
            let mut order = vec![0; names.len()];
            for (i, name) in names.iter().enumerate() {
                order[*name as usize] = i as u32;
            }
            order
        } else {
            suffix_array(&names, distinct)
        };
        let sorted: Vec<u32> = order_of_names.iter().map(|i| leftmost[*i as usize]).collect();
        self.induce(&sorted);
        self.order
    }

    /// Names each leftmost-S substring by its rank among the distinct ones, in order of position.
    fn name(&self, leftmost: &[u32], sorted: &[u32]) -> (Vec<u32>, usize) {
        let n = self.text.len();
        // Rank of a position among the leftmost ones; they are at least two apart, so half the length is enough.
        let mut rank = vec![EMPTY; n / 2 + 1];
        for (i, position) in leftmost.iter().enumerate() {
            rank[*position as usize / 2] = i as u32;
        }
        let end_of = |position: u32| {
            let i = rank[position as usize / 2] as usize;
            leftmost.get(i + 1).map_or(n, |next| *next as usize + 1)
        };
        let mut names = vec![0; leftmost.len()];
        let mut name = 0;
        for (i, &position) in sorted.iter().enumerate() {
            if i > 0 {
                let before = sorted[i - 1];
                let here = &self.text[position as usize..end_of(position)];
                let there = &self.text[before as usize..end_of(before)];
                let last = |p: u32| end_of(p) == n && leftmost.last() == Some(&p);
                if here != there || last(position) || last(before) {
                    name += 1;
                }
            }
            names[rank[position as usize / 2] as usize] = name;
        }
        (names, name as usize + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn by_sorting(text: &[u32]) -> Vec<u32> {
        let mut order: Vec<u32> = (0..text.len() as u32).collect();
        order.sort_by_key(|i| &text[*i as usize..]);
        order
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(600))]
        #[test]
        fn suffixes_come_in_the_order_that_sorting_gives(text in (1..6u32).prop_flat_map(|a| prop::collection::vec(0..a, 0..200))) {
            prop_assert_eq!(suffix_array(&text, 6), by_sorting(&text));
        }
    }

    #[test]
    fn runs_and_periods_are_sorted_without_quadratic_work() {
        let run = vec![0; 1 << 20];
        let expected: Vec<u32> = (0..1 << 20).rev().collect();
        assert_eq!(suffix_array(&run, 1), expected);
        let period: Vec<u32> = (0..999).map(|i| i % 3).collect();
        assert_eq!(suffix_array(&period, 3), by_sorting(&period));
    }
}
