//! Gradient rows of a classifier with ReLU layers: a multilayer perceptron, or logistic regression when it has one layer.
//!
//! For an item with logits `o`, `p = softmax(o)` and label `y`, the loss `-ln p_y` has the logit gradient `p - 1_y`, and its
//! Gauss-Newton matrix by the logits is `diag(p) - p p^T = R R^T` with columns `R_c = sqrt(p_c) (1_c - p)`. Sent backward, each `R_c`
//! gives a curvature row (Martens, "New Insights and Perspectives on the Natural Gradient Method", section 8).

use super::dual::{Rows, RowsOfLayer};
use ops::{Ctx, matmul_nn, matmul_nt, softmax_fwd};

/// One layer: `out = W in + b`.
#[derive(Clone, Debug)]
pub struct Dense {
    /// `[outputs, inputs]`.
    pub weight: Vec<f32>,
    /// `[outputs]`.
    pub bias: Vec<f32>,
}

/// A classifier: ReLU after every layer but the last.
#[derive(Clone, Debug)]
pub struct Perceptron {
    layers: Vec<Dense>,
}

/// What a forward pass leaves.
struct Forward {
    /// Input of each layer with a one appended (for the bias), `[items, width + 1]`.
    inputs: Vec<Vec<f32>>,
    /// `[items, classes]`.
    probabilities: Vec<f32>,
}

impl Perceptron {
    /// From its layers; `None` when their widths do not chain.
    pub fn new(layers: Vec<Dense>) -> Option<Perceptron> {
        let fits = |layer: &Dense| {
            !layer.bias.is_empty()
                && !layer.weight.is_empty()
                && layer.weight.len().is_multiple_of(layer.bias.len())
        };
        let chains = |pair: &[Dense]| pair[0].bias.len() * pair[1].bias.len() == pair[1].weight.len();
        (!layers.is_empty() && layers.iter().all(fits) && layers.windows(2).all(chains))
            .then_some(Perceptron { layers })
    }

    /// Width of an item.
    pub fn inputs(&self) -> usize {
        self.layers[0].weight.len() / self.layers[0].bias.len()
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.layers[self.layers.len() - 1].bias.len()
    }

    fn forward(&self, ctx: &Ctx, items: &[f32]) -> Forward {
        let count = items.len() / self.inputs();
        let mut inputs = vec![];
        let mut values = items.to_vec();
        for (i, layer) in self.layers.iter().enumerate() {
            let (m, k) = (layer.bias.len(), layer.weight.len() / layer.bias.len());
            let mut out = vec![0.0; count * m];
            matmul_nt(ctx, count, m, k, &values, k, &layer.weight, k, &mut out, m, false);
            ops::add_bias(ctx, &layer.bias, &mut out);
            let mut with_one = Vec::with_capacity(count * (k + 1));
            for row in values.chunks_exact(k) {
                with_one.extend_from_slice(row);
                with_one.push(1.0);
            }
            inputs.push(with_one);
            if i + 1 < self.layers.len() {
                out.iter_mut().for_each(|x| *x = if *x > 0.0 { *x } else { 0.0 });
            }
            values = out;
        }
        softmax_fwd(ctx, self.classes(), &mut values);
        Forward { inputs, probabilities: values }
    }

    /// Sends `per_item` output gradients an item backward and collects all layers' factors.
    fn backward(&self, ctx: &Ctx, forward: &Forward, outputs: Vec<f32>, per_item: usize) -> Rows {
        let count = outputs.len() / self.classes();
        let mut layers = vec![RowsOfLayer::default(); self.layers.len()];
        let mut gradients = outputs;
        for (i, layer) in self.layers.iter().enumerate().rev() {
            let (m, k) = (layer.bias.len(), layer.weight.len() / layer.bias.len());
            let mut inputs = Vec::with_capacity(count * (k + 1));
            for row in forward.inputs[i].chunks_exact(k + 1) {
                (0..per_item).for_each(|_| inputs.extend_from_slice(row));
            }
            let mut below = vec![0.0; count * k];
            matmul_nn(ctx, count, k, m, &gradients, m, &layer.weight, k, &mut below, k, false);
            for (below, row) in below.chunks_exact_mut(k).zip(inputs.chunks_exact(k + 1)) {
                below.iter_mut().zip(row).for_each(|(d, x)| *d = if *x > 0.0 { *d } else { 0.0 });
            }
            layers[i] = RowsOfLayer { inputs_width: k + 1, inputs, gradients_width: m, gradients };
            gradients = below;
        }
        Rows { layers, count }
    }

    /// Gradient of each item's loss, one row an item. `items` is `[labels, inputs]`.
    ///
    /// # Panics
    /// When the shapes disagree or a label is no class.
    pub fn gradients(&self, ctx: &Ctx, items: &[f32], labels: &[u32]) -> Rows {
        assert_eq!(items.len(), labels.len() * self.inputs(), "one label an item");
        let forward = self.forward(ctx, items);
        let mut outputs = forward.probabilities.clone();
        for (row, label) in outputs.chunks_exact_mut(self.classes()).zip(labels) {
            row[*label as usize] -= 1.0;
        }
        self.backward(ctx, &forward, outputs, 1)
    }

    /// Curvature rows, `classes` an item. `items` is `[count, inputs]`.
    pub fn curvature(&self, ctx: &Ctx, items: &[f32]) -> Rows {
        let (forward, classes) = (self.forward(ctx, items), self.classes());
        let mut outputs = Vec::with_capacity(forward.probabilities.len() * classes);
        for p in forward.probabilities.chunks_exact(classes) {
            for c in 0..classes {
                let root = p[c].sqrt();
                outputs.extend((0..classes).map(|j| root * (if j == c { 1.0 } else { 0.0 } - p[j])));
            }
        }
        self.backward(ctx, &forward, outputs, classes)
    }

    /// Loss of each item.
    pub fn losses(&self, ctx: &Ctx, items: &[f32], labels: &[u32]) -> Vec<f64> {
        let forward = self.forward(ctx, items);
        let rows = forward.probabilities.chunks_exact(self.classes());
        rows.zip(labels).map(|(p, y)| -ops::math64::ln(f64::from(p[*y as usize]))).collect()
    }
}
