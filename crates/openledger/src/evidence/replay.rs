//! Running it again: generation, attribution, training.
//!
//! Nothing that was computed before is read: the attribution cache is built anew from weights and units in a folder of its own, and must
//! come out under the root that the ledger holds; then the answer is generated and attributed by it, and every bit is the receipt's.
//! Training runs from the initial weights, an adapter's from its base's; each segment between two checkpoints is noted once it came out the same, so that a replay
//! that was cut off goes on there.

use super::{Outcome, broken, open};
use crate::{
    light::{LightLedger, Snapshot},
    serving::{Serving, attributed},
};
use alloy_primitives::B256;
use anyhow::{Context as _, ensure};
use attribution::influence::cache::{Cache, Progress};
use compute::{
    Entry, Worker,
    evidence::Bundle,
    replay::{ReplayError, replay},
};
use interfaces::{addresses::MODELS, models::IModels};
use model::{Model, TrainOptions, data::Items, train};
use ops::Ctx;
use primitives::{Domain, hash::hash};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// A model whose attribution cache was built again.
pub struct Replayer {
    worker: Worker,
}

impl Replayer {
    /// Builds the cache of `serving` again and takes the model into service with it. `folder` must be empty; a build that was cut off there
    /// goes on.
    pub fn build(
        serving: &Serving,
        ctx: Ctx,
        folder: &Path,
        progress: &mut dyn FnMut(Progress),
    ) -> anyhow::Result<(Replayer, B256)> {
        let cache: Cache = serving.rebuild_cache(&ctx, folder, progress)?;
        let root = cache.commitment().root;
        let worker = serving.worker(&serving.engine(ctx)?, cache)?;
        Ok((Replayer { worker }, root))
    }

    /// Generates and attributes an answer again.
    pub fn answer(&self, bundle: &Bundle) -> Outcome {
        let entry = entry(bundle)?;
        let replayed = replay(&self.worker, &entry).map_err(|error| match error {
            ReplayError::NotReproducible | ReplayError::OtherOpSet { .. } | ReplayError::OtherModel => {
                open(error.to_string())
            }
            other => broken(other.to_string()),
        })?;
        Ok(format!(
            "{} tokens generated again and {} units scored again, every bit the same",
            replayed.tokens, replayed.units
        ))
    }
}

/// What an operator keeps of an answer, as far as a replay needs it.
fn entry(bundle: &Bundle) -> Result<Entry, (super::State, String)> {
    let missing = |what: &str| open(format!("{what} was not handed over: only who asked can replay it"));
    let prompt = bundle.prompt.as_ref().ok_or_else(|| missing("the prompt"))?;
    let output = bundle.output.as_ref().ok_or_else(|| missing("the answer"))?;
    let attribution = bundle.attribution.as_ref().ok_or_else(|| missing("the attribution"))?;
    Ok(Entry {
        signed: bundle.receipt.clone(),
        salt: prompt.salt,
        request: prompt.request.clone(),
        output: output.output.clone(),
        data_share: attribution.data_share,
        scores: Vec::new(),
        spans: Vec::new(),
        payouts: Vec::new(),
        note: Vec::new(),
    })
}

/// Whether the cache that was built again is the one on the ledger.
pub async fn cache_link(ledger: &mut LightLedger, serving: &Serving, root: B256) -> Outcome {
    let model = serving.description.model;
    let known = ledger
        .read(|snapshot| snapshot.view(MODELS, &IModels::modelCall { model }))
        .await
        .map_err(|error| super::of(&error))?
        .map_err(open)?
        .ok_or_else(|| broken("the ledger knows no model of this id"))?;
    if known.cache.root != root {
        return Err(broken(format!(
            "built again from weights and units, the cache has root {root}; the ledger holds {}",
            known.cache.root
        )));
    }
    Ok(format!("built again from weights and units: root {root} is the ledger's"))
}

/// How far a training replay came.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Done {
    run: B256,
    steps: u64,
}

/// What the ledger holds of a training.
struct OnLedger {
    training: IModels::Training,
    leaves: Vec<B256>,
}

/// Executes the training run of `serving` again and compares it with its log and with the ledger's checkpoints. `notes` is a file that
/// remembers how far it came.
pub async fn training(
    ledger: &mut LightLedger,
    serving: &Serving,
    ctx: Ctx,
    notes: &Path,
    progress: &mut dyn FnMut(u64, u64),
) -> anyhow::Result<Outcome> {
    let model = serving.description.model;
    let run = serving.run()?;
    let manifest = train::read_manifest(&run)?;
    let log = train::read_log(&run)?;
    let known = match ledger.read(|snapshot| on_ledger(snapshot, model)).await {
        Ok(Ok(known)) => known,
        Ok(Err(wrong)) => return Ok(Err(wrong)),
        Err(error) => return Ok(Err(super::of(&error))),
    };
    if let Err(wrong) = descriptor_fits(&known, &manifest, &log) {
        return Ok(Err(wrong));
    }
    let examples = serving.units()?.iter().map(|unit| unit.example()).collect();
    let data = Items::new(examples)?;
    let start = serving.start(&manifest)?;
    if let Err(wrong) = checkpoints_are_whole(ctx, serving, &run, &manifest, &start, &data)? {
        return Ok(Err(wrong));
    }
    let identity = manifest.hash();
    let mut done = read_notes(notes).filter(|done| done.run == identity).unwrap_or_default();
    done.run = identity;
    let total = manifest.options.steps;
    while done.steps < total {
        let last = (done.steps + manifest.options.checkpoint_every).min(total);
        let options = train::ReplayOptions { first: done.steps + 1, last };
        let initial = start.clone();
        let report = tokio::task::block_in_place(|| {
            train::replay(ctx, &run, initial, &data, options, &mut |step, _| progress(step, total))
        });
        let report = match report {
            Ok(report) => report,
            Err(error @ train::ReplayError::OtherInputs(_)) => return Ok(Err(broken(error.to_string()))),
            Err(error) => return Err(error.into()),
        };
        if let train::Verdict::Differs { step, difference } = report.verdict {
            let what = serde_json::to_string(&difference)?;
            return Ok(Err(broken(format!("step {step} differs: {what}"))));
        }
        done.steps = last;
        std::fs::write(notes, serde_json::to_vec(&done)?)
            .with_context(|| format!("cannot write {}", notes.display()))?;
    }
    let _ = std::fs::remove_file(notes);
    let from = match manifest.options.trained {
        train::Trained::Weights => "initial weights",
        train::Trained::Adapter(_) => "base's weights",
    };
    Ok(Ok(format!(
        "{total} steps executed again from the {from}; {} checkpoints are those on the ledger, every bit the same",
        known.leaves.len()
    )))
}

/// Every checkpoint on disk is what its root commits to, the first that is not is named by tensor and tile; and the weights that answers are attributed by
/// are the mean of those of the checkpoints that the rule names.
fn checkpoints_are_whole(
    ctx: Ctx,
    serving: &Serving,
    run: &Path,
    manifest: &train::Manifest,
    start: &Model,
    data: &Items,
) -> anyhow::Result<Result<(), (super::State, String)>> {
    let (attributed, mean) = (attributed::steps(&manifest.options), serving.checkpoint(start)?);
    let named = attributed.iter().map(u64::to_string).collect::<Vec<_>>().join(" and ");
    if attributed.is_empty() == mean.is_some() {
        let rule = match attributed.is_empty() {
            true => "the last weights".to_string(),
            false => format!("the mean of checkpoint {named}"),
        };
        return Ok(Err(broken(format!(
            "by the descriptor answers are attributed at {rule}, and here they are not"
        ))));
    }
    let checkpoints = train::Checkpoints::of(run);
    let mut trainer =
        train::Trainer::new(ctx, start.clone(), data, manifest.tokenizer, manifest.options.clone())?;
    let mut models = Vec::with_capacity(attributed.len());
    for step in checkpoints.steps() {
        if let Err(error) = checkpoints.load(step, &mut trainer) {
            return Ok(Err(broken(format!("checkpoint {step}: {error}"))));
        }
        if attributed.contains(&step) {
            models.push(trainer.model().clone());
        }
    }
    if let (Some(mean), Some(again)) = (&mean, Model::mean(&ctx, &models))
        && let Some(tensor) = first_difference(mean, &again)
    {
        return Ok(Err(broken(format!(
            "answers are attributed by weights whose `{tensor}` is not the mean of checkpoint {named}"
        ))));
    }
    Ok(Ok(()))
}

/// Name of the first tensor that differs in a bit.
fn first_difference(one: &Model, other: &Model) -> Option<String> {
    let same = |(one, other): (&Vec<f32>, &Vec<f32>)| {
        one.iter().map(|x| x.to_bits()).eq(other.iter().map(|x| x.to_bits()))
    };
    let mut pairs = one.weights.tensors().iter().zip(other.weights.tensors());
    let place = pairs.position(|pair| !same(pair))?;
    Some(one.layout.tensors[place].name.clone())
}

fn read_notes(path: &Path) -> Option<Done> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

fn on_ledger(snapshot: &Snapshot, model: B256) -> Result<OnLedger, (super::State, String)> {
    let training = snapshot.view(MODELS, &IModels::trainingCall { model }).map_err(open)?;
    let training = training.ok_or_else(|| broken("the ledger knows no training of this model"))?;
    let mut leaves = Vec::new();
    for index in 0..training.checkpointCount {
        let call = IModels::checkpointAtCall { model, index };
        let leaf = snapshot.view(MODELS, &call);
        // All leaves are asked for in one round.
        leaves.push(leaf);
    }
    let leaves: Result<Vec<Option<B256>>, String> = leaves.into_iter().collect();
    let leaves = leaves.map_err(open)?.into_iter().flatten().collect();
    Ok(OnLedger { training, leaves })
}

/// The run's manifest and log are those that the ledger was told of.
fn descriptor_fits(
    known: &OnLedger,
    manifest: &train::Manifest,
    log: &[train::StepRecord],
) -> Result<(), (super::State, String)> {
    let training = &known.training;
    let check = |holds: bool, wrong: String| if holds { Ok(()) } else { Err(broken(wrong)) };
    let descriptor = &training.descriptor;
    // The hyperparameters are published before the beacon draws the seed.
    let published = TrainOptions { seed: 0, ..manifest.options.clone() };
    let digest = serde_json::to_vec(&published).map_err(|error| broken(error.to_string()))?;
    check(
        hash(Domain::Run, &digest) == descriptor.hyperparameters,
        "the run's hyperparameters are not those of the descriptor".into(),
    )?;
    let drawn = u64::from_le_bytes(training.seed.0[..8].try_into().expect("eight bytes"));
    check(
        manifest.options.seed == drawn,
        format!("the run's seed is {}, the beacon drew {drawn}", manifest.options.seed),
    )?;
    check(
        (manifest.op_set, manifest.options.steps) == (descriptor.opSet, descriptor.steps),
        "the run's op set or number of steps is not the descriptor's".into(),
    )?;
    check(
        log.len() as u64 == descriptor.steps,
        format!("the log has {} steps of {}", log.len(), descriptor.steps),
    )?;
    for (step, at) in log.iter().zip(1..) {
        check(step.step == at, format!("step {at} of the log is numbered {}", step.step))?;
    }
    // A run that was cut off between disk and ledger left a checkpoint out; every one on the ledger is one of the run's, in order.
    let mut records = log.iter();
    for (index, leaf) in known.leaves.iter().enumerate() {
        let found = records.any(|record| {
            let root = record.state_root.unwrap_or_default();
            ledger::models::checkpoint_leaf(record.step, root, record.chain) == *leaf
        });
        check(found, format!("checkpoint {index} on the ledger is none of the run's"))?;
    }
    let last = log.last();
    let same = last.is_some_and(|l| l.chain == training.lastChain && l.state_root == Some(training.lastRoot));
    check(same, "the run's last state is not the ledger's last checkpoint".into())
}

/// An empty folder for a cache that is built again.
pub fn scratch(parent: &Path) -> anyhow::Result<tempfile::TempDir> {
    std::fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))?;
    let folder = tempfile::Builder::new().prefix("replay-").tempdir_in(parent)?;
    ensure!(std::fs::read_dir(folder.path())?.next().is_none(), "a new folder is not empty");
    Ok(folder)
}
