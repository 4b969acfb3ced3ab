//! What attribution needs of a model: one backward pass that hands out each linear layer's inputs and output gradients.

use ops::Ctx;
use primitives::B256;

/// A linear layer whose parameters are attributed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// Name in the model.
    pub name: String,
    /// Width of its input.
    pub inputs: usize,
    /// Width of its output.
    pub outputs: usize,
}

/// One layer's share of a backward pass over one item: its weight gradient is `inputs^T gradients`.
#[derive(Clone, Copy, Debug)]
pub struct Tap<'a> {
    /// Index in [`Tapped::layers`].
    pub layer: usize,
    /// `[rows, inputs]`, a row per token.
    pub inputs: &'a [f32],
    /// `[rows, outputs]`: gradient of the summed loss by the layer's output.
    pub gradients: &'a [f32],
}

/// Why an item cannot be passed through a model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TapError {
    /// More tokens than the model sees at once.
    #[error("{tokens} tokens are more than the model's context of {context}: cut the text")]
    TooLong {
        /// Tokens of the item.
        tokens: usize,
        /// Tokens of the context.
        context: usize,
    },
    /// Nothing whose loss could be taken.
    #[error("the item has no token to score: give at least one token and one before it")]
    Empty,
    /// A token outside the vocabulary, or a label outside the classes.
    #[error(
        "token {token} is outside the vocabulary of {vocabulary}: tokenize with the model's own tokenizer"
    )]
    UnknownToken {
        /// The token.
        token: u32,
        /// Size of the vocabulary.
        vocabulary: usize,
    },
    /// The model itself failed.
    #[error("the model cannot run the item: {0}")]
    Model(String),
}

/// A model that can be attributed.
pub trait Tapped: Sync {
    /// What is passed through it: a sequence, a row.
    type Item: ?Sized + Sync;

    /// Commits to the weights: a cache of other weights is refused.
    fn identity(&self) -> B256;

    /// The attributed layers, always in the same order.
    fn layers(&self) -> Vec<Layer>;

    /// Runs forward and backward over `item`, for the *sum* of its tokens' losses, and hands each layer's tap to
    /// `visit`, each layer once, in any order. All taps have the same number of rows. The bits must not depend on
    /// anything but the weights and the item.
    fn backward(&self, ctx: &Ctx, item: &Self::Item, visit: &mut dyn FnMut(Tap<'_>)) -> Result<(), TapError>;
}
