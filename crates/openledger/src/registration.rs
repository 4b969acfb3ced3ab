//! A model of one's own on the ledger: from Datanets of the vault to a folder that `openledger model serve` takes.
//!
//! # Order of things (RULEBOOK R2e)
//! ```text
//! training set frozen ─▶ manifest ─▶ register ─▶ descriptor ─▶ seed from the beacon ─▶ train, a checkpoint at a time on the ledger
//!                                                                     └─▶ attribution cache ─▶ finalise with its root and the prices ─▶ serving.json
//! ```
//! The descriptor stands before the beacon draws the seed, so that a trainer cannot pick it, and the cache before the first question. Every step
//! can be repeated: what the ledger or the folder has already is left as it is, so that an interrupted registration goes on.
//!
//! # Folder
//! ```text
//! registration.json   what was asked for; another request in the same folder is refused
//! manifest.json       what the manifest's hash on the ledger is of
//! tokenizer.json      learned from the training set
//! run/ cache/ units.jsonl serving.json   as `serving` says
//! ```

use crate::{
    rpc::Client,
    serving::{Description, ServedPart, ServedUnit, Serving},
    transaction::send,
};
use alloy_primitives::{Address, B256, U256, keccak256};
use alloy_signer_local::PrivateKeySigner;
use alloy_sol_types::SolCall;
use anyhow::{Context as _, bail, ensure};
use attribution::{
    influence::{cache, language},
    shares::NOVELTY_ONE,
};
use compute::fee::Price;
use interfaces::{
    addresses::{DATANETS, MODELS},
    datanets::{IDatanets, datanet_id},
    models::{IModels, model_id},
};
use model::{Config, Model, Progress, Tokenizer, TrainOptions, data::Items, train};
use ops::Ctx;
use primitives::{Amount, Domain, hash::hash};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    ops::ControlFlow,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use vault::{Vault, crypt::keys::Keyring, vault::layout::ContributionId};

/// File of what was asked for.
const REQUEST_FILE: &str = "registration.json";
/// File that the manifest's hash is of.
const MANIFEST_FILE: &str = "manifest.json";
const RUN: &str = "run";
const CACHE: &str = "cache";
/// How long to wait for the beacon's seed.
const SEED_PATIENCE: Duration = Duration::from_secs(60);

/// What is registered. Equal requests give equal models.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// Name at the API and on the pages.
    pub name: String,
    /// Licence of the model, as an SPDX expression.
    pub licence: String,
    /// Uses it will be offered for, as bits of `primitives::licence::Use`.
    pub uses: u32,
    /// The training set's root.
    pub set: B256,
    /// Sizes of the model but for the vocabulary, which the tokenizer decides.
    pub architecture: model::commands::Architecture,
    /// Tokens of the vocabulary at most.
    pub vocabulary: usize,
    /// How it is trained; the seed is the beacon's and 0 here.
    pub train: TrainOptions,
    /// Dimensions that gradients are projected to, for attribution.
    pub rank: usize,
    /// The developer's prices.
    pub price: Price,
}

/// What came of it.
#[derive(Debug, Serialize)]
pub struct Registered {
    /// The model's id on the ledger.
    pub model: B256,
    /// Its name.
    pub name: String,
    /// Numbers in it.
    pub parameters: u64,
    /// Units it was trained on.
    pub units: usize,
    /// Who is paid by its answers.
    pub contributors: usize,
    /// The seed that the beacon drew.
    pub seed: u64,
    /// Root of the last checkpoint.
    pub final_root: B256,
    /// Root of the attribution cache.
    pub cache: B256,
    /// The folder to serve.
    pub folder: PathBuf,
}

/// A text of the training set.
struct Text {
    datanet: B256,
    item: B256,
    owner: Address,
    label: String,
    novelty: u32,
    text: String,
}

/// Who does it, and with what.
pub struct Registrar<'a> {
    /// The ledger.
    pub client: &'a Client,
    /// The developer's key.
    pub key: &'a PrivateKeySigner,
    /// Where the model is made.
    pub folder: &'a Path,
    /// The arithmetic's context.
    pub ctx: Ctx,
    /// Hears how it goes.
    pub tell: &'a dyn Fn(String),
}

impl Registrar<'_> {
    /// Registers, trains, attributes and finalises, or goes on with it.
    pub async fn run(
        &self,
        request: &Request,
        vault: &mut Vault,
        ring: &Keyring,
        now: u64,
    ) -> anyhow::Result<Registered> {
        self.claim_folder(request)?;
        let data = self.versions(vault, request).await?;
        let texts = texts(vault, ring, request, &data, now)?;
        let tokenizer = self.tokenizer(&texts, request)?;
        let units = units(&texts, &tokenizer, request.architecture.context)?;
        let config = request.architecture.config(tokenizer.vocabulary());
        let parts = units.iter().flat_map(|unit| &unit.parts);
        let contributors = parts.map(|part| part.contributor).max().map_or(0, |last| last as usize + 1);
        (self.tell)(format!(
            "{} units of {} texts by {contributors} contributors; {} parameters, {} steps",
            units.len(),
            texts.len(),
            config.parameters(),
            request.train.steps
        ));
        let document = serde_json::to_vec(&(
            &config,
            tokenizer.hash(),
            &request.set,
            &request.train,
            ops::OP_SET_VERSION,
        ))?;
        write(&self.folder.join(MANIFEST_FILE), &document)?;
        let id =
            self.register(request, hash(Domain::Model, &document), data.values().cloned().collect()).await?;
        let seed = self.seed(id).await?;
        let final_root = self.train(request, id, seed, &config, &tokenizer, &units).await?;
        let weights = Path::new(RUN).join(train::MODEL_DIR);
        tokenizer.save(&self.folder.join(&weights))?;
        let description = Description {
            weights,
            cache: CACHE.into(),
            run: Some(RUN.into()),
            ..Serving::describe(id, &request.name)
        };
        let serving = Serving::write(self.folder, description, &units)?;
        let options = cache::Options {
            rank: request.rank,
            seed,
            unit_tokens: u32::try_from(request.architecture.context)?,
            ..cache::Options::default()
        };
        let cache = tokio::task::block_in_place(|| {
            serving.build_cache(&self.ctx, &self.folder.join(CACHE), &options, &mut |_| {})
        })?;
        let commitment = cache.commitment();
        self.finalise(request, id, final_root, commitment).await?;
        Ok(Registered {
            model: id,
            name: request.name.clone(),
            parameters: config.parameters(),
            units: units.len(),
            contributors,
            seed,
            final_root,
            cache: commitment.root,
            folder: self.folder.into(),
        })
    }

    /// A folder is of one request.
    fn claim_folder(&self, request: &Request) -> anyhow::Result<()> {
        crate::wallet::private_folder(self.folder)?;
        let path = self.folder.join(REQUEST_FILE);
        match std::fs::read(&path) {
            Ok(bytes) => {
                let known: Request = serde_json::from_slice(&bytes)
                    .with_context(|| format!("{} is damaged; choose another folder", path.display()))?;
                ensure!(
                    known == *request,
                    "{} holds the registration of another model, or of this one with other sizes, data or prices: choose another folder, or ask for the same again",
                    self.folder.display()
                );
                Ok(())
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                write(&path, &serde_json::to_vec_pretty(request)?)
            }
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    /// The newest frozen version on the ledger of each Datanet of the training set, by the vault's id.
    async fn versions(
        &self,
        vault: &Vault,
        request: &Request,
    ) -> anyhow::Result<BTreeMap<B256, IModels::DatanetVersion>> {
        let mut data = BTreeMap::new();
        for version in vault.set(&request.set)?.versions {
            let local = version.datanet;
            let known = vault.datanet(&local)?;
            let datanet = datanet_id(known.owner, keccak256(local.0));
            let again = format!("`openledger publish {} --from OWNER --freeze` makes one", known.name);
            let stands = self.client.view(DATANETS, &IDatanets::datanetCall { datanet }).await;
            let number = stands.map(|datanet| datanet.versions).unwrap_or(0);
            ensure!(number > 0, "`{}` has no frozen version on the ledger: {again}", known.name);
            let frozen = self.client.view(DATANETS, &IDatanets::versionCall { datanet, number }).await?;
            ensure!(
                frozen.items == version.items,
                "version {number} of `{}` on the ledger has {} items, the training set was taken from {}: {again}",
                known.name,
                frozen.items,
                version.items
            );
            data.insert(local.0, IModels::DatanetVersion { datanet, version: number });
        }
        Ok(data)
    }

    fn tokenizer(&self, texts: &[Text], request: &Request) -> anyhow::Result<Tokenizer> {
        if let Ok(tokenizer) = Tokenizer::load(self.folder) {
            return Ok(tokenizer);
        }
        let all = texts.iter().map(|text| text.text.as_str());
        let tokenizer = Tokenizer::train_bpe(all, request.vocabulary, &[])?;
        tokenizer.save(self.folder)?;
        Ok(tokenizer)
    }

    /// Registers the model and fixes its descriptor; its id.
    async fn register(
        &self,
        request: &Request,
        manifest: B256,
        data: Vec<IModels::DatanetVersion>,
    ) -> anyhow::Result<B256> {
        let id = model_id(self.key.address(), manifest);
        let known = self.status(id).await;
        if known == IModels::Status::None {
            let what = IModels::Registration {
                manifest,
                base: B256::ZERO,
                baseShareBps: 0,
                uses: request.uses,
                licence: request.licence.clone(),
                name: request.name.clone(),
            };
            self.send(IModels::registerCall { what }, "the model was not registered").await?;
            (self.tell)(format!("registered as {id}"));
        }
        if matches!(known, IModels::Status::None | IModels::Status::Registered) {
            let descriptor = IModels::Descriptor {
                hyperparameters: hash(Domain::Run, &serde_json::to_vec(&request.train)?),
                opSet: ops::OP_SET_VERSION,
                steps: request.train.steps,
                maxUnreviewed: u64::MAX,
                data,
            };
            self.send(IModels::describeCall { model: id, descriptor }, "the training descriptor was refused")
                .await?;
        }
        if known == IModels::Status::Retired {
            bail!("model {id} was retired on the ledger: register it under another name");
        }
        Ok(id)
    }

    async fn status(&self, model: B256) -> IModels::Status {
        let known = self.client.view(MODELS, &IModels::modelCall { model }).await;
        known.map_or(IModels::Status::None, |model| model.status)
    }

    /// The seed, once the beacon has drawn it: the first eight bytes, little-endian.
    async fn seed(&self, model: B256) -> anyhow::Result<u64> {
        let started = Instant::now();
        loop {
            let training = self.client.view(MODELS, &IModels::trainingCall { model }).await?;
            if !training.seed.is_zero() {
                return Ok(u64::from_le_bytes(training.seed[..8].try_into().expect("eight bytes")));
            }
            let waited = started.elapsed() < SEED_PATIENCE;
            ensure!(
                waited,
                "the ledger drew no seed within {} s: run the command again",
                SEED_PATIENCE.as_secs()
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Trains checkpoint by checkpoint; each is on the ledger before the next begins. The last one's root.
    async fn train(
        &self,
        request: &Request,
        id: B256,
        seed: u64,
        config: &Config,
        tokenizer: &Tokenizer,
        units: &[ServedUnit],
    ) -> anyhow::Result<B256> {
        let options = TrainOptions { seed, ..request.train.clone() };
        let data = Items::new(units.iter().map(ServedUnit::example).collect())?;
        let folder = self.folder.join(RUN);
        let every = options.checkpoint_every;
        let mut told = Instant::now();
        loop {
            let mut observe = |progress: &Progress| {
                if told.elapsed() >= Duration::from_secs(5) {
                    told = Instant::now();
                    let Progress { step, steps, loss, seconds_left, .. } = progress;
                    (self.tell)(format!("step {step} of {steps}, loss {loss:.3}, {seconds_left:.0} s left"));
                }
                let pause = progress.step.is_multiple_of(every) && progress.step < progress.steps;
                if pause { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            };
            let model = Model::initial(config.clone(), seed)?;
            let settings = train::RunSettings { keep_checkpoints: 0, ..Default::default() };
            // The arithmetic holds this thread; the runtime's others keep the ledger's client alive.
            let outcome = tokio::task::block_in_place(|| {
                train::run(
                    self.ctx,
                    &folder,
                    model,
                    &data,
                    None,
                    Some(tokenizer.hash()),
                    options.clone(),
                    settings,
                    &mut observe,
                )
            })?;
            let known = self.client.view(MODELS, &IModels::trainingCall { model: id }).await?;
            if let Some(record) = outcome.last.as_ref().filter(|record| record.step > known.lastStep) {
                let (step, root, chain) = (record.step, outcome.state_root, record.chain);
                let call = IModels::checkpointCall { model: id, step, root, chain };
                self.send(call, "a checkpoint was refused").await?;
                (self.tell)(format!("checkpoint of step {step} on the ledger: {root}"));
            }
            if outcome.finished {
                return Ok(outcome.state_root);
            }
        }
    }

    async fn finalise(
        &self,
        request: &Request,
        id: B256,
        final_root: B256,
        commitment: &cache::Commitment,
    ) -> anyhow::Result<()> {
        if self.status(id).await == IModels::Status::Ready {
            let known = self.client.view(MODELS, &IModels::modelCall { model: id }).await?;
            ensure!(
                known.cache.root == commitment.root,
                "the ledger holds the cache {} for this model, the folder's is {}: the folder was built by another version of the program",
                known.cache.root,
                commitment.root
            );
            return Ok(());
        }
        let Price { rate_in, rate_out, platform_fee } = request.price;
        let call = IModels::finaliseCall {
            model: id,
            finalRoot: final_root,
            cache: IModels::Cache {
                root: commitment.root,
                // The inverse curvature is derived from the committed features by the op set, so the cache's root binds it too.
                curvature: B256::ZERO,
                floor: (commitment.rule.floor as f64).to_bits(),
                cap: (commitment.rule.cap as f64).to_bits(),
                damping: commitment.options.damping_ratio().to_bits(),
            },
            rates: IModels::Rates {
                rateIn: rate_in.to_word(),
                rateOut: rate_out.to_word(),
                platformFee: platform_fee.to_word(),
            },
        };
        self.send(call, "the model was not finalised").await
    }

    async fn send<C: SolCall>(&self, call: C, refused: &'static str) -> anyhow::Result<()> {
        let receipt = send(self.client, self.key, MODELS, U256::ZERO, call.abi_encode().into())
            .await
            .context(refused)?;
        ensure!(receipt.status == U256::from(1), "{refused}: transaction {}", receipt.transaction_hash);
        Ok(())
    }
}

/// OPEN that a registration's gas may take, so that somebody without any is told before the work begins.
pub async fn check_purse(client: &Client, account: Address) -> anyhow::Result<()> {
    let held = Amount(client.balance(account).await?);
    ensure!(
        held > Amount::ZERO,
        "{account} holds no OPEN for gas: send it some with `openledger wallet send`"
    );
    Ok(())
}

fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    std::fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}

/// The texts of the training set, in its order.
fn texts(
    vault: &mut Vault,
    ring: &Keyring,
    request: &Request,
    data: &BTreeMap<B256, IModels::DatanetVersion>,
    now: u64,
) -> anyhow::Result<Vec<Text>> {
    let mut datanet_of: BTreeMap<ContributionId, B256> = BTreeMap::new();
    for contribution in vault.contributions() {
        if let Some(version) = data.get(&contribution.datanet.0) {
            datanet_of.insert(contribution.id, version.datanet);
        }
    }
    let mut texts = Vec::new();
    for item in vault.open_set(&request.set, ring, "training", now)? {
        let (entry, item) = item?;
        let meta = &item.meta;
        texts.push(Text {
            datanet: *datanet_of
                .get(&entry.contribution)
                .context("an item of the training set has no Datanet")?,
            item: entry.leaf,
            owner: meta.facts.owner,
            label: meta.title.clone().unwrap_or_else(|| meta.source.clone()),
            novelty: (u64::from(meta.nu_ppm) * u64::from(NOVELTY_ONE) / 1_000_000) as u32,
            text: item.text,
        });
    }
    Ok(texts)
}

/// The texts end to end, cut into units of a context wherever texts end (RULEBOOK R2a). No mark stands between them: where an owner ends one changes nothing.
fn units(texts: &[Text], tokenizer: &Tokenizer, context: usize) -> anyhow::Result<Vec<ServedUnit>> {
    let mut owners: Vec<Address> = Vec::new();
    let (mut contributor_of, mut documents) = (Vec::new(), Vec::new());
    for text in texts {
        let contributor = owners.iter().position(|owner| *owner == text.owner).unwrap_or_else(|| {
            owners.push(text.owner);
            owners.len() - 1
        });
        contributor_of.push(u32::try_from(contributor)?);
        documents.push(tokenizer.encode(&text.text, false)?);
    }
    let part = |(document, tokens): (u32, u32)| {
        let text = &texts[document as usize];
        ServedPart {
            datanet: text.datanet,
            item: text.item,
            owner: text.owner,
            contributor: contributor_of[document as usize],
            document,
            tokens,
            novelty: text.novelty,
            label: text.label.clone(),
        }
    };
    let unit = |packed: language::Packed| {
        let last = packed.example.targets.last().copied();
        ServedUnit {
            text: packed.example.tokens.iter().copied().chain(last).collect(),
            parts: packed.parts.into_iter().map(part).collect(),
        }
    };
    let units: Vec<ServedUnit> = language::pack(&documents, None, context).into_iter().map(unit).collect();
    ensure!(!units.is_empty(), "the training set has no text to train on");
    Ok(units)
}
