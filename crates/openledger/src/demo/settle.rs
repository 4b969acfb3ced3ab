//! Stage 7: settlement. Vouchers are redeemed into the escrow, its income is accounted for receipt by receipt, the batch stands through its
//! challenge window, fees are split, and everyone's leaf is claimed.

use super::{ask::Answered, journal::Journal, network::Network, story::Story};
use alloy_primitives::{B256, U256};
use alloy_sol_types::SolEvent;
use anyhow::Context as _;
use compute::AnswerId;
use gateway::{
    Handle,
    server::{App, ServedModel},
    settlement,
};
use interfaces::{addresses::SETTLEMENT, settlement::ISettlement};
use primitives::Amount;
use serde_json::{Value, json};
use std::{
    sync::{Arc, PoisonError},
    time::{Duration, Instant},
};

/// How long the windows of the demo's network may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Pause between two rounds of settlement while serving.
const PAUSE: Duration = Duration::from_secs(5);

/// What the batches came to, in units.
#[derive(Clone, Debug, Default)]
pub struct Settled {
    /// All fees.
    pub fees: Amount,
    /// To data contributors.
    pub data: Amount,
    /// To the model's developer.
    pub developer: Amount,
    /// To the operator.
    pub operator: Amount,
    /// To auditors.
    pub auditors: Amount,
    /// To validators.
    pub validators: Amount,
    /// To the treasury.
    pub treasury: Amount,
    /// Burned.
    pub burned: Amount,
    /// Whether the parts are the fees, to the unit.
    pub conserved: bool,
    /// The batches.
    pub batches: Vec<B256>,
}

/// Settles what is open, then adds up every batch of the demo.
pub async fn run(
    gateway: &Handle,
    network: &Network,
    journal: &Journal,
    answers: &[Answered],
    story: &mut Story,
) -> anyhow::Result<Settled> {
    let started = Instant::now();
    let ids: Vec<AnswerId> = answers.iter().filter_map(|answer| answer.id.parse().ok()).collect();
    // An epoch lasts at least its time: a batch closed a moment ago is followed by the next one a little later. Others may be asking
    // all the while, so that some batch is always open: what is waited for is the demo's own answers.
    while !is_paid(gateway.app(), &ids) {
        round(gateway.app()).await?;
        if started.elapsed() > PATIENCE {
            story.tell(format!(
                "not all answers are paid after {} s (the challenge window, or a ledger under load); settlement goes on while this serves",
                PATIENCE.as_secs()
            ));
            break;
        }
        if !is_paid(gateway.app(), &ids) {
            story.progress("waiting for the challenge window to pass");
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }
    let settled = add_up(network).await?;
    story.tell(format!(
        "{} batches, {} OPEN of fees: {} to data, {} to the developer, {} to the operator, {} to auditors, {} to validators, {} to the \
         treasury, {} burned; the parts {} the fees to the last unit",
        settled.batches.len(),
        settled.fees,
        settled.data,
        settled.developer,
        settled.operator,
        settled.auditors,
        settled.validators,
        settled.treasury,
        settled.burned,
        if settled.conserved { "are" } else { "ARE NOT" },
    ));
    let mut earned = Vec::new();
    for contributor in &journal.state.contributors {
        let balance = earnings(network, contributor.account).await?;
        if balance > U256::ZERO {
            earned.push((balance, contributor.name.clone()));
        }
    }
    earned.sort_by(|a, b| b.cmp(a));
    if !earned.is_empty() {
        let shown: Vec<_> = earned
            .iter()
            .take(5)
            .map(|(units, name)| format!("{name} {} OPEN", Amount::from_word(*units).unwrap_or_default()))
            .collect();
        story.tell(format!("claimed for {} contributors; most for {}", earned.len(), shown.join(", ")));
    }
    Ok(settled)
}

/// Settles and pays out what is due, once.
async fn round(app: &Arc<App>) -> anyhow::Result<()> {
    for model in app.models.values() {
        settlement::settle(app, model).await.context("the epoch was not settled")?;
        settlement::pay_out(app, model).await.context("payouts were not claimed")?;
    }
    Ok(())
}

/// Settles what is asked after the story, until the task is dropped.
pub async fn keep_settling(app: Arc<App>) {
    loop {
        tokio::time::sleep(PAUSE).await;
        if let Err(error) = round(&app).await {
            tracing::warn!(%error, "settled in the next round");
        }
    }
}

/// Whether every one of these answers stands in a batch that was finalised and claimed.
fn is_paid(app: &App, ids: &[AnswerId]) -> bool {
    let paid = |model: &ServedModel, id: &AnswerId| {
        let sequence = model.recorder.log().find(id)?;
        let settled = model.settled.lock().unwrap_or_else(PoisonError::into_inner);
        let found = settled.iter().find(|batch| batch.built.prove_receipt(sequence).is_some());
        Some(found.is_some_and(|batch| batch.done))
    };
    ids.iter().all(|id| app.models.values().find_map(|model| paid(model, id)).unwrap_or(false))
}

async fn logs(network: &Network, topics: Value) -> anyhow::Result<Vec<Value>> {
    let filter =
        json!([{ "address": SETTLEMENT, "fromBlock": "earliest", "toBlock": "latest", "topics": topics }]);
    network.client.request("eth_getLogs", filter).await
}

fn decode<E: SolEvent>(log: &Value) -> anyhow::Result<E> {
    let topics: Vec<B256> = serde_json::from_value(log["topics"].clone())?;
    let data: alloy_primitives::Bytes = serde_json::from_value(log["data"].clone())?;
    Ok(E::decode_raw_log(topics, &data)?)
}

/// Adds up the splits of all finalised batches from the ledger's events.
async fn add_up(network: &Network) -> anyhow::Result<Settled> {
    let mut settled = Settled { conserved: true, ..Settled::default() };
    for log in logs(network, json!([ISettlement::BatchFinalised::SIGNATURE_HASH])).await? {
        let event: ISettlement::BatchFinalised = decode(&log)?;
        let record = network.client.view(SETTLEMENT, &ISettlement::batchCall { id: event.id }).await?;
        let mut sum = U256::ZERO;
        for (part, total) in [
            (event.data, &mut settled.data),
            (event.developer, &mut settled.developer),
            (event.operator, &mut settled.operator),
            (event.auditors, &mut settled.auditors),
            (event.validators, &mut settled.validators),
            (event.treasury, &mut settled.treasury),
            (event.burned, &mut settled.burned),
        ] {
            sum += part;
            *total = add(*total, part)?;
        }
        settled.fees = add(settled.fees, record.batch.fees)?;
        settled.conserved &= sum == record.batch.fees && record.claimed == record.batch.payoutTotal;
        settled.batches.push(event.id);
    }
    Ok(settled)
}

fn add(total: Amount, part: U256) -> anyhow::Result<Amount> {
    Amount::from_word(part).and_then(|part| total.checked_add(part)).context("a sum past the supply")
}

/// What an account was paid for its data, vesting part included.
async fn earnings(network: &Network, account: alloy_primitives::Address) -> anyhow::Result<U256> {
    let topic = B256::left_padding_from(account.as_slice());
    let claims = logs(network, json!([ISettlement::PayoutClaimed::SIGNATURE_HASH, null, topic])).await?;
    claims.iter().map(|log| decode::<ISettlement::PayoutClaimed>(log).map(|event| event.amount)).sum()
}
