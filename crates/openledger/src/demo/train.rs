//! Stage 2: a small language model, trained to completion by a descriptor that was fixed on the ledger first. The seed of its
//! order comes from a block that nobody knew when the descriptor was registered, so that a trainer cannot pick it (RULEBOOK R2e).

use super::{
    accounts::Accounts, contribute::Store, journal::Journal, network::Network, scale::Scale, story::Story,
};
use crate::transaction::send;
use alloy_primitives::{B256, U256};
use alloy_sol_types::SolCall;
use anyhow::{Context as _, ensure};
use attribution::{
    influence::language,
    shares::NOVELTY_ONE,
    spans::{Corpus, Index},
};
use interfaces::{
    addresses::MODELS,
    models::{IModels, model_id},
};
use model::{Config, Example, Model, Progress, Tokenizer, TrainOptions, data::Items, train};
use ops::Ctx;
use primitives::{Domain, hash::hash, licence::Use};
use std::{ops::ControlFlow, path::Path, sync::Arc, time::Duration};
use vault::vault::training::Query;

/// Folder of the run inside the demo's.
pub const FOLDER: &str = "run";
/// Tokens of a unit, and of the context it is trained in.
pub const UNIT_TOKENS: usize = 256;
/// Checkpoints committed to the ledger.
const CHECKPOINTS: u64 = 4;
/// How long to wait for the beacon's seed.
const SEED_PATIENCE: Duration = Duration::from_secs(30);

/// A unit as the protocol cuts it: consecutive tokens of the stream of all documents.
#[derive(Clone, Debug)]
pub struct Unit {
    /// What the model is run on.
    pub example: Example,
    /// The documents that have a part in it, in order.
    pub parts: Vec<Part>,
}

/// What one document has of a unit.
#[derive(Clone, Debug)]
pub struct Part {
    /// Index of its contributor in the journal.
    pub contributor: usize,
    /// Number of its document in the training set.
    pub document: u32,
    /// Where it stands, for people.
    pub label: String,
    /// Hash of the item it is cut from, salted as on the ledger.
    pub item: B256,
    /// Tokens whose loss is taken.
    pub tokens: u32,
    /// Novelty in parts of [`NOVELTY_ONE`].
    pub novelty: u32,
}

impl Unit {
    /// Each part with the tokens that are its own.
    pub fn parts(&self) -> impl Iterator<Item = (&Part, &[u32])> {
        self.parts.iter().scan(&self.example.targets[..], |rest, part| {
            let (own, after) = rest.split_at(part.tokens as usize);
            *rest = after;
            Some((part, own))
        })
    }
}

/// What training leaves.
pub struct Trained {
    /// The model.
    pub model: Model,
    /// Its tokenizer.
    pub tokenizer: Tokenizer,
    /// The units it was trained on, in order.
    pub units: Vec<Unit>,
    /// Its id on the ledger.
    pub id: B256,
    /// The seed the beacon drew.
    pub seed: u64,
    /// Root of the final weights and moments.
    pub final_root: B256,
    /// The documents it was trained on, to find what an answer repeats word for word.
    pub spans: Arc<Spans>,
}

/// Documents and the index over them.
#[derive(Debug)]
pub struct Spans {
    /// The documents; owners are indices of contributors in the journal.
    pub corpus: Corpus,
    /// Their index.
    pub index: Index,
}

/// The arithmetic's context: all cores.
pub fn context() -> anyhow::Result<Ctx> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    Ok(Ctx::detect().with_threads(threads))
}

/// Freezes the training set, registers the model, trains it and commits its checkpoints.
pub async fn run(
    folder: &Path,
    scale: Scale,
    store: &mut Store,
    accounts: &Accounts,
    network: &Network,
    journal: &mut Journal,
    story: &mut Story,
) -> anyhow::Result<Trained> {
    let folder = folder.join(FOLDER);
    std::fs::create_dir_all(&folder)?;
    let (texts, set) = read_set(store, journal)?;
    let tokenizer = tokenizer(&folder, &texts, scale)?;
    let units = cut(&texts, &tokenizer)?;
    let Scale { layers, heads, width, batch, .. } = scale;
    let config = Config::llama(tokenizer.vocabulary(), layers, heads, heads, width, UNIT_TOKENS);
    let steps = scale.steps(units.len());
    let checkpoint_every = (steps / CHECKPOINTS).next_multiple_of(16).max(16);
    let mut options = TrainOptions { checkpoint_every, ..TrainOptions::new(steps, batch) };
    let data = Items::new(units.iter().map(|u| u.example.clone()).collect())?;
    story.tell(format!(
        "{} units of {UNIT_TOKENS} tokens from {} documents under training set {set}; {} parameters, {steps} steps",
        units.len(),
        texts.len(),
        config.parameters()
    ));
    let model_hash = manifest(&config, &tokenizer, &set, &options)?;
    let id = register(network, accounts, journal, model_hash, &options).await?;
    let seed = seed(network, id).await?;
    options.seed = seed;
    let final_root = train_to_the_end(
        &folder, &config, &tokenizer, data, options, seed, id, accounts, network, journal, story,
    )
    .await?;
    let model = Model::load(&folder.join(train::MODEL_DIR))?;
    let documents = texts.iter().map(|t| {
        let contributor = &journal.state.contributors[t.contributor].name;
        (format!("{contributor}: {}", t.label), t.contributor as u32, t.text.as_str())
    });
    let corpus = Corpus::new(documents)?;
    let index = Index::build(&corpus);
    let spans = Arc::new(Spans { corpus, index });
    Ok(Trained { model, tokenizer, units, id, seed, final_root, spans })
}

/// A document of the training set.
struct Text {
    contributor: usize,
    label: String,
    item: B256,
    text: String,
    novelty: u32,
}

fn read_set(store: &mut Store, journal: &mut Journal) -> anyhow::Result<(Vec<Text>, B256)> {
    let now = super::now();
    let root = match journal.state.training_set {
        Some(root) => root,
        None => store.vault.freeze(Query::deduplicated(), &store.ring, now)?.root,
    };
    journal.state.training_set = Some(root);
    journal.save()?;
    let mut texts = Vec::new();
    for item in store.vault.open_set(&root, &store.ring, "training", now)? {
        let (entry, item) = item?;
        let contributor = journal.state.contributors.iter().position(|c| c.account == item.meta.facts.owner);
        texts.push(Text {
            contributor: contributor.context("an item of the training set has no contributor")?,
            label: item.meta.title.clone().unwrap_or_else(|| item.meta.source.clone()),
            item: entry.leaf,
            novelty: (u64::from(item.meta.nu_ppm) * u64::from(NOVELTY_ONE) / 1_000_000) as u32,
            text: item.text,
        });
    }
    Ok((texts, root))
}

fn tokenizer(folder: &Path, texts: &[Text], scale: Scale) -> anyhow::Result<Tokenizer> {
    if let Ok(tokenizer) = Tokenizer::load(folder) {
        return Ok(tokenizer);
    }
    let tokenizer = Tokenizer::train_bpe(texts.iter().map(|t| t.text.as_str()), scale.vocabulary, &[])?;
    tokenizer.save(folder)?;
    Ok(tokenizer)
}

/// Cuts the stream of all documents into units of [`UNIT_TOKENS`] (RULEBOOK R2a). No mark stands between documents: where an owner ends one
/// changes nothing. Copies are no part of the stream.
fn cut(texts: &[Text], tokenizer: &Tokenizer) -> anyhow::Result<Vec<Unit>> {
    let novel: Vec<(u32, &Text)> = (0..).zip(texts).filter(|(_, text)| text.novelty > 0).collect();
    let tokens: Vec<Vec<u32>> =
        novel.iter().map(|(_, text)| tokenizer.encode(&text.text, false)).collect::<Result<_, _>>()?;
    let part = |(place, tokens): (u32, u32)| {
        let (document, text) = novel[place as usize];
        Part {
            contributor: text.contributor,
            document,
            label: text.label.clone(),
            item: text.item,
            tokens,
            novelty: text.novelty,
        }
    };
    let units: Vec<Unit> = language::pack(&tokens, None, UNIT_TOKENS)
        .into_iter()
        .map(|packed| Unit { example: packed.example, parts: packed.parts.into_iter().map(part).collect() })
        .collect();
    ensure!(!units.is_empty(), "the training set has no text to train on");
    Ok(units)
}

/// Hash of everything that makes the model but the seed, which the beacon draws later.
fn manifest(
    config: &Config,
    tokenizer: &Tokenizer,
    set: &B256,
    options: &TrainOptions,
) -> anyhow::Result<B256> {
    let document = serde_json::to_vec(&(config, tokenizer.hash(), set, options, ops::OP_SET_VERSION))?;
    Ok(hash(Domain::Model, &document))
}

async fn register(
    network: &Network,
    accounts: &Accounts,
    journal: &mut Journal,
    manifest: B256,
    options: &TrainOptions,
) -> anyhow::Result<B256> {
    let key = &accounts.developer;
    let id = model_id(key.address(), manifest);
    let status = |model: IModels::Model| model.status;
    let call = IModels::modelCall { model: id };
    let known = network.client.view(MODELS, &call).await.map(status).unwrap_or(IModels::Status::None);
    if known == IModels::Status::None {
        let what = IModels::Registration {
            manifest,
            base: B256::ZERO,
            baseShareBps: 0,
            uses: Use::Train.bit() | Use::Commercial.bit(),
            licence: "Apache-2.0".into(),
            name: "documentation-1m".into(),
        };
        let call = IModels::registerCall { what };
        send(&network.client, key, MODELS, U256::ZERO, call.abi_encode().into())
            .await
            .context("the model was not registered")?;
    }
    if matches!(known, IModels::Status::None | IModels::Status::Registered) {
        let descriptor = IModels::Descriptor {
            hyperparameters: hash(Domain::Run, &serde_json::to_vec(options)?),
            opSet: ops::OP_SET_VERSION,
            steps: options.steps,
            maxUnreviewed: u64::MAX,
            data: vec![IModels::DatanetVersion {
                datanet: journal.state.datanet.context("the Datanet stands")?,
                version: 1,
            }],
        };
        let call = IModels::describeCall { model: id, descriptor };
        send(&network.client, key, MODELS, U256::ZERO, call.abi_encode().into())
            .await
            .context("the training descriptor was refused")?;
    }
    journal.state.model = Some(id);
    journal.save()?;
    Ok(id)
}

/// The seed, once the beacon has drawn it: the first eight bytes, little-endian.
async fn seed(network: &Network, model: B256) -> anyhow::Result<u64> {
    let start = std::time::Instant::now();
    loop {
        let training = network.client.view(MODELS, &IModels::trainingCall { model }).await?;
        if !training.seed.is_zero() {
            return Ok(u64::from_le_bytes(training.seed[..8].try_into().expect("eight bytes")));
        }
        ensure!(
            start.elapsed() < SEED_PATIENCE,
            "the ledger drew no seed within {} s",
            SEED_PATIENCE.as_secs()
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Trains checkpoint by checkpoint; each is on the ledger before the next begins.
async fn train_to_the_end(
    folder: &Path,
    config: &Config,
    tokenizer: &Tokenizer,
    data: Items,
    options: TrainOptions,
    seed: u64,
    id: B256,
    accounts: &Accounts,
    network: &Network,
    journal: &Journal,
    story: &mut Story,
) -> anyhow::Result<B256> {
    let every = options.checkpoint_every;
    let (mut first, mut last) = (None, None);
    let started = std::time::Instant::now();
    loop {
        let ctx = context()?;
        let model = Model::initial(config.clone(), seed)?;
        let mut observe = |p: &Progress| {
            first.get_or_insert(p.loss);
            last = Some(p.clone());
            let left = p.seconds_left.round();
            story.progress(format!(
                "step {} of {}, loss {:.3}, {:.0} tokens/s, {left:.0} s left",
                p.step, p.steps, p.loss, p.tokens_per_second
            ));
            if p.step.is_multiple_of(every) && p.step < p.steps {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        };
        let settings = train::RunSettings { keep_checkpoints: 0, ..Default::default() };
        // The arithmetic holds this thread; the runtime's other threads keep the ledger's client alive.
        let outcome = tokio::task::block_in_place(|| {
            train::run(
                ctx,
                folder,
                model,
                &data,
                None,
                Some(tokenizer.hash()),
                options.clone(),
                settings,
                &mut observe,
            )
        })?;
        if !journal.state.model_ready
            && let Some(record) = &outcome.last
        {
            let call = IModels::checkpointCall {
                model: id,
                step: record.step,
                root: outcome.state_root,
                chain: record.chain,
            };
            send(&network.client, &accounts.developer, MODELS, U256::ZERO, call.abi_encode().into())
                .await
                .context("a checkpoint was refused")?;
        }
        if outcome.finished {
            if let (Some(first), Some(last)) = (first, last) {
                story.tell(format!(
                    "trained {} steps in {:.0} s: loss {first:.2} -> {:.2} nats a token; every checkpoint's root is on the ledger, the last {}",
                    outcome.steps,
                    started.elapsed().as_secs_f64(),
                    last.loss,
                    outcome.state_root
                ));
            }
            return Ok(outcome.state_root);
        }
    }
}
