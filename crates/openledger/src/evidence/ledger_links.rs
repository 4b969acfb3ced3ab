//! Links that lie wholly on the ledger.

use super::{Link, Outcome, broken, link, of, open};
use crate::light::{LightLedger, Snapshot};
use alloy_primitives::{B256, U256};
use compute::evidence::Bundle;
use interfaces::{
    addresses::{DATANETS, MODELS, SETTLEMENT},
    datanets::IDatanets,
    models::IModels,
    settlement::{ISettlement, batch_id},
};
use primitives::Amount;
use serde_json::{Value, json};

/// Training, data and payouts.
pub fn check(bundle: &Bundle, shown: &Value, snapshot: &Snapshot) -> Vec<Link> {
    vec![
        link("training", training(bundle, snapshot)),
        link("data", data(bundle, snapshot)),
        link("payouts", payouts(bundle, shown, snapshot)),
    ]
}

/// The model and its training; `None` for a model that was not trained by a descriptor of this ledger.
fn trained(
    bundle: &Bundle,
    snapshot: &Snapshot,
) -> Result<(IModels::Model, Option<IModels::Training>), (super::State, String)> {
    let model = bundle.receipt.receipt.model;
    let known = snapshot.view(MODELS, &IModels::modelCall { model }).map_err(open)?;
    let training = snapshot.view(MODELS, &IModels::trainingCall { model }).map_err(open)?;
    let known = known.ok_or_else(|| broken("the ledger knows no model of this id"))?;
    Ok((known, training.filter(|training| !training.descriptor.data.is_empty())))
}

fn training(bundle: &Bundle, snapshot: &Snapshot) -> Outcome {
    let (model, training) = trained(bundle, snapshot)?;
    let Some(training) = training else {
        return Err(open(format!(
            "`{}` names no training on this ledger: it was brought as it is",
            model.name
        )));
    };
    if training.seed.is_zero() {
        return Err(broken("the training's seed was never drawn"));
    }
    if training.lastRoot != model.finalRoot {
        return Err(broken(format!(
            "the model's final root {} is not the last checkpoint's {}",
            model.finalRoot, training.lastRoot
        )));
    }
    Ok(format!(
        "weights {} are checkpoint {} of a run of {} steps under descriptor {}, seed {} drawn after it",
        model.finalRoot,
        training.checkpointCount,
        training.descriptor.steps,
        training.descriptorDigest,
        training.seed
    ))
}

fn data(bundle: &Bundle, snapshot: &Snapshot) -> Outcome {
    let (_, training) = trained(bundle, snapshot)?;
    let Some(training) = training else { return Err(open("no training, so no data that the ledger knows")) };
    let mut named = Vec::new();
    for used in &training.descriptor.data {
        let (datanet, number) = (used.datanet, used.version);
        let known = snapshot.view(DATANETS, &IDatanets::datanetCall { datanet }).map_err(open)?;
        let version = snapshot.view(DATANETS, &IDatanets::versionCall { datanet, number }).map_err(open)?;
        match (known, version) {
            (Some(known), Some(version)) if !version.root.is_zero() => named.push(format!(
                "`{}` version {number}: {} items under {}",
                known.name, version.items, version.root
            )),
            _ => return Err(broken(format!("Datanet {datanet} has no version {number}"))),
        }
    }
    if let Some(attribution) = &bundle.attribution {
        let outside = attribution
            .units
            .iter()
            .find(|unit| training.descriptor.data.iter().all(|used| used.datanet != unit.of.datanet));
        if let Some(unit) = outside {
            return Err(broken(format!(
                "unit {} is said to come from Datanet {}, which the training does not name",
                unit.unit, unit.of.datanet
            )));
        }
    }
    Ok(named.join("; "))
}

/// Id and record of the answer's batch.
fn batch(
    bundle: &Bundle,
    snapshot: &Snapshot,
) -> Result<(B256, ISettlement::Record), (super::State, String)> {
    let place = bundle.settlement.as_ref().ok_or_else(|| open("the answer is not settled yet"))?;
    let receipt = &bundle.receipt.receipt;
    let id = batch_id(receipt.operator, receipt.model, place.epoch);
    let record = snapshot.view(SETTLEMENT, &ISettlement::batchCall { id }).map_err(open)?;
    Ok((id, record.ok_or_else(|| broken(format!("the ledger knows no batch {id}")))?))
}

/// `shown` is what the operator says of the answer's settlement beside the proof.
fn payouts(bundle: &Bundle, shown: &Value, snapshot: &Snapshot) -> Outcome {
    let (id, record) = batch(bundle, snapshot)?;
    for (name, on_ledger) in [
        ("batch", json!(id)),
        ("receipts", json!(record.batch.receipts)),
        ("firstSequence", json!(record.batch.firstSequence)),
    ] {
        if shown[name] != on_ledger {
            return Err(broken(format!(
                "`{name}` is shown as {}, the ledger holds {on_ledger}",
                shown[name]
            )));
        }
    }
    let total = Amount::from_word(record.batch.payoutTotal).unwrap_or_default();
    let claimed = Amount::from_word(record.claimed).unwrap_or_default();
    if record.status != ISettlement::Status::Finalised {
        return Err(open("nothing is paid before the challenge window has passed"));
    }
    if claimed > total {
        return Err(broken(format!("{claimed} OPEN were claimed of {total}")));
    }
    let leaves = record.batch.payoutCount;
    Ok(if claimed == total {
        format!("all {total} OPEN of {leaves} leaves are claimed")
    } else {
        format!("{claimed} of {total} OPEN in {leaves} leaves are claimed; `openledger claim` pays the rest")
    })
}

/// The event by which the batch was paid, proven by its receipt.
pub async fn split_event(ledger: &mut LightLedger, bundle: &Bundle) -> Outcome {
    let (id, record) =
        ledger.read(|snapshot| batch(bundle, snapshot)).await.map_err(|error| of(&error))??;
    if record.status != ISettlement::Status::Finalised {
        return Err(open("the batch is not final yet"));
    }
    let events = ledger
        .events::<ISettlement::BatchFinalised>(SETTLEMENT, &[json!(id)], 1)
        .await
        .map_err(|error| of(&error))?;
    let proven = events.first().ok_or_else(|| open("the node shows no event of it; ask another node"))?;
    let ISettlement::BatchFinalised {
        id: _,
        data,
        developer,
        operator,
        auditors,
        validators,
        treasury,
        burned,
    } = &proven.event;
    let parts = [data, developer, operator, auditors, validators, treasury, burned];
    let sum = parts.iter().fold(U256::ZERO, |sum, part| sum.saturating_add(**part));
    if sum != record.batch.fees || *data != record.batch.payoutTotal {
        return Err(broken(format!(
            "the parts add up to {sum} units and the fees are {}, data got {data} of {}",
            record.batch.fees, record.batch.payoutTotal
        )));
    }
    let open_of = |units: &U256| Amount::from_word(*units).unwrap_or_default();
    Ok(format!(
        "block {} split {} OPEN: {} data, {} developer, {} operator, {} auditors, {} validators, {} treasury, {} burned",
        proven.height,
        open_of(&record.batch.fees),
        open_of(data),
        open_of(developer),
        open_of(operator),
        open_of(auditors),
        open_of(validators),
        open_of(treasury),
        open_of(burned)
    ))
}
