//! BM25, the text-retrieval baseline beside every measure of influence.
//!
//! Robertson, Zaragoza: "The Probabilistic Relevance Framework: BM25 and Beyond" (2009), with k1 = 1.2, b = 0.75 and the
//! non-negative idf ln(1 + (N - n + 1/2) / (n + 1/2)). Terms are any numbers: token ids here.
//! It finds the text that looks like the answer, which is not the text that caused it.

use std::collections::{BTreeMap, HashMap};

const K1: f64 = 1.2;
const B: f64 = 0.75;

/// An inverted index over documents.
#[derive(Clone, Debug)]
pub struct Bm25 {
    /// Documents that hold a term, with its count.
    postings: HashMap<u32, Vec<(u32, u32)>>,
    lengths: Vec<u32>,
    mean_length: f64,
}

impl Bm25 {
    /// Indexes documents given as their terms.
    pub fn new<D: AsRef<[u32]>>(documents: &[D]) -> Bm25 {
        let mut postings: HashMap<u32, Vec<(u32, u32)>> = HashMap::new();
        let mut lengths = Vec::with_capacity(documents.len());
        for (document, terms) in (0u32..).zip(documents) {
            let mut counts = BTreeMap::new();
            for term in terms.as_ref() {
                *counts.entry(*term).or_insert(0u32) += 1;
            }
            for (term, count) in counts {
                postings.entry(term).or_default().push((document, count));
            }
            lengths.push(terms.as_ref().len() as u32);
        }
        let total: u64 = lengths.iter().map(|length| u64::from(*length)).sum();
        let mean_length = total as f64 / lengths.len().max(1) as f64;
        Bm25 { postings, lengths, mean_length }
    }

    /// Score of every document for a query; each distinct term counts once.
    pub fn scores(&self, query: &[u32]) -> Vec<f64> {
        let mut scores = vec![0.0; self.lengths.len()];
        let distinct: std::collections::BTreeSet<u32> = query.iter().copied().collect();
        for term in distinct {
            let Some(holders) = self.postings.get(&term) else { continue };
            let (n, all) = (holders.len() as f64, self.lengths.len() as f64);
            let idf = (1.0 + (all - n + 0.5) / (n + 0.5)).ln();
            for (document, count) in holders {
                let count = f64::from(*count);
                let length = f64::from(self.lengths[*document as usize]) / self.mean_length;
                scores[*document as usize] +=
                    idf * count * (K1 + 1.0) / (count + K1 * (1.0 - B + B * length));
            }
        }
        scores
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_score_follows_the_formula() {
        let index = Bm25::new(&[vec![1, 1, 2], vec![2, 3, 3], vec![3, 4, 5]]);
        let scores = index.scores(&[1, 1, 9]);
        // Term 1: in one of three documents, twice in the first, whose length is the mean.
        let expected = (1.0f64 + 2.5 / 1.5).ln() * 2.0 * 2.2 / (2.0 + 1.2);
        assert!((scores[0] - expected).abs() < 1e-12);
        assert_eq!(&scores[1..], [0.0, 0.0]);
    }

    #[test]
    fn rare_terms_count_more_and_nothing_divides_by_zero() {
        let index = Bm25::new(&[vec![1, 7], vec![1, 8], vec![1, 9]]);
        assert!(index.scores(&[7])[0] > index.scores(&[1])[0]);
        assert!(Bm25::new::<Vec<u32>>(&[]).scores(&[1]).is_empty());
        assert_eq!(Bm25::new(&[Vec::<u32>::new()]).scores(&[1]), [0.0]);
    }
}
