//! Optimisers: AdamW, Muon and SGD, each made of ops, with their state in the open.

use crate::layout::Role;
use ops::{Ctx, adamw_step, add, add_scaled, newton_schulz, scale, sgd_step};
use serde::{Deserialize, Serialize};

/// Which optimiser, with its constants. The learning rate comes from the schedule.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum OptimizerOptions {
    /// AdamW; weight decay on matrices only.
    Adamw {
        /// Decay of the first moment.
        beta1: f32,
        /// Decay of the second moment.
        beta2: f32,
        /// Added to the root of the second moment.
        eps: f32,
        /// Decoupled decay of matrices.
        weight_decay: f32,
    },
    /// Muon (K. Jordan, 2024): matrices of the blocks step along the orthogonal factor of their momentum; embeddings, head, norms
    /// and biases by AdamW at `adamw_ratio` times the learning rate.
    Muon {
        /// Decay of the momentum (Nesterov).
        momentum: f32,
        /// Decoupled decay of matrices.
        weight_decay: f32,
        /// Learning rate of the AdamW part, as a multiple.
        adamw_ratio: f32,
    },
    /// SGD with momentum and L2 decay.
    Sgd {
        /// Decay of the momentum.
        momentum: f32,
        /// L2 decay.
        weight_decay: f32,
    },
}

impl OptimizerOptions {
    /// AdamW as GPT-2 sized models use it.
    pub fn adamw() -> OptimizerOptions {
        OptimizerOptions::Adamw { beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: 0.1 }
    }

    /// Muon with the published constants; learning rate about 0.02.
    pub fn muon() -> OptimizerOptions {
        OptimizerOptions::Muon { momentum: 0.95, weight_decay: 0.0, adamw_ratio: 0.15 }
    }

    /// Whether every constant lies in its range.
    pub fn is_valid(&self) -> bool {
        let decay = |v: f32| (0.0..1.0).contains(&v);
        let weight = |v: f32| (0.0..=10.0).contains(&v);
        match *self {
            OptimizerOptions::Adamw { beta1, beta2, eps, weight_decay } => {
                decay(beta1) && decay(beta2) && eps > 0.0 && eps < 1.0 && weight(weight_decay)
            }
            OptimizerOptions::Muon { momentum, weight_decay, adamw_ratio } => {
                decay(momentum) && weight(weight_decay) && adamw_ratio > 0.0 && adamw_ratio <= 100.0
            }
            OptimizerOptions::Sgd { momentum, weight_decay } => decay(momentum) && weight(weight_decay),
        }
    }

    fn rule(&self, role: Role) -> Rule {
        let matrix = !matches!(role, Role::Norm | Role::Bias);
        match *self {
            OptimizerOptions::Adamw { beta1, beta2, eps, weight_decay } => {
                let weight_decay = if matrix { weight_decay } else { 0.0 };
                Rule::Adamw { ratio: 1.0, h: ops::AdamW { lr: 0.0, beta1, beta2, eps, weight_decay } }
            }
            OptimizerOptions::Muon { momentum, weight_decay, .. }
                if matches!(role, Role::Linear | Role::Residual) =>
            {
                Rule::Muon { momentum, weight_decay }
            }
            OptimizerOptions::Muon { adamw_ratio, .. } => {
                let h = ops::AdamW { lr: 0.0, beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: 0.0 };
                Rule::Adamw { ratio: adamw_ratio, h }
            }
            OptimizerOptions::Sgd { momentum, weight_decay } => Rule::Sgd { momentum, weight_decay },
        }
    }
}

#[derive(Clone, Copy)]
enum Rule {
    Adamw { ratio: f32, h: ops::AdamW },
    Muon { momentum: f32, weight_decay: f32 },
    Sgd { momentum: f32, weight_decay: f32 },
}

/// What an optimiser knows of a tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParameterSpec {
    /// Name.
    pub name: String,
    /// Shape.
    pub shape: Vec<usize>,
    /// Role, which decides the rule.
    pub role: Role,
}

/// An optimiser's state: its moments, tensor by tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct Optimizer {
    options: OptimizerOptions,
    specs: Vec<ParameterSpec>,
    step: u64,
    first: Vec<Vec<f32>>,
    /// Empty for tensors whose rule has one moment only.
    second: Vec<Vec<f32>>,
}

impl Optimizer {
    /// A fresh state: all moments zero, no step done.
    pub fn new(options: OptimizerOptions, specs: Vec<ParameterSpec>) -> Optimizer {
        let len = |s: &ParameterSpec| s.shape.iter().product::<usize>();
        let first = specs.iter().map(|s| vec![0f32; len(s)]).collect();
        let second = specs
            .iter()
            .map(|s| {
                if matches!(options.rule(s.role), Rule::Adamw { .. }) {
                    vec![0f32; len(s)]
                } else {
                    Vec::new()
                }
            })
            .collect();
        Optimizer { options, specs, step: 0, first, second }
    }

    /// Steps done.
    pub fn steps(&self) -> u64 {
        self.step
    }

    pub(crate) fn set_steps(&mut self, step: u64) {
        self.step = step;
    }

    /// Every moment with its name (`first.` or `second.` and the tensor's) and shape.
    pub fn moments(&self) -> impl Iterator<Item = (String, &[usize], &[f32])> {
        let named = |kind: &'static str| move |s: &ParameterSpec| format!("{kind}.{}", s.name);
        let first =
            self.specs.iter().zip(&self.first).map(move |(s, d)| (named("first")(s), &s.shape[..], &d[..]));
        let second = self.specs.iter().zip(&self.second).filter(|(_, d)| !d.is_empty());
        first.chain(second.map(move |(s, d)| (named("second")(s), &s.shape[..], &d[..])))
    }

    /// The same, to write.
    pub(crate) fn moments_mut(&mut self) -> impl Iterator<Item = (String, &[usize], &mut Vec<f32>)> {
        let first = self
            .specs
            .iter()
            .zip(&mut self.first)
            .map(|(s, d)| (format!("first.{}", s.name), &s.shape[..], d));
        let second = self.specs.iter().zip(&mut self.second).filter(|(_, d)| !d.is_empty());
        first.chain(second.map(|(s, d)| (format!("second.{}", s.name), &s.shape[..], d)))
    }

    /// Second moment of a tensor, where its rule has one.
    pub fn second_moment(&self, tensor: usize) -> Option<&[f32]> {
        self.second.get(tensor).map(Vec::as_slice).filter(|d| !d.is_empty())
    }

    /// One step of all tensors at a learning rate.
    ///
    /// # Panics
    /// When tensors and gradients are not those of the specs.
    pub fn step<'a>(
        &mut self,
        ctx: &Ctx,
        lr: f32,
        weights: impl Iterator<Item = &'a mut Vec<f32>>,
        gradients: impl Iterator<Item = &'a Vec<f32>>,
    ) {
        self.step += 1;
        let mut done = 0;
        for (i, (w, g)) in weights.zip(gradients).enumerate() {
            let spec = &self.specs[i];
            let m = &mut self.first[i];
            match self.options.rule(spec.role) {
                Rule::Adamw { ratio, h } => {
                    let h = ops::AdamW { lr: lr * ratio, ..h };
                    adamw_step(ctx, &h, self.step, w, g, m, &mut self.second[i]);
                }
                Rule::Sgd { momentum, weight_decay } => sgd_step(ctx, lr, momentum, weight_decay, w, g, m),
                Rule::Muon { momentum, weight_decay } => {
                    muon_step(ctx, &spec.shape, lr, momentum, weight_decay, w, g, m)
                }
            }
            done += 1;
        }
        assert_eq!(done, self.specs.len(), "optimizer: one weight and gradient for each tensor");
    }
}

/// `m = momentum m + g`, `u = orthogonal(g + momentum m)`, `w = (1 - lr wd) w - lr sqrt(max(1, rows / cols)) u`.
fn muon_step(
    ctx: &Ctx,
    shape: &[usize],
    lr: f32,
    momentum: f32,
    weight_decay: f32,
    w: &mut [f32],
    g: &[f32],
    m: &mut [f32],
) {
    let cols = shape.last().copied().unwrap_or(1).max(1);
    let rows = w.len() / cols;
    scale(ctx, momentum, m);
    add(ctx, g, m);
    let mut update = g.to_vec();
    add_scaled(ctx, momentum, m, &mut update);
    newton_schulz(ctx, rows, cols, &mut update);
    let stretch = (rows as f32 / cols as f32).sqrt();
    let stretch = if stretch > 1.0 { stretch } else { 1.0 };
    if weight_decay != 0.0 {
        scale(ctx, 1.0 - lr * weight_decay, w);
    }
    add_scaled(ctx, -(lr * stretch), &update, w);
}
