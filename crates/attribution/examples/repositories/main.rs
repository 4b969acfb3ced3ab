//! Contributors of a small language model: source identification, and LDS of the paid weights against retraining without half of the
//! contributors. A thin frame around what `openledger attribute cache` and `evaluate --retrain` do: it makes the model first.
//!
//! `gather.py /tmp/repositories 32 62000` makes the text; then
//! `cargo run --release -p attribution --example repositories -- /tmp/repositories /tmp/work [--steps N] [--subsets N] [--seeds N] [--layers N] [--width N]
//! [--context N] [--vocabulary N] [--rank N] [--own-floor PERCENT] [--attributed QUARTER[,QUARTER]]
//! [--dampings INDEX[,INDEX]] [--means true|false]`. Everything is kept in the work folder, so a run that was cut off goes on.

use anyhow::{Context as _, Result};
use attribution::{
    commands::{self, CacheRequest, EvaluateRequest, RetrainRequest, data},
    influence::{cache::Options, language::pack},
};
use model::{Config, Model, Tokenizer, TrainOptions, Trainer, data::Items, directory::SaveOptions};
use ops::Ctx;
use std::{
    io::Write as _,
    path::{Path, PathBuf},
    time::Instant,
};

/// One document in this many is held out.
const HELD_OUT_EVERY: usize = 4;
const BATCH: usize = 16;
/// The model is kept after each of so many parts of training.
const PARTS: u64 = 4;

struct Arguments {
    text: PathBuf,
    work: PathBuf,
    steps: u64,
    subsets: usize,
    seeds: u64,
    layers: usize,
    width: usize,
    context: usize,
    vocabulary: usize,
    rank: usize,
    own_floor: u32,
    /// Quarters of training after each of which the weights stood whose mean is attributed; none for the last.
    attributed: Vec<u64>,
    /// Indices in the protocol's grid to choose from.
    dampings: Vec<usize>,
    /// Whether the mean of scores over the checkpoints is measured too, with a cache of each.
    means: bool,
}

fn arguments() -> Result<Arguments> {
    let mut rest = std::env::args().skip(1);
    let mut path = |what: &str| Ok::<_, anyhow::Error>(rest.next().with_context(|| what.to_string())?.into());
    let mut found = Arguments {
        text: path("first the folder of folders of text")?,
        work: path("then a folder to work in")?,
        steps: 400,
        subsets: 16,
        seeds: 1,
        layers: 2,
        width: 64,
        context: 64,
        vocabulary: 1024,
        rank: 16,
        own_floor: Options::default().own_floor_percent,
        attributed: vec![],
        dampings: vec![2, 3, 4, 5],
        means: true,
    };
    while let Some(flag) = rest.next() {
        let value = rest.next().with_context(|| format!("{flag} needs a value"))?;
        match flag.as_str() {
            "--steps" => found.steps = value.parse()?,
            "--seeds" => found.seeds = value.parse()?,
            "--subsets" => found.subsets = value.parse()?,
            "--layers" => found.layers = value.parse()?,
            "--width" => found.width = value.parse()?,
            "--context" => found.context = value.parse()?,
            "--vocabulary" => found.vocabulary = value.parse()?,
            "--rank" => found.rank = value.parse()?,
            "--attributed" => {
                found.attributed = value.split(',').map(str::parse).collect::<Result<_, _>>()?;
            }
            "--dampings" => found.dampings = value.split(',').map(str::parse).collect::<Result<_, _>>()?,
            "--means" => found.means = value.parse()?,
            "--own-floor" => found.own_floor = value.parse()?,
            other => anyhow::bail!("unknown flag {other}"),
        }
    }
    Ok(found)
}

/// Writes training and held-out documents as JSONL.
fn split(arguments: &Arguments) -> Result<(PathBuf, PathBuf)> {
    let (train, held_out) = (arguments.work.join("train.jsonl"), arguments.work.join("held-out.jsonl"));
    let all = data::documents(&arguments.text)?;
    let mut files = [std::fs::File::create(&train)?, std::fs::File::create(&held_out)?];
    let mut seen = vec![0usize; all.owners.len()];
    for document in &all.list {
        let place = &mut seen[document.owner as usize];
        let side = usize::from(*place % HELD_OUT_EVERY == 1);
        *place += 1;
        let owner = &all.owners[document.owner as usize];
        let line = serde_json::json!({ "owner": owner, "name": document.name, "text": document.text });
        writeln!(files[side], "{line}")?;
    }
    Ok((train, held_out))
}

/// Trains the model on the packed stream and saves it with its tokenizer, unless it is there.
fn model(ctx: Ctx, arguments: &Arguments, documents: &Path) -> Result<PathBuf> {
    let folder = arguments.work.join("model");
    if Model::load(&folder).is_ok() {
        return Ok(folder);
    }
    let documents = data::documents(documents)?;
    let texts = documents.list.iter().map(|d| d.text.as_str());
    let tokenizer = Tokenizer::train_bpe(texts, arguments.vocabulary, &[])?;
    let tokens: Vec<Vec<u32>> =
        documents.list.iter().map(|d| tokenizer.encode(&d.text, false)).collect::<Result<_, _>>()?;
    let units = pack(&tokens, None, arguments.context).into_iter().map(|unit| unit.example).collect();
    let heads = (arguments.width / 32).max(1);
    let config =
        Config::gpt(tokenizer.vocabulary(), arguments.layers, heads, arguments.width, arguments.context);
    let data = Items::new(units)?;
    let never = 1 << 20;
    let options = TrainOptions {
        state_root_every: never,
        checkpoint_every: never,
        ..TrainOptions::new(arguments.steps, BATCH)
    };
    let start = Instant::now();
    let mut trainer = Trainer::new(ctx, Model::initial(config, 1)?, &data, None, options)?;
    for step in 1..=arguments.steps {
        let record = trainer.step(&data)?;
        if arguments.steps >= PARTS && step % (arguments.steps / PARTS) == 0 && step < arguments.steps {
            let folder = arguments.work.join(format!("model-{step}"));
            std::fs::create_dir_all(&folder)?;
            trainer.model().save(&folder, SaveOptions::default())?;
            tokenizer.save(&folder)?;
        }
        if step % 100 == 0 || step == arguments.steps {
            eprintln!("step {step}: loss {:.3}, {:.0} s", record.loss, start.elapsed().as_secs_f64());
        }
    }
    std::fs::create_dir_all(&folder)?;
    trainer.into_model().0.save(&folder, SaveOptions::default())?;
    tokenizer.save(&folder)?;
    Ok(folder)
}

#[allow(clippy::print_stdout)]
fn main() -> Result<()> {
    let arguments = arguments()?;
    std::fs::create_dir_all(&arguments.work)?;
    let (documents, held_out) = split(&arguments)?;
    let ctx = Ctx::detect();
    let model = model(ctx, &arguments, &documents)?;
    let options = Options {
        rank: arguments.rank,
        unit_tokens: arguments.context as u32,
        own_floor_percent: arguments.own_floor,
        ..Options::default()
    };
    let quarter = arguments.steps / PARTS;
    let at = |part: u64| arguments.work.join(format!("model-{}", part * quarter));
    let attributed: Vec<PathBuf> = arguments.attributed.iter().map(|part| at(*part)).collect();
    let parts: Vec<String> = arguments.attributed.iter().map(u64::to_string).collect();
    let (prompt_tokens, answer_tokens) = (arguments.context / 4, arguments.context * 3 / 4);
    let name = format!("cache-{}-{}-{}", parts.join("+"), arguments.rank, arguments.own_floor);
    let folder = arguments.work.join(name);
    let request = CacheRequest {
        model: model.clone(),
        adapter: None,
        attributed: attributed.clone(),
        documents: documents.clone(),
        folder: folder.clone(),
        options,
    };
    let cache = commands::cache(&ctx, &request, &mut |_| {})?;
    println!(
        "{} rows and parts of {} documents by {} owners, {:.1} MB, cache in {:.1} s",
        cache.commitment.units,
        cache.documents,
        cache.owners,
        cache.bytes as f64 / 1e6,
        cache.seconds
    );
    let request = EvaluateRequest {
        model: model.clone(),
        attributed: attributed.clone(),
        cache: folder,
        documents: documents.clone(),
        held_out: held_out.clone(),
        prompt_tokens,
        answer_tokens,
        per_document: 3,
    };
    let report = commands::evaluate(&ctx, &request, &mut |_, _| {})?;
    println!(
        "{} queries, {} without evidence, median {:.1} ms, chance {:.3}",
        report.queries,
        report.without_evidence,
        report.median_seconds * 1e3,
        1.0 / report.owners as f64
    );
    for method in &report.methods {
        let s = method.source.first;
        println!("{:45} first {:.3} [{:.3}, {:.3}]", method.method, s.value, s.low, s.high);
    }
    if arguments.subsets == 0 {
        return Ok(());
    }
    let checkpoints = (1..PARTS).map(at).filter(|_| arguments.means);
    let request = RetrainRequest {
        model,
        attributed,
        checkpoints: checkpoints.filter(|folder| folder.is_dir()).collect(),
        documents,
        held_out,
        folder: arguments.work.join("retrain"),
        subsets: arguments.subsets,
        seeds: arguments.seeds,
        steps: arguments.steps / 2,
        batch: BATCH,
        options,
        dampings: arguments.dampings,
        prompt_tokens,
        answer_tokens,
        per_document: 3,
    };
    let start = Instant::now();
    let report = commands::retrain(&ctx, &request, &mut |done, total| {
        eprintln!("{done} of {total} retrainings, {:.0} s", start.elapsed().as_secs_f64());
    })?;
    println!("{}", serde_json::to_string_pretty(&report)?);
    Ok(())
}
