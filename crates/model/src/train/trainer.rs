//! Single steps, in memory.

use super::manifest::{Manifest, TrainOptions, Trained};
use crate::batch::{Batch, BatchError, Example};
use crate::commitment::{CheckpointTree, NamedTensor, batch_root, example_hash, step_link};
use crate::config::ConfigError;
use crate::data::{DataError, Sampler, TrainingData};
use crate::layout::Role;
use crate::lora::{Adapter, AdapterError};
use crate::network::{Activations, Gradients, LossScale, Wanted, forward_backward, losses};
use crate::optimizer::{Optimizer, ParameterSpec};
use crate::taps::{Hooks, OpTrace};
use crate::weights::{Model, NonFiniteTensor};
use ops::{Ctx, check_finite, clip_factor, scale, sum_squares};
use primitives::B256;
use serde::{Deserialize, Serialize};

/// Why a run cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// Options out of range.
    #[error("training options: {0}")]
    Options(String),
    /// Configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Data.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A batch that does not fit the model.
    #[error("step {step}: {source}")]
    Batch {
        /// The step.
        step: u64,
        /// What does not fit.
        source: BatchError,
    },
    /// NaN or infinity: the step is invalid and was not taken.
    #[error("step {step}: the {what} is NaN or infinite; lower the learning rate or clip the gradient")]
    NonFinite {
        /// The step.
        step: u64,
        /// Loss, or which tensor.
        what: String,
    },
    /// NaN or infinity in the weights that training starts from.
    #[error(transparent)]
    Weights(#[from] NonFiniteTensor),
    /// Adapter.
    #[error(transparent)]
    Adapter(#[from] AdapterError),
}

/// What one step was: enough to compare a replay with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepRecord {
    /// Number of the step, from 1.
    pub step: u64,
    /// Mean loss over the step's targets.
    pub loss: f64,
    /// The same, as the bits of the double.
    pub loss_bits: u64,
    /// Global norm of the gradient before clipping.
    pub gradient_norm: f64,
    /// Learning rate.
    pub learning_rate: f32,
    /// Tokens of the step.
    pub tokens: u64,
    /// Merkle root of the step's examples.
    pub batch_root: B256,
    /// Link of the step chain.
    pub chain: B256,
    /// State root, at steps that have one.
    pub state_root: Option<B256>,
}

/// A run in memory: model (or adapter), optimiser and where it stands.
#[derive(Debug)]
pub struct Trainer {
    ctx: Ctx,
    manifest: Manifest,
    model: Model,
    adapter: Option<Adapter>,
    optimizer: Optimizer,
    sampler: Sampler,
    chain: B256,
    acts: Activations,
    gradients: Option<Gradients>,
    adapter_gradients: Option<Adapter>,
}

impl Trainer {
    /// Starts a run from a model.
    ///
    /// # Errors
    /// When options, configuration or data do not fit each other.
    pub fn new(
        ctx: Ctx,
        model: Model,
        data: &dyn TrainingData,
        tokenizer: Option<B256>,
        options: TrainOptions,
    ) -> Result<Trainer, TrainError> {
        if let Some(problem) = options.problem() {
            return Err(TrainError::Options(problem));
        }
        model.config.check()?;
        model.weights.check_finite(&ctx, &model.layout)?;
        let adapter = match &options.trained {
            Trained::Weights => None,
            Trained::Adapter(adapter) => {
                Some(Adapter::initial(&model.layout, adapter.clone(), options.seed)?)
            }
        };
        let specs = match &adapter {
            None => {
                let specs = model.layout.tensors.iter();
                specs
                    .map(|t| ParameterSpec { name: t.name.clone(), shape: t.shape.clone(), role: t.role })
                    .collect()
            }
            // Factors are small and thin: they take the rule of a head, never Muon's.
            Some(adapter) => {
                let specs = adapter.tensor_specs(&model.layout).into_iter();
                specs
                    .map(|(name, shape)| ParameterSpec { name, shape: shape.to_vec(), role: Role::Head })
                    .collect()
            }
        };
        let manifest = Manifest {
            op_set: ops::OP_SET_VERSION,
            config: model.config.clone(),
            tokenizer,
            data_root: data.root(),
            data_count: data.count(),
            initial_root: B256::ZERO,
            options,
        };
        let options = &manifest.options;
        let (gradients, adapter_gradients) = match &options.trained {
            Trained::Weights => (Some(Gradients::zeros(&model.layout)), None),
            Trained::Adapter(adapter) => (None, Some(Adapter::zeros(&model.layout, adapter.clone())?)),
        };
        let mut trainer = Trainer {
            ctx,
            optimizer: Optimizer::new(options.optimizer, specs),
            sampler: Sampler::new(options.order, options.seed, data.count())?,
            chain: B256::ZERO,
            acts: Activations::default(),
            gradients,
            adapter_gradients,
            manifest,
            model,
            adapter,
        };
        trainer.manifest.initial_root = trainer.tree().root();
        trainer.chain = trainer.manifest.hash();
        Ok(trainer)
    }

    /// The run's header.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The model as it stands.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The adapter that is being trained, if that is what the run does.
    pub fn adapter(&self) -> Option<&Adapter> {
        self.adapter.as_ref()
    }

    /// The optimiser's state.
    pub fn optimizer(&self) -> &Optimizer {
        &self.optimizer
    }

    /// Steps done.
    pub fn steps(&self) -> u64 {
        self.optimizer.steps()
    }

    /// Last link of the step chain.
    pub fn chain(&self) -> B256 {
        self.chain
    }

    /// The trained model.
    pub fn into_model(self) -> (Model, Option<Adapter>) {
        (self.model, self.adapter)
    }

    /// Numbers of the examples of the next step.
    pub fn next_indices(&mut self) -> Vec<u64> {
        let batch = self.manifest.options.batch as u64;
        let first = self.steps() * batch;
        (first..first + batch).map(|slot| self.sampler.at(slot)).collect()
    }

    /// Makes one step.
    ///
    /// # Errors
    /// When the data cannot be read or do not fit, or loss or gradient are not finite; the state is then as before.
    pub fn step(&mut self, data: &dyn TrainingData) -> Result<StepRecord, TrainError> {
        self.step_with(data, None)
    }

    /// Makes one step and hands out every operation's output.
    ///
    /// # Errors
    /// As [`Trainer::step`].
    pub fn step_with(
        &mut self,
        data: &dyn TrainingData,
        trace: Option<&mut dyn OpTrace>,
    ) -> Result<StepRecord, TrainError> {
        self.step_hooked(data, &mut Hooks { taps: None, trace })
    }

    /// Makes one step and hands out what its backward pass computes: the taps of its examples in the order of
    /// [`Trainer::next_indices`], gradients being those of the step's mean loss. Handing out changes no bit of the step.
    ///
    /// # Errors
    /// As [`Trainer::step`].
    pub fn step_hooked(
        &mut self,
        data: &dyn TrainingData,
        hooks: &mut Hooks<'_>,
    ) -> Result<StepRecord, TrainError> {
        let step = self.steps() + 1;
        let examples: Vec<Example> =
            self.next_indices().into_iter().map(|i| data.example(i)).collect::<Result<_, _>>()?;
        let hashes: Vec<B256> = examples.iter().map(|e| example_hash(&e.tokens, &e.targets)).collect();
        let at = |source| TrainError::Batch { step, source };
        let micro = self.manifest.options.micro_batch.unwrap_or(examples.len()).max(1);
        let batches: Vec<Batch> = examples
            .chunks(micro)
            .map(|c| Batch::new(&self.model.config, c))
            .collect::<Result<_, _>>()
            .map_err(at)?;
        let targets: usize = batches.iter().map(Batch::target_count).sum();
        let tokens: usize = batches.iter().map(Batch::rows).sum();
        let rate = self.manifest.options.schedule.rate(step, self.manifest.options.steps);
        let ctx = self.ctx;
        let (loss, gradient_norm) = if hooks.taps.is_none() {
            ops::team(&ctx, || self.compute(step, rate, &batches, targets, hooks))?
        } else {
            // What taps do is theirs, and may need the pool.
            self.compute(step, rate, &batches, targets, hooks)?
        };
        let root = batch_root(&hashes);
        self.chain = step_link(&self.chain, step, &root, loss);
        let options = &self.manifest.options;
        let rooted = step.is_multiple_of(options.state_root_every) || step == options.steps;
        Ok(StepRecord {
            step,
            loss,
            loss_bits: loss.to_bits(),
            gradient_norm,
            learning_rate: rate,
            tokens: tokens as u64,
            batch_root: root,
            chain: self.chain,
            state_root: rooted.then(|| self.tree().root()),
        })
    }

    /// Forward, backward and update; returns the mean loss and the gradient's norm.
    fn compute(
        &mut self,
        step: u64,
        rate: f32,
        batches: &[Batch],
        targets: usize,
        hooks: &mut Hooks<'_>,
    ) -> Result<(f64, f64), TrainError> {
        let loss = self.pass(batches, targets, hooks);
        if !loss.is_finite() {
            return Err(TrainError::NonFinite { step, what: "loss".into() });
        }
        let gradient_norm = self.clip(step)?;
        self.update(rate);
        if let Some(trace) = hooks.trace.as_deref_mut() {
            for t in self.named_tensors() {
                trace.op(&format!("update {}", t.name), t.data);
            }
        }
        Ok((loss, gradient_norm))
    }

    /// Forward and backward over the batches of a step; returns the mean loss.
    fn pass(&mut self, batches: &[Batch], targets: usize, hooks: &mut Hooks<'_>) -> f64 {
        let scale = LossScale::Times(1.0 / targets.max(1) as f32);
        let mut rows = Vec::new();
        if let Some(g) = &mut self.gradients {
            g.clear(&self.ctx);
        }
        if let Some(g) = &mut self.adapter_gradients {
            g.clear();
        }
        for batch in batches {
            let wanted = match (&mut self.gradients, &mut self.adapter_gradients) {
                (Some(g), _) => Wanted::Weights(g),
                (_, Some(g)) => Wanted::Adapter(g),
                _ => Wanted::Taps,
            };
            let (model, adapter) = (&self.model, self.adapter.as_ref());
            let out =
                forward_backward(&self.ctx, model, adapter, batch, scale, &mut self.acts, wanted, hooks);
            rows.extend(out.rows);
        }
        if let Some(g) = &mut self.gradients {
            g.finish(&self.ctx);
        }
        // One sum over all rows, so that the cut into batches cannot show in the loss.
        ops::sum(&self.ctx, &rows) / targets.max(1) as f64
    }

    /// Norm of the gradient; clips it as the options say.
    fn clip(&mut self, step: u64) -> Result<f64, TrainError> {
        let ctx = self.ctx;
        let mut tensors: Vec<&mut Vec<f32>> = match (&mut self.gradients, &mut self.adapter_gradients) {
            (Some(g), _) => g.weights_mut().tensors_mut().iter_mut().collect(),
            (_, Some(g)) => g.tensors_mut().collect(),
            _ => Vec::new(),
        };
        let mut squares = 0f64;
        for (index, tensor) in tensors.iter().enumerate() {
            if check_finite(&ctx, tensor).is_err() {
                return Err(TrainError::NonFinite { step, what: format!("gradient of tensor {index}") });
            }
            squares += sum_squares(&ctx, tensor);
        }
        if let Some(max) = self.manifest.options.clip {
            let factor = clip_factor(squares, max);
            if factor != 1.0 {
                tensors.iter_mut().for_each(|t| scale(&ctx, factor, t));
            }
        }
        Ok(squares.sqrt())
    }

    fn update(&mut self, rate: f32) {
        let ctx = self.ctx;
        match (&mut self.adapter, &self.adapter_gradients, &self.gradients) {
            (Some(adapter), Some(g), _) => {
                self.optimizer.step(&ctx, rate, adapter.tensors_mut(), g.tensors())
            }
            (_, _, Some(g)) => {
                let weights = self.model.weights.tensors_mut().iter_mut();
                self.optimizer.step(&ctx, rate, weights, g.weights().tensors().iter());
            }
            _ => {}
        }
    }

    /// Mean loss over examples, a batch at a time.
    ///
    /// # Errors
    /// When an example cannot be read or does not fit.
    pub fn evaluate(&mut self, data: &dyn TrainingData, examples: u64) -> Result<f64, TrainError> {
        let (mut sum, mut targets) = (0f64, 0usize);
        let count = examples.min(data.count());
        // Spread over the data: windows that overlap would say little.
        let stride = (data.count() / count.max(1)).max(1);
        for first in (0..count).step_by(self.manifest.options.batch) {
            let last = (first + self.manifest.options.batch as u64).min(count);
            let examples: Vec<Example> =
                (first..last).map(|i| data.example(i * stride)).collect::<Result<_, _>>()?;
            let step = self.steps();
            let batch = Batch::new(&self.model.config, &examples)
                .map_err(|source| TrainError::Batch { step, source })?;
            let ctx = self.ctx;
            let out =
                ops::team(&ctx, || losses(&ctx, &self.model, self.adapter.as_ref(), &batch, &mut self.acts));
            sum += out.sum;
            targets += out.targets;
        }
        Ok(sum / targets.max(1) as f64)
    }

    /// Every tensor of the state: what is trained, then the optimiser's moments.
    pub fn named_tensors(&self) -> Vec<NamedTensor<'_>> {
        let mut all = Vec::new();
        match &self.adapter {
            None => {
                for (spec, data) in self.model.layout.tensors.iter().zip(self.model.weights.tensors()) {
                    all.push(NamedTensor { name: spec.name.clone(), shape: spec.shape.clone(), data });
                }
            }
            Some(adapter) => {
                for ((name, shape), data) in
                    adapter.tensor_specs(&self.model.layout).into_iter().zip(adapter.tensors())
                {
                    all.push(NamedTensor { name, shape: shape.to_vec(), data });
                }
            }
        }
        all.extend(self.optimizer.moments().map(|(name, shape, data)| NamedTensor {
            name,
            shape: shape.to_vec(),
            data,
        }));
        all
    }

    /// The state's tile tree.
    pub fn tree(&self) -> CheckpointTree {
        CheckpointTree::new(self.steps(), self.named_tensors())
    }

    /// Tensors of the state to overwrite, in the order of [`Trainer::named_tensors`].
    pub(super) fn tensors_mut(&mut self) -> Vec<&mut Vec<f32>> {
        let mut all: Vec<&mut Vec<f32>> = match &mut self.adapter {
            None => self.model.weights.tensors_mut().iter_mut().collect(),
            Some(adapter) => adapter.tensors_mut().collect(),
        };
        all.extend(self.optimizer.moments_mut().map(|(_, _, data)| data));
        all
    }

    /// Says where a restored state stands.
    pub(super) fn set_position(&mut self, step: u64, chain: B256) {
        self.optimizer.set_steps(step);
        self.chain = chain;
    }
}
