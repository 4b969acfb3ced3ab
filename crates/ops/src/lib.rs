//! The reproducible operations: a small set of kernels whose results are the same bits on every processor, with any number of
//! threads, in any batch.
//!
//! `docs/OPS.md` is the specification: the order of every accumulation, the transcendental functions and their errors, what is
//! invalid. Each op here is a free function on slices with explicit shapes that takes a [`Ctx`] (which machine code, how many
//! threads); the tests hold each again as plain loops and compare bit for bit on every path.
//!
//! Three families: f32 for models (this level), f64 for small solves ([`wide`]), int8 weights for generation ([`int8`]).
//!
//! An output that holds NaN or infinity makes the step that computed it invalid: callers run [`check_finite`] on what they keep.
//! Shapes are the caller's contract and are asserted; data never panics.
// Kernels index lanes of several arrays at once, and coefficients are given as published.
#![allow(clippy::needless_range_loop, clippy::excessive_precision)]

pub mod activation;
pub mod attention;
pub mod columns;
pub mod elementwise;
pub mod embedding;
pub mod examples;
pub mod int8;
pub mod lanes;
pub mod lora;
pub mod math32;
pub mod math64;
pub mod matmul;
pub mod norm;
pub mod optimizer;
pub mod path;
pub mod random;
pub mod reduce;
pub mod rope;
pub mod softmax;
mod threads;
pub mod verify;
pub mod wide;

pub use activation::{gelu_bwd, gelu_fwd, relu_bwd, relu_fwd, silu_bwd, silu_fwd, swiglu_bwd, swiglu_fwd};
pub use attention::{
    AttentionGrad, AttentionSeq, AttentionShape, KeysValues, KvCache, QkvGradients, attention_bwd,
    attention_fwd,
};
pub use columns::column_sums;
pub use elementwise::{add, add_bias, add_scaled, clear, copy, multiply, scale};
pub use embedding::{embedding_bwd, embedding_fwd};
pub use examples::{Examples, ExamplesError};
pub use int8::{Bits, Int8Rows, Int8Weights, int8_matmul, int8_rows_matmul};
pub use lora::{LoraRows, LoraShape, lora_bwd, lora_fwd, lora_rows_fwd};
pub use matmul::{
    PackedWeights, matmul_nn, matmul_nt, matmul_packed, matmul_tn, matmul_tn_each, matmul_tn_examples,
};
pub use norm::{layer_norm_bwd, layer_norm_fwd, rms_norm_bwd, rms_norm_fwd};
pub use optimizer::{AdamW, adamw_step, newton_schulz, sgd_step, transpose};
pub use path::{Ctx, CtxError, Path};
pub use random::Stream;
pub use reduce::{NonFinite, check_finite, clip_factor, clip_global_norm, sum, sum_squares};
pub use rope::{RopePairs, RopeTable, rope_bwd, rope_frequencies, rope_fwd};
pub use softmax::{IGNORED_TARGET, cross_entropy_bwd, cross_entropy_fwd, softmax_bwd, softmax_fwd};

pub use threads::{map, team};

/// Version of the specification that this crate implements: part of every run's header. Any change of any result's bits
/// raises it.
pub const OP_SET_VERSION: u32 = 1;
