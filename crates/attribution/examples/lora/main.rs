//! LoRA fine-tunes of a small GPT on `instruct`: LDS of attribution against fine-tuning on half of the items and on half of the sources.
//!
//! `OPENLEDGER_DATA=<data folder> cargo run --release -p attribution --example lora -- WORK [--steps N] [--layers N] [--width N] [--context N]
//! [--vocabulary N] [--items N] [--queries N] [--rank N] [--epochs N] [--batch N] [--rate X] [--halves N] [--seeds N] [--models N] [--cache-rank N]`
//!
//! 1. A base GPT learns the prompts of the lines that nothing else uses.
//! 2. LoRA adapters are fine-tuned on `items` lines of each source (a source is one dataset under one template), loss on the completions.
//! 3. The same on `halves` halves of the items and `halves` of the sources, complementary in pairs, under `seeds` seeds (of initial factors and order);
//!    the truth is the mean over seeds of the loss on the completion of held-out lines.
//! 4. Each method scores every item for every query on `models` full fine-tunes; settings are chosen on every other pair of halves, LDS is reported on
//!    the rest.
//! 5. One query is timed over a cache of every line there is.
//!
//! Everything is kept in WORK, so a run that was cut off goes on.

mod caches;
mod data;
mod estimates;
mod report;
mod training;

use anyhow::{Context as _, Result, bail, ensure};
use caches::Caches;
use data::{Data, Sizes};
use estimates::{Scores, Whole};
use model::{Adapter, Example};
use ops::Ctx;
use report::{Report, Truth};
use std::{
    fs,
    path::{Path, PathBuf},
    time::Instant,
};
use training::{Base, On, Tuning};

/// Dampings of Gauss-Newton over whole gradients, as ratios of the mean eigenvalue in the items' span.
const RATIOS: [f64; 6] = [0.1, 0.3, 1.0, 3.0, 10.0, 100.0];
/// Dampings of DataInf, as ratios of a layer's mean squared gradient entry (the paper's is .1).
const DATA_INF_RATIOS: [f64; 4] = [0.1, 10.0, 1e3, 1e5];
/// Ranks of caches beside the one that is asked for.
const OTHER_RANKS: [usize; 2] = [8, 32];

struct Arguments {
    work: PathBuf,
    sizes: Sizes,
    base: Base,
    tuning: Tuning,
    halves: usize,
    seeds: u64,
    models: u64,
    /// Of the caches.
    cache_rank: usize,
}

fn arguments() -> Result<Arguments> {
    let mut rest = std::env::args().skip(1);
    let work = rest.next().context("first a folder to work in")?.into();
    let mut found = Arguments {
        work,
        sizes: Sizes { items: 20, queries: 2, vocabulary: 1024, context: 128 },
        base: Base { layers: 3, width: 96, context: 128, steps: 500 },
        tuning: Tuning { rank: 8, epochs: 4, batch: 32, rate: 2e-3 },
        halves: 24,
        seeds: 2,
        models: 4,
        cache_rank: 16,
    };
    while let Some(flag) = rest.next() {
        let value = rest.next().with_context(|| format!("{flag} needs a value"))?;
        match flag.as_str() {
            "--steps" => found.base.steps = value.parse()?,
            "--layers" => found.base.layers = value.parse()?,
            "--width" => found.base.width = value.parse()?,
            "--context" => found.base.context = value.parse()?,
            "--vocabulary" => found.sizes.vocabulary = value.parse()?,
            "--items" => found.sizes.items = value.parse()?,
            "--queries" => found.sizes.queries = value.parse()?,
            "--rank" => found.tuning.rank = value.parse()?,
            "--epochs" => found.tuning.epochs = value.parse()?,
            "--batch" => found.tuning.batch = value.parse()?,
            "--rate" => found.tuning.rate = value.parse()?,
            "--halves" => found.halves = value.parse()?,
            "--seeds" => found.seeds = value.parse()?,
            "--cache-rank" => found.cache_rank = value.parse()?,
            "--models" => found.models = value.parse()?,
            other => bail!("unknown flag {other}"),
        }
    }
    found.sizes.context = found.base.context;
    ensure!(
        found.halves >= 8 && found.halves.is_multiple_of(4),
        "--halves is a multiple of four, at least 8"
    );
    ensure!(found.seeds > 0 && found.models > 0 && found.tuning.epochs > 0, "zero of something");
    Ok(found)
}

/// What `benches/peers/lora_peers.py` measures on, beside the model, its adapters and the halves.
fn write_for_peers(data: &Data, tuning: &Tuning, losses: &[f64], work: &Path) -> Result<()> {
    let examples = |all: &[Example]| -> Vec<serde_json::Value> {
        all.iter().map(|e| serde_json::json!({ "tokens": e.tokens, "targets": e.targets })).collect()
    };
    let all = serde_json::json!({
        "items": examples(&data.items),
        "queries": examples(&data.queries),
        "source_of": data.source_of,
        "adapter": format!("adapter-0/epoch-{}", tuning.epochs),
        "losses": losses,
    });
    Ok(fs::write(work.join("peers.json"), serde_json::to_vec(&all)?)?)
}

#[allow(clippy::print_stdout)]
fn main() -> Result<()> {
    let arguments = arguments()?;
    let Arguments { work, sizes, tuning, halves, seeds, models, cache_rank, .. } = &arguments;
    let folder = std::env::var_os("OPENLEDGER_DATA").context("OPENLEDGER_DATA names the data folder")?;
    fs::create_dir_all(work)?;
    let data = data::read(&PathBuf::from(folder).join("instruct"), sizes, 7)?;
    println!("{}", data.summary());
    let (ctx, start) = (Ctx::detect(), Instant::now());
    let model = training::base(&data, &arguments.base, &work.join("model"))?;
    let on = |on: On| tuning.models(&model, &data, *models, on, work);
    let full = on(On::All)?;
    let first: &Adapter = full[0].last().context("at least one epoch")?;
    let losses = |adapter: Option<&Adapter>| training::query_losses(&model, adapter, &data.queries);
    let mean = |losses: Vec<f64>| losses.iter().sum::<f64>() / losses.len() as f64;
    print!("loss of the queries: base {:.3}; after each epoch", mean(losses(None)?));
    for adapter in &full[0] {
        print!(" {:.3}", mean(losses(Some(adapter))?));
    }
    println!();
    write_for_peers(&data, tuning, &losses(Some(first))?, work)?;

    let truth = |by_source: bool| -> Result<Truth> {
        let of_seed =
            |seed| training::halves(&model, &data, tuning, by_source, *halves, seed, &work.join("halves"));
        Ok(Truth::new(&(0..*seeds).map(of_seed).collect::<Result<Vec<_>>>()?, by_source))
    };
    let (items, sources) = (truth(false)?, truth(true)?);
    println!("trained in {:.0} s (what was kept not counted)", start.elapsed().as_secs_f64());
    println!("{}{}", items.ceilings("items"), sources.ceilings("sources"));
    let mut report = Report { data: &data, items, sources, rows: vec![] };

    let caches = Caches { ctx, model: &model, data: &data, context: sizes.context, work };
    for rank in OTHER_RANKS.into_iter().filter(|rank| rank != cache_rank) {
        report.add(&format!("ours at rank {rank}, one fine-tune"), &caches.tried(rank, &[first], None)?)?;
    }
    let name = format!("ours at rank {cache_rank}, one fine-tune");
    let chosen = report.add(&name, &caches.tried(*cache_rank, &[first], None)?)?;
    let options = caches.grid(*cache_rank, None)[chosen].1;
    let last = |models: &[Vec<Adapter>]| -> Vec<Adapter> {
        models.iter().filter_map(|e| e.last().cloned()).collect()
    };
    let (of_items, of_sources) = (on(On::Items)?, on(On::Sources)?);
    let (rank, wide) = (*cache_rank, OTHER_RANKS[1]);
    let alone: [(String, Vec<Adapter>); 4] = [
        ("one fine-tune after each epoch".into(), full[0].clone()),
        (format!("{models} fine-tunes"), last(&full)),
        (format!("{models} fine-tunes on halves of the items"), last(&of_items)),
        (format!("{models} fine-tunes on halves of the sources"), last(&of_sources)),
    ];
    let each = |what: &str| format!("{models} fine-tunes{what} after each epoch");
    let every = [&full[..], &of_items, &of_sources].concat().concat();
    let mut several: Vec<(usize, String, Vec<Adapter>)> = vec![
        (rank, each(""), full.concat()),
        (rank, each(" on halves of the items"), of_items.concat()),
        (rank, each(" on halves of the sources"), of_sources.concat()),
        (rank, format!("all {} adapters", every.len()), every),
    ];
    // The highest rank for as many adapters as can be asked in reasonable time.
    let every = [full[0].clone(), last(&full[1..]), last(&of_items), last(&of_sources)].concat();
    for rank in [rank, wide] {
        several.extend(alone.iter().map(|(what, members)| (rank, what.clone(), members.clone())));
    }
    several.push((wide, format!("all {} adapters of these", every.len()), every));
    for (rank, what, members) in &several {
        // The clip is that of the first; damping is chosen again.
        let members: Vec<&Adapter> = members.iter().collect();
        let settings = caches.tried(*rank, &members, Some(options.clip_percent))?;
        report.add(&format!("ours at rank {rank}, {what}"), &settings)?;
    }

    let whole = Whole::new(&ctx, &model, first, &data)?;
    let basis = data.items.len();
    let settings = |ratios: &[f64], of: &dyn Fn(f64) -> Result<Scores>| -> Result<Vec<(String, Scores)>> {
        ratios.iter().map(|ratio| Ok((format!("damping {ratio}"), of(*ratio)?))).collect()
    };
    let gauss_newton = settings(&RATIOS, &|r| whole.gauss_newton(&ctx, r, basis))?;
    report.add("whole gradients, Gauss-Newton", &gauss_newton)?;
    report.add("DataInf", &settings(&DATA_INF_RATIOS, &|r| whole.data_inf(&ctx, r))?)?;
    report.add("gradient dot", &[(String::new(), whole.dot(&ctx)?)])?;
    report.add("gradient cosine", &[(String::new(), whole.cosine(&ctx)?)])?;
    let mut dot = vec![];
    for adapter in &full[0] {
        estimates::add(&mut dot, &Whole::new(&ctx, &model, adapter, &data)?.dot(&ctx)?);
    }
    report.add("TracIn over epochs", &[(String::new(), dot)])?;
    report.add("BM25 (overlap, not influence)", &[(String::new(), estimates::bm25(&data))])?;
    println!("{}", report.table());
    fs::write(work.join("report.json"), serde_json::to_string_pretty(&report.rows)?)?;
    println!("{}", caches.time(first, &options)?);
    Ok(())
}
