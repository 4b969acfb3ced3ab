//! The full trace of an op, from which claims are opened.

use super::program::{Program, Read};
use super::{At, Claim, ClaimError, Op, Opening, Tensor};
use std::collections::BTreeSet;

/// Every tensor of an op's program, computed by its rules: slow, plain, and what the fast kernels must equal.
pub struct Trace {
    op: Op,
    program: Program,
    tensors: Vec<Tensor>,
}

impl Trace {
    /// Computes an op from its inputs, in the program's order.
    ///
    /// # Errors
    /// [`ClaimError::Shape`] when the op's shape is not valid or an input does not have its shape.
    pub fn new(op: Op, inputs: Vec<Tensor>) -> Result<Trace, ClaimError> {
        let program = op.program()?;
        let mut inputs = inputs.into_iter();
        let mut values = Vec::with_capacity(program.tensors.len());
        for def in &program.tensors {
            values.push(match &def.rule {
                None => Values::Given(
                    inputs
                        .next()
                        .filter(|t| t.shape == def.shape)
                        .ok_or(ClaimError::Shape("inputs are not those of the op, in its order"))?,
                ),
                Some(_) => Values::Computed(vec![None; def.shape.len() as usize]),
            });
        }
        let mut lazy = Lazy { program: &program, values };
        for (i, def) in program.tensors.iter().enumerate().filter(|(_, def)| def.rule.is_some()) {
            for depth in 0..def.shape.depth {
                for row in 0..def.shape.rows {
                    for col in 0..def.shape.cols {
                        lazy.get(i, At { depth, row, col });
                    }
                }
            }
        }
        let mut tensors = Vec::with_capacity(program.tensors.len());
        for (def, values) in program.tensors.iter().zip(lazy.values) {
            tensors.push(match values {
                Values::Given(tensor) => tensor,
                Values::Computed(values) => {
                    Tensor::new(def.shape, |at| values[index(&def.shape, at)].unwrap_or(0.0))
                }
            });
        }
        Ok(Trace { op, program, tensors })
    }

    /// A trace of tensors that were computed elsewhere, by the fast kernels as a rule.
    ///
    /// # Errors
    /// [`ClaimError::Shape`] when the op's shape is not valid or a tensor does not have its shape.
    pub fn from_tensors(op: Op, tensors: Vec<Tensor>) -> Result<Trace, ClaimError> {
        let program = op.program()?;
        let fits = tensors.len() == program.tensors.len();
        if !fits || tensors.iter().zip(&program.tensors).any(|(t, def)| t.shape != def.shape) {
            return Err(ClaimError::Shape("tensors are not those of the op, in its order"));
        }
        Ok(Trace { op, program, tensors })
    }

    /// The tensors, in the program's order.
    pub fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }

    /// The tensor of that name.
    pub fn tensor(&self, name: &str) -> Option<&Tensor> {
        self.program.tensors.iter().position(|t| t.name == name).map(|i| &self.tensors[i])
    }

    /// The program.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// Puts another tensor in a place: a liar's commitment.
    pub fn replace(&mut self, index: usize, tensor: Tensor) {
        self.tensors[index] = tensor;
    }

    /// A claim about a leaf (or one of its rows) with every leaf that it needs opened.
    ///
    /// # Errors
    /// When there is no such leaf or row.
    pub fn claim(
        &self,
        tensor: usize,
        leaf: u64,
        row: Option<u64>,
    ) -> Result<(Claim, Vec<Opening>), ClaimError> {
        let none = ClaimError::NoSuchLeaf { tensor, leaf };
        let def = self.program.tensors.get(tensor).ok_or(none.clone())?;
        let rule = def.rule.as_ref().ok_or(none.clone())?;
        let r = def.shape.rectangle(leaf).ok_or(none)?;
        let rows = match row {
            Some(row) if row < r.rows => row..row + 1,
            None => 0..r.rows,
            Some(_) => return Err(ClaimError::Row),
        };
        let mut read = Recorder { tensors: &self.tensors, seen: BTreeSet::from([(tensor, leaf)]) };
        for row in rows {
            for col in 0..r.cols {
                rule(&mut read, At { row: r.from.row + row, col: r.from.col + col, ..r.from });
            }
        }
        let openings = read
            .seen
            .iter()
            .map(|(tensor, leaf)| {
                let t = &self.tensors[*tensor];
                let proof = t.tree().prove(*leaf).expect("a leaf of the tensor");
                Opening { tensor: *tensor, bytes: t.leaves()[*leaf as usize].clone(), proof }
            })
            .collect();
        let roots = self.tensors.iter().map(Tensor::root).collect();
        Ok((Claim { op: self.op.clone(), roots, tensor, leaf, row }, openings))
    }
}

/// Row-major index of an element.
fn index(shape: &super::Shape, at: At) -> usize {
    ((at.depth * shape.rows + at.row) * shape.cols + at.col) as usize
}

enum Values {
    Given(Tensor),
    Computed(Vec<Option<f64>>),
}

/// Computes elements when they are first read, since some tensors depend on each other's earlier elements.
struct Lazy<'a> {
    program: &'a Program,
    values: Vec<Values>,
}

impl Read for Lazy<'_> {
    fn get(&mut self, tensor: usize, at: At) -> f64 {
        let program = self.program;
        let def = &program.tensors[tensor];
        if def.shape.place(at).is_none() {
            return 0.0;
        }
        let i = index(&def.shape, at);
        match (&self.values[tensor], &def.rule) {
            (Values::Given(t), _) => t.get(at),
            (Values::Computed(values), Some(rule)) => match values[i] {
                Some(value) => value,
                None => {
                    let value = rule(self, at);
                    if let Values::Computed(values) = &mut self.values[tensor] {
                        values[i] = Some(value);
                    }
                    value
                }
            },
            (Values::Computed(_), None) => 0.0,
        }
    }
}

/// Reads a whole trace and notes which leaves were read.
struct Recorder<'a> {
    tensors: &'a [Tensor],
    seen: BTreeSet<(usize, u64)>,
}

impl Read for Recorder<'_> {
    fn get(&mut self, tensor: usize, at: At) -> f64 {
        let t = &self.tensors[tensor];
        if let Some((leaf, _)) = t.shape.place(at) {
            self.seen.insert((tensor, leaf));
        }
        t.get(at)
    }
}
