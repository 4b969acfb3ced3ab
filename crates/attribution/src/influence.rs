//! Influence: how much each training unit moved the model toward an answer.
//!
//! # Definition
//! Let `g_u` be the gradient of the summed loss of unit `u`'s tokens over the attributed parameters (all linear layers),
//! `g_q` that of the answer's tokens, `F` the Gauss-Newton curvature estimated from the training gradients. The influence of `u`
//! on the answer is `g_q . (F + damping)^-1 g_u`: to first order, how much the answer's loss falls when the
//! unit is weighted up (Koh, Liang: "Understanding Black-box Predictions via Influence Functions", ICML 2017). It is linear in
//! `g_u`, so a contributor's score is the sum of its units'.
//!
//! # Engines
//! - [`dual`]: exact damped Gauss-Newton for small heads (multilayer perceptrons, logistic regression). Gradients stay
//!   Kronecker factors; the solve is in Woodbury form over the rows of the curvature's root that carry most of it.
//! - [`primal`]: the same for one layer, exactly. [`group`]: contributors as sums, and the removal of whole groups.
//!   [`methods`]: published baselines behind one trait.
//! - The language model path ([`whitening`], [`projection`], [`curvature`], [`cache`], [`query`]): each layer's input and output gradients are
//!   whitened and projected to a few dimensions before they are multiplied (Choe et al., "What is Your Data Worth to GPT?", 2024: LoGra), so that
//!   a unit's gradient is a short vector; the curvature of each layer is a small matrix, inverted by Cholesky.
//!   The cache stores `(F + damping)^-1 g_u`; a query is one backward pass and one matrix-vector product.
//!
//! # What the paid path holds (RULEBOOK R2)
//! - *Cut-neutral*: a unit's feature is a sum over its tokens. Each token's projected gradient is clipped to one constant
//!   per model; no score is divided by its own item's norm.
//! - *Bounded*: the same clip, and the cap of [`crate::shares`].
//! - *Committed*: projections (from a beacon's seed and the whitening), clip, curvature, damping, features, floor and cap enter the cache's Merkle root.
//! - *Disputable*: only ops that have step verifiers: products, sums, Cholesky, triangular solves. No eigensolver.
//!
//! Bits do not depend on threads, on how units are batched or on how the cache is sharded.

pub mod cache;
pub mod curvature;
pub mod dual;
pub mod group;
pub mod language;
pub mod methods;
pub mod perceptron;
pub mod primal;
pub mod projection;
pub mod query;
pub mod taps;
pub mod whitening;

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) mod toy;
