//! A run that is killed at any moment and resumed ends in the bits of an undisturbed one.

use model::data::{Items, Order};
use model::optimizer::OptimizerOptions;
use model::train::{Progress, RunSettings, TrainOptions, run};
use model::{Config, Example, Model};
use ops::{Ctx, Stream};
use primitives::B256;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const DIR_VARIABLE: &str = "OPENLEDGER_TEST_RUN_DIR";
const KILLS: u64 = 20;
const STEPS: u64 = 60;

fn train(dir: &Path, pause: Duration) -> B256 {
    let examples = (0..30u64).map(|i| {
        let s = Stream::new(i, 0);
        Example::next_token(&(0..40).map(|j| s.below(j, 50) as u32).collect::<Vec<_>>())
    });
    let data = Items::new(examples.collect()).expect("not empty");
    let model = Model::initial(Config::llama(50, 2, 2, 1, 32, 64), 1).expect("valid");
    let options = TrainOptions {
        order: Order::Shuffled,
        optimizer: OptimizerOptions::muon(),
        state_root_every: 1,
        checkpoint_every: 1,
        ..TrainOptions::new(STEPS, 4)
    };
    let settings = RunSettings { keep_checkpoints: 3, trace: false, ..RunSettings::default() };
    let mut observer = |_: &Progress| {
        std::thread::sleep(pause);
        ControlFlow::Continue(())
    };
    let ctx = Ctx::single();
    run(ctx, dir, model, &data, None, None, options, settings, &mut observer)
        .expect("runs or resumes")
        .state_root
}

/// The child of the test below: trains in the directory it is told, and does nothing in an ordinary run of the tests.
#[test]
fn child_process() {
    if let Some(dir) = std::env::var_os(DIR_VARIABLE) {
        train(Path::new(&dir), Duration::from_millis(5));
    }
}

#[test]
fn killed_twenty_times_and_resumed_it_ends_in_the_same_root() {
    let temp = tempfile::tempdir().expect("temp");
    let (whole, killed) = (temp.path().join("whole"), temp.path().join("killed"));
    let expected = train(&whole, Duration::ZERO);
    let times = Stream::new(12, 0);
    let this = std::env::current_exe().expect("the test program");
    let mut reached_before_end = 0;
    for kill in 0..KILLS {
        let mut child = Command::new(&this)
            .args(["--exact", "child_process", "--quiet"])
            .env(DIR_VARIABLE, &killed)
            .stdout(std::process::Stdio::null())
            .spawn()
            .expect("starts");
        // From before the first file to a few steps in.
        std::thread::sleep(Duration::from_millis(times.below(kill, 90)));
        reached_before_end += u64::from(child.try_wait().expect("waits").is_none());
        // SIGKILL on Unix: no handler runs, no buffer is flushed.
        let _ = child.kill();
        child.wait().expect("waits");
    }
    assert!(reached_before_end >= KILLS / 2, "only {reached_before_end} kills met a running process");
    assert_eq!(train(&killed, Duration::ZERO), expected);
    let log = |dir: &Path| std::fs::read(dir.join(model::train::LOG_FILE)).expect("there");
    assert_eq!(log(&killed), log(&whole));
}
