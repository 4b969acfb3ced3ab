use super::*;
use crate::batch::Example;
use crate::config::Config;
use crate::data::{Items, Order, TrainingData};
use crate::lora::AdapterOptions;
use crate::optimizer::OptimizerOptions;
use crate::schedule::Schedule;
use crate::weights::Model;
use ops::{Ctx, Stream};
use std::ops::ControlFlow;
use std::path::Path;

fn model() -> Model {
    Model::initial(Config::llama(29, 2, 2, 1, 16, 16), 1).expect("valid")
}

/// Texts that repeat with a period: something to learn.
fn data() -> Items {
    let examples = (0..24u64)
        .map(|i| {
            let s = Stream::new(i, 0);
            let word: Vec<u32> = (0..4).map(|j| s.below(j, 29) as u32).collect();
            Example::next_token(&word.repeat(4)[..9 + i as usize % 5])
        })
        .collect();
    Items::new(examples).expect("not empty")
}

fn options(steps: u64) -> TrainOptions {
    TrainOptions {
        micro_batch: Some(3),
        state_root_every: 4,
        checkpoint_every: 4,
        schedule: Schedule::cosine(0.02, 3),
        ..TrainOptions::new(steps, 4)
    }
}

fn run_in(dir: &Path, steps: u64, settings: RunSettings, stop_after: u64) -> RunOutcome {
    let mut count = 0;
    let mut observer = |_: &Progress| {
        count += 1;
        if count == stop_after { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let ctx = Ctx::detect();
    run(ctx, dir, model(), &data(), None, None, options(steps), settings, &mut observer).expect("runs")
}

#[test]
fn a_small_model_learns_with_every_optimiser() {
    for (optimizer, rate) in [
        (OptimizerOptions::muon(), 0.1),
        (OptimizerOptions::adamw(), 0.03),
        (OptimizerOptions::Sgd { momentum: 0.9, weight_decay: 0.0 }, 0.1),
    ] {
        let options = TrainOptions {
            optimizer,
            schedule: Schedule::cosine(rate, 5),
            order: Order::Random,
            ..options(60)
        };
        let data = data();
        let mut trainer = Trainer::new(Ctx::detect(), model(), &data, None, options).expect("valid");
        let losses: Vec<f64> = (0..60).map(|_| trainer.step(&data).expect("steps").loss).collect();
        let (first, last) = (losses[..5].iter().sum::<f64>(), losses[55..].iter().sum::<f64>());
        assert!(last < 0.85 * first, "{optimizer:?}: {first} to {last}");
    }
}

#[test]
fn threads_and_the_cut_into_micro_batches_change_no_bit() {
    let data = data();
    let roots: Vec<_> = [(1, None), (2, Some(1)), (2, Some(3))]
        .into_iter()
        .map(|(threads, micro_batch)| {
            let options = TrainOptions { micro_batch, ..options(5) };
            let ctx = Ctx::detect().with_threads(threads);
            let mut t = Trainer::new(ctx, model(), &data, None, options).expect("valid");
            let losses: Vec<u64> = (0..5).map(|_| t.step(&data).expect("steps").loss_bits).collect();
            (t.tree().root(), losses)
        })
        .collect();
    assert!(roots.windows(2).all(|w| w[0] == w[1]), "{roots:?}");
}

#[test]
fn a_run_that_is_stopped_and_resumed_ends_in_the_same_bits() {
    let (whole, cut) = (tempfile::tempdir().expect("temp"), tempfile::tempdir().expect("temp"));
    let expected = run_in(whole.path(), 12, RunSettings::default(), 0);
    for stop in [1, 3, 2, 5] {
        let outcome = run_in(cut.path(), 12, RunSettings::default(), stop);
        assert!(!outcome.finished || outcome.steps == 12);
    }
    let outcome = run_in(cut.path(), 12, RunSettings::default(), 0);
    assert!(outcome.finished);
    assert_eq!(outcome.state_root, expected.state_root);
    assert_eq!(read_log(cut.path()).expect("log"), read_log(whole.path()).expect("log"));
    assert_eq!(
        Model::load(&cut.path().join(MODEL_DIR)).expect("saved"),
        Model::load(&whole.path().join(MODEL_DIR)).expect("saved")
    );
}

#[test]
fn a_damaged_newest_checkpoint_is_passed_over_for_the_one_before() {
    let dir = tempfile::tempdir().expect("temp");
    let expected = run_in(dir.path(), 12, RunSettings::default(), 0);
    let state = dir.path().join(CHECKPOINTS_DIR).join("0000000012/state.safetensors");
    flip(&state, 1);
    let outcome = run_in(dir.path(), 12, RunSettings::default(), 0);
    // The name of step 12 is taken by the damaged one, which stays for inspection.
    assert_eq!(outcome.resumed_from, Some(8));
    assert_eq!(outcome.state_root, expected.state_root);
    assert!(outcome.damaged[0].contains("damaged at tensor"), "{:?}", outcome.damaged);
}

/// Flips one bit, `from_end` bytes before the file's end.
fn flip(path: &Path, from_end: usize) {
    let mut bytes = std::fs::read(path).expect("there");
    let at = bytes.len() - from_end;
    bytes[at] ^= 1;
    std::fs::write(path, bytes).expect("written");
}

fn replay_all(dir: &Path, data: &dyn TrainingData, first: u64) -> ReplayReport {
    let options = ReplayOptions { first, ..ReplayOptions::default() };
    replay(Ctx::single(), dir, model(), data, options, &mut |_, _| {}).expect("replays")
}

#[test]
fn an_honest_run_replays_equal_from_any_step() {
    let dir = tempfile::tempdir().expect("temp");
    run_in(dir.path(), 10, RunSettings { trace: true, ..RunSettings::default() }, 0);
    for (first, from, steps) in [(1, 0, 10), (5, 4, 6), (6, 4, 6), (9, 8, 2)] {
        let report = replay_all(dir.path(), &data(), first);
        assert_eq!((report.verdict, report.from_checkpoint, report.steps), (Verdict::Equal, from, steps));
    }
}

/// Changes a field of one line of the log.
fn edit_log(dir: &Path, step: u64, edit: impl Fn(&mut StepRecord)) {
    let mut log = read_log(dir).expect("log");
    edit(&mut log[step as usize - 1]);
    let lines: Vec<String> = log.iter().map(|r| serde_json::to_string(r).expect("json") + "\n").collect();
    std::fs::write(dir.join(LOG_FILE), lines.concat()).expect("written");
}

#[test]
fn one_flipped_bit_anywhere_is_named_by_replay() {
    let dir = tempfile::tempdir().expect("temp");
    let settings = RunSettings { trace: true, ..RunSettings::default() };
    let fresh = || {
        std::fs::remove_dir_all(dir.path()).expect("removed");
        run_in(dir.path(), 6, settings, 0);
    };
    run_in(dir.path(), 6, settings, 0);
    edit_log(dir.path(), 3, |r| {
        r.loss_bits ^= 1;
        r.loss = f64::from_bits(r.loss_bits);
    });
    let report = replay_all(dir.path(), &data(), 1);
    assert!(
        matches!(report.verdict, Verdict::Differs { step: 3, difference: Difference::Loss { .. } }),
        "{report:?}"
    );

    fresh();
    edit_log(dir.path(), 2, |r| r.batch_root.0[0] ^= 1);
    let report = replay_all(dir.path(), &data(), 1);
    assert!(
        matches!(report.verdict, Verdict::Differs { step: 2, difference: Difference::Batch { .. } }),
        "{report:?}"
    );

    fresh();
    edit_log(dir.path(), 5, |r| r.chain.0[0] ^= 1);
    let report = replay_all(dir.path(), &data(), 1);
    assert!(
        matches!(report.verdict, Verdict::Differs { step: 5, difference: Difference::Chain }),
        "{report:?}"
    );

    fresh();
    edit_log(dir.path(), 4, |r| r.state_root = r.state_root.map(|mut s| (s.0[0] ^= 1, s).1));
    let report = replay_all(dir.path(), &data(), 1);
    assert!(
        matches!(report.verdict, Verdict::Differs { step: 4, difference: Difference::State { .. } }),
        "{report:?}"
    );

    fresh();
    flip(&dir.path().join(CHECKPOINTS_DIR).join("0000000004/state.safetensors"), 5);
    let report = replay_all(dir.path(), &data(), 5);
    let Verdict::Differs { step: 4, difference: Difference::Checkpoint { at: Some(at), .. } } =
        report.verdict
    else {
        panic!("{report:?}");
    };
    assert!(at.tile.is_some() && at.tensor.starts_with("second."), "{at:?}");

    fresh();
    // The leaf of the last operation of step 3, at the end of its trace.
    flip(&dir.path().join("trace/0000000003.ops"), 1);
    let report = replay_all(dir.path(), &data(), 1);
    let Verdict::Differs { step: 3, difference: Difference::Operation(op) } = report.verdict else {
        panic!("{report:?}");
    };
    assert!(op.name.starts_with("update second.") && op.tile.is_some(), "{op:?}");
}

#[test]
fn other_data_another_model_or_another_run_are_refused() {
    let dir = tempfile::tempdir().expect("temp");
    run_in(dir.path(), 4, RunSettings::default(), 0);
    let other = Items::new(data().examples()[1..].to_vec()).expect("not empty");
    let error = replay(Ctx::single(), dir.path(), model(), &other, ReplayOptions::default(), &mut |_, _| {});
    assert!(matches!(error, Err(ReplayError::OtherInputs("the data"))));
    let foreign = Model::initial(Config::llama(29, 2, 2, 1, 16, 16), 2).expect("valid");
    let error =
        replay(Ctx::single(), dir.path(), foreign.clone(), &data(), ReplayOptions::default(), &mut |_, _| {});
    assert!(matches!(error, Err(ReplayError::OtherInputs("the initial model"))));
    let settings = RunSettings::default();
    let error =
        run(Ctx::single(), dir.path(), foreign, &data(), None, None, options(4), settings, &mut Silent);
    assert!(matches!(error, Err(RunError::OtherRun { .. })));
    let info = dir.path().join(CHECKPOINTS_DIR).join("0000000004/checkpoint.json");
    let text = std::fs::read_to_string(&info).expect("there").replace("\"op_set\": 1", "\"op_set\": 999");
    std::fs::write(&info, text).expect("written");
    let error =
        run(Ctx::single(), dir.path(), model(), &data(), None, None, options(4), settings, &mut Silent);
    assert!(
        matches!(error, Err(RunError::Checkpoint(CheckpointError::OpSet { found: 999, .. }))),
        "{error:?}"
    );
}

#[test]
fn an_adapter_is_trained_over_a_base_that_stays_as_it_is() {
    let dir = tempfile::tempdir().expect("temp");
    let trained = Trained::Adapter(AdapterOptions { rank: 4, alpha: 8.0, targets: Vec::new() });
    let options = TrainOptions { trained, optimizer: OptimizerOptions::adamw(), ..options(20) };
    let data = data();
    let (ctx, settings) = (Ctx::detect(), RunSettings::default());
    let mut losses = Vec::new();
    let mut observer = |p: &Progress| {
        losses.push(p.loss);
        ControlFlow::Continue(())
    };
    let outcome = run(ctx, dir.path(), model(), &data, None, None, options.clone(), settings, &mut observer)
        .expect("runs");
    assert!(losses[19] < losses[0]);
    let adapter = crate::lora::Adapter::load(&dir.path().join(ADAPTER_DIR), &model()).expect("saved");
    assert!(adapter.tensors().any(|t| t.iter().any(|v| *v != 0.0)));
    let again = replay(Ctx::single(), dir.path(), model(), &data, ReplayOptions::default(), &mut |_, _| {})
        .expect("replays");
    assert_eq!((again.verdict, outcome.finished), (Verdict::Equal, true));
}

#[test]
fn a_step_whose_loss_is_not_finite_is_an_error_that_names_it() {
    let data = data();
    let mut model = model();
    let last_norm = model.layout.last_norm.weight;
    model.weights.tensor_mut(last_norm).iter_mut().for_each(|v| *v = 3e38);
    model.weights.tensor_mut(0).iter_mut().for_each(|v| *v *= 1e4);
    let mut trainer = Trainer::new(Ctx::single(), model, &data, None, options(5)).expect("finite weights");
    let error = trainer.step(&data).expect_err("logits overflow");
    assert!(matches!(error, TrainError::NonFinite { step: 1, .. }), "{error}");
    assert_eq!(trainer.steps(), 0);
}

#[test]
fn a_norm_whose_squares_overflow_ends_the_step_as_nan_does() {
    let data = data();
    let mut model = model();
    let embedding = model.layout.embedding;
    // Finite, and after a norm whose scale is 0 the loss would be finite too.
    model.weights.tensor_mut(embedding).iter_mut().for_each(|v| *v *= 1e30);
    let mut trainer = Trainer::new(Ctx::single(), model, &data, None, options(5)).expect("finite weights");
    let error = trainer.step(&data).expect_err("squares overflow");
    assert!(matches!(error, TrainError::NonFinite { step: 1, .. }), "{error}");
}

#[test]
fn options_out_of_range_are_named() {
    let base = options(5);
    for (options, name) in [
        (TrainOptions { steps: 0, ..base.clone() }, "steps"),
        (TrainOptions { batch: 0, ..base.clone() }, "batch"),
        (TrainOptions { checkpoint_every: 5, ..base.clone() }, "checkpoint_every"),
        (TrainOptions { clip: Some(f32::NAN), ..base.clone() }, "clip"),
        (TrainOptions { schedule: Schedule::constant(-1.0), ..base.clone() }, "learning rate"),
    ] {
        let error = Trainer::new(Ctx::single(), model(), &data(), None, options).expect_err(name).to_string();
        assert!(error.contains(name), "{error}");
    }
}
