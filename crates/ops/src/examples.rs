//! Where one training example ends and the next begins in a batch of rows.
//!
//! Weight gradients are folds over rows. The fold restarts at every example, so the partial of an example *is*
//! that example's gradient, and a batch's gradient is the sum of its examples' gradients, added in order.

/// Rows of a batch grouped by example: the exclusive end row of each, ascending.
#[derive(Clone, Copy, Debug)]
pub struct Examples<'a> {
    ends: &'a [usize],
}

/// Example ends that are not ascending.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("example {index} ends before it begins: ends must ascend")]
pub struct ExamplesError {
    /// The first example that is out of order.
    pub index: usize,
}

impl<'a> Examples<'a> {
    /// Groups rows by the exclusive end row of each example. Empty examples are allowed; their gradient is zero
    /// and adds nothing.
    ///
    /// # Errors
    /// When the ends do not ascend.
    pub fn new(ends: &'a [usize]) -> Result<Self, ExamplesError> {
        match ends.windows(2).position(|pair| pair[1] < pair[0]) {
            Some(index) => Err(ExamplesError { index: index + 1 }),
            None => Ok(Examples { ends }),
        }
    }

    /// One example that ends at the row in `end`.
    pub fn one(end: &'a [usize; 1]) -> Self {
        Examples { ends: end }
    }

    /// Number of examples.
    pub fn count(&self) -> usize {
        self.ends.len()
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.ends.last().copied().unwrap_or(0)
    }

    /// First and end row of each example, in order.
    pub fn ranges(&self) -> impl Iterator<Item = std::ops::Range<usize>> + Clone + 'a {
        let ends = self.ends;
        (0..ends.len()).map(move |i| (if i == 0 { 0 } else { ends[i - 1] })..ends[i])
    }
}
