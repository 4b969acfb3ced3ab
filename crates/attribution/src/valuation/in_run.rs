//! In-run data Shapley: what each player's examples did to a validation loss, accumulated while the model is trained.
//!
//! Wang, Mittal, Song, Jia: "Data Shapley in One Training Run" (2024), first order. In step `t` with rate `eta`, the utility of a set of the
//! batch's examples is how much the validation loss falls when only their gradients are applied; to first order it is additive, so the
//! Shapley value of example `e` is
//!
//! ```text
//! phi_e += eta_t * g_e . g_validation
//! ```
//!
//! with `g_e` its part of the step's mean gradient. Inner products come from the taps of the training pass itself: no example's
//! gradient is formed, and both sides of a layer are projected to a few numbers first (unbiased, see [`crate::influence::projection`]). The
//! validation gradient is renewed every few steps. That is what keeps it under a tenth of the training's time.
//!
//! Only linear layers inside the blocks count, and the step is taken as the gradient times the rate: under Muon or AdamW, whose steps
//! are not, values are an approximation whose scale means nothing and whose order should be checked.

use crate::influence::{
    projection::{FeatureError, Projector},
    taps::Layer,
};
use model::{
    Activations, Batch, Example, Hooks, LinearInfo, LinearTap, LossScale, Model, Taps, Trainer, Wanted,
    data::TrainingData,
    forward_backward,
    train::{StepRecord, TrainError},
};
use ops::{Ctx, matmul_nn, matmul_tn};

/// Sides of a layer are projected to this many numbers.
pub const DEFAULT_RANK: usize = 8;

/// Values as they grow.
#[derive(Debug)]
pub struct InRun {
    ctx: Ctx,
    projector: Projector,
    /// Of each layer, the validation loss's projected gradient, `[rank of inputs, rank of outputs]`.
    validation: Vec<Vec<f32>>,
    /// Whether taps are of the validation pass.
    validating: bool,
    /// Players of the examples that are still to come in this step, in order; the layers seen tell where an example stands.
    players: Vec<u32>,
    /// Examples of this step that each layer has seen.
    seen: Vec<usize>,
    rate: f64,
    values: Vec<f64>,
}

impl InRun {
    /// Nothing accumulated yet. `players` is their number.
    ///
    /// # Errors
    /// When layers or rank are out of range.
    pub fn new(
        ctx: Ctx,
        layers: Vec<Layer>,
        rank: usize,
        seed: u64,
        players: usize,
    ) -> Result<InRun, FeatureError> {
        let count = layers.len();
        let projector = Projector::new(layers, rank, seed)?;
        Ok(InRun {
            ctx,
            projector,
            validation: vec![vec![]; count],
            validating: false,
            players: vec![],
            seen: vec![0; count],
            rate: 0.0,
            values: vec![0.0; players],
        })
    }

    /// For a language model: the linear layers of its blocks.
    ///
    /// # Errors
    /// When layers or rank are out of range.
    pub fn of_model(
        ctx: Ctx,
        model: &Model,
        rank: usize,
        seed: u64,
        players: usize,
    ) -> Result<InRun, FeatureError> {
        let head = model.layout.head.index;
        let layers = model.layout.linears().into_iter().filter(|l| l.index != head);
        let layers =
            layers.map(|l| Layer { name: l.name.clone(), inputs: l.inputs, outputs: l.outputs }).collect();
        InRun::new(ctx, layers, rank, seed, players)
    }

    /// Value of each player so far.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// The next taps are of the validation loss; what was known of its gradient is forgotten.
    pub fn begin_validation(&mut self) {
        self.validating = true;
        self.validation.iter_mut().for_each(Vec::clear);
    }

    /// The next taps are of a training step: its examples' players in order, and its rate.
    ///
    /// # Panics
    /// When a player is out of range.
    pub fn begin_step(&mut self, players: Vec<u32>, rate: f64) {
        let count = self.values.len();
        assert!(players.iter().all(|p| (*p as usize) < count), "players are 0..{count}");
        self.validating = false;
        self.seen.fill(0);
        (self.players, self.rate) = (players, rate);
    }

    /// Renews the validation gradient, of the mean loss over the examples' targets.
    pub fn validate(&mut self, model: &Model, validation: &Batch) {
        self.begin_validation();
        let ctx = self.ctx;
        let scale = LossScale::Times(1.0 / validation.target_count().max(1) as f32);
        let mut hooks = Hooks::taps(self);
        let mut acts = Activations::default();
        forward_backward(&ctx, model, None, validation, scale, &mut acts, Wanted::Taps, &mut hooks);
    }

    /// Makes a step of training and adds what its examples did. `player_of[index]` is the player of the data's example `index`.
    ///
    /// # Errors
    /// As [`Trainer::step`]; nothing is then added.
    pub fn step(
        &mut self,
        trainer: &mut Trainer,
        data: &dyn TrainingData,
        player_of: &[u32],
    ) -> Result<StepRecord, TrainError> {
        let options = &trainer.manifest().options;
        let rate = options.schedule.rate(trainer.steps() + 1, options.steps);
        let players = trainer.next_indices().iter().map(|i| player_of[*i as usize]).collect();
        let before = self.values.clone();
        self.begin_step(players, f64::from(rate));
        let record = trainer.step_hooked(data, &mut Hooks::taps(self));
        if record.is_err() {
            self.values = before;
        }
        record
    }
}

impl Taps for InRun {
    fn wants(&self, linear: &LinearInfo<'_>) -> bool {
        linear.index < self.seen.len()
    }

    fn linear(&mut self, tap: LinearTap<'_>) {
        let (ctx, index) = (self.ctx, tap.linear.index);
        let sides = self.projector.sides(&ctx, index, tap.inputs, tap.output_gradients);
        let Some(((x, n), (d, m))) = sides else { return };
        let rows = x.len() / n;
        let validation = &mut self.validation[index];
        if self.validating {
            let more = !validation.is_empty();
            validation.resize(n * m, 0.0);
            matmul_tn(&ctx, n, m, rows, &x, n, &d, m, validation, m, more);
            return;
        }
        let ends = tap.examples.count();
        let first = self.seen[index];
        self.seen[index] += ends;
        if validation.is_empty() {
            return;
        }
        let mut through = vec![0.0; rows * m];
        matmul_nn(&ctx, rows, m, n, &x, n, validation, m, &mut through, m, false);
        for (example, range) in tap.examples.ranges().enumerate() {
            let part = range.start * m..range.end * m;
            let pairs = through[part.clone()].iter().zip(&d[part]);
            let dot = pairs.fold(0.0, |sum, (a, b)| sum + f64::from(*a) * f64::from(*b));
            if let Some(player) = self.players.get(first + example) {
                self.values[*player as usize] += self.rate * dot;
            }
        }
    }
}

/// Trains to the end and accumulates; the validation gradient is renewed every `every` steps. Returns what the validation examples' batch
/// refuses, if it does.
///
/// # Errors
/// As [`Trainer::step`], or when a validation example does not fit the model.
pub fn train(
    in_run: &mut InRun,
    trainer: &mut Trainer,
    data: &dyn TrainingData,
    player_of: &[u32],
    validation: &[Example],
    every: u64,
) -> Result<(), TrainError> {
    let batch = Batch::new(&trainer.model().config, validation)
        .map_err(|source| TrainError::Batch { step: trainer.steps(), source })?;
    while trainer.steps() < trainer.manifest().options.steps {
        if trainer.steps().is_multiple_of(every.max(1)) {
            in_run.validate(trainer.model(), &batch);
        }
        in_run.step(trainer, data, player_of)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{influence::toy::numbers, valuation::semivalues::shapley_by_enumeration};
    use model::{
        Config, TrainOptions,
        data::Items,
        tabular::{Perceptron, Rows},
    };

    const PLAYERS: usize = 5;

    fn layers(model: &Perceptron) -> Vec<Layer> {
        let pair = |(i, w): (usize, &[usize])| Layer { name: i.to_string(), inputs: w[0], outputs: w[1] };
        model.widths().windows(2).enumerate().map(pair).collect()
    }

    #[test]
    fn values_of_a_small_step_are_the_shapley_values_of_its_game() {
        let ctx = Ctx::single();
        let model = Perceptron::initial(&[6, 9, 3], 4).unwrap();
        let rows = |count: usize, seed| {
            Rows::new(&model, numbers(count * 6, seed), (0..count as u32).map(|i| i % 3).collect()).unwrap()
        };
        let (train, validation) = (rows(PLAYERS, 1), rows(20, 2));
        let rate = 1e-3;
        // No side is wider than the rank: nothing is projected, so nothing is estimated.
        let mut in_run = InRun::new(ctx, layers(&model), 16, 1, PLAYERS).unwrap();
        in_run.begin_validation();
        model.forward_backward(&ctx, &validation, LossScale::Mean, None, &mut Hooks::taps(&mut in_run));
        in_run.begin_step((0..PLAYERS as u32).collect(), rate);
        model.forward_backward(&ctx, &train, LossScale::Mean, None, &mut Hooks::taps(&mut in_run));

        let loss = |model: &Perceptron| {
            let losses = model.losses(&ctx, &validation);
            losses.iter().fold(0.0, |sum, x| sum + f64::from(*x)) / losses.len() as f64
        };
        let before = loss(&model);
        let utility = |members: u32| {
            let mut moved = model.clone();
            for example in (0..PLAYERS).filter(|e| members >> e & 1 == 1) {
                let mut gradients = model.zeros();
                let one = train.pick(&[example]);
                let scale = LossScale::Times(1.0 / PLAYERS as f32);
                model.forward_backward(&ctx, &one, scale, Some(&mut gradients), &mut Hooks::none());
                // Weights alone: biases are no linear layer's inputs.
                for layer in [0, 2] {
                    let pairs = moved.tensors_mut()[layer].iter_mut().zip(&gradients[layer]);
                    pairs.for_each(|(w, g)| *w -= rate as f32 * g);
                }
            }
            before - loss(&moved)
        };
        let exact = shapley_by_enumeration(PLAYERS, utility);
        let largest = exact.iter().fold(0.0f64, |most, x| if x.abs() > most { x.abs() } else { most });
        for (got, want) in in_run.values().iter().zip(&exact) {
            assert!((got - want).abs() < 0.02 * largest, "{:?} {exact:?}", in_run.values());
        }
    }

    #[test]
    fn a_language_models_run_is_the_same_to_the_bit_and_values_add_up_over_batches_and_threads() {
        let config = Config::gpt(40, 2, 2, 16, 16);
        let stream = ops::Stream::new(3, 1);
        let example = |i: u64| {
            let tokens: Vec<u32> = (0..17).map(|t| stream.below(17 * i + t, 40) as u32).collect();
            Example::next_token(&tokens)
        };
        let examples: Vec<Example> = (0..24).map(example).collect();
        let data = Items::new(examples).unwrap();
        let player_of: Vec<u32> = (0..24).map(|i| i % 4).collect();
        let run = |micro, threads| {
            let ctx = Ctx::single().with_threads(threads);
            let options = TrainOptions { micro_batch: micro, ..TrainOptions::new(6, 8) };
            let initial = Model::initial(config.clone(), 1).unwrap();
            let mut trainer = Trainer::new(ctx, initial, &data, None, options).unwrap();
            let mut in_run = InRun::of_model(ctx, trainer.model(), DEFAULT_RANK, 1, 4).unwrap();
            train(&mut in_run, &mut trainer, &data, &player_of, &[example(100)], 2).unwrap();
            (trainer.chain(), in_run.values().to_vec())
        };
        let plain = {
            let initial = Model::initial(config.clone(), 1).unwrap();
            let options = TrainOptions::new(6, 8);
            let mut trainer = Trainer::new(Ctx::single(), initial, &data, None, options).unwrap();
            (0..6).for_each(|_| assert!(trainer.step(&data).is_ok()));
            trainer.chain()
        };
        let whole = run(None, 1);
        assert_eq!(whole.0, plain, "accumulating changes nothing of the run");
        assert!(whole.1.iter().all(|value| *value != 0.0));
        assert_eq!(run(None, 2), whole);
        for (a, b) in run(Some(3), 1).1.iter().zip(&whole.1) {
            assert!((a - b).abs() <= 1e-9 * b.abs(), "{a} {b}");
        }
    }
}
