//! What a backward pass can hand out on its way: for each linear layer the inputs and output gradients of every row, from which
//! any per-example or per-group gradient follows, and the root of every operation's output.
//!
//! The gradient of example `e` for a layer is `output_gradients[e]^T inputs[e]`, over the example's rows; the batch's gradient is
//! the sum of these in order, to the bit (see [`ops::matmul_tn_examples`]).

use ops::{Ctx, Examples, matmul_tn_each, matmul_tn_examples};

/// A linear layer as taps see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinearInfo<'a> {
    /// Number of the layer; LoRA factors have the number of the layer they change.
    pub index: usize,
    /// Module name; LoRA factors end in `.lora_A` or `.lora_B`.
    pub name: &'a str,
    /// Width of the input.
    pub inputs: usize,
    /// Width of the output.
    pub outputs: usize,
}

/// One linear layer's part of a backward pass.
#[derive(Clone, Copy, Debug)]
pub struct LinearTap<'a> {
    /// Which layer.
    pub linear: LinearInfo<'a>,
    /// Rows of each example.
    pub examples: Examples<'a>,
    /// Inputs, rows x `inputs`.
    pub inputs: &'a [f32],
    /// Gradients of the loss by the outputs, rows x `outputs`, with the scale of [`crate::network::LossScale`].
    pub output_gradients: &'a [f32],
}

impl LinearTap<'_> {
    /// The gradient of every example, `examples` x `outputs` x `inputs`.
    pub fn example_gradients(&self, ctx: &Ctx) -> Vec<f32> {
        let (m, n) = (self.linear.outputs, self.linear.inputs);
        let mut out = vec![0f32; self.examples.count() * m * n];
        matmul_tn_each(ctx, m, n, self.examples, self.output_gradients, m, self.inputs, n, &mut out);
        out
    }

    /// The sum of all examples' gradients, in order: `outputs` x `inputs`.
    pub fn gradient(&self, ctx: &Ctx) -> Vec<f32> {
        let (m, n) = (self.linear.outputs, self.linear.inputs);
        let mut out = vec![0f32; m * n];
        matmul_tn_examples(
            ctx,
            m,
            n,
            self.examples,
            self.output_gradients,
            m,
            self.inputs,
            n,
            &mut out,
            n,
            true,
        );
        out
    }
}

/// Receives the taps of a backward pass, last layer first.
pub trait Taps {
    /// Whether to be called for this layer.
    fn wants(&self, _linear: &LinearInfo<'_>) -> bool {
        true
    }

    /// A layer's inputs and output gradients.
    fn linear(&mut self, tap: LinearTap<'_>);
}

/// Receives every operation's output, in the order of execution.
pub trait OpTrace {
    /// `name` says layer and operation; `output` is what it computed.
    fn op(&mut self, name: &str, output: &[f32]);
}

/// Everything that a pass may hand out.
#[derive(Default)]
pub struct Hooks<'a> {
    /// Linear layers of the backward pass.
    pub taps: Option<&'a mut dyn Taps>,
    /// Outputs of all operations.
    pub trace: Option<&'a mut dyn OpTrace>,
}

impl std::fmt::Debug for Hooks<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hooks")
            .field("taps", &self.taps.is_some())
            .field("trace", &self.trace.is_some())
            .finish()
    }
}

impl<'a> Hooks<'a> {
    /// Nothing is handed out.
    pub fn none() -> Hooks<'static> {
        Hooks::default()
    }

    /// Only taps.
    pub fn taps(taps: &'a mut dyn Taps) -> Hooks<'a> {
        Hooks { taps: Some(taps), trace: None }
    }

    pub(crate) fn op(&mut self, layer: Option<usize>, name: &str, output: &[f32]) {
        if let Some(trace) = self.trace.as_deref_mut() {
            match layer {
                Some(layer) => trace.op(&format!("layer {layer} {name}"), output),
                None => trace.op(name, output),
            }
        }
    }

    pub(crate) fn wants(&self, linear: &LinearInfo<'_>) -> bool {
        self.taps.as_ref().is_some_and(|t| t.wants(linear))
    }

    pub(crate) fn linear(&mut self, tap: LinearTap<'_>) {
        if let Some(taps) = self.taps.as_deref_mut() {
            taps.linear(tap);
        }
    }
}

/// Sums the gradients of linear layers by group of examples (contributors, say), without a second pass.
#[derive(Debug)]
pub struct GroupSums {
    ctx: Ctx,
    groups: usize,
    group_of: Vec<usize>,
    sums: Vec<Option<Vec<f32>>>,
}

impl GroupSums {
    /// `group_of[e]` is the group of the batch's example `e`; groups are `0..groups`.
    ///
    /// # Panics
    /// When a group is out of range.
    pub fn new(ctx: Ctx, groups: usize, group_of: Vec<usize>) -> GroupSums {
        assert!(group_of.iter().all(|g| *g < groups), "group sums: groups are 0..{groups}");
        GroupSums { ctx, groups, group_of, sums: Vec::new() }
    }

    /// Names the groups of the next batch's examples; sums go on.
    ///
    /// # Panics
    /// When a group is out of range.
    pub fn next_batch(&mut self, group_of: Vec<usize>) {
        assert!(group_of.iter().all(|g| *g < self.groups), "group sums: groups are 0..{}", self.groups);
        self.group_of = group_of;
    }

    /// Sums of a layer, groups x `outputs` x `inputs`, if it was seen.
    pub fn layer(&self, index: usize) -> Option<&[f32]> {
        self.sums.get(index)?.as_deref()
    }
}

impl Taps for GroupSums {
    fn wants(&self, linear: &LinearInfo<'_>) -> bool {
        !linear.name.ends_with(".lora_A") && !linear.name.ends_with(".lora_B")
    }

    fn linear(&mut self, tap: LinearTap<'_>) {
        let (m, n) = (tap.linear.outputs, tap.linear.inputs);
        let index = tap.linear.index;
        if self.sums.len() <= index {
            self.sums.resize(index + 1, None);
        }
        let groups = self.groups;
        let sums = self.sums[index].get_or_insert_with(|| vec![0f32; groups * m * n]);
        for (e, rows) in tap.examples.ranges().enumerate() {
            let Some(group) = self.group_of.get(e) else { break };
            let end = [rows.len()];
            let (dy, x) = (
                &tap.output_gradients[rows.start * m..rows.end * m],
                &tap.inputs[rows.start * n..rows.end * n],
            );
            let sum = &mut sums[group * m * n..(group + 1) * m * n];
            matmul_tn_examples(&self.ctx, m, n, Examples::one(&end), dy, m, x, n, sum, n, true);
        }
    }
}
