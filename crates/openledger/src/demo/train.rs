//! Stage 2: a small language model, trained to completion by a descriptor that was fixed on the ledger first. The seed of its
//! order comes from a block that nobody knew when the descriptor was registered, so that a trainer cannot pick it (RULEBOOK R2e).

use super::{
    accounts::Accounts, contribute::Store, journal::Journal, network::Network, scale::Scale, serve::MODEL,
    story::Story,
};
use crate::{
    registration::{Models, Start, Text, Training, manifest, units},
    serving::{Description, ServedUnit, Serving},
};
use alloy_primitives::{Address, B256};
use anyhow::Context as _;
use attribution::spans::{Corpus, Index};
use interfaces::models::IModels;
use model::{Config, Model, Progress, Tokenizer, TrainOptions, train};
use ops::Ctx;
use primitives::licence::Use;
use std::{path::Path, sync::Arc, time::Instant};
use vault::vault::training::Query;

/// Folder of the run inside the demo's.
pub const FOLDER: &str = "run";
/// Tokens of a unit, and of the context it is trained in.
pub const UNIT_TOKENS: usize = 256;
/// Checkpoints committed to the ledger.
const CHECKPOINTS: u64 = 4;

/// What training leaves.
pub struct Trained {
    /// The model.
    pub model: Model,
    /// Its tokenizer.
    pub tokenizer: Tokenizer,
    /// The units it was trained on, in order.
    pub units: Vec<ServedUnit>,
    /// Its id on the ledger.
    pub id: B256,
    /// The seed the beacon drew.
    pub seed: u64,
    /// Root of the final weights and moments.
    pub final_root: B256,
    /// What serves it, once its cache is built.
    pub serving: Serving,
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

/// Freezes the training set, registers the model, trains it and commits its checkpoints.
pub async fn run(
    folder: &Path,
    ctx: Ctx,
    scale: Scale,
    store: &mut Store,
    accounts: &Accounts,
    network: &Network,
    journal: &mut Journal,
    story: &mut Story,
) -> anyhow::Result<Trained> {
    let run = folder.join(FOLDER);
    std::fs::create_dir_all(&run)?;
    let (texts, set) = read_set(store, journal)?;
    let tokenizer = tokenizer(&run, &texts, scale)?;
    let owners: Vec<Address> = journal.state.contributors.iter().map(|c| c.account).collect();
    let units = units(&texts, &owners, &tokenizer, UNIT_TOKENS)?;
    let Scale { layers, heads, width, batch, .. } = scale;
    let config = Config::llama(tokenizer.vocabulary(), layers, heads, heads, width, UNIT_TOKENS);
    let start = Start::Drawn(config);
    let steps = scale.steps(units.len());
    let checkpoint_every = (steps / CHECKPOINTS).next_multiple_of(16).max(16);
    let options = TrainOptions { checkpoint_every, ..TrainOptions::new(steps, batch) };
    story.tell(format!(
        "{} units of {UNIT_TOKENS} tokens from {} documents under training set {set}; {} parameters, {steps} steps",
        units.len(),
        texts.len(),
        start.parameters(&options)?
    ));
    let models = Models { client: &network.client, key: &accounts.developer };
    let what = IModels::Registration {
        manifest: manifest(&start, &tokenizer, &set, &options)?.1,
        base: B256::ZERO,
        baseShareBps: 0,
        uses: Use::Train.bit() | Use::Commercial.bit(),
        licence: "Apache-2.0".into(),
        name: MODEL.into(),
    };
    let datanet = journal.state.datanet.context("the Datanet stands")?;
    let id = models.register(what, &options, vec![IModels::DatanetVersion { datanet, version: 1 }]).await?;
    journal.state.model = Some(id);
    journal.save()?;
    let seed = models.seed(id).await?;
    let options = TrainOptions { seed, ..options };
    let training = Training { id, start: &start, tokenizer: &tokenizer, units: &units, options };
    let final_root = fit(&training, &models, ctx, &run, story).await?;
    let weights = Path::new(FOLDER).join(train::MODEL_DIR);
    tokenizer.save(&folder.join(&weights))?;
    let attributed = training.export_attributed(ctx, folder, &run)?;
    let description = Description {
        weights,
        attributed,
        cache: super::attribute::FOLDER.into(),
        run: Some(FOLDER.into()),
        ..Serving::describe(id, MODEL)
    };
    let serving = Serving::write(folder, description, &units)?;
    let model = Model::load(&run.join(train::MODEL_DIR))?;
    let contributor = |text: &Text| owners.iter().position(|owner| *owner == text.owner).unwrap_or(0) as u32;
    let corpus = Corpus::new(texts.iter().map(|t| (t.label.clone(), contributor(t), t.text.as_str())))?;
    let index = Index::build(&corpus);
    let spans = Arc::new(Spans { corpus, index });
    Ok(Trained { model, tokenizer, units, id, seed, final_root, serving, spans })
}

/// Trains, and tells how it goes.
async fn fit(
    training: &Training<'_>,
    models: &Models<'_>,
    ctx: Ctx,
    folder: &Path,
    story: &mut Story,
) -> anyhow::Result<B256> {
    let (mut first, mut last) = (None, None);
    let started = Instant::now();
    let mut observe = |p: &Progress| {
        first.get_or_insert(p.loss);
        last = Some(p.clone());
        let left = p.seconds_left.round();
        story.progress(format!(
            "step {} of {}, loss {:.3}, {:.0} tokens/s, {left:.0} s left",
            p.step, p.steps, p.loss, p.tokens_per_second
        ));
    };
    let root = training.run(models, ctx, folder, &mut observe, &mut |_, _| {}).await?;
    if let (Some(first), Some(last)) = (first, last) {
        story.tell(format!(
            "trained {} steps in {:.0} s: loss {first:.2} -> {:.2} nats a token; every checkpoint's root is on the ledger, the last {root}",
            last.step,
            started.elapsed().as_secs_f64(),
            last.loss,
        ));
    }
    Ok(root)
}

/// The texts, labelled by their contributors.
fn read_set(store: &mut Store, journal: &mut Journal) -> anyhow::Result<(Vec<Text>, B256)> {
    let now = crate::clock::now();
    let root = match journal.state.training_set {
        Some(root) => root,
        None => store.vault.freeze(Query::deduplicated(), &store.ring, now)?.root,
    };
    journal.state.training_set = Some(root);
    journal.save()?;
    let datanet = journal.state.datanet.context("the Datanet stands")?;
    let mut texts = Vec::new();
    for item in store.vault.open_set(&root, &store.ring, "training", now)? {
        let (entry, item) = item?;
        let text = Text::new(datanet, entry.leaf, item);
        let contributor = journal.state.contributors.iter().find(|c| c.account == text.owner);
        let contributor = contributor.context("an item of the training set has no contributor")?;
        texts.push(Text { label: format!("{}: {}", contributor.name, text.label), ..text });
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
