//! The chain of evidence of one answer: receipt, attribution, batch, model, data. Each link is named, checked and shown; a broken
//! one says what does not fit. The gateway is not trusted: what it publishes is compared with the ledger and with itself.

use crate::rpc::Client;
use alloy_primitives::B256;
use anyhow::{Context as _, bail, ensure};
use attribution::shares::{self, Scored};
use compute::{Attributed, SignedReceipt, fee::data_share};
use interfaces::{
    addresses::{DATANETS, MODELS, SETTLEMENT},
    datanets::IDatanets,
    models::IModels,
    settlement::ISettlement,
};
use primitives::merkle::Proof;
use serde::Serialize;
use serde_json::Value;

/// One link of the chain.
#[derive(Clone, Debug, Serialize)]
pub struct Link {
    /// What is linked.
    pub name: &'static str,
    /// Whether it holds.
    pub holds: bool,
    /// What was compared, or what does not fit.
    pub detail: String,
}

/// Checks everything that `published` (the body of `/v1/attributions/{id}`) claims.
pub async fn check(client: &Client, published: &Value) -> Vec<Link> {
    let mut links = Vec::new();
    let mut link = |name, outcome: anyhow::Result<String>| {
        let holds = outcome.is_ok();
        let detail = outcome.unwrap_or_else(|error| format!("{error:#}"));
        links.push(Link { name, holds, detail });
        holds
    };
    let receipt: SignedReceipt = match serde_json::from_value(published["receipt"].clone()) {
        Ok(receipt) => receipt,
        Err(error) => {
            link("receipt", Err(error.into()));
            return links;
        }
    };
    link("receipt", signed(&receipt));
    let attributed = serde_json::from_value::<Attributed>(published["attribution"].clone());
    match &attributed {
        Ok(attributed) => {
            link("attribution", attribution_fits(&receipt, attributed));
            link("shares", shares_recompute(&receipt, attributed));
        }
        Err(error) => {
            link("attribution", Err(anyhow::anyhow!("the attribution cannot be read: {error}")));
        }
    }
    link("settlement", settled(client, &receipt, &published["settlement"]).await);
    let cache = attributed.ok().map(|a| a.cache);
    link("model", model_fits(client, &receipt, cache).await);
    link("data", data_fits(client, &receipt).await);
    links
}

fn signed(receipt: &SignedReceipt) -> anyhow::Result<String> {
    ensure!(receipt.is_signed(), "the receipt is not signed by its operator {}", receipt.receipt.operator);
    Ok(format!("number {} of operator {}, signed", receipt.receipt.sequence, receipt.receipt.operator))
}

fn attribution_fits(receipt: &SignedReceipt, attributed: &Attributed) -> anyhow::Result<String> {
    let root = attributed.root();
    ensure!(
        root == receipt.receipt.attribution,
        "the shares have root {root}, the receipt commits to {}",
        receipt.receipt.attribution
    );
    Ok(format!("root {root} is the receipt's"))
}

/// Divides the data share again by the committed rule.
fn shares_recompute(receipt: &SignedReceipt, attributed: &Attributed) -> anyhow::Result<String> {
    // Units without weight are not listed; they add nothing to the sum, so the listed ones divide alike.
    let scored: Vec<Scored> = attributed
        .units
        .iter()
        .map(|unit| Scored { score: unit.score, tokens: unit.of.tokens, novelty: unit.of.novelty, owner: 0 })
        .collect();
    let again = shares::divide(&attributed.rule, &scored, attributed.data_share)?;
    for (index, unit) in attributed.units.iter().enumerate() {
        ensure!(
            again.weights[index] == unit.weight,
            "unit {} weighs {}, not {}",
            unit.unit,
            again.weights[index],
            unit.weight
        );
        ensure!(
            again.pay[index] == unit.pay,
            "unit {} is owed {} units, not {}",
            unit.unit,
            again.pay[index].0,
            unit.pay.0
        );
    }
    let paid = attributed.paid();
    ensure!(
        paid == receipt.receipt.paid,
        "the units are paid {}, the receipt says {}",
        paid.0,
        receipt.receipt.paid.0
    );
    let most = data_share(receipt.receipt.fee, compute::fee::DATA_SHARE_BPS);
    ensure!(paid <= most, "the units are paid {}, the data share of the fee is {}", paid.0, most.0);
    Ok(format!(
        "{} units paid {paid} of the {} OPEN data share, recomputed to the unit",
        attributed.units.len(),
        attributed.data_share
    ))
}

async fn settled(client: &Client, receipt: &SignedReceipt, published: &Value) -> anyhow::Result<String> {
    if published.is_null() {
        bail!("not settled yet: the operator posts a batch each epoch");
    }
    let id: B256 = serde_json::from_value(published["batch"].clone()).context("the batch's id")?;
    let proof: Proof = serde_json::from_value(published["proof"].clone()).context("the receipt's proof")?;
    let record = client.view(SETTLEMENT, &ISettlement::batchCall { id }).await?;
    ensure!(record.operator == receipt.receipt.operator, "batch {id} is another operator's");
    ensure!(record.batch.model == receipt.receipt.model, "batch {id} is another model's");
    let index = receipt.receipt.sequence.checked_sub(record.batch.firstSequence);
    ensure!(
        index == Some(proof.index) && proof.count == record.batch.count,
        "the receipt's number is not its place in the batch"
    );
    ensure!(
        proof.verify(&record.batch.receipts, &receipt.receipt.digest()),
        "the receipt is not in batch {id}"
    );
    let status = match record.status {
        ISettlement::Status::Posted => "can still be challenged",
        ISettlement::Status::Finalised => "paid",
        ISettlement::Status::Refuted => bail!("batch {id} was refuted"),
        _ => bail!("batch {id} is not on the ledger"),
    };
    Ok(format!("leaf {} of {} in batch {id}, {status}", proof.index, proof.count))
}

async fn model_fits(client: &Client, receipt: &SignedReceipt, cache: Option<B256>) -> anyhow::Result<String> {
    let id = receipt.receipt.model;
    let model = client.view(MODELS, &IModels::modelCall { model: id }).await?;
    let training = client.view(MODELS, &IModels::trainingCall { model: id }).await?;
    if let Some(cache) = cache {
        ensure!(
            cache == model.cache.root,
            "the answer was attributed by cache {cache}, the ledger commits to {}",
            model.cache.root
        );
    }
    ensure!(training.lastRoot == model.finalRoot, "the weights served are not the last checkpoint");
    Ok(format!(
        "`{}`: attribution cache {}, weights {} after {} checkpoints",
        model.name, model.cache.root, model.finalRoot, training.checkpointCount
    ))
}

async fn data_fits(client: &Client, receipt: &SignedReceipt) -> anyhow::Result<String> {
    let training = client.view(MODELS, &IModels::trainingCall { model: receipt.receipt.model }).await?;
    ensure!(!training.seed.is_zero(), "the training's seed was never drawn");
    let mut named = Vec::new();
    for used in &training.descriptor.data {
        let datanet = client.view(DATANETS, &IDatanets::datanetCall { datanet: used.datanet }).await?;
        let version = client
            .view(DATANETS, &IDatanets::versionCall { datanet: used.datanet, number: used.version })
            .await?;
        ensure!(!version.root.is_zero(), "Datanet {} has no version {}", used.datanet, used.version);
        named.push(format!(
            "`{}` version {} ({} items, root {})",
            datanet.name, used.version, version.items, version.root
        ));
    }
    ensure!(!named.is_empty(), "the descriptor names no data");
    Ok(named.join("; "))
}
