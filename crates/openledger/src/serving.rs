//! A served model as a folder: what an operator needs to answer and attribute, and an auditor to run it again.
//!
//! ```text
//! serving.json    this description; paths are relative to the folder
//! weights/        the model, with its tokenizer; an adapter's factors
//! attributed/     the mean of the weights a quarter and half of the way through training, whose gradients say whom an answer owes ([`attributed`]); absent where the last ones do
//! cache/          the attribution cache whose root the ledger holds
//! units.jsonl     a unit a line, in the cache's order: its tokens, and the documents that have a part in it
//! run/            the training run: manifest, log of steps, checkpoints (for `verify --replay-training`)
//! ```
//! An adapter's folder names its base by its id on the ledger ([`Description::base`]), whose folder holds the weights and the tokenizer ([`base`]).
//! After `datanet erase` the description says `"replay": "partial"` ([`Replay`]).
//! `openledger model register` and `openledger demo` write one. The units' tokens are contributed text: the folder is as private as the Datanets it came from
//! (RULEBOOK R15: trainers and operators see plaintext).

use alloy_primitives::{Address, B256};
use anyhow::{Context as _, bail, ensure};
use attribution::influence::{
    cache::{self, Cache, CacheError, UnitMeta},
    language::{Language, scored_tokens},
};
use compute::{Beside, LanguageEngine, Worker, engine::Unit};
use model::{
    Adapter, Example, Model, Tokenizer,
    train::{Manifest, Trained},
};
use ops::Ctx;
use serde::{Deserialize, Serialize};
use std::{
    fs::File,
    io::{BufRead, BufReader, BufWriter, Read as _, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
};

pub mod attributed;
mod base;
mod erase;
mod standing;

pub use erase::{Erasure, remove_replays};

/// Name of the description.
pub const FILE: &str = "serving.json";
/// Version of the description's meaning.
const VERSION: u32 = 2;
/// Largest description.
const MAX_DESCRIPTION_BYTES: u64 = 1 << 20;
/// Longest line of `units.jsonl`.
const MAX_UNIT_BYTES: u64 = 4 << 20;

/// `serving.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Description {
    /// 2.
    pub version: u32,
    /// The model's id on the ledger.
    pub model: B256,
    /// Its name on the ledger, by which requests choose it; an adapter's with its base's before it ([`Serving::name`]).
    pub name: String,
    /// The model on the ledger that it is an adapter of, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<B256>,
    /// Folder of the weights and the tokenizer; an adapter's, of its factors alone.
    pub weights: PathBuf,
    /// Folder of the weights that answers are attributed by, where these are not the ones that answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attributed: Option<PathBuf>,
    /// Folder of the attribution cache.
    pub cache: PathBuf,
    /// File of the units.
    pub units: PathBuf,
    /// Folder of the training run, where it is handed on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<PathBuf>,
    /// Whether everything can be computed again.
    #[serde(default, skip_serializing_if = "Replay::is_full")]
    pub replay: Replay,
}

/// What can be computed again from a served model's folder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Replay {
    /// Cache, answers and training.
    #[default]
    Full,
    /// None of these any more, since items were erased; commitments and integers can still be checked (RULEBOOK R15).
    Partial,
}

impl Replay {
    fn is_full(&self) -> bool {
        *self == Replay::Full
    }
}

/// A line of `units.jsonl`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServedUnit {
    /// Its tokens, from the one that the first is predicted from.
    pub text: Vec<u32>,
    /// The documents that have a part in it, in order. The cache counts parts, which share their unit's score by tokens.
    pub parts: Vec<ServedPart>,
}

/// What one document has of a unit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServedPart {
    /// The Datanet it was contributed to.
    pub datanet: B256,
    /// The item it is cut from.
    pub item: B256,
    /// Account that is paid.
    pub owner: Address,
    /// Number of the owner in the cache.
    pub contributor: u32,
    /// Number of the document in the training set.
    pub document: u32,
    /// Tokens whose loss is taken.
    pub tokens: u32,
    /// Novelty in parts of `attribution::shares::NOVELTY_ONE`.
    pub novelty: u32,
    /// Where it stands, for people.
    pub label: String,
}

impl ServedUnit {
    /// What the model is run on.
    pub fn example(&self) -> Example {
        Example::next_token(&self.text)
    }

    /// Each part with the tokens that are its own: those whose loss is taken.
    pub fn own_tokens(&self) -> impl Iterator<Item = (&ServedPart, &[u32])> {
        self.parts.iter().scan(&self.text[1..], |rest, part| {
            let (own, after) = rest.split_at(part.tokens as usize);
            *rest = after;
            Some((part, own))
        })
    }

    /// Whether there is text, and the parts' tokens are those whose loss is taken.
    fn is_whole(&self) -> bool {
        let tokens: u64 = self.parts.iter().map(|part| u64::from(part.tokens)).sum();
        self.text.len() > 1
            && tokens == scored_tokens(&self.example()) as u64
            && self.parts.iter().all(|part| part.tokens > 0)
    }
}

impl ServedPart {
    /// As the operator's engine has it.
    fn unit(&self) -> Unit {
        let ServedPart { datanet, item, owner, contributor: _, document: _, tokens, novelty, label } = self;
        Unit {
            datanet: *datanet,
            item: *item,
            owner: *owner,
            tokens: *tokens,
            novelty: *novelty,
            label: label.clone(),
        }
    }

    fn meta(&self) -> UnitMeta {
        let ServedPart { item, contributor, document, tokens, novelty, .. } = self;
        UnitMeta { id: *item, document: *document, owner: *contributor, tokens: *tokens, novelty: *novelty }
    }
}

/// A served model, opened.
#[derive(Clone, Debug)]
pub struct Serving {
    folder: PathBuf,
    /// What it is.
    pub description: Description,
    /// An adapter's base, once it is known where it is.
    base: Option<Box<Serving>>,
}

impl Serving {
    /// Opens the folder; an adapter's without its base, which answering, replays and items need ([`Serving::open_over`]).
    pub fn open(folder: &Path) -> anyhow::Result<Serving> {
        let path = folder.join(FILE);
        let size = std::fs::metadata(&path)
            .with_context(|| {
                format!(
                    "{} is no served model: it has no {FILE} (`openledger model register` makes one)",
                    folder.display()
                )
            })?
            .len();
        ensure!(size <= MAX_DESCRIPTION_BYTES, "{} has {size} bytes, too many", path.display());
        let text = std::fs::read_to_string(&path)?;
        let description: Description = serde_json::from_str(&text)
            .with_context(|| format!("{} does not describe a served model", path.display()))?;
        ensure!(
            description.version == VERSION,
            "{} is of version {}, this program reads version {VERSION}",
            path.display(),
            description.version
        );
        Ok(Serving { folder: folder.into(), description, base: None })
    }

    /// Describes the model in `folder` and lists its units there.
    pub fn write(folder: &Path, description: Description, units: &[ServedUnit]) -> anyhow::Result<Serving> {
        let serving = Serving { folder: folder.into(), description, base: None };
        serving.write_units(units)?;
        serving.write_description()?;
        Ok(serving)
    }

    fn write_units(&self, units: &[ServedUnit]) -> anyhow::Result<()> {
        let path = self.folder.join(&self.description.units);
        let mut file = BufWriter::new(
            tempfile::NamedTempFile::new_in(&self.folder)
                .with_context(|| format!("cannot write in {}", self.folder.display()))?,
        );
        for unit in units {
            serde_json::to_writer(&mut file, unit)?;
            file.write_all(b"\n")?;
        }
        let file = file.into_inner().map_err(|error| error.into_error())?;
        file.as_file().sync_all()?;
        file.persist(&path).map(drop).with_context(|| format!("cannot write {}", path.display()))
    }

    fn write_description(&self) -> anyhow::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
        file.write_all(&serde_json::to_vec_pretty(&self.description)?)?;
        file.as_file().sync_all()?;
        file.persist(self.folder.join(FILE)).map(drop).with_context(|| format!("cannot write {FILE}"))
    }

    /// A description with the default paths.
    pub fn describe(model: B256, name: &str) -> Description {
        Description {
            version: VERSION,
            model,
            name: name.into(),
            base: None,
            weights: "weights".into(),
            attributed: None,
            cache: "cache".into(),
            units: "units.jsonl".into(),
            run: None,
            replay: Replay::Full,
        }
    }

    /// The units, in the cache's order.
    pub fn units(&self) -> anyhow::Result<Vec<ServedUnit>> {
        let path = self.folder.join(&self.description.units);
        let file = File::open(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let mut reader = BufReader::new(file);
        let mut units = Vec::new();
        loop {
            let mut line = Vec::new();
            let read = reader.by_ref().take(MAX_UNIT_BYTES).read_until(b'\n', &mut line)?;
            if read == 0 {
                break;
            }
            if read as u64 == MAX_UNIT_BYTES {
                bail!("{} line {}: longer than {MAX_UNIT_BYTES} bytes", path.display(), units.len() + 1);
            }
            let unit: ServedUnit = serde_json::from_slice(&line)
                .with_context(|| format!("{} line {}", path.display(), units.len() + 1))?;
            ensure!(
                unit.is_whole(),
                "{} line {}: the parts of the unit do not add up to its tokens",
                path.display(),
                units.len() + 1
            );
            units.push(unit);
        }
        ensure!(!units.is_empty(), "{} lists no unit", path.display());
        Ok(units)
    }

    /// Weights and tokenizer, an adapter's being its base's.
    pub fn model(&self) -> anyhow::Result<(Model, Tokenizer)> {
        let bearer = self.bearer()?;
        let folder = bearer.folder.join(&bearer.description.weights);
        Ok((Model::load(&folder)?, Tokenizer::load(&folder)?))
    }

    /// What it is over the weights of `model`, if it is an adapter.
    pub fn adapter(&self, model: &Model) -> anyhow::Result<Option<Adapter>> {
        let folder = self.folder.join(&self.description.weights);
        let load = |_| {
            Adapter::load(&folder, model).with_context(|| {
                format!(
                    "{} does not hold an adapter of the model in {}",
                    folder.display(),
                    self.bearer().map_or(&self.folder, |bearer| &bearer.folder).display()
                )
            })
        };
        self.description.base.map(load).transpose()
    }

    /// The weights that the answers of `model` are attributed by, where they are not its own.
    pub fn checkpoint(&self, model: &Model) -> anyhow::Result<Option<Model>> {
        let load = |folder: &PathBuf| {
            let folder = self.folder.join(folder);
            Model::load(&folder)
                .with_context(|| format!("the weights to attribute by, in {}", folder.display()))
        };
        let checkpoint = self.description.attributed.as_ref().map(load).transpose()?;
        ensure!(
            checkpoint.as_ref().is_none_or(|checkpoint| checkpoint.config == model.config),
            "the weights to attribute by in {} are of another architecture than those that answer: take the folder as its developer made it",
            self.folder.display()
        );
        Ok(checkpoint)
    }

    /// The model that its training run of this manifest started from.
    pub fn start(&self, manifest: &Manifest) -> anyhow::Result<Model> {
        match manifest.options.trained {
            Trained::Weights => Ok(Model::initial(manifest.config.clone(), manifest.options.seed)?),
            Trained::Adapter(_) => Ok(self.model()?.0),
        }
    }

    /// The attribution cache as it was built.
    pub fn cache(&self) -> Result<Cache, CacheError> {
        Cache::open(&self.folder.join(&self.description.cache))
    }

    /// Folder of the training run.
    pub fn run(&self) -> anyhow::Result<PathBuf> {
        let run = self.description.run.as_ref();
        let run = run.context("the folder holds no training run: only its trainer can replay it")?;
        Ok(self.folder.join(run))
    }

    /// # Errors
    /// When items were erased: nothing that was computed from them can be computed again.
    pub fn require_replay(&self) -> anyhow::Result<()> {
        ensure!(
            self.description.replay == Replay::Full,
            "items of this model were erased, its replay is partial: cache, answers and training cannot be computed again; receipts, \
             shares, payouts and roots still can be checked"
        );
        Ok(())
    }

    /// The weights in service; those of an adapter's base answer with all adapters of it.
    pub fn engine(&self, ctx: Ctx) -> anyhow::Result<Arc<LanguageEngine>> {
        let (model, tokenizer) = self.model()?;
        Ok(LanguageEngine::new(model, tokenizer, ctx)?)
    }

    /// What answers by `engine`, which is of its weights or its base's, and attributes with `cache`.
    pub fn worker(&self, engine: &Arc<LanguageEngine>, cache: Cache) -> anyhow::Result<Worker> {
        let beside = match (self.adapter(engine.model())?, self.checkpoint(engine.model())?) {
            (Some(adapter), _) => Beside::Adapter(adapter),
            (None, Some(checkpoint)) => Beside::Checkpoint(Box::new(checkpoint)),
            (None, None) => Beside::Nothing,
        };
        let units = self.units()?.iter().flat_map(|unit| &unit.parts).map(ServedPart::unit).collect();
        engine
            .worker(self.description.model, &self.name(), beside, cache, units)
            .with_context(|| format!("{} cannot be served", self.folder.display()))
    }

    /// Builds the attribution cache again from weights and units, in `folder`, with the options it was built with. Nothing of the
    /// cache that is there is read but those options.
    pub fn rebuild_cache(
        &self,
        ctx: &Ctx,
        folder: &Path,
        progress: &mut dyn FnMut(cache::Progress),
    ) -> anyhow::Result<Cache> {
        self.require_replay()?;
        let options = self.cache()?.commitment().options;
        self.build_cache(ctx, folder, &options, progress)
    }

    /// Builds the attribution cache of weights and units in `folder`, or goes on with it.
    pub fn build_cache(
        &self,
        ctx: &Ctx,
        folder: &Path,
        options: &cache::Options,
        progress: &mut dyn FnMut(cache::Progress),
    ) -> anyhow::Result<Cache> {
        let (model, _) = self.model()?;
        let units = self.units()?;
        let examples: Vec<Example> = units.iter().map(ServedUnit::example).collect();
        let parts = units.iter().zip(&examples).flat_map(|(unit, item)| {
            unit.parts.iter().map(move |part| cache::Unit { item, meta: part.meta() })
        });
        let units: Vec<cache::Unit<'_, Example>> = parts.collect();
        let (adapter, checkpoint) = (self.adapter(&model)?, self.checkpoint(&model)?);
        let language = Language::of(&model, adapter.as_ref(), checkpoint.as_ref());
        Ok(cache::build(ctx, &language, &units, options, folder, progress)?)
    }
}
