//! Measures source identification, speed and (with `--subsets N`) contributor LDS on documentation by repository: the
//! table of docs/benchmarks/attribution.md.
//!
//! `OPENLEDGER_REPOSITORIES=<folder of folders of text> cargo run --release -p attribution --example repositories -- [--steps N] [--subsets N] [--work FOLDER]`

mod corpus;

use anyhow::{Context as _, Result};
use attribution::{
    bm25::Bm25,
    influence::{
        cache::{Cache, Options, build},
        language::{Language, answer_spans},
        query::attribute,
    },
    metrics::{Retraining, lds, source_identification},
};
use corpus::{Corpus, Query, Units};
use model::{
    Activations, Batch, Config, Model, Tokenizer, TrainOptions, Trainer, data::Items, network::losses,
};
use ops::Ctx;
use primitives::Amount;
use std::{path::PathBuf, time::Instant};

const CONTEXT: usize = 256;
const PROMPT: usize = 32;
const ANSWER: usize = 96;
const BATCH: usize = 12;

struct Arguments {
    steps: u64,
    subsets: usize,
    work: PathBuf,
    ranks: Vec<usize>,
}

fn arguments() -> Result<Arguments> {
    let mut found = Arguments {
        steps: 900,
        subsets: 0,
        work: std::env::temp_dir().join("repositories"),
        ranks: vec![32],
    };
    let mut rest = std::env::args().skip(1);
    while let Some(flag) = rest.next() {
        let value = rest.next().with_context(|| format!("{flag} needs a value"))?;
        match flag.as_str() {
            "--steps" => found.steps = value.parse()?,
            "--subsets" => found.subsets = value.parse()?,
            "--work" => found.work = value.into(),
            "--ranks" => found.ranks = value.split(',').map(str::parse).collect::<Result<_, _>>()?,
            other => anyhow::bail!("unknown flag {other}"),
        }
    }
    Ok(found)
}

fn train(
    ctx: Ctx,
    config: &Config,
    units: &Units,
    keep: impl Fn(u32) -> bool,
    steps: u64,
) -> Result<(Model, f64)> {
    let kept = units.examples.iter().zip(&units.metas).filter(|(_, meta)| keep(meta.owner));
    let data = Items::new(kept.map(|(example, _)| example.clone()).collect())?;
    let model = Model::initial(config.clone(), 1)?;
    let mut trainer = Trainer::new(
        ctx,
        model,
        &data,
        None,
        TrainOptions {
            state_root_every: 1 << 20,
            checkpoint_every: 1 << 20,
            ..TrainOptions::new(steps, BATCH)
        },
    )?;
    let start = Instant::now();
    for step in 1..=steps {
        let record = trainer.step(&data)?;
        if step % 50 == 0 || step == steps {
            eprintln!(
                "step {step} of {steps}: loss {:.3}, {:.0} s",
                record.loss,
                start.elapsed().as_secs_f64()
            );
        }
    }
    Ok((trainer.into_model().0, start.elapsed().as_secs_f64()))
}

fn saved(path: &std::path::Path, config: &Config) -> Result<Option<Model>> {
    let Ok(bytes) = std::fs::read(path) else { return Ok(None) };
    let mut model = Model::initial(config.clone(), 1)?;
    let mut numbers = bytes.chunks_exact(4).map(|x| f32::from_le_bytes(x.try_into().expect("four")));
    for tensor in model.weights.tensors_mut() {
        tensor.iter_mut().for_each(|x| *x = numbers.next().unwrap_or(f32::NAN));
    }
    Ok(model.weights.check_finite(&Ctx::single(), &model.layout).is_ok().then_some(model))
}

fn trained(
    ctx: Ctx,
    path: &std::path::Path,
    config: &Config,
    units: &Units,
    keep: impl Fn(u32) -> bool,
    steps: u64,
) -> Result<Model> {
    if let Some(model) = saved(path, config)? {
        return Ok(model);
    }
    let (model, _) = train(ctx, config, units, keep, steps)?;
    let bytes: Vec<u8> = model.weights.tensors().iter().flatten().flat_map(|x| x.to_le_bytes()).collect();
    std::fs::write(path, bytes)?;
    Ok(model)
}

/// Totals per owner of values per unit.
fn by_owner(units: &Units, owners: usize, values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut totals = vec![0.0; owners];
    for (value, meta) in values.zip(&units.metas) {
        totals[meta.owner as usize] += value;
    }
    totals
}

/// Sum of each owner's `count` highest.
fn top(units: &Units, owners: usize, values: &[f64], count: usize) -> Vec<f64> {
    let mut lists = vec![vec![]; owners];
    for (value, meta) in values.iter().zip(&units.metas) {
        lists[meta.owner as usize].push(*value);
    }
    lists.iter_mut().for_each(|list| list.sort_by(|a, b| b.total_cmp(a)));
    lists.iter().map(|list| list.iter().take(count).sum()).collect()
}

/// Per query and method: a value for each owner.
struct Measured {
    names: Vec<String>,
    totals: Vec<Vec<Vec<f64>>>,
}

impl Measured {
    fn add(&mut self, name: String, of_query: Vec<f64>) {
        let place = self.names.iter().position(|known| *known == name).unwrap_or_else(|| {
            self.names.push(name);
            self.totals.push(vec![]);
            self.names.len() - 1
        });
        self.totals[place].push(of_query);
    }
}

fn measure(
    ctx: &Ctx,
    cache: &Cache,
    language: &Language<'_>,
    units: &Units,
    owners: usize,
    queries: &[Query],
) -> Result<(Measured, f64)> {
    let mut measured = Measured { names: vec![], totals: vec![] };
    let mut times = vec![];
    let rank = cache.commitment().options.rank;
    for query in queries {
        let start = Instant::now();
        let spans = answer_spans(PROMPT, ANSWER, 16);
        let got = attribute(ctx, cache, language, &query.example, &spans, Amount::open(1))?;
        times.push(start.elapsed().as_secs_f64());
        let name = |what: &str| format!("influence rank {rank}: {what}");
        measured
            .add(name("paid shares"), by_owner(units, owners, got.shares.weights.iter().map(|w| *w as f64)));
        measured.add(name("sum of scores"), by_owner(units, owners, got.scores.iter().copied()));
        measured.add(
            name("positive scores"),
            by_owner(units, owners, got.scores.iter().map(|s| if *s > 0.0 { *s } else { 0.0 })),
        );
        for count in [1, 5, 20] {
            measured.add(name(&format!("top {count}")), top(units, owners, &got.scores, count));
        }
        for (floor, cap) in [(2.0, 1e3), (4.0, 20.0), (4.0, 1e3), (8.0, 30.0), (8.0, 1e3), (16.0, 1e3)] {
            let rule = cache.commitment().rule;
            let noise = rule.floor as f64 * 100.0
                / f64::from(cache.commitment().options.floor_percent)
                / 2f64.powi(rule.scale_bits as i32);
            let paid = got.scores.iter().map(|s| (s / noise - floor).clamp(0.0, cap));
            measured.add(name(&format!("floor {floor} cap {cap}")), by_owner(units, owners, paid));
        }
    }
    times.sort_by(f64::total_cmp);
    Ok((measured, times[times.len() / 2]))
}

fn add_bm25(measured: &mut Measured, units: &Units, owners: usize, queries: &[Query]) {
    let documents: Vec<&[u32]> = units.examples.iter().map(|e| &e.tokens[..]).collect();
    let index = Bm25::new(&documents);
    for query in queries {
        let scores = index.scores(&query.tokens);
        measured.add("BM25: sum".into(), by_owner(units, owners, scores.iter().copied()));
        for count in [1, 5] {
            measured.add(format!("BM25: top {count}"), top(units, owners, &scores, count));
        }
    }
}

/// Minus the mean loss of each query under a model.
fn quality(ctx: &Ctx, model: &Model, queries: &[Query]) -> Result<Vec<f64>> {
    let mut acts = Activations::default();
    queries
        .iter()
        .map(|q| Ok(-losses(ctx, model, None, &Batch::new(&model.config, [&q.example])?, &mut acts).mean()))
        .collect()
}

#[allow(clippy::print_stdout)]
fn main() -> Result<()> {
    let arguments = arguments()?;
    let folder = std::env::var("OPENLEDGER_REPOSITORIES")
        .context("set OPENLEDGER_REPOSITORIES to a folder of folders of text")?;
    std::fs::create_dir_all(&arguments.work)?;
    let corpus: Corpus = corpus::load(folder.as_ref())?;
    let tokenizer = Tokenizer::train_bpe(corpus.train.iter().map(|d| d.text.as_str()), 2048, &[])?;
    let units = Units::new(&tokenizer, &corpus.train, CONTEXT)?;
    let owners = corpus::owners(&units.metas);
    let queries = corpus::queries(&tokenizer, &corpus.held_out, PROMPT, ANSWER, 2)?;
    let ctx = Ctx::detect();
    let config = Config::gpt(tokenizer.vocabulary(), 4, 4, 128, CONTEXT);
    println!(
        "{} units of {owners} owners, {} queries, {} parameters",
        units.examples.len(),
        queries.len(),
        config.parameters()
    );
    let model = trained(ctx, &arguments.work.join("full"), &config, &units, |_| true, arguments.steps)?;
    let held_out = quality(&ctx, &model, &queries)?;
    println!("held-out loss {:.3}", -held_out.iter().sum::<f64>() / held_out.len() as f64);

    let language = Language::new(&model);
    let truth: Vec<u32> = queries.iter().map(|q| q.owner).collect();
    let mut all = Measured { names: vec![], totals: vec![] };
    for rank in &arguments.ranks {
        for damping in [2, 3, 4] {
            let options = Options { rank: *rank, damping, ..Options::default() };
            let folder = arguments.work.join(format!("cache {rank} {damping}"));
            let start = Instant::now();
            let cache = build(&ctx, &language, &units.as_units(), &options, &folder, &mut |_| {})?;
            let built = start.elapsed().as_secs_f64();
            let (measured, median) = measure(&ctx, &cache, &language, &units, owners, &queries)?;
            println!(
                "rank {rank} damping {}: cache {built:.1} s, {:.0} MB, query {:.1} ms",
                options.damping_ratio(),
                cache.bytes() as f64 / 1e6,
                median * 1e3
            );
            all.names
                .extend(measured.names.iter().map(|n| format!("{n} (damping {})", options.damping_ratio())));
            all.totals.extend(measured.totals);
        }
    }
    add_bm25(&mut all, &units, owners, &queries);
    for (name, totals) in all.names.iter().zip(&all.totals) {
        let s = source_identification(totals, &truth, 1);
        println!(
            "{name:55} first {:.3} [{:.3}, {:.3}]  reciprocal rank {:.3}",
            s.first.value, s.first.low, s.first.high, s.reciprocal_rank.value
        );
    }
    println!("chance {:.3}", 1.0 / owners as f64);
    if arguments.subsets > 0 {
        retrain(&ctx, &arguments, &config, &units, owners, &queries, &all)?;
    }
    Ok(())
}

/// Contributor LDS: models retrained on half of the owners.
#[allow(clippy::print_stdout)]
fn retrain(
    ctx: &Ctx,
    arguments: &Arguments,
    config: &Config,
    units: &Units,
    owners: usize,
    queries: &[Query],
    all: &Measured,
) -> Result<()> {
    let mut truth = Retraining { subsets: vec![], quality: vec![] };
    for subset in 0..arguments.subsets {
        let stream = ops::Stream::new(77, subset as u64 / 2);
        let mut order: Vec<u32> = (0..owners as u32).collect();
        order.sort_by_key(|owner| stream.word(u64::from(*owner)));
        // Complementary halves in pairs.
        let half = if subset % 2 == 0 { &order[..owners / 2] } else { &order[owners / 2..] };
        let path = arguments.work.join(format!("half {subset}"));
        let model = trained(*ctx, &path, config, units, |owner| half.contains(&owner), arguments.steps / 2)?;
        truth.subsets.push(half.to_vec());
        truth.quality.push(quality(ctx, &model, queries)?);
    }
    for (name, totals) in all.names.iter().zip(&all.totals) {
        let l = lds(totals, &truth, 1)?.lds;
        println!("{name:55} LDS {:.3} [{:.3}, {:.3}]", l.value, l.low, l.high);
    }
    Ok(())
}
