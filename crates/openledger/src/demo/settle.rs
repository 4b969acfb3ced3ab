//! Stage 7: settlement. Vouchers are redeemed into the escrow, its income is accounted for receipt by receipt, the batch stands through its
//! challenge window, fees are split, and everyone's leaf is claimed.

use super::{journal::Journal, network::Network, story::Story};
use alloy_primitives::{B256, U256};
use alloy_sol_types::SolEvent;
use anyhow::{Context as _, ensure};
use gateway::{Handle, settlement};
use interfaces::{addresses::SETTLEMENT, settlement::ISettlement};
use primitives::Amount;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// How long the windows of the demo's network may take.
const PATIENCE: Duration = Duration::from_secs(60);

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
    story: &mut Story,
) -> anyhow::Result<Settled> {
    let started = Instant::now();
    // An epoch lasts at least its time: a batch closed a moment ago is followed by the next one a little later.
    loop {
        gateway.settle().await.context("the epoch was not settled")?;
        let mut open = false;
        for model in gateway.app().models.values() {
            settlement::pay_out(gateway.app(), model).await.context("payouts were not claimed")?;
            let settled = model.settled.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            open |= settled.is_empty() || settled.iter().any(|batch| !batch.done);
        }
        if !open {
            break;
        }
        ensure!(started.elapsed() < PATIENCE, "the batch was not paid within {} s", PATIENCE.as_secs());
        story.progress("waiting for the challenge window to pass");
        tokio::time::sleep(Duration::from_millis(500)).await;
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
