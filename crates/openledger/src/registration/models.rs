//! A model's way through the ledger's module, step by step. Every step may be repeated: what stands already is left as it is.

use crate::{rpc::Client, transaction::send};
use alloy_primitives::{B256, U256};
use alloy_signer_local::PrivateKeySigner;
use alloy_sol_types::SolCall;
use anyhow::{Context as _, bail, ensure};
use attribution::influence::cache::Commitment;
use compute::fee::Price;
use interfaces::{
    addresses::MODELS,
    models::{IModels, model_id},
};
use model::{TrainOptions, train::StepRecord};
use primitives::{Domain, hash::hash};
use std::time::{Duration, Instant};

/// How long to wait for the beacon's seed.
const SEED_PATIENCE: Duration = Duration::from_secs(60);

/// The module of models, as one developer uses it.
#[derive(Clone, Copy)]
pub struct Models<'a> {
    /// The ledger.
    pub client: &'a Client,
    /// The developer's key.
    pub key: &'a PrivateKeySigner,
}

impl Models<'_> {
    /// Registers the model and fixes its descriptor: `options` without the seed, which the beacon draws only then. Its id.
    pub async fn register(
        &self,
        what: IModels::Registration,
        options: &TrainOptions,
        data: Vec<IModels::DatanetVersion>,
    ) -> anyhow::Result<B256> {
        let id = model_id(self.key.address(), what.manifest);
        let known = self.status(id).await;
        if known == IModels::Status::None {
            self.send(IModels::registerCall { what }, "the model was not registered").await?;
        }
        if matches!(known, IModels::Status::None | IModels::Status::Registered) {
            let descriptor = IModels::Descriptor {
                hyperparameters: hash(Domain::Run, &serde_json::to_vec(options)?),
                opSet: ops::OP_SET_VERSION,
                steps: options.steps,
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

    /// The seed, once the beacon has drawn it: the first eight bytes, little-endian.
    pub async fn seed(&self, model: B256) -> anyhow::Result<u64> {
        let started = Instant::now();
        loop {
            let training = self.client.view(MODELS, &IModels::trainingCall { model }).await?;
            if !training.seed.is_zero() {
                return Ok(u64::from_le_bytes(training.seed[..8].try_into().expect("eight bytes")));
            }
            ensure!(
                started.elapsed() < SEED_PATIENCE,
                "the ledger drew no seed within {} s: run the command again",
                SEED_PATIENCE.as_secs()
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Commits the checkpoint after `record`; whether the ledger had it not yet.
    pub async fn checkpoint(&self, model: B256, record: &StepRecord, root: B256) -> anyhow::Result<bool> {
        let known = self.client.view(MODELS, &IModels::trainingCall { model }).await?;
        let new = record.step > known.lastStep;
        if new {
            let call = IModels::checkpointCall { model, step: record.step, root, chain: record.chain };
            self.send(call, "a checkpoint was refused").await?;
        }
        Ok(new)
    }

    /// Commits the last checkpoint, the attribution cache and the prices, after which the model can be offered.
    pub async fn finalise(
        &self,
        model: B256,
        final_root: B256,
        commitment: &Commitment,
        price: &Price,
    ) -> anyhow::Result<()> {
        if self.status(model).await == IModels::Status::Ready {
            let known = self.client.view(MODELS, &IModels::modelCall { model }).await?;
            ensure!(
                known.cache.root == commitment.root,
                "the ledger holds the cache {} for this model, the folder's is {}: the folder was built by another version of the program",
                known.cache.root,
                commitment.root
            );
            return Ok(());
        }
        let Price { rate_in, rate_out, platform_fee } = price;
        let call = IModels::finaliseCall {
            model,
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

    async fn status(&self, model: B256) -> IModels::Status {
        let known = self.client.view(MODELS, &IModels::modelCall { model }).await;
        known.map_or(IModels::Status::None, |model| model.status)
    }

    async fn send<C: SolCall>(&self, call: C, refused: &'static str) -> anyhow::Result<()> {
        let receipt = send(self.client, self.key, MODELS, U256::ZERO, call.abi_encode().into())
            .await
            .context(refused)?;
        ensure!(receipt.status == U256::from(1), "{refused}: transaction {}", receipt.transaction_hash);
        Ok(())
    }
}
