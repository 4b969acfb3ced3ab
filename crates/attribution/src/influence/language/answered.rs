//! An answer whose forward pass was kept while it was generated: its backward pass goes on from there, to the same bits.

use super::Language;
use crate::influence::taps::{Layer, Tap, TapError, Tapped};
use model::{Example, network::Kept};
use ops::Ctx;
use primitives::B256;
use std::sync::{Mutex, PoisonError};

/// A sequence, and what was kept of its forward pass, which the first backward pass takes.
#[derive(Debug)]
pub struct Answered {
    example: Example,
    kept: Mutex<Option<Kept>>,
}

impl Answered {
    /// `kept` may be of other tokens: it is then not used.
    pub fn new(example: Example, kept: Option<Kept>) -> Answered {
        Answered { example, kept: Mutex::new(kept) }
    }
}

/// A language model as [`Answered`] sequences are passed through it.
#[derive(Clone, Copy, Debug)]
pub struct Answering<'a>(pub &'a Language<'a>);

impl Tapped for Answering<'_> {
    type Item = Answered;

    fn identity(&self) -> B256 {
        self.0.identity()
    }

    fn layers(&self) -> Vec<Layer> {
        self.0.layers()
    }

    fn backward(&self, ctx: &Ctx, item: &Answered, visit: &mut dyn FnMut(Tap<'_>)) -> Result<(), TapError> {
        let kept = item.kept.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.0.pass(ctx, &item.example, kept, visit)
    }
}
