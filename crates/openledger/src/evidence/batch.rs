//! A whole batch: its receipts as the operator publishes them, rebuilt into the roots that stand on the ledger.
//!
//! What the ledger holds of a batch is proven first; then every receipt is fetched, and `compute::batch::build` makes of them the
//! receipts' root, the folds and the payout tree. They are the ledger's, or the batch is named as false. So a contributor's leaf
//! and its proof come from the receipts alone.

use super::saved::get;
use crate::light::LightLedger;
use alloy_primitives::{Address, B256};
use anyhow::{Context as _, bail, ensure};
use compute::batch::{Accounted, MAX_RECEIPTS, SettlementBatch, build};
use interfaces::{addresses::SETTLEMENT, settlement::ISettlement};
use primitives::Amount;
use serde::Deserialize;
use serde_json::Value;

/// A page of `/v1/batches/{id}`.
#[derive(Deserialize)]
struct Page {
    receipts: Vec<WireReceipt>,
    next: Option<u64>,
}

#[derive(Deserialize)]
struct WireReceipt {
    sequence: u64,
    digest: B256,
    previous: B256,
    fee: Amount,
    payouts: Vec<WirePayout>,
}

#[derive(Deserialize)]
struct WirePayout {
    account: Address,
    pay: Amount,
}

/// A batch whose every part was checked.
#[derive(Debug)]
pub struct Rebuilt {
    /// What the ledger holds of it.
    pub record: ISettlement::Record,
    /// What its receipts make.
    pub built: SettlementBatch,
}

/// Ids of the batches that the operator at `api` has at hand, oldest first.
pub async fn ids(api: &str) -> anyhow::Result<Vec<B256>> {
    let list = get(api, "/v1/batches").await?;
    let mut ids = Vec::new();
    for entry in list["data"].as_array().context("/v1/batches gave no list")? {
        ids.push(serde_json::from_value(entry["id"].clone()).context("a batch without an id")?);
    }
    ids.reverse();
    Ok(ids)
}

/// Fetches the receipts of a batch and rebuilds it, against what the ledger holds.
pub async fn rebuild(ledger: &mut LightLedger, api: &str, id: B256) -> anyhow::Result<Rebuilt> {
    let record = ledger
        .read(|snapshot| snapshot.view(SETTLEMENT, &ISettlement::batchCall { id }))
        .await?
        .map_err(anyhow::Error::msg)?
        .with_context(|| format!("the ledger knows no batch {id}"))?;
    let receipts = receipts(api, id, record.batch.count).await?;
    let built = against(&record, &receipts)?;
    Ok(Rebuilt { record, built })
}

async fn receipts(api: &str, id: B256, count: u64) -> anyhow::Result<Vec<Accounted>> {
    ensure!(count <= MAX_RECEIPTS as u64, "batch {id} has {count} receipts, more than {MAX_RECEIPTS}");
    let mut receipts = Vec::new();
    loop {
        let from = receipts.len() as u64;
        let page: Value = get(api, &format!("/v1/batches/{id}?from={from}")).await?;
        let Page { receipts: more, next } =
            serde_json::from_value(page).context("the operator's batch cannot be read")?;
        ensure!(!more.is_empty() || count == from, "the operator shows {from} of {count} receipts");
        receipts.extend(more.into_iter().map(|r| Accounted {
            sequence: r.sequence,
            digest: r.digest,
            previous: r.previous,
            fee: r.fee,
            payouts: r.payouts.into_iter().map(|p| (p.account, p.pay)).collect(),
        }));
        ensure!(receipts.len() as u64 <= count, "the operator shows more than the batch's {count} receipts");
        if next.is_none() {
            return Ok(receipts);
        }
    }
}

/// Rebuilds a batch from its receipts and compares every root and sum with the ledger's.
pub fn against(record: &ISettlement::Record, receipts: &[Accounted]) -> anyhow::Result<SettlementBatch> {
    let posted = &record.batch;
    let fees = Amount::from_word(posted.fees).context("fees past the supply")?;
    // The ledger held the payouts to the data share when the batch was posted; here only the roots matter.
    let built = build(posted.model, posted.epoch, receipts, fees, 10_000)
        .context("the receipts do not make the batch on the ledger")?;
    let ISettlement::Batch {
        model: _,
        epoch: _,
        firstSequence,
        count,
        receipts,
        folds,
        fees: _,
        payouts,
        payoutTotal,
        payoutCount,
    } = &built.batch;
    for (what, same) in [
        ("first number", *firstSequence == posted.firstSequence),
        ("number of receipts", *count == posted.count),
        ("receipts' root", *receipts == posted.receipts),
        ("folds' root", *folds == posted.folds),
        ("payouts' root", *payouts == posted.payouts),
        ("sum of payouts", *payoutTotal == posted.payoutTotal),
        ("number of payouts", *payoutCount == posted.payoutCount),
    ] {
        if !same {
            bail!("the batch's {what} is not what its receipts make");
        }
    }
    Ok(built)
}
