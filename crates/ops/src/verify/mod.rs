//! Step verifiers: decide one leaf of an op's output from committed inputs, in bounded work and bytes.
//!
//! An op is a [`Program`]: its inputs, intermediate tensors and outputs, each committed by the root of its tiles,
//! and for each the rule of one element. Rules read little: a product's leaf reads one 64 x 64 x 256 block and its accumulator, a
//! row reduction 64 columns and its stripes. Whoever disputes a step names the op, the roots of all its tensors, one leaf (and, in
//! a gather, one row), and opens that leaf and those it depends on. [`verify`] recomputes the leaf by the rule, in plain code on one
//! thread, and compares bits; leaves of products are copied into arrays first ([`product`]).
//!
//! The verdict says nothing of the inputs: they are outputs of other ops, or committed data. A leaf with NaN or infinity is wrong.

mod op;
pub mod product;
pub mod program;
mod programs;
mod tensor;
mod trace;

pub use op::{HeadDim, Len, Op, OpKind, Seed};
pub use tensor::{At, Dtype, RUN, Rectangle, Shape, TILE, Tensor, decode, encode, leaf_digest};
pub use trace::Trace;

use primitives::B256;
use primitives::merkle::Proof;
use program::{Program, Read};
use std::collections::BTreeMap;

/// Most leaves that a claim may open.
pub const OPENINGS_MAX: usize = 80;
/// Most bytes of leaves and paths that a claim may open.
pub const OPENED_BYTES_MAX: usize = 1 << 21;

/// What is disputed.
#[derive(Clone, Debug, PartialEq)]
pub struct Claim {
    /// The op with its shape and parameters.
    pub op: Op,
    /// Roots of all tensors of the op's program, in its order.
    pub roots: Vec<B256>,
    /// The tensor in dispute: an intermediate or an output.
    pub tensor: usize,
    /// The leaf in dispute.
    pub leaf: u64,
    /// The row of the leaf in dispute; needed where rows read leaves of their own.
    pub row: Option<u64>,
}

/// A leaf with its path.
#[derive(Clone, Debug, PartialEq)]
pub struct Opening {
    /// Which tensor of the program.
    pub tensor: usize,
    /// The leaf's bytes.
    pub bytes: Vec<u8>,
    /// Its path; the leaf's index is the proof's.
    pub proof: Proof,
}

impl Opening {
    /// Bytes that it takes.
    pub fn size(&self) -> usize {
        self.bytes.len() + self.proof.path.len() * 32 + 16
    }
}

/// The outcome of a claim that could be judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The leaf (or its row) is what the op gives.
    Right,
    /// It is not: whoever committed to it is convicted.
    Wrong,
}

/// A claim that cannot be judged: nobody is convicted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClaimError {
    /// A dimension is out of range, or parameters do not fit together.
    #[error("the op's shape is not valid: {0}")]
    Shape(&'static str),
    /// The number of roots is not that of the op's tensors.
    #[error("the op has {expected} tensors, the claim names {given} roots")]
    Roots {
        /// Tensors of the program.
        expected: usize,
        /// Roots of the claim.
        given: usize,
    },
    /// The disputed tensor is an input or does not exist, or the leaf does not exist.
    #[error("tensor {tensor} has no computed leaf {leaf}")]
    NoSuchLeaf {
        /// The tensor.
        tensor: usize,
        /// The leaf.
        leaf: u64,
    },
    /// A row is needed, or is not in the leaf.
    #[error("name a row inside the leaf")]
    Row,
    /// More was opened than a claim may.
    #[error("more than {OPENINGS_MAX} leaves or {OPENED_BYTES_MAX} bytes opened")]
    TooLarge,
    /// An opening does not verify.
    #[error("opening {0} does not match its root or its leaf's size")]
    BadOpening(usize),
    /// A leaf that the rule reads was not opened.
    #[error("leaf {leaf} of tensor {tensor} is read but was not opened")]
    Missing {
        /// The tensor.
        tensor: usize,
        /// The leaf.
        leaf: u64,
    },
}

/// Reads from opened leaves.
struct Opened<'a> {
    program: &'a Program,
    leaves: BTreeMap<(usize, u64), &'a [u8]>,
    /// The leaf of each tensor that was read last: rules read in runs.
    last: Vec<Option<(u64, &'a [u8])>>,
    missing: Option<(usize, u64)>,
}

impl Read for Opened<'_> {
    fn get(&mut self, tensor: usize, at: At) -> f64 {
        let shape = self.program.tensors[tensor].shape;
        let Some((leaf, index)) = shape.place(at) else { return 0.0 };
        let bytes = match self.last[tensor] {
            Some((last, bytes)) if last == leaf => bytes,
            _ => match self.leaves.get(&(tensor, leaf)) {
                Some(bytes) => bytes,
                None => {
                    self.missing.get_or_insert((tensor, leaf));
                    return 0.0;
                }
            },
        };
        self.last[tensor] = Some((leaf, bytes));
        decode(shape.dtype, bytes, index)
    }
}

/// Judges a claim.
///
/// # Errors
/// When it cannot be judged; see [`ClaimError`].
pub fn verify(claim: &Claim, openings: &[Opening]) -> Result<Verdict, ClaimError> {
    let program = claim.op.program()?;
    if claim.roots.len() != program.tensors.len() {
        return Err(ClaimError::Roots { expected: program.tensors.len(), given: claim.roots.len() });
    }
    let none = ClaimError::NoSuchLeaf { tensor: claim.tensor, leaf: claim.leaf };
    let def = program.tensors.get(claim.tensor).ok_or(none.clone())?;
    let rule = def.rule.as_ref().ok_or(none.clone())?;
    let rectangle = def.shape.rectangle(claim.leaf).ok_or(none)?;
    let rows = match claim.row {
        Some(row) if row < rectangle.rows => row..row + 1,
        None if !def.by_row => 0..rectangle.rows,
        _ => return Err(ClaimError::Row),
    };
    let leaves = check_openings(claim, &program, openings)?;
    let key = (claim.tensor, claim.leaf);
    let claimed = *leaves.get(&key).ok_or(ClaimError::Missing { tensor: key.0, leaf: key.1 })?;
    let last = vec![None; program.tensors.len()];
    let mut read = Opened { program: &program, leaves, last, missing: None };
    let (mut computed, width) = (Vec::new(), (rectangle.cols * def.shape.dtype.bytes()) as usize);
    let mut finite = true;
    let mut whole = def.leaf_rule.as_ref().map(|rule| {
        let from = At { row: rectangle.from.row + rows.start, ..rectangle.from };
        rule(&mut read, Rectangle { from, rows: rows.end - rows.start, ..rectangle }).into_iter()
    });
    for row in rows.clone() {
        for col in 0..rectangle.cols {
            let at = At { row: rectangle.from.row + row, col: rectangle.from.col + col, ..rectangle.from };
            let value = match &mut whole {
                Some(values) => values.next().unwrap_or(f64::NAN),
                None => rule(&mut read, at),
            };
            encode(def.shape.dtype, value, &mut computed);
            finite &= decode(def.shape.dtype, claimed, (row * rectangle.cols + col) as usize).is_finite();
            if let Some((tensor, leaf)) = read.missing {
                return Err(ClaimError::Missing { tensor, leaf });
            }
        }
    }
    let same = computed == claimed[rows.start as usize * width..rows.end as usize * width];
    Ok(if same && (finite || !def.finite) { Verdict::Right } else { Verdict::Wrong })
}

fn check_openings<'a>(
    claim: &Claim,
    program: &Program,
    openings: &'a [Opening],
) -> Result<BTreeMap<(usize, u64), &'a [u8]>, ClaimError> {
    if openings.len() > OPENINGS_MAX || openings.iter().map(Opening::size).sum::<usize>() > OPENED_BYTES_MAX {
        return Err(ClaimError::TooLarge);
    }
    let mut leaves = BTreeMap::new();
    for (i, opening) in openings.iter().enumerate() {
        let bad = ClaimError::BadOpening(i);
        let shape = program.tensors.get(opening.tensor).ok_or(bad.clone())?.shape;
        let leaf = opening.proof.index;
        let sized = shape.leaf_bytes(leaf) == Some(opening.bytes.len() as u64)
            && opening.proof.count == shape.leaves();
        if !sized || !opening.proof.verify(&claim.roots[opening.tensor], &leaf_digest(&opening.bytes)) {
            return Err(bad);
        }
        leaves.insert((opening.tensor, leaf), opening.bytes.as_slice());
    }
    Ok(leaves)
}
