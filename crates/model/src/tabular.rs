//! Multilayer perceptrons with ReLU, and logistic regression (a perceptron without hidden layers), over rows of numbers.
//!
//! The same taps as transformers: every row is an example of its own. Attribution measures itself on these first, since they can be
//! trained again by the hundred.

use crate::layout::Role;
use crate::network::LossScale;
use crate::optimizer::{Optimizer, OptimizerOptions, ParameterSpec};
use crate::taps::{Hooks, LinearInfo, LinearTap};
use ops::{
    Ctx, Examples, Stream, add_bias, column_sums, cross_entropy_bwd, cross_entropy_fwd, matmul_nn, matmul_nt,
    matmul_tn_examples, relu_bwd, relu_fwd, softmax_fwd,
};

/// Most layers.
pub const LAYERS_MAX: usize = 64;
/// Widest layer.
pub const WIDTH_MAX: usize = 1 << 16;
/// First stream of initial weights: layer `i` uses `PERCEPTRON_STREAM + i`.
pub const PERCEPTRON_STREAM: u64 = 5 << 32;

/// A perceptron that cannot be, or rows that do not fit it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TabularError {
    /// Widths out of range.
    #[error("a perceptron needs 2 to {LAYERS_MAX} widths of 1 to {WIDTH_MAX}, got {0:?}")]
    Widths(Vec<usize>),
    /// Rows that are not whole, or a label for each is missing.
    #[error("{values} values and {labels} labels are not rows of {width}")]
    Rows {
        /// Values given.
        values: usize,
        /// Labels given.
        labels: usize,
        /// Width of a row.
        width: usize,
    },
    /// A label that is no class.
    #[error("label {label} of row {row} is outside the {classes} classes")]
    Label {
        /// The row.
        row: usize,
        /// Its label.
        label: u32,
        /// Classes there are.
        classes: usize,
    },
    /// NaN or infinity.
    #[error("value {0} is NaN or infinite")]
    NonFinite(usize),
}

/// A perceptron: linear layers with biases, ReLU between them, classes at the end.
#[derive(Clone, Debug, PartialEq)]
pub struct Perceptron {
    widths: Vec<usize>,
    /// Weight (`outputs` x `inputs`) and bias of each layer in turn.
    tensors: Vec<Vec<f32>>,
}

/// Rows with labels.
#[derive(Clone, Debug, PartialEq)]
pub struct Rows {
    values: Vec<f32>,
    labels: Vec<u32>,
    ends: Vec<usize>,
}

impl Rows {
    /// Rows of `width` values (as many as the perceptron's inputs), one label each.
    ///
    /// # Errors
    /// When they are not whole, not finite, or a label is no class of `model`.
    pub fn new(model: &Perceptron, values: Vec<f32>, labels: Vec<u32>) -> Result<Rows, TabularError> {
        let (width, classes) = (model.inputs(), model.classes());
        if values.len() != labels.len() * width {
            return Err(TabularError::Rows { values: values.len(), labels: labels.len(), width });
        }
        if let Some(row) = labels.iter().position(|l| *l as usize >= classes) {
            return Err(TabularError::Label { row, label: labels[row], classes });
        }
        if let Some(at) = values.iter().position(|v| !v.is_finite()) {
            return Err(TabularError::NonFinite(at));
        }
        let ends = (1..=labels.len()).collect();
        Ok(Rows { values, labels, ends })
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Labels.
    pub fn labels(&self) -> &[u32] {
        &self.labels
    }

    /// Values, row by row.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The rows of those numbers, in that order.
    ///
    /// # Panics
    /// When there is no such row.
    pub fn pick(&self, rows: &[usize]) -> Rows {
        let width = self.values.len().checked_div(self.len()).unwrap_or(0);
        Rows {
            values: rows.iter().flat_map(|r| &self.values[r * width..(r + 1) * width]).copied().collect(),
            labels: rows.iter().map(|r| self.labels[*r]).collect(),
            ends: (1..=rows.len()).collect(),
        }
    }
}

impl Perceptron {
    /// Initial weights: normals of deviation `sqrt(2 / inputs)` (He et al., 2015), zero for the last layer's biases and all others'.
    ///
    /// # Errors
    /// When the widths are out of range. Two widths are logistic regression.
    pub fn initial(widths: &[usize], seed: u64) -> Result<Perceptron, TabularError> {
        let valid =
            (2..=LAYERS_MAX).contains(&widths.len()) && widths.iter().all(|w| (1..=WIDTH_MAX).contains(w));
        if !valid {
            return Err(TabularError::Widths(widths.to_vec()));
        }
        let mut tensors = Vec::new();
        for (i, pair) in widths.windows(2).enumerate() {
            let mut weight = vec![0f32; pair[0] * pair[1]];
            Stream::new(seed, PERCEPTRON_STREAM + i as u64).fill_normal(0, &mut weight);
            let deviation = (2.0 / pair[0] as f32).sqrt();
            weight.iter_mut().for_each(|v| *v *= deviation);
            tensors.push(weight);
            tensors.push(vec![0f32; pair[1]]);
        }
        Ok(Perceptron { widths: widths.to_vec(), tensors })
    }

    /// Width of a row.
    pub fn inputs(&self) -> usize {
        self.widths[0]
    }

    /// Classes.
    pub fn classes(&self) -> usize {
        self.widths[self.widths.len() - 1]
    }

    /// Widths, inputs first.
    pub fn widths(&self) -> &[usize] {
        &self.widths
    }

    /// Weight (`outputs` x `inputs`) and bias of each layer in turn.
    pub fn tensors(&self) -> &[Vec<f32>] {
        &self.tensors
    }

    /// The same, to write.
    pub fn tensors_mut(&mut self) -> &mut [Vec<f32>] {
        &mut self.tensors
    }

    /// A set of tensors of the same shapes, all zero.
    pub fn zeros(&self) -> Vec<Vec<f32>> {
        self.tensors.iter().map(|t| vec![0f32; t.len()]).collect()
    }

    /// A fresh optimiser for it.
    pub fn optimizer(&self, options: OptimizerOptions) -> Optimizer {
        let mut specs = Vec::new();
        for (i, pair) in self.widths.windows(2).enumerate() {
            specs.push(ParameterSpec {
                name: format!("layers.{i}.weight"),
                shape: vec![pair[1], pair[0]],
                role: Role::Linear,
            });
            specs.push(ParameterSpec {
                name: format!("layers.{i}.bias"),
                shape: vec![pair[1]],
                role: Role::Bias,
            });
        }
        Optimizer::new(options, specs)
    }

    /// Inputs of every layer, then the logits.
    fn forward(&self, ctx: &Ctx, rows: &Rows) -> Vec<Vec<f32>> {
        let n = rows.len();
        let mut inputs = vec![rows.values.clone()];
        for (i, pair) in self.widths.windows(2).enumerate() {
            let (k, m) = (pair[0], pair[1]);
            let mut y = vec![0f32; n * m];
            matmul_nt(ctx, n, m, k, &inputs[i], k, &self.tensors[2 * i], k, &mut y, m, false);
            add_bias(ctx, &self.tensors[2 * i + 1], &mut y);
            if i + 2 < self.widths.len() {
                let mut active = vec![0f32; y.len()];
                relu_fwd(ctx, &y, &mut active);
                y = active;
            }
            inputs.push(y);
        }
        inputs
    }

    /// Logits, rows x classes.
    pub fn logits(&self, ctx: &Ctx, rows: &Rows) -> Vec<f32> {
        self.forward(ctx, rows).pop().unwrap_or_default()
    }

    /// Class probabilities, rows x classes.
    pub fn probabilities(&self, ctx: &Ctx, rows: &Rows) -> Vec<f32> {
        let mut out = self.logits(ctx, rows);
        softmax_fwd(ctx, self.classes(), &mut out);
        out
    }

    /// Inputs of the last layer, rows x width: the features that nearest-neighbour methods compare.
    pub fn features(&self, ctx: &Ctx, rows: &Rows) -> Vec<f32> {
        let mut all = self.forward(ctx, rows);
        all.pop();
        all.pop().unwrap_or_default()
    }

    /// Cross-entropy of each row.
    pub fn losses(&self, ctx: &Ctx, rows: &Rows) -> Vec<f32> {
        let (mut loss, mut stats) = (vec![0f32; rows.len()], vec![0f32; 2 * rows.len()]);
        cross_entropy_fwd(ctx, self.classes(), &self.logits(ctx, rows), &rows.labels, &mut loss, &mut stats);
        loss
    }

    /// One forward and backward pass: losses of the rows; gradients are added to `gradients` (as [`Perceptron::zeros`]).
    ///
    /// # Panics
    /// When `gradients` has other shapes.
    pub fn forward_backward(
        &self,
        ctx: &Ctx,
        rows: &Rows,
        scale: LossScale,
        mut gradients: Option<&mut [Vec<f32>]>,
        hooks: &mut Hooks<'_>,
    ) -> Vec<f32> {
        let (n, classes) = (rows.len(), self.classes());
        let mut inputs = self.forward(ctx, rows);
        let mut dy = inputs.pop().unwrap_or_default();
        let (mut loss, mut stats) = (vec![0f32; n], vec![0f32; 2 * n]);
        cross_entropy_fwd(ctx, classes, &dy, &rows.labels, &mut loss, &mut stats);
        let scales = vec![scale.factor(n); n];
        cross_entropy_bwd(ctx, classes, &rows.labels, &stats, &scales, &mut dy);
        let examples = Examples::new(&rows.ends).expect("ends ascend by construction");
        for (i, pair) in self.widths.windows(2).enumerate().rev() {
            let (k, m) = (pair[0], pair[1]);
            let x = &inputs[i];
            if let Some(g) = gradients.as_deref_mut() {
                matmul_tn_examples(ctx, m, k, examples, &dy, m, x, k, &mut g[2 * i], k, true);
                column_sums(ctx, examples, m, &dy, m, &mut g[2 * i + 1]);
            }
            let name = format!("layers.{i}");
            let linear = LinearInfo { index: i, name: &name, inputs: k, outputs: m };
            if hooks.wants(&linear) {
                hooks.linear(LinearTap { linear, examples, inputs: x, output_gradients: &dy });
            }
            if i > 0 {
                let mut dx = vec![0f32; n * k];
                matmul_nn(ctx, n, k, m, &dy, m, &self.tensors[2 * i], k, &mut dx, k, false);
                // ReLU's gradient by its output: positive exactly where its input was.
                relu_bwd(ctx, x, &mut dx);
                dy = dx;
            }
        }
        loss
    }

    /// Trains on all rows, in batches of an order drawn from `seed`; returns the mean loss of each epoch.
    pub fn train(&mut self, ctx: &Ctx, rows: &Rows, options: &PerceptronTraining) -> Vec<f64> {
        let mut optimizer = self.optimizer(options.optimizer);
        let mut gradients = self.zeros();
        let mut sampler =
            crate::data::Sampler::new(crate::data::Order::Shuffled, options.seed, rows.len() as u64);
        let mut epochs = Vec::new();
        for epoch in 0..options.epochs {
            let mut sum = 0f64;
            for first in (0..rows.len()).step_by(options.batch.max(1)) {
                let last = (first + options.batch.max(1)).min(rows.len());
                let Ok(sampler) = &mut sampler else { return epochs };
                let slots =
                    (first..last).map(|slot| sampler.at(epoch * rows.len() as u64 + slot as u64) as usize);
                let batch = rows.pick(&slots.collect::<Vec<_>>());
                gradients.iter_mut().for_each(|g| g.fill(0.0));
                let loss = self.forward_backward(
                    ctx,
                    &batch,
                    LossScale::Mean,
                    Some(&mut gradients),
                    &mut Hooks::none(),
                );
                optimizer.step(ctx, options.rate, self.tensors.iter_mut(), gradients.iter());
                sum += ops::sum(ctx, &loss);
            }
            epochs.push(sum / rows.len() as f64);
        }
        epochs
    }
}

/// How a perceptron is trained.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PerceptronTraining {
    /// Passes over the data.
    pub epochs: u64,
    /// Rows of a step.
    pub batch: usize,
    /// Learning rate, constant.
    pub rate: f32,
    /// Optimiser.
    pub optimizer: OptimizerOptions,
    /// Seed of the order.
    pub seed: u64,
}

#[cfg(test)]
mod tests;
