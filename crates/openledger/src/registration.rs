//! A model of one's own on the ledger: from Datanets of the vault to a folder that `openledger model serve` takes. It is a model with weights of its own, or
//! an adapter of a base that stands there: a model of its own too, with the base as its lineage, trained, attributed and finalised in the same way.
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
//! tokenizer.json      learned from the training set; none for an adapter, which reads by its base's
//! run/ attributed/ cache/ units.jsonl serving.json   as `serving` says
//! ```

mod models;
mod start;
mod training;
mod units;

pub use models::Models;
pub use training::{Start, Training, manifest};
pub use units::{Text, owners, units};

use crate::{
    rpc::Client,
    serving::{Description, Serving},
};
use alloy_primitives::{Address, B256, keccak256};
use alloy_signer_local::PrivateKeySigner;
use anyhow::{Context as _, ensure};
use attribution::influence::cache;
use compute::fee::Price;
use interfaces::{
    addresses::DATANETS,
    datanets::{IDatanets, datanet_id},
    models::IModels,
};
use model::{Progress, TrainOptions, train};
use ops::Ctx;
use primitives::Amount;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
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
/// Time between two words on training.
const WORD: Duration = Duration::from_secs(5);

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
    /// What it is made from.
    pub origin: Origin,
    /// How it is trained; the seed is the beacon's and 0 here.
    pub train: TrainOptions,
    /// Dimensions that gradients are projected to, for attribution.
    pub rank: usize,
    /// The developer's prices.
    pub price: Price,
}

/// What a model is made from, beside texts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// Nothing: its weights are drawn.
    New {
        /// Sizes of the model but for the vocabulary, which the tokenizer decides.
        architecture: model::commands::Architecture,
        /// Tokens of the vocabulary at most.
        vocabulary: usize,
    },
    /// A base, over which the LoRA adapter of the training options is trained.
    Base {
        /// The base's id on the ledger.
        model: B256,
        /// What the base's developers get of the adapter's developer's part of a fee, in basis points (RULEBOOK R1).
        share_bps: u16,
    },
}

/// What came of it.
#[derive(Debug, Serialize)]
pub struct Registered {
    /// The model's id on the ledger.
    pub model: B256,
    /// The name by which requests choose it.
    pub name: String,
    /// Numbers that were trained.
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

/// Who does it, and with what.
pub struct Registrar<'a> {
    /// The ledger.
    pub client: &'a Client,
    /// The developer's key.
    pub key: &'a PrivateKeySigner,
    /// Where the model is made.
    pub folder: &'a Path,
    /// The base's folder, for an adapter.
    pub base: Option<&'a Serving>,
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
        let (start, tokenizer) = self.start(&texts, request).await?;
        let (context, parameters) = (start.config().context, start.parameters(&request.train)?);
        let owners = owners(&texts);
        let units = units(&texts, &owners, &tokenizer, context)?;
        (self.tell)(format!(
            "{} units of {} texts by {} contributors; {parameters} parameters, {} steps",
            units.len(),
            texts.len(),
            owners.len(),
            request.train.steps
        ));
        let (document, manifest) = manifest(&start, &tokenizer, &request.set, &request.train)?;
        write(&self.folder.join(MANIFEST_FILE), &document)?;
        let models = Models { client: self.client, key: self.key };
        let (base, share_bps) = match request.origin {
            Origin::New { .. } => (None, 0),
            Origin::Base { model, share_bps } => (Some(model), share_bps),
        };
        let what = IModels::Registration {
            manifest,
            base: base.unwrap_or_default(),
            baseShareBps: share_bps,
            uses: request.uses,
            licence: request.licence.clone(),
            name: request.name.clone(),
        };
        let id = models.register(what, &request.train, data.values().cloned().collect()).await?;
        (self.tell)(format!("registered as {id}"));
        let seed = models.seed(id).await?;
        let options = TrainOptions { seed, ..request.train.clone() };
        let training = Training { id, start: &start, tokenizer: &tokenizer, units: &units, options };
        let mut told = Instant::now();
        let mut observe = |progress: &Progress| {
            if told.elapsed() >= WORD {
                told = Instant::now();
                let Progress { step, steps, loss, seconds_left, .. } = progress;
                (self.tell)(format!("step {step} of {steps}, loss {loss:.3}, {seconds_left:.0} s left"));
            }
        };
        let mut committed =
            |step, root| (self.tell)(format!("checkpoint of step {step} on the ledger: {root}"));
        let final_root =
            training.run(&models, self.ctx, &self.folder.join(RUN), &mut observe, &mut committed).await?;
        let attributed = training.export_attributed(self.ctx, self.folder, &self.folder.join(RUN))?;
        let result = if base.is_some() { train::ADAPTER_DIR } else { train::MODEL_DIR };
        let weights = Path::new(RUN).join(result);
        if base.is_none() {
            tokenizer.save(&self.folder.join(&weights))?;
        }
        let description = Description {
            base,
            weights,
            attributed,
            cache: CACHE.into(),
            run: Some(RUN.into()),
            ..Serving::describe(id, &request.name)
        };
        let serving = Serving::write(self.folder, description, &units)?;
        let serving = match self.base {
            Some(base) => serving.over(base.clone())?,
            None => serving,
        };
        let options = cache::Options {
            rank: request.rank,
            seed,
            unit_tokens: u32::try_from(context)?,
            ..cache::Options::default()
        };
        let cache = tokio::task::block_in_place(|| {
            serving.build_cache(&self.ctx, &self.folder.join(CACHE), &options, &mut |_| {})
        })?;
        let commitment = cache.commitment();
        models.finalise(id, final_root, commitment, &request.price).await?;
        Ok(Registered {
            model: id,
            name: serving.name(),
            parameters,
            units: units.len(),
            contributors: owners.len(),
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
        let datanet = datanet_of.get(&entry.contribution);
        let datanet = datanet.context("an item of the training set has no Datanet")?;
        texts.push(Text::new(*datanet, entry.leaf, item));
    }
    Ok(texts)
}
