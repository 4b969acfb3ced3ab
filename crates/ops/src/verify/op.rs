//! The ops that a step may consist of, with their shapes and parameters.

use super::program::Program;
use super::{ClaimError, programs};
use crate::optimizer::AdamW;
use crate::rope::RopePairs;

macro_rules! ops {
    ($($(#[$doc:meta])* $name:ident { $($field:ident: $ty:ty),* } => $build:path,)*) => {
        /// Kind of an op. Every kernel of this crate is one of these or a documented sequence of them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum OpKind { $($(#[$doc])* $name,)* }

        impl OpKind {
            /// Every op of the set.
            pub const ALL: &'static [OpKind] = &[$(OpKind::$name,)*];

            /// The op's name.
            pub const fn name(self) -> &'static str {
                match self { $(OpKind::$name => stringify!($name),)* }
            }
        }

        /// An op with its shape and parameters. Inputs and outputs are described by its program.
        #[allow(missing_docs)]
        #[derive(Clone, Debug, PartialEq)]
        pub enum Op { $($(#[$doc])* $name { $($field: $ty),* },)* }

        impl Op {
            /// Its kind.
            pub fn kind(&self) -> OpKind {
                match self { $(Op::$name { .. } => OpKind::$name,)* }
            }

            /// Its tensors and their rules.
            ///
            /// # Errors
            /// [`ClaimError::Shape`] when a dimension is out of range or parameters do not fit together.
            pub fn program(&self) -> Result<Program, ClaimError> {
                let mut program = Program::default();
                match self.clone() {
                    $(Op::$name { $($field),* } => {
                        $($field.check()?;)*
                        $build(&mut program, $($field),*);
                    })*
                }
                let within = |t: &super::program::TensorDef| {
                    u128::from(t.shape.depth) * u128::from(t.shape.rows) * u128::from(t.shape.cols) <= ELEMENTS_MAX
                };
                if program.tensors.iter().all(within) { Ok(program) } else { Err(ClaimError::Shape("too many elements")) }
            }
        }
    };
}

/// Most elements of a tensor.
const ELEMENTS_MAX: u128 = 1 << 60;
/// Longest dimension of a matrix, or half the bits of the longest vector's length.
const DIMENSION_MAX: u64 = 1 << 24;
/// Most examples of a batch.
const EXAMPLES_MAX: usize = 1 << 16;

/// A parameter that may be out of range.
trait Checked {
    fn check(&self) -> Result<(), ClaimError>;
}

/// Width of an attention head: a rule reads a whole head's row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadDim(pub u64);

/// Length of a vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Len(pub u64);

impl Checked for u64 {
    fn check(&self) -> Result<(), ClaimError> {
        if *self <= DIMENSION_MAX { Ok(()) } else { Err(ClaimError::Shape("a dimension is above 2^24")) }
    }
}

impl Checked for Len {
    fn check(&self) -> Result<(), ClaimError> {
        if self.0 <= DIMENSION_MAX * DIMENSION_MAX {
            Ok(())
        } else {
            Err(ClaimError::Shape("a vector is above 2^48"))
        }
    }
}

impl Checked for HeadDim {
    fn check(&self) -> Result<(), ClaimError> {
        if (1..=512).contains(&self.0) {
            Ok(())
        } else {
            Err(ClaimError::Shape("a head's width is 1 to 512"))
        }
    }
}

impl Checked for Vec<u64> {
    fn check(&self) -> Result<(), ClaimError> {
        let ascends = self.windows(2).all(|pair| pair[0] <= pair[1]);
        if self.len() <= EXAMPLES_MAX && ascends && self.last().is_none_or(|end| *end <= DIMENSION_MAX) {
            Ok(())
        } else {
            Err(ClaimError::Shape("example ends ascend, at most 2^16 of them"))
        }
    }
}

macro_rules! unchecked {
    ($($ty:ty)*) => { $(impl Checked for $ty { fn check(&self) -> Result<(), ClaimError> { Ok(()) } })* };
}
unchecked!(bool f32 AdamW RopePairs Seed);

/// Seed, stream and first index of random numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seed {
    /// The seed.
    pub seed: u64,
    /// The stream.
    pub stream: u64,
    /// Index of the first number.
    pub offset: u64,
}

ops! {
    /// `C (+)= A B`.
    MatmulNn { m: u64, n: u64, k: u64, accumulate: bool } => programs::matmul::nn,
    /// `C (+)= A Bt`.
    MatmulNt { m: u64, n: u64, k: u64, accumulate: bool } => programs::matmul::nt,
    /// `C (+)= At B`.
    MatmulTn { m: u64, n: u64, k: u64, accumulate: bool } => programs::matmul::tn,
    /// `C (+)= At B` example by example.
    MatmulTnExamples { m: u64, n: u64, ends: Vec<u64>, accumulate: bool } => programs::matmul::tn_examples,
    /// Sums of columns, example by example.
    ColumnSums { n: u64, ends: Vec<u64> } => programs::matmul::column_sums,
    /// `y + x`.
    Add { len: Len } => programs::elements::add,
    /// `y * x`.
    Multiply { len: Len } => programs::elements::multiply,
    /// `fma(s, x, y)`.
    AddScaled { len: Len, s: f32 } => programs::elements::add_scaled,
    /// `y * s`.
    Scale { len: Len, s: f32 } => programs::elements::scale,
    /// Rows plus a bias.
    AddBias { rows: u64, n: u64 } => programs::elements::add_bias,
    /// GELU.
    GeluFwd { len: Len } => programs::elements::gelu_fwd,
    /// Gradient of GELU.
    GeluBwd { len: Len } => programs::elements::gelu_bwd,
    /// SiLU.
    SiluFwd { len: Len } => programs::elements::silu_fwd,
    /// Gradient of SiLU.
    SiluBwd { len: Len } => programs::elements::silu_bwd,
    /// ReLU.
    ReluFwd { len: Len } => programs::elements::relu_fwd,
    /// Gradient of ReLU.
    ReluBwd { len: Len } => programs::elements::relu_bwd,
    /// `silu(gate) * up`.
    SwigluFwd { len: Len } => programs::elements::swiglu_fwd,
    /// Gradients of SwiGLU.
    SwigluBwd { len: Len } => programs::elements::swiglu_bwd,
    /// Transposed copy.
    Transpose { rows: u64, cols: u64 } => programs::elements::transpose,
    /// Uniform random numbers.
    RandomUniform { from: Seed, len: Len } => programs::elements::random_uniform,
    /// Normal random numbers.
    RandomNormal { from: Seed, len: Len } => programs::elements::random_normal,
    /// Layer norm.
    LayerNormFwd { rows: u64, dim: u64, eps: f32, bias: bool } => programs::rows::layer_norm_fwd,
    /// Gradients of layer norm.
    LayerNormBwd { ends: Vec<u64>, dim: u64, add: bool } => programs::rows::layer_norm_bwd,
    /// RMS norm.
    RmsNormFwd { rows: u64, dim: u64, eps: f32 } => programs::rows::rms_norm_fwd,
    /// Gradients of RMS norm.
    RmsNormBwd { ends: Vec<u64>, dim: u64, add: bool } => programs::rows::rms_norm_bwd,
    /// Softmax of rows.
    SoftmaxFwd { rows: u64, n: u64 } => programs::rows::softmax_fwd,
    /// Gradient of softmax.
    SoftmaxBwd { rows: u64, n: u64 } => programs::rows::softmax_bwd,
    /// Cross-entropy of rows of logits.
    CrossEntropyFwd { rows: u64, vocab: u64 } => programs::rows::cross_entropy_fwd,
    /// Gradient of cross-entropy.
    CrossEntropyBwd { rows: u64, vocab: u64 } => programs::rows::cross_entropy_bwd,
    /// Gather of table rows.
    EmbeddingFwd { rows: u64, vocab: u64, dim: u64, accumulate: bool } => programs::lookup::embedding_fwd,
    /// Scatter-add of row gradients.
    EmbeddingBwd { ends: Vec<u64>, vocab: u64, dim: u64 } => programs::lookup::embedding_bwd,
    /// Rotary embedding.
    RopeFwd { rows: u64, heads: u64, head_dim: HeadDim, rotated: HeadDim, positions: u64, pairs: RopePairs } => programs::lookup::rope_fwd,
    /// Rotary embedding, turned back.
    RopeBwd { rows: u64, heads: u64, head_dim: HeadDim, rotated: HeadDim, positions: u64, pairs: RopePairs } => programs::lookup::rope_bwd,
    /// Causal attention of one head of one sequence.
    AttentionFwd { rows: u64, start: u64, head_dim: HeadDim, scale: f32 } => programs::attention::forward,
    /// Gradients of causal attention of one key/value head of one sequence.
    AttentionBwd { rows: u64, group: u64, head_dim: HeadDim, scale: f32 } => programs::attention::backward,
    /// A step of AdamW.
    AdamWStep { len: Len, h: AdamW, step: Len } => programs::training::adamw,
    /// A step of SGD with momentum.
    SgdStep { len: Len, lr: f32, momentum: f32, weight_decay: f32 } => programs::training::sgd,
    /// Sum of squares of a tensor, in f64.
    SumSquares { len: Len } => programs::training::sum_squares,
    /// Sum of a tensor, in f64.
    Sum { len: Len } => programs::training::sum,
    /// `C (+)= A B` in f64.
    WideMatmulNn { m: u64, n: u64, k: u64, accumulate: bool } => programs::wide::nn,
    /// `C (+)= A Bt` in f64.
    WideMatmulNt { m: u64, n: u64, k: u64, accumulate: bool } => programs::wide::nt,
    /// `C (+)= At B` in f64.
    WideMatmulTn { m: u64, n: u64, k: u64, accumulate: bool } => programs::wide::tn,
    /// Squared distances in f64.
    WideSquaredDistances { m: u64, n: u64, k: u64 } => programs::wide::squared_distances,
    /// Cholesky factorisation in f64.
    WideCholesky { n: u64 } => programs::wide::cholesky,
    /// Forward substitution in f64.
    WideSolveLower { n: u64, sides: u64 } => programs::wide::solve_lower,
    /// Backward substitution in f64.
    WideSolveLowerTransposed { n: u64, sides: u64 } => programs::wide::solve_lower_transposed,
    /// Quantisation of weights.
    Int8Quantise { outputs: u64, inputs: u64 } => programs::int8::quantise,
    /// Product with int8 weights, whether they are kept in eight bits or in four.
    Int8Matmul { rows: u64, outputs: u64, inputs: u64, accumulate: bool } => programs::int8::matmul,
    /// Quantisation of weights to four bits.
    Int4Quantise { outputs: u64, inputs: u64 } => programs::int8::quantise_to_four_bits,
}
