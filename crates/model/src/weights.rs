//! Named tensors of a model (or of its gradient, or of an optimiser's moments), in the layout's order.

use crate::config::{Config, ConfigError};
use crate::layout::{Layout, Role, TensorSpec};
use ops::{Ctx, NonFinite, Stream, check_finite, clear};

/// Number of the random stream that initial weights are drawn from; tensor `i` uses stream `INITIAL_STREAM + i`.
pub const INITIAL_STREAM: u64 = 1 << 32;

/// f32 tensors, one for each [`TensorSpec`] of a layout.
#[derive(Clone, Debug, PartialEq)]
pub struct Weights {
    data: Vec<Vec<f32>>,
}

/// A tensor that holds NaN or infinity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("tensor `{name}`: {source}")]
pub struct NonFiniteTensor {
    /// The tensor's name.
    pub name: String,
    /// Where in it.
    pub source: NonFinite,
}

impl Weights {
    /// All zeros.
    pub fn zeros(layout: &Layout) -> Weights {
        Weights { data: layout.tensors.iter().map(|t| vec![0f32; t.len()]).collect() }
    }

    /// Tensors given in the layout's order.
    ///
    /// # Panics
    /// When a length does not fit.
    pub fn from_tensors(layout: &Layout, data: Vec<Vec<f32>>) -> Weights {
        let fits = data.len() == layout.tensors.len()
            && data.iter().zip(&layout.tensors).all(|(d, t)| d.len() == t.len());
        assert!(fits, "weights: one slice per tensor of the layout, of its length");
        Weights { data }
    }

    /// Initial weights: normals of the configuration's deviation, smaller by `1 / sqrt(2 layers)` for layers that write to the
    /// residual stream (GPT-2), norms one, biases zero. A function of configuration and seed alone.
    pub fn initial(config: &Config, layout: &Layout, seed: u64) -> Weights {
        let std = config.initialiser_std;
        let residual = std / ((2 * config.layers) as f32).sqrt();
        let data = layout
            .tensors
            .iter()
            .enumerate()
            .map(|(i, t)| initial_tensor(t, i, seed, std, residual))
            .collect();
        Weights { data }
    }

    /// Tensor number `index`.
    pub fn tensor(&self, index: usize) -> &[f32] {
        &self.data[index]
    }

    /// Tensor number `index`, to write.
    pub fn tensor_mut(&mut self, index: usize) -> &mut [f32] {
        &mut self.data[index]
    }

    /// Two different tensors to write at once.
    ///
    /// # Panics
    /// When the numbers are equal.
    pub(crate) fn pair_mut(&mut self, first: usize, second: usize) -> (&mut [f32], &mut [f32]) {
        let [a, b] =
            self.data.get_disjoint_mut([first, second]).expect("two different tensors of the layout");
        (a, b)
    }

    /// All tensors in order.
    pub fn tensors(&self) -> &[Vec<f32>] {
        &self.data
    }

    /// All tensors in order, to write.
    pub fn tensors_mut(&mut self) -> &mut [Vec<f32>] {
        &mut self.data
    }

    /// Sets every element to +0.
    pub fn clear(&mut self, ctx: &Ctx) {
        self.data.iter_mut().for_each(|t| clear(ctx, t));
    }

    /// Checks that every element is finite.
    ///
    /// # Errors
    /// [`NonFiniteTensor`] names the first tensor that holds NaN or infinity.
    pub fn check_finite(&self, ctx: &Ctx, layout: &Layout) -> Result<(), NonFiniteTensor> {
        for (spec, tensor) in layout.tensors.iter().zip(&self.data) {
            check_finite(ctx, tensor)
                .map_err(|source| NonFiniteTensor { name: spec.name.clone(), source })?;
        }
        Ok(())
    }
}

fn initial_tensor(spec: &TensorSpec, index: usize, seed: u64, std: f32, residual: f32) -> Vec<f32> {
    let deviation = match spec.role {
        Role::Norm => return vec![1.0; spec.len()],
        Role::Bias => return vec![0.0; spec.len()],
        Role::Residual => residual,
        Role::Embedding | Role::Position | Role::Linear | Role::Head => std,
    };
    let mut out = vec![0f32; spec.len()];
    Stream::new(seed, INITIAL_STREAM + index as u64).fill_normal(0, &mut out);
    out.iter_mut().for_each(|v| *v *= deviation);
    out
}

/// A model in memory: configuration, layout and weights.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// What it is.
    pub config: Config,
    /// Its tensors' names and places.
    pub layout: Layout,
    /// Its parameters.
    pub weights: Weights,
}

impl Model {
    /// A model with initial weights.
    ///
    /// # Errors
    /// When the configuration cannot be run.
    pub fn initial(config: Config, seed: u64) -> Result<Model, ConfigError> {
        config.check()?;
        let layout = Layout::new(&config);
        let weights = Weights::initial(&config, &layout, seed);
        Ok(Model { config, layout, weights })
    }

    /// Mean of the weights of models of one configuration: their sum, in their order, times one over their number (ops `AddScaled` and `Scale`). `None` of none.
    ///
    /// # Panics
    /// When the configurations differ.
    pub fn mean(ctx: &Ctx, models: &[Model]) -> Option<Model> {
        let (first, others) = models.split_first()?;
        let mut mean = first.clone();
        for other in others {
            assert_eq!(mean.config, other.config, "models of one configuration");
            for (sum, tensor) in mean.weights.tensors_mut().iter_mut().zip(other.weights.tensors()) {
                ops::add(ctx, tensor, sum);
            }
        }
        if !others.is_empty() {
            let share = 1.0 / models.len() as f32;
            mean.weights.tensors_mut().iter_mut().for_each(|tensor| ops::scale(ctx, share, tensor));
        }
        Some(mean)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_lies_in_the_middle_and_of_one_it_is_that_one() {
        let ctx = Ctx::single();
        let of = |seed| Model::initial(Config::gpt(40, 2, 2, 16, 16), seed).expect("a valid configuration");
        let models = [of(1), of(2)];
        let mean = Model::mean(&ctx, &models).expect("of two");
        for (tensor, (one, other)) in mean
            .weights
            .tensors()
            .iter()
            .zip(models[0].weights.tensors().iter().zip(models[1].weights.tensors()))
        {
            assert!(tensor.iter().zip(one.iter().zip(other)).all(|(mean, (a, b))| *mean == (a + b) * 0.5));
        }
        assert_eq!(Model::mean(&ctx, &models[..1]).as_ref(), Some(&models[0]));
        assert_eq!(Model::mean(&ctx, &[models[1].clone(), models[1].clone()]).as_ref(), Some(&models[1]));
        assert_eq!(Model::mean(&ctx, &[]), None);
    }
}
