//! Speed of training and generation; see docs/benchmarks/model.md for the commands and figures.
//!
//! `cargo bench -p model -- [train|small|state|generate|int8|adapters] [seconds] [threads batch]` (the last two choose one of `generate`). Figures are medians. Where the machine does other work
//! too, compare processor time (Linux), not wall time. `llama FOLDER` leaves its models there too, for llama_cpp.py.
#![allow(clippy::print_stdout)]

use model::data::{Order, TrainingData, Windows};
use model::directory::SaveOptions;
use model::network::Quantisation;
use model::optimizer::OptimizerOptions;
use model::schedule::Schedule;
use model::trace::StepTrace;
use model::{Adapter, AdapterOptions, Config, Engine, EngineOptions, Model, Request, TrainOptions, Trainer};
use ops::{Ctx, Stream};
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The 10.7 M-parameter GPT of nanoGPT's Shakespeare example.
fn gpt() -> Model {
    Model::initial(Config::gpt(65, 6, 6, 384, 256), 1).expect("valid")
}

fn tokens(n: usize, vocabulary: u64) -> Vec<u32> {
    let s = Stream::new(7, 0);
    (0..n as u64).map(|i| s.below(i, vocabulary) as u32).collect()
}

/// Processor seconds of this process so far, all threads; 0 where there is no `/proc`.
fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<f64> = stat
        .rsplit(')')
        .next()
        .into_iter()
        .flat_map(str::split_whitespace)
        .map(|f| f.parse().unwrap_or(0.0))
        .collect();
    // User and system time, in ticks of 10 ms.
    (fields.get(11).unwrap_or(&0.0) + fields.get(12).unwrap_or(&0.0)) / 100.0
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_unstable_by(f64::total_cmp);
    times[times.len() / 2]
}

/// Median seconds of a call, over at least three and as many as fit the time.
fn time<T>(budget: Duration, mut call: impl FnMut() -> T) -> f64 {
    black_box(call());
    let (mut times, started) = (Vec::new(), Instant::now());
    while times.len() < 3 || started.elapsed() < budget {
        let t = Instant::now();
        black_box(call());
        times.push(t.elapsed().as_secs_f64());
    }
    median(times)
}

fn options() -> TrainOptions {
    TrainOptions {
        optimizer: OptimizerOptions::adamw(),
        schedule: Schedule::constant(1e-3),
        order: Order::Random,
        state_root_every: 1 << 20,
        checkpoint_every: 1 << 20,
        clip: None,
        ..TrainOptions::new(1 << 24, 12)
    }
}

fn train(budget: Duration) {
    let data = Windows::new(tokens(20_000, 65), 256).expect("long enough");
    for threads in [1, 2] {
        for (name, optimizer) in [("AdamW", OptimizerOptions::adamw()), ("Muon", OptimizerOptions::muon())] {
            let options = TrainOptions { optimizer, ..options() };
            let mut trainer = Trainer::new(Ctx::detect().with_threads(threads), gpt(), &data, None, options)
                .expect("valid");
            let (before, mut steps) = (processor_seconds(), 0);
            let s = time(budget, || {
                steps += 1;
                trainer.step(&data).expect("steps")
            });
            let cpu = (processor_seconds() - before) / f64::from(steps);
            println!(
                "train 10.7M, 12 x 256, {name}, {threads} threads: {:.0} ms a step, {:.0} ms of processor",
                s * 1e3,
                cpu * 1e3
            );
        }
    }
}

/// The demo's model: 1.07 M parameters, Llama-like, 16 units of 256 tokens a step.
fn small(budget: Duration) {
    let data = Windows::new(tokens(20_000, 2048), 256).expect("long enough");
    for threads in [1, 2] {
        let model = Model::initial(Config::llama(2048, 4, 4, 4, 128, 256), 1).expect("valid");
        let million = model.config.parameters() as f64 / 1e6;
        let options = TrainOptions { order: Order::Random, ..TrainOptions::new(1 << 24, 16) };
        let ctx = Ctx::detect().with_threads(threads);
        let mut trainer = Trainer::new(ctx, model, &data, None, options).expect("valid");
        let (before, mut steps) = (processor_seconds(), 0);
        let s = time(budget, || {
            steps += 1;
            trainer.step(&data).expect("steps")
        });
        let cpu = (processor_seconds() - before) / f64::from(steps);
        println!(
            "train {million:.2}M, 16 x 256, Muon, {threads} threads: {:.0} ms a step, {:.0} tokens/s, {:.0} ms of processor",
            s * 1e3,
            4096.0 / s,
            cpu * 1e3
        );
    }
}

fn state(budget: Duration) {
    let data: &dyn TrainingData = &Windows::new(tokens(20_000, 65), 256).expect("long enough");
    let mut trainer =
        Trainer::new(Ctx::detect().with_threads(2), gpt(), data, None, options()).expect("valid");
    let step = time(budget, || trainer.step(data).expect("steps"));
    let root = time(budget, || trainer.tree().root());
    let traced = time(budget, || trainer.step_with(data, Some(&mut StepTrace::default())).expect("steps"));
    println!("state root: {:.1} ms, {:.2} % of 16 steps", root * 1e3, root / (16.0 * step) * 100.0);
    println!(
        "full trace: {:.0} ms a step against {:.0}, +{:.1} %",
        traced * 1e3,
        step * 1e3,
        (traced / step - 1.0) * 100.0
    );
}

/// Tokens a second of `batch` sequences side by side, after a short prompt.
fn speed(
    ctx: Ctx,
    model: &Model,
    batch: usize,
    length: usize,
    quantisation: Quantisation,
    adapters: &[Arc<Adapter>],
) -> f64 {
    let options = EngineOptions { quantisation, ..EngineOptions::default() };
    let mut engine = Engine::new(ctx, model, options);
    for i in 0..batch {
        let adapter = (!adapters.is_empty()).then(|| adapters[i * 7 % adapters.len()].clone());
        let request = Request { adapter, stop_at_end: false, ..Request::greedy(vec![1 + i as u32], length) };
        engine.submit(request).expect("valid");
    }
    engine.step().expect("finite");
    let started = Instant::now();
    while !engine.is_idle() {
        engine.step().expect("finite");
    }
    (batch * (length - 1)) as f64 / started.elapsed().as_secs_f64()
}

fn generate(only: Option<(usize, usize)>) {
    let model = gpt();
    for (threads, batch) in only.map_or(vec![(1, 1), (2, 1), (1, 8), (2, 8), (2, 32)], |case| vec![case]) {
        let ctx = Ctx::detect().with_threads(threads);
        let before = processor_seconds();
        let runs = (0..3).map(|_| speed(ctx, &model, batch, 200, Quantisation::None, &[])).collect();
        let cpu = (batch * 199 * 3) as f64 / (processor_seconds() - before);
        println!(
            "generate 10.7M, batch {batch}, {threads} threads: {:.0} tokens/s, {cpu:.0} a processor second",
            median(runs)
        );
    }
}

/// A model of Llama's form with 141 M parameters.
fn int8() {
    let model = Model::initial(Config::llama(8192, 12, 12, 12, 960, 512), 1).expect("valid");
    println!("int8 model: {:.0} M parameters", model.config.parameters() as f64 / 1e6);
    for threads in [1, 2] {
        for batch in [1, 8] {
            let ctx = Ctx::detect().with_threads(threads);
            let run = |q| median((0..3).map(|_| speed(ctx, &model, batch, 24, q, &[])).collect());
            let (plain, int8) = (run(Quantisation::None), run(Quantisation::Int8));
            println!(
                "batch {batch}, {threads} threads: f32 {plain:.1} tokens/s, int8 {int8:.1}, x{:.2}",
                int8 / plain
            );
        }
    }
}

/// Generation by models of Llama's form, left in the folder with what they say to four prompts.
fn llama(folder: &Path) {
    let shapes = [
        ("small", Config::llama(2048, 6, 6, 6, 384, 256), 200),
        ("large", Config::llama(8192, 12, 12, 12, 960, 512), 64),
    ];
    for (name, config, length) in shapes {
        let model = Model::initial(config, 1).expect("valid");
        let million = model.config.parameters() as f64 / 1e6;
        let folder = folder.join(name);
        std::fs::create_dir_all(&folder).expect("a folder");
        model.save(&folder, SaveOptions::default()).expect("saved");
        let prompts: Vec<Vec<u32>> = tokens(32, 2048).chunks(8).map(<[u32]>::to_vec).collect();
        let requests =
            prompts.iter().map(|p| Request { stop_at_end: false, ..Request::greedy(p.clone(), 32) });
        let ctx = Ctx::detect().with_threads(2);
        let options = EngineOptions::default();
        let answers =
            model::generate(ctx, &model, requests.collect(), options, &mut |_, _| {}).expect("finite");
        let answers: Vec<_> = answers.into_iter().map(|answer| answer.tokens).collect();
        let greedy = serde_json::json!({ "prompts": prompts, "answers": answers, "length": length });
        std::fs::write(folder.join("greedy.json"), greedy.to_string()).expect("written");
        for threads in [1, 2] {
            for batch in [1, 8] {
                let ctx = Ctx::detect().with_threads(threads);
                let run = |q| median((0..3).map(|_| speed(ctx, &model, batch, length, q, &[])).collect());
                let (plain, int8) = (run(Quantisation::None), run(Quantisation::Int8));
                println!(
                    "llama {million:.0}M, batch {batch}, {threads} threads: f32 {plain:.1} tokens/s, int8 {int8:.1}"
                );
            }
        }
    }
}

fn adapters() {
    let model = gpt();
    // Every linear layer, then those alone that PEFT adapts unless it is told (of GPT-2: the attention's input).
    for (what, targets) in [("every layer", vec![]), ("c_attn", vec!["c_attn".to_string()])] {
        let make = |seed| {
            let options = AdapterOptions { rank: 8, alpha: 16.0, targets: targets.clone() };
            Arc::new(Adapter::initial(&model.layout, options, seed).expect("valid"))
        };
        let started = Instant::now();
        let all: Vec<Arc<Adapter>> = (0..1000).map(make).collect();
        println!(
            "1,000 adapters of rank 8 on {what} made in {:.1} s, {} kB each",
            started.elapsed().as_secs_f64(),
            all[0].bytes() / 1000
        );
        let dir = std::env::temp_dir().join("openledger-adapter-bench");
        all[0].save(&dir, &model).expect("saved");
        let load = time(Duration::from_millis(300), || Adapter::load(&dir, &model).expect("loads"));
        println!("adapter load: {:.2} ms", load * 1e3);
        for batch in [8, 32] {
            let ctx = Ctx::detect().with_threads(2);
            // By turns: the machine changes while it runs.
            let of = |adapters: &[Arc<Adapter>]| speed(ctx, &model, batch, 100, Quantisation::None, adapters);
            let (base, mixed): (Vec<f64>, Vec<f64>) = (0..5).map(|_| (of(&[]), of(&all))).unzip();
            let (base, mixed) = (median(base), median(mixed));
            println!(
                "batch {batch}: base {base:.0} tokens/s, all with different adapters {mixed:.0}, {:.0} %",
                mixed / base * 100.0
            );
        }
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let budget = Duration::from_secs(arguments.get(1).and_then(|s| s.parse().ok()).unwrap_or(6));
    let number = |place: usize| arguments.get(place).and_then(|s| s.parse::<usize>().ok());
    let chosen = |name: &str| arguments.first().is_none_or(|a| a == name);
    println!("path {}, op set {}", ops::Path::detect(), ops::OP_SET_VERSION);
    if chosen("train") {
        train(budget);
    }
    if chosen("small") {
        small(budget);
    }
    if chosen("state") {
        state(budget);
    }
    if chosen("generate") {
        generate(number(2).zip(number(3)));
    }
    if chosen("int8") {
        int8();
    }
    if chosen("adapters") {
        adapters();
    }
    if let [subject, folder] = arguments.as_slice()
        && subject == "llama"
    {
        llama(folder.as_ref());
    }
}
