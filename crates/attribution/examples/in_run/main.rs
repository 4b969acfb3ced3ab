//! What in-run Shapley costs: time of training with and without it, steps taken in turn so that both see the same machine.
//!
//! `cargo run --release -p attribution --example in_run -- [WIDTH] [LAYERS] [CONTEXT] [STEPS]`

use anyhow::Result;
use attribution::valuation::in_run::{DEFAULT_RANK, InRun};
use model::{Batch, Config, Example, Model, TrainOptions, Trainer, data::Items};
use ops::Ctx;
use std::time::Instant;

const VOCABULARY: u32 = 2048;
const BATCH: usize = 8;
const PLAYERS: u32 = 32;
/// Steps between two validation passes, of as many examples as a quarter of a batch.
const EVERY: u64 = 16;

#[allow(clippy::print_stdout)]
fn main() -> Result<()> {
    let mut numbers = std::env::args().skip(1).map(|x| x.parse::<usize>());
    let mut next = |default| numbers.next().transpose().map(|x| x.unwrap_or(default));
    let (width, layers, context, steps) = (next(256)?, next(4)?, next(256)?, next(32)? as u64);
    let config = Config::gpt(VOCABULARY as usize, layers, width / 32, width, context);
    let stream = ops::Stream::new(1, 1);
    let example = |i: u64| {
        let at = |t: u64| stream.below(i * (context as u64 + 1) + t, u64::from(VOCABULARY)) as u32;
        Example::next_token(&(0..=context as u64).map(at).collect::<Vec<u32>>())
    };
    let data = Items::new((0..256).map(example).collect())?;
    let player_of: Vec<u32> = (0..256).map(|i| i % PLAYERS).collect();
    let ctx = Ctx::detect();
    let trainer = || {
        let never = 1 << 20;
        let options = TrainOptions {
            state_root_every: never,
            checkpoint_every: never,
            ..TrainOptions::new(steps, BATCH)
        };
        anyhow::Ok(Trainer::new(ctx, Model::initial(config.clone(), 1)?, &data, None, options)?)
    };
    let (mut plain, mut valued) = (trainer()?, trainer()?);
    let mut in_run = InRun::of_model(ctx, plain.model(), DEFAULT_RANK, 1, PLAYERS as usize)?;
    let validation: Vec<Example> = (1000..1000 + BATCH as u64 / 4).map(example).collect();
    let validation = Batch::new(&config, &validation)?;
    let (mut without, mut with) = (0.0, 0.0);
    for step in 0..steps {
        let start = Instant::now();
        plain.step(&data)?;
        without += start.elapsed().as_secs_f64();
        let start = Instant::now();
        if step % EVERY == 0 {
            in_run.validate(valued.model(), &validation);
        }
        in_run.step(&mut valued, &data, &player_of)?;
        with += start.elapsed().as_secs_f64();
    }
    assert_eq!(plain.chain(), valued.chain(), "both runs are one");
    println!(
        "{} parameters, batch {BATCH} x {context}: {:.1} ms a step, {:.1} ms with in-run Shapley of {PLAYERS} players: {:+.1} %",
        config.parameters(),
        without / steps as f64 * 1e3,
        with / steps as f64 * 1e3,
        100.0 * (with / without - 1.0)
    );
    Ok(())
}
