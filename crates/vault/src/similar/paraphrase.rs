//! The embedding layer: items that say what an earlier one says in other words (RULEBOOK R3).
//!
//! A model turns texts into vectors ([`Embedder`]); those of the collection are centred on their mean, since a language model's vectors
//! all point much the same way, and scaled to unit length; the similarity of two is their cosine. An item is a paraphrase of the
//! earlier item it is most similar to, from a threshold on.
//!
//! A paraphrase is reported and can be left out of a training set. It lowers no novelty: what two models call similar differs, and what
//! decides money must come out the same for everybody.
//!
//! Every pair is compared: for n items of d numbers `n^2 d / 2` products, some seconds for ten thousand items.

use std::cmp::Ordering;

/// Most items that are compared with one another.
pub const MAX_ITEMS: usize = 200_000;

/// Why texts were not embedded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EmbedError {
    /// The model could not read a text.
    #[error("a text was not embedded: {0}")]
    Text(String),
    /// Vectors of another number or length than promised, or with numbers that are none.
    #[error("the embedding model gave {0}: use another model")]
    Vectors(&'static str),
    /// Past [`MAX_ITEMS`].
    #[error(
        "{0} items are more than the {MAX_ITEMS} that are compared at once: compare one Datanet at a time"
    )]
    TooMany(usize),
}

/// Turns texts into vectors whose directions are close for texts that say the same. The engine's language models are one
/// (`openledger datanet paraphrases --model`).
pub trait Embedder {
    /// Length of the vectors.
    fn dimensions(&self) -> usize;
    /// One vector a text, each of [`Embedder::dimensions`] numbers, of any length.
    ///
    /// # Errors
    /// [`EmbedError::Text`] when a text cannot be read.
    fn embed(&mut self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbedError>;
}

/// Vectors of a collection, in its order.
#[derive(Clone, Debug, Default)]
pub struct Vectors {
    dimensions: usize,
    data: Vec<f32>,
}

impl Vectors {
    /// None yet.
    pub fn new(dimensions: usize) -> Vectors {
        Vectors { dimensions, data: Vec::new() }
    }

    /// Embeds texts and appends their vectors.
    ///
    /// # Errors
    /// What the embedder says, or [`EmbedError::Vectors`] when its vectors are not as promised.
    pub fn push(&mut self, embedder: &mut dyn Embedder, texts: &[&str]) -> Result<(), EmbedError> {
        let vectors = embedder.embed(texts)?;
        if vectors.len() != texts.len() || vectors.iter().any(|v| v.len() != self.dimensions) {
            return Err(EmbedError::Vectors("vectors of another number or length"));
        }
        if vectors.iter().flatten().any(|x| !x.is_finite()) {
            return Err(EmbedError::Vectors("numbers that are not finite"));
        }
        self.data.extend(vectors.into_iter().flatten());
        if self.len() > MAX_ITEMS {
            return Err(EmbedError::TooMany(self.len()));
        }
        Ok(())
    }

    /// Number of vectors.
    pub fn len(&self) -> usize {
        self.data.len() / self.dimensions.max(1)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// Centred on their mean and scaled to unit length; a vector that is the mean stays zero, and resembles nothing.
    fn directions(mut self) -> Vectors {
        let (count, d) = (self.len(), self.dimensions);
        let mut mean = vec![0f64; d];
        for vector in self.data.chunks_exact(d.max(1)) {
            mean.iter_mut().zip(vector).for_each(|(sum, x)| *sum += f64::from(*x));
        }
        mean.iter_mut().for_each(|sum| *sum /= count.max(1) as f64);
        for vector in self.data.chunks_exact_mut(d.max(1)) {
            vector.iter_mut().zip(&mean).for_each(|(x, mean)| *x = (f64::from(*x) - mean) as f32);
            let length = vector.iter().map(|x| f64::from(*x) * f64::from(*x)).sum::<f64>().sqrt();
            let scale = if length > 0.0 { 1.0 / length } else { 0.0 };
            vector.iter_mut().for_each(|x| *x = (f64::from(*x) * scale) as f32);
        }
        self
    }
}

/// An item that says what an earlier one says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Paraphrase {
    /// Its number in the collection.
    pub item: usize,
    /// The earlier item it is most similar to.
    pub of: usize,
    /// Cosine of their centred vectors.
    pub similarity: f32,
}

/// Items whose most similar earlier item is at least `least` similar, in the collection's order.
pub fn paraphrases(vectors: Vectors, least: f32) -> Vec<Paraphrase> {
    let d = vectors.dimensions.max(1);
    let directions = vectors.directions();
    let rows: Vec<&[f32]> = directions.data.chunks_exact(d).collect();
    let nearest = |item: usize| {
        let scored = (0..item).map(|of| Paraphrase { item, of, similarity: dot(rows[item], rows[of]) });
        // Of equals the earliest.
        scored.reduce(|best, next| match next.similarity.total_cmp(&best.similarity) {
            Ordering::Greater => next,
            _ => best,
        })
    };
    (1..rows.len()).filter_map(nearest).filter(|found| found.similarity >= least).collect()
}

/// Eight sums side by side, so that the compiler can use the processor's vectors.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 8;
    let mut sums = [0f32; LANES];
    let (left, right) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest: f32 = left.remainder().iter().zip(right.remainder()).map(|(x, y)| x * y).sum();
    for (x, y) in left.zip(right) {
        for lane in 0..LANES {
            sums[lane] += x[lane] * y[lane];
        }
    }
    sums.iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts of a few stems: enough to know one topic from another whatever the words' order and endings.
    struct Stems;

    impl Embedder for Stems {
        fn dimensions(&self) -> usize {
            6
        }
        fn embed(&mut self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbedError> {
            let stems = ["cat", "sleep", "ship", "sail", "bread", "bak"];
            let count =
                |text: &str, stem: &str| text.split(' ').filter(|word| word.starts_with(stem)).count() as f32;
            // A common part, as the vectors of a language model have.
            Ok(texts.iter().map(|t| stems.iter().map(|stem| 50.0 + count(t, stem)).collect()).collect())
        }
    }

    fn of(texts: &[&str], least: f32) -> Vec<(usize, usize)> {
        let mut vectors = Vectors::new(6);
        for text in texts {
            vectors.push(&mut Stems, &[text]).unwrap();
        }
        paraphrases(vectors, least).iter().map(|p| (p.item, p.of)).collect()
    }

    #[test]
    fn the_later_of_two_texts_that_say_the_same_is_named_with_the_earlier() {
        let texts =
            ["the cat sleeps", "ships sail", "sailing a ship", "cats were sleeping", "bread is baked"];
        assert_eq!(of(&texts, 0.9), [(2, 1), (3, 0)]);
        assert_eq!(of(&texts[..1], 0.9), []);
        assert_eq!(of(&[], 0.9), []);
        // All the same: the mean is all there is, and resembles nothing.
        assert_eq!(of(&["cat", "cat"], 0.1), []);
    }

    #[test]
    fn vectors_that_are_not_as_promised_are_refused() {
        struct Bad(Vec<f32>);
        impl Embedder for Bad {
            fn dimensions(&self) -> usize {
                2
            }
            fn embed(&mut self, _: &[&str]) -> Result<Vec<Vec<f32>>, EmbedError> {
                Ok(vec![self.0.clone()])
            }
        }
        for bad in [vec![1.0], vec![1.0, f32::NAN], vec![]] {
            assert!(matches!(Vectors::new(2).push(&mut Bad(bad), &["a"]), Err(EmbedError::Vectors(_))));
        }
        assert!(matches!(
            Vectors::new(2).push(&mut Bad(vec![1.0, 2.0]), &["a", "b"]),
            Err(EmbedError::Vectors(_))
        ));
        let mut good = Vectors::new(2);
        good.push(&mut Bad(vec![1.0, 2.0]), &["a"]).unwrap();
        assert_eq!((good.len(), good.is_empty()), (1, false));
    }
}
