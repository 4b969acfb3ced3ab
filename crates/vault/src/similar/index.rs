//! What was committed so far, in commit order, and how new an item is against it.

use super::bands::{Bands, NONE};
use super::counts::{Counts, TOGETHER};
use super::signature::{BANDS, Signature, signature};
use super::{Mixed, PPM, edit, words};
use std::collections::HashMap;
use std::hash::BuildHasherDefault;

/// Edit similarity from which an item is a near-duplicate, in ppm (RULEBOOK R3).
pub const NEAR_DUPLICATE_PPM: u32 = 800_000;
/// Candidates whose signatures agree less than this are not compared word by word. Edits spread so that each breaks
/// three shingles leave a similarity of 0.25 at the limit; this lies more than three deviations below.
const LEAST_ESTIMATE_PPM: u32 = 140_000;
/// Estimated shingle similarity from which a published signature alone counts as a near-duplicate: what an edit
/// similarity of 0.8 leaves of the shingles when a fifth of the words is replaced at random (0.8^3 / (2 - 0.8^3)).
const FOREIGN_ESTIMATE_PPM: u32 = 344_000;
/// Most candidates compared word by word for one item; the likeliest first.
const MAX_VERIFIED: usize = 64;
/// Weight of a shingle that no earlier item has. One that `n` earlier items have weighs `UNIT / (n + 1)`.
const UNIT: u64 = 1 << 20;

/// How an item matched an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DuplicateKind {
    /// The same words in the same order.
    Exact,
    /// Edit similarity of at least 0.8.
    Near,
    /// By signature alone: the earlier item's text is not here.
    Published,
}

/// The earlier item that an item repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Duplicate {
    /// Number of the earlier item, as [`Index::insert`] returned it.
    pub of: u32,
    /// How it matched.
    pub kind: DuplicateKind,
    /// Edit similarity (estimated shingle similarity for [`DuplicateKind::Published`]), in ppm.
    pub similarity_ppm: u32,
}

/// What the index says of a new item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Assessment {
    /// Number of this item in commit order.
    pub number: u32,
    /// Novelty in ppm: 0 in a later near-duplicate.
    pub nu_ppm: u32,
    /// The most similar earlier item, if it is one.
    pub duplicate: Option<Duplicate>,
}

type MixedMap<V> = HashMap<u64, V, BuildHasherDefault<Mixed>>;

/// Items in commit order. Memory per item: about 2 KiB and the words, 16 to 32 bytes a distinct shingle.
#[derive(Default)]
pub struct Index {
    /// Word sequences one after the other; published signatures have none.
    words: Vec<u32>,
    /// Item i's words are `words[ends[i-1]..ends[i]]`.
    ends: Vec<usize>,
    signatures: Vec<Option<Signature>>,
    /// Last item with a band's key; earlier ones follow by `earlier`.
    bands: Bands,
    /// Per item and band, the item before it in the chain.
    earlier: Vec<[u32; BANDS]>,
    /// How many items have a shingle.
    frequency: Counts,
    /// First item with a word sequence.
    exact: MixedMap<u32>,
    /// Per item, the last query that saw it, so that each is compared once.
    seen: Vec<u32>,
}

impl Index {
    /// The empty index.
    pub fn new() -> Index {
        Index::default()
    }

    /// Number of items.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether nothing was committed.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Assesses a text against everything before it and appends it.
    pub fn insert(&mut self, text: &str) -> Assessment {
        self.insert_words(&words::words(text))
    }

    /// The same from a word sequence ([`words::words`]), which is what a vault keeps of its items.
    pub fn insert_words(&mut self, item: &[u32]) -> Assessment {
        let shingles = words::distinct_shingles(item);
        let signature = signature(&shingles);
        let links = self.link(signature.as_ref());
        let duplicate = self.find(item, signature.as_ref(), &links);
        let number = self.append(item, signature, links);
        // Copies do not make a shingle common: nobody can wear down another's rarity by repeating it.
        let nu_ppm = if duplicate.is_some() { 0 } else { self.commit(&shingles) };
        Assessment { number, nu_ppm, duplicate }
    }

    /// Appends an item of which only the published signature is known.
    pub fn observe(&mut self, signature: Signature) -> u32 {
        let links = self.link(Some(&signature));
        self.append(&[], Some(signature), links)
    }

    /// The signature of an item; none for one without words, or a forgotten one.
    pub fn signature(&self, number: u32) -> Option<&Signature> {
        self.signatures.get(number as usize)?.as_ref()
    }

    /// Novelty of a set of distinct shingles against what was committed, in ppm; they are committed with this.
    fn commit(&mut self, shingles: &[u64]) -> u32 {
        let (mut novel, mut all) = (0u64, 0u64);
        for shingles in shingles.chunks(TOGETHER) {
            for earlier in &self.frequency.add(shingles)[..shingles.len()] {
                let weight = UNIT / (u64::from(*earlier) + 1);
                all += weight;
                novel += if *earlier == 0 { weight } else { 0 };
            }
        }
        if all == 0 { 0 } else { (u128::from(novel) * u128::from(PPM) / u128::from(all)) as u32 }
    }

    /// Drops an item's text and signature, so that an erased item leaves nothing behind. Its number stays taken.
    pub fn forget(&mut self, number: u32) {
        let at = number as usize;
        if at >= self.len() {
            return;
        }
        let (start, end) = self.span(at);
        self.words[start..end].fill(0);
        self.signatures[at] = None;
    }

    fn span(&self, at: usize) -> (usize, usize) {
        (if at == 0 { 0 } else { self.ends[at - 1] }, self.ends[at])
    }

    /// Takes the next number into the bands' chains; returns the item before it in each.
    fn link(&mut self, signature: Option<&Signature>) -> [u32; BANDS] {
        let number = self.len() as u32;
        assert!(number != NONE, "an index holds fewer than 2^32 - 1 items");
        signature.map_or([NONE; BANDS], |signature| self.bands.swap(signature, number))
    }

    fn find(
        &mut self,
        item: &[u32],
        signature: Option<&Signature>,
        links: &[u32; BANDS],
    ) -> Option<Duplicate> {
        let signature = signature?;
        if let Some(&of) = self.exact.get(&sequence_key(item)) {
            let (start, end) = self.span(of as usize);
            if self.words[start..end] == *item {
                return Some(Duplicate { of, kind: DuplicateKind::Exact, similarity_ppm: PPM });
            }
        }
        let mut best: Option<Duplicate> = None;
        for (estimate, of) in self.candidates(signature, links) {
            let (start, end) = self.span(of as usize);
            let least = best.map_or(NEAR_DUPLICATE_PPM, |b| b.similarity_ppm + 1).min(PPM);
            let found = if start == end {
                (estimate >= FOREIGN_ESTIMATE_PPM).then_some((DuplicateKind::Published, estimate))
            } else {
                edit::similarity_ppm(item, &self.words[start..end], least).map(|s| (DuplicateKind::Near, s))
            };
            if let Some((kind, similarity_ppm)) = found
                && best.is_none_or(|b| b.similarity_ppm < similarity_ppm)
            {
                best = Some(Duplicate { of, kind, similarity_ppm });
            }
        }
        best
    }

    /// Earlier items that share a band, likeliest first, at most [`MAX_VERIFIED`].
    fn candidates(&mut self, signature: &Signature, links: &[u32; BANDS]) -> Vec<(u32, u32)> {
        let query = self.len() as u32 + 1;
        let mut found = Vec::new();
        for (band, last) in links.iter().enumerate() {
            let mut at = *last;
            while at != NONE {
                let i = at as usize;
                if self.seen[i] != query {
                    self.seen[i] = query;
                    if let Some(other) = &self.signatures[i] {
                        let estimate = signature.jaccard_ppm(other);
                        if estimate >= LEAST_ESTIMATE_PPM {
                            found.push((estimate, at));
                        }
                    }
                }
                at = self.earlier[i][band];
            }
        }
        // Among equals the earliest commit comes first.
        found.sort_unstable_by_key(|(estimate, at)| (std::cmp::Reverse(*estimate), *at));
        found.truncate(MAX_VERIFIED);
        found
    }

    fn append(&mut self, item: &[u32], signature: Option<Signature>, links: [u32; BANDS]) -> u32 {
        let number = self.len() as u32;
        self.words.extend_from_slice(item);
        self.ends.push(self.words.len());
        self.seen.push(0);
        if signature.is_some() && !item.is_empty() {
            self.exact.entry(sequence_key(item)).or_insert(number);
        }
        self.earlier.push(links);
        self.signatures.push(signature);
        number
    }
}

/// Key of a whole word sequence.
fn sequence_key(item: &[u32]) -> u64 {
    item.iter().fold(item.len() as u64, |h, word| words::mix(h.rotate_left(5) ^ u64::from(*word)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(from: u32, count: u32) -> String {
        (from..from + count).map(|i| format!("w{} ", words::mix(u64::from(i)) % 50_000)).collect()
    }

    #[test]
    fn a_copy_is_worth_nothing_and_the_original_keeps_all() {
        let mut index = Index::new();
        let original = index.insert(&text(0, 200));
        assert_eq!((original.nu_ppm, original.duplicate), (PPM, None));
        let copy = index.insert(&text(0, 200).to_uppercase());
        assert_eq!(copy.nu_ppm, 0);
        assert_eq!(copy.duplicate.unwrap().kind, DuplicateKind::Exact);
    }

    #[test]
    fn a_tenth_edited_is_found_and_half_edited_is_partly_new() {
        let mut index = Index::new();
        index.insert(&text(0, 200));
        let mut words: Vec<String> = text(0, 200).split(' ').map(String::from).collect();
        (0..20).for_each(|i| words[i * 10 + 3] = format!("changed{i}"));
        let edited = index.insert(&words.join(" "));
        assert_eq!(edited.duplicate.unwrap().kind, DuplicateKind::Near);
        assert_eq!(edited.nu_ppm, 0);
        let half = index.insert(&(text(0, 100) + &text(1000, 100)));
        assert!(half.duplicate.is_none());
        // 98 old shingles weigh 1/2 each, 102 new ones 1 each.
        assert!((650_000..700_000).contains(&half.nu_ppm), "{}", half.nu_ppm);
    }

    #[test]
    fn early_boilerplate_hardly_lowers_later_owners() {
        let mut index = Index::new();
        let boilerplate = text(5000, 60);
        for i in 0..50 {
            index.insert(&(boilerplate.clone() + &text(i * 100, 90)));
        }
        let later = index.insert(&(boilerplate + &text(90_000, 90)));
        assert!(later.nu_ppm > 980_000, "{}", later.nu_ppm);
    }

    #[test]
    fn published_signatures_are_compared_without_text() {
        let mut other = Index::new();
        other.insert(&text(0, 300));
        let published = other.signatures[0].unwrap();
        let mut index = Index::new();
        index.observe(published);
        let copy = index.insert(&text(0, 300));
        assert_eq!(copy.duplicate.map(|d| d.kind), Some(DuplicateKind::Published));
        assert_eq!(index.insert(&text(9000, 300)).duplicate, None);
    }

    #[test]
    fn a_forgotten_item_matches_nothing() {
        let mut index = Index::new();
        index.insert(&text(0, 200));
        index.forget(0);
        assert_eq!(index.insert(&text(0, 200)).duplicate, None);
        assert!(index.words[..200].iter().all(|w| *w == 0));
    }

    proptest! {
        #[test]
        fn commit_order_alone_decides(seed in 0u32..1000, edits in 0usize..12) {
            // Whichever of a pair comes first keeps its novelty; the other gets none.
            let a = text(seed * 500, 120);
            let mut words: Vec<String> = a.split(' ').map(String::from).collect();
            (0..edits).for_each(|i| words[i * 9] = format!("e{i}"));
            let b = words.join(" ");
            for (first, second) in [(&a, &b), (&b, &a)] {
                let mut index = Index::new();
                prop_assert_eq!(index.insert(first).nu_ppm, PPM);
                prop_assert_eq!(index.insert(second).nu_ppm, 0);
            }
        }
    }
}
