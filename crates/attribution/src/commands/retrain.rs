//! `attribute evaluate --retrain N`: does influence predict what retraining without half of the contributors does?
//!
//! # Procedure
//! 1. N halves of the contributors, complementary in pairs, drawn by the seed.
//! 2. For each half models of the same configuration are trained by our own engine on that half's text alone, one for each seed (of weights and
//!    order), and the losses of all queries under them are kept (`half-NNN-S.json` in the folder; a run that was cut off goes on with the next).
//!    The truth is their mean; how well two seeds agree says how high an LDS can be.
//! 3. For each damping of the protocol's grid a cache of the model at hand is built, and every query is scored.
//! 4. The damping with the highest LDS of the *paid weights* on the even pairs is chosen. What is reported for it is measured on the odd
//!    pairs, which had no part in the choice, with a bootstrap over queries and retrainings.
//!
//! What is attributed is the model, or the mean of the weights of earlier checkpoints of its training ([`RetrainRequest::attributed`]). With several checkpoints of the same training, the same is measured with the mean of every checkpoint's scores, at the damping chosen.
//!
//! Beside the paid weights stand the raw sums of influence, the paid weights with the rows' own floors off (what that defence costs), and BM25.
//! Queries are held-out text, and the model's own answers to the same prompts.

use super::{
    CommandError, Loaded,
    data::{self, Documents},
    load, load_checkpoint,
    queries::{Query, Stretches, held_out, own_answers},
};
use crate::{
    bm25::Bm25,
    influence::{
        cache::{Cache, DAMPING_GRID, Options, Unit, UnitMeta, build},
        language::{Language, Packed, pack},
        query::score,
        taps::Tapped as _,
    },
    metrics::{Interval, Retraining, lds, pearson, ranks},
    shares::{self, Scored},
};
use model::{Activations, Batch, Example, Model, TrainOptions, Trainer, data::Items, network::losses};
use ops::Ctx;
use primitives::Amount;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Fewest halves: two pairs to choose on, two to report.
pub const MIN_SUBSETS: usize = 8;
/// Most halves.
pub const MAX_SUBSETS: usize = 1024;
/// Most models of one half.
pub const MAX_SEEDS: u64 = 64;

/// What to measure.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RetrainRequest {
    /// The model's directory.
    pub model: PathBuf,
    /// Directories of earlier checkpoints of its training, the mean of whose weights gradients are taken of; the model's own if there is none.
    pub attributed: Vec<PathBuf>,
    /// Directories of earlier checkpoints of its training: methods are measured also with the mean of all their scores, each query
    /// asked of each. Empty for the model alone.
    pub checkpoints: Vec<PathBuf>,
    /// Documents it was trained on.
    pub documents: PathBuf,
    /// Documents by the same owners that it has not seen.
    pub held_out: PathBuf,
    /// Where halves and caches are kept.
    pub folder: PathBuf,
    /// Halves to train on; a multiple of four.
    pub subsets: usize,
    /// Models of each half, under as many seeds; the mean of their losses is the truth.
    pub seeds: u64,
    /// Steps of each retraining.
    pub steps: u64,
    /// Units of a step.
    pub batch: usize,
    /// Choices of the caches; their damping is what is chosen.
    pub options: Options,
    /// Indices in the protocol's grid to choose from.
    pub dampings: Vec<usize>,
    /// Tokens of a prompt.
    pub prompt_tokens: usize,
    /// Tokens of an answer.
    pub answer_tokens: usize,
    /// Queries of one document at most.
    pub per_document: usize,
}

/// One damping as it was tried.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct DampingReport {
    /// Index in the grid.
    pub damping: usize,
    /// Times the mean eigenvalue.
    pub ratio: f64,
    /// LDS of the paid weights on the pairs that choose.
    pub lds: Interval,
}

/// One method on the pairs that had no part in the choice.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LdsOfMethod {
    /// What is summed.
    pub method: String,
    /// On held-out text.
    pub held_out: Interval,
    /// On the model's own answers.
    pub own_answers: Interval,
}

/// How well the truth agrees with itself, on the pairs that are reported.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Agreement {
    /// Mean rank correlation over halves of two seeds' losses: held-out text, own answers.
    pub of_seeds: (f64, f64),
    /// What a perfect predictor of the expected loss would score against the mean over the seeds: the root of that mean's reliability by the
    /// Spearman-Brown formula.
    pub ceiling: (f64, f64),
}

/// What was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RetrainReport {
    /// Halves.
    pub subsets: usize,
    /// Models of each half.
    pub seeds: u64,
    /// None for a single seed.
    pub agreement: Option<Agreement>,
    /// Contributors.
    pub owners: usize,
    /// Held-out queries, and own answers.
    pub queries: (usize, usize),
    /// Rows of the cache.
    pub rows: usize,
    /// Every damping tried.
    pub tried: Vec<DampingReport>,
    /// The one chosen.
    pub chosen: DampingReport,
    /// Methods at that damping, paid weights first.
    pub methods: Vec<LdsOfMethod>,
}

/// Names of the methods, in the order of [`Run::totals`], BM25 last.
const METHODS: [&str; 4] = [
    "influence: paid weights",
    "influence: paid weights, own floors off",
    "influence: sums of scores",
    "BM25: sums (overlap, not influence)",
];

/// The stream as units.
struct Stream {
    packed: Vec<Packed>,
    metas: Vec<(usize, UnitMeta)>,
}

impl Stream {
    /// Packs the novel documents that `keep` keeps.
    fn new(tokens: &[Vec<u32>], documents: &Documents, unit: usize, keep: impl Fn(u32) -> bool) -> Stream {
        let kept: Vec<u32> = (0u32..)
            .zip(&documents.list)
            .filter(|(_, d)| d.novelty > 0 && keep(d.owner))
            .map(|(n, _)| n)
            .collect();
        let list: Vec<&[u32]> = kept.iter().map(|n| &tokens[*n as usize][..]).collect();
        let packed = pack(&list, None, unit);
        let mut metas = vec![];
        for (row, Packed { example, parts }) in packed.iter().enumerate() {
            let id = model::commitment::example_hash(&example.tokens, &example.targets);
            for (place, tokens) in parts {
                let document = kept[*place as usize];
                let data::Document { owner, novelty, .. } = documents.list[document as usize];
                metas.push((row, UnitMeta { id, document, owner, tokens: *tokens, novelty }));
            }
        }
        Stream { packed, metas }
    }

    fn units(&self) -> Vec<Unit<'_, Example>> {
        self.metas.iter().map(|(row, meta)| Unit { item: &self.packed[*row].example, meta: *meta }).collect()
    }
}

/// Which owners half `number` keeps: even and odd numbers are complements.
fn half(owners: usize, number: usize, seed: u64) -> Vec<u32> {
    let stream = ops::Stream::new(seed, number as u64 / 2);
    let mut order: Vec<u32> = (0..owners as u32).collect();
    order.sort_by_key(|owner| (stream.word(u64::from(*owner)), *owner));
    let (first, second) = order.split_at(owners / 2);
    if number.is_multiple_of(2) { first.to_vec() } else { second.to_vec() }
}

/// Minus the mean loss of each query.
fn quality(ctx: &Ctx, model: &Model, queries: &[Query]) -> Result<Vec<f64>, CommandError> {
    let mut acts = Activations::default();
    let failed =
        |e: model::batch::BatchError| CommandError::Model { path: "query".into(), reason: e.to_string() };
    queries
        .iter()
        .map(|q| {
            let batch = Batch::new(&model.config, [&q.example]).map_err(failed)?;
            Ok(-losses(ctx, model, None, &batch, &mut acts).mean())
        })
        .collect()
}

/// What is remembered of one half.
#[derive(Serialize, Deserialize, PartialEq)]
struct Half {
    owners: Vec<u32>,
    steps: u64,
    batch: usize,
    quality: Vec<f64>,
}

/// Of every query, of every owner.
type Totals = Vec<Vec<f64>>;

struct Run<'a> {
    ctx: &'a Ctx,
    request: &'a RetrainRequest,
    loaded: Loaded,
    /// Earlier checkpoints, of the mean.
    checkpoints: Vec<Model>,
    documents: Documents,
    tokens: Vec<Vec<u32>>,
    /// Held-out ones, then own answers.
    queries: Vec<Query>,
    held_out: usize,
}

impl Run<'_> {
    fn unit_tokens(&self) -> usize {
        (self.request.options.unit_tokens as usize).min(self.loaded.model.config.context)
    }

    fn half(&self, number: usize, seed: u64) -> Result<Half, CommandError> {
        let RetrainRequest { folder, steps, batch, options, .. } = self.request;
        let owners = half(self.documents.owners.len(), number, options.seed);
        let path = folder.join(format!("half-{number:03}-{seed}.json"));
        let kept = std::fs::read(&path).ok().and_then(|text| serde_json::from_slice::<Half>(&text).ok());
        let fits = |half: &Half| {
            (&half.owners, half.steps, half.batch, half.quality.len())
                == (&owners, *steps, *batch, self.queries.len())
        };
        if let Some(half) = kept.filter(fits) {
            return Ok(half);
        }
        let stream = Stream::new(&self.tokens, &self.documents, self.unit_tokens(), |o| owners.contains(&o));
        let model = self.train(stream.packed.into_iter().map(|unit| unit.example).collect(), seed)?;
        let quality = quality(self.ctx, &model, &self.queries)?;
        let half = Half { owners, steps: *steps, batch: *batch, quality };
        let text = serde_json::to_vec(&half).expect("plain structures serialise");
        let draft = path.with_extension("draft");
        let io = |source| data::DataError::Io { path: path.clone(), source };
        std::fs::write(&draft, text).and_then(|()| std::fs::rename(&draft, &path)).map_err(io)?;
        Ok(half)
    }

    fn train(&self, examples: Vec<Example>, seed: u64) -> Result<Model, CommandError> {
        let failed = |reason: String| CommandError::Model { path: self.request.model.clone(), reason };
        let data = Items::new(examples).map_err(|e| failed(e.to_string()))?;
        let steps = self.request.steps;
        let never = 1 << 20;
        let options = TrainOptions {
            state_root_every: never,
            checkpoint_every: never,
            seed: seed - 1,
            ..TrainOptions::new(steps, self.request.batch)
        };
        let model =
            Model::initial(self.loaded.model.config.clone(), seed).map_err(|e| failed(e.to_string()))?;
        let mut trainer =
            Trainer::new(*self.ctx, model, &data, None, options).map_err(|e| failed(e.to_string()))?;
        for _ in 0..steps {
            trainer.step(&data).map_err(|e| failed(e.to_string()))?;
        }
        Ok(trainer.into_model().0)
    }

    /// Totals of every owner: `[method][query][owner]`, BM25 left out. Scores are the model's own, or the mean over it and its earlier
    /// checkpoints.
    fn totals(&self, stream: &Stream, damping: usize, mean: bool) -> Result<[Totals; 3], CommandError> {
        let unit_tokens = self.unit_tokens() as u32;
        let options = Options { damping, unit_tokens, ..self.request.options };
        let Options { rank, own_floor_percent, floor_percent, .. } = options;
        let languages: Vec<Language<'_>> = match mean {
            true => std::iter::once(&self.loaded.model).chain(&self.checkpoints).map(Language::new).collect(),
            false => vec![self.loaded.language()],
        };
        let mut caches = Vec::with_capacity(languages.len());
        for language in &languages {
            let weights = format!("{:x}", language.identity());
            let weights = &weights[..16];
            let name = format!("cache-{weights}-{damping}-{rank}-{own_floor_percent}-{floor_percent}");
            let folder = self.request.folder.join(name);
            caches.push(build(self.ctx, language, &stream.units(), &options, &folder, &mut |_| {})?);
        }
        let mut totals: [Totals; 3] = Default::default();
        let (cache, share) = (&caches[0], 1.0 / caches.len() as f64);
        for query in &self.queries {
            let mut sums = vec![0.0; stream.metas.len()];
            let mut payable = sums.clone();
            for (cache, language) in caches.iter().zip(&languages) {
                let scores = score(self.ctx, cache, language, &query.example, &[])?;
                let add = |to: &mut [f64], scores: &[f64]| {
                    to.iter_mut().zip(scores).for_each(|(to, score)| *to += score * share);
                };
                add(&mut sums, scores.total());
                add(&mut payable, &cache.payable(scores.total()));
            }
            totals[0].push(self.paid(cache, &payable)?);
            totals[1].push(self.paid(cache, &sums)?);
            totals[2].push(self.by_owner(sums.iter().zip(cache.units()).map(|(s, u)| (u.owner, *s))));
        }
        Ok(totals)
    }

    fn paid(&self, cache: &Cache, scores: &[f64]) -> Result<Vec<f64>, CommandError> {
        let scored = |(score, unit): (&f64, &UnitMeta)| Scored {
            score: *score,
            tokens: unit.tokens,
            novelty: unit.novelty,
            owner: unit.owner,
        };
        let units: Vec<Scored> = scores.iter().zip(cache.units()).map(scored).collect();
        let shares = shares::divide(&cache.commitment().rule, &units, Amount::open(1))
            .map_err(crate::influence::cache::CacheError::from)?;
        Ok(self.by_owner(units.iter().zip(&shares.weights).map(|(u, w)| (u.owner, *w as f64))))
    }

    fn by_owner(&self, values: impl Iterator<Item = (u32, f64)>) -> Vec<f64> {
        let mut totals = vec![0.0; self.documents.owners.len()];
        values.for_each(|(owner, value)| totals[owner as usize] += value);
        totals
    }

    fn bm25(&self, stream: &Stream) -> Totals {
        let terms: Vec<&[u32]> =
            stream.metas.iter().map(|(row, _)| &stream.packed[*row].example.tokens[..]).collect();
        let index = Bm25::new(&terms);
        let of = |q: &Query| {
            let scores = index.scores(&q.tokens);
            self.by_owner(scores.iter().zip(&stream.metas).map(|(s, (_, meta))| (meta.owner, *s)))
        };
        self.queries.iter().map(of).collect()
    }

    /// LDS over some queries and some halves.
    fn lds(
        &self,
        totals: &[Vec<f64>],
        halves: &[&Half],
        queries: std::ops::Range<usize>,
    ) -> Result<Interval, CommandError> {
        let truth = Retraining {
            subsets: halves.iter().map(|half| half.owners.clone()).collect(),
            quality: halves.iter().map(|half| half.quality[queries.clone()].to_vec()).collect(),
        };
        Ok(lds(&totals[queries], &truth, self.request.options.seed)?.lds)
    }
}

/// Measures; `progress` is told halves done and in all.
///
/// # Errors
/// When the model, documents or folder cannot be used, or there are too few halves or owners.
pub fn retrain(
    ctx: &Ctx,
    request: &RetrainRequest,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<RetrainReport, CommandError> {
    let subsets = request.subsets;
    let valid = (MIN_SUBSETS..=MAX_SUBSETS).contains(&subsets) && subsets.is_multiple_of(4);
    if !valid {
        return Err(CommandError::Subsets(subsets));
    }
    let seeds = request.seeds;
    if !(1..=MAX_SEEDS).contains(&seeds) {
        return Err(CommandError::Seeds(seeds));
    }
    if request.dampings.is_empty() || request.dampings.iter().any(|d| *d >= DAMPING_GRID.len()) {
        return Err(CommandError::Dampings(DAMPING_GRID.len()));
    }
    let loaded = load(&request.model, None, &request.attributed)?;
    let checkpoints = request
        .checkpoints
        .iter()
        .map(|folder| load_checkpoint(folder, &loaded.model))
        .collect::<Result<Vec<_>, _>>()?;
    let documents = data::documents(&request.documents)?;
    if documents.owners.len() < 4 {
        return Err(CommandError::FewOwners(documents.owners.len()));
    }
    create(&request.folder)?;
    let RetrainRequest { prompt_tokens, answer_tokens, per_document, .. } = *request;
    let stretches = Stretches { prompt_tokens, answer_tokens, per_document };
    let mut queries = held_out(&loaded, &documents, &data::documents(&request.held_out)?, &stretches)?;
    let first_own = queries.len();
    queries.extend(own_answers(ctx, &loaded, &queries)?);
    let tokens = documents.list.iter().map(|d| loaded.encode(&d.text)).collect::<Result<_, _>>()?;
    let run = Run { ctx, request, loaded, checkpoints, documents, tokens, queries, held_out: first_own };
    // Of every seed, every half.
    let mut under: Vec<Vec<Half>> = vec![];
    for seed in 1..=seeds {
        let mut halves = vec![];
        for number in 0..subsets {
            halves.push(run.half(number, seed)?);
            progress((seed as usize - 1) * subsets + number + 1, seeds as usize * subsets);
        }
        under.push(halves);
    }
    let halves = mean(&under);
    let (choosing, reporting) = (pairs(&halves, 0), pairs(&halves, 1));
    let stream = Stream::new(&run.tokens, &run.documents, run.unit_tokens(), |_| true);
    let mut tried = vec![];
    let mut best: Option<(DampingReport, [Totals; 3])> = None;
    for damping in &request.dampings {
        let totals = run.totals(&stream, *damping, false)?;
        let lds = run.lds(&totals[0], &choosing, 0..run.queries.len())?;
        let report = DampingReport { damping: *damping, ratio: DAMPING_GRID[*damping], lds };
        tried.push(report);
        if best.as_ref().is_none_or(|(before, _)| lds.value > before.lds.value) {
            best = Some((report, totals));
        }
    }
    let (chosen, totals) = best.ok_or(CommandError::Dampings(DAMPING_GRID.len()))?;
    let of_bm25 = run.bm25(&stream);
    let mut named: Vec<(String, &Totals)> =
        METHODS.iter().map(|name| name.to_string()).zip(totals.iter().chain([&of_bm25])).collect();
    let means;
    if !run.checkpoints.is_empty() {
        means = run.totals(&stream, chosen.damping, true)?;
        let of = |name: &'static str| format!("{name}, mean over {} checkpoints", run.checkpoints.len() + 1);
        named.extend(METHODS.into_iter().map(of).zip(&means));
    }
    let mut methods = vec![];
    for (method, totals) in named {
        methods.push(LdsOfMethod {
            method,
            held_out: run.lds(totals, &reporting, 0..run.held_out)?,
            own_answers: run.lds(totals, &reporting, run.held_out..run.queries.len())?,
        });
    }
    let agreement = (seeds > 1).then(|| {
        let of = |queries: std::ops::Range<usize>| agreement(&under, queries);
        let of_seeds = (of(0..run.held_out), of(run.held_out..run.queries.len()));
        Agreement { of_seeds, ceiling: (ceiling(of_seeds.0, seeds), ceiling(of_seeds.1, seeds)) }
    });
    Ok(RetrainReport {
        subsets,
        seeds,
        agreement,
        owners: run.documents.owners.len(),
        queries: (run.held_out, run.queries.len() - run.held_out),
        rows: stream.packed.len(),
        tried,
        chosen,
        methods,
    })
}

/// Every other pair of halves: the even ones choose, the odd ones report.
fn pairs(halves: &[Half], odd: usize) -> Vec<&Half> {
    halves.iter().enumerate().filter(|(n, _)| n / 2 % 2 == odd).map(|(_, half)| half).collect()
}

/// Each half with the mean over seeds of what its models give the queries.
fn mean(under: &[Vec<Half>]) -> Vec<Half> {
    let of_half = |number: usize| {
        let Half { owners, steps, batch, quality } = &under[0][number];
        let of_query =
            |q| under.iter().fold(0.0, |sum, seed| sum + seed[number].quality[q]) / under.len() as f64;
        let quality = (0..quality.len()).map(of_query).collect();
        Half { owners: owners.clone(), steps: *steps, batch: *batch, quality }
    };
    (0..under[0].len()).map(of_half).collect()
}

/// Mean over queries and pairs of seeds of the rank correlation over the reporting halves.
fn agreement(under: &[Vec<Half>], queries: std::ops::Range<usize>) -> f64 {
    let of = |seed: usize, query: usize| -> Vec<f64> {
        ranks(&pairs(&under[seed], 1).iter().map(|half| half.quality[query]).collect::<Vec<_>>())
    };
    let (mut sum, mut count) = (0.0, 0.0);
    for query in queries {
        for second in 1..under.len() {
            for first in 0..second {
                sum += pearson(&of(first, query), &of(second, query));
                count += 1.0;
            }
        }
    }
    if count > 0.0 { sum / count } else { 0.0 }
}

/// The LDS of a perfect predictor against the mean of `seeds` truths, two of which correlate at `agreement`.
fn ceiling(agreement: f64, seeds: u64) -> f64 {
    let seeds = seeds as f64;
    let reliability = seeds * agreement / (1.0 + (seeds - 1.0) * agreement);
    if reliability > 0.0 { reliability.sqrt() } else { 0.0 }
}

fn create(folder: &Path) -> Result<(), CommandError> {
    let io = |source| data::DataError::Io { path: folder.into(), source };
    Ok(std::fs::create_dir_all(folder).map_err(io)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_complements_in_pairs_and_differ_between_them() {
        for pair in 0..6 {
            let (mut a, b) = (half(9, 2 * pair, 7), half(9, 2 * pair + 1, 7));
            assert_eq!((a.len(), b.len()), (4, 5));
            a.extend(b);
            a.sort_unstable();
            assert_eq!(a, (0..9).collect::<Vec<u32>>());
        }
        assert_ne!(half(9, 0, 7), half(9, 2, 7));
    }
}
