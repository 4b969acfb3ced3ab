//! Epochs: redeem, close, post, finalise, claim. Every step can be repeated; a restart goes on where the ledger stands.
//!
//! ```text
//! gate shut ─▶ redeem vouchers ─▶ escrow = fees of open receipts ─▶ close ─▶ gate open ─▶ post ─▶ (window) ─▶ finalise ─▶ claim
//!                                  more: a receipt for money nobody asked with
//!                                  less: the operator makes up for what it redeemed too late
//! ```
//! While the gate is shut no answer is charged, so that what the ledger closes is what the log holds. Which receipts a closed
//! epoch holds is found from the ledger alone: the first number it expects, and the income that waits.

use crate::{
    ledger::{self, LedgerError, send, view},
    server::{App, ServedModel},
};
use alloy_primitives::{Address, B256, U256};
use alloy_sol_types::SolCall;
use compute::{
    LogError,
    batch::{self, Accounted, BatchError, SettlementBatch},
    log::{Draft, What},
};
use interfaces::{
    addresses,
    settlement::{ISettlement, batch_id},
    token::IToken,
};
use primitives::Amount;
use serde_json::{Value, json};
use std::{sync::Arc, sync::PoisonError, time::Duration};
use tokio::sync::watch;

/// Batches whose proofs are at hand; older ones are rebuilt from the log by who needs them.
const MAX_BATCHES_KEPT: u64 = 256;
/// Leaves claimed in one call; the ledger takes 256.
const LEAVES_PER_CLAIM: usize = 128;

/// How often a ledger that was away at the start is asked again.
const TAKE_UP_EVERY: Duration = Duration::from_millis(250);

/// Receipts read while the log is held.
const RECEIPTS_PER_READ: u64 = 1024;

/// A batch on the ledger, with what its proofs are taken from.
#[derive(Clone, Debug)]
pub struct Posted {
    /// Its id.
    pub id: B256,
    /// The batch.
    pub built: Arc<SettlementBatch>,
    /// Whether it was finalised and claimed for everyone.
    pub done: bool,
}

/// Why an epoch is not settled. Nothing is lost: the next round goes on.
#[derive(Debug, thiserror::Error)]
pub enum SettleError {
    /// The ledger is away or refuses.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The receipts do not add up.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// The log cannot be read or written.
    #[error("{0}")]
    Log(String),
    /// A transfer is still open: nobody can say whether it is income.
    #[error("a payment is pending: settled once it is known")]
    Pending,
}

impl From<LogError> for SettleError {
    fn from(error: LogError) -> SettleError {
        SettleError::Log(error.to_string())
    }
}

/// Settles what is due every so often, and looks after withdrawals and pending payments.
pub async fn run(app: Arc<App>, every: Duration, mut stop: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(every) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
        if let Err(error) = crate::server::resolve_intents(&app).await {
            tracing::warn!(%error, "pending payments are looked into later");
        }
        for model in app.models.values() {
            if app.payments.is_withdrawal_pending(model.worker.model).await
                && let Err(error) = app.payments.redeem(model.worker.model).await
            {
                tracing::error!(%error, "a withdrawal is pending and its vouchers could not be redeemed");
            }
            match settle(&app, model).await {
                Ok(None) => {}
                Ok(Some(posted)) => {
                    app.metrics.settled(true);
                    tracing::info!(batch = %posted.id, fees = %posted.built.batch.fees, "an epoch was posted");
                }
                Err(error) => {
                    app.metrics.settled(false);
                    tracing::warn!(%error, "an epoch could not be settled yet");
                }
            }
            if let Err(error) = pay_out(&app, model).await {
                tracing::warn!(%error, "a batch could not be paid out yet");
            }
        }
    }
}

/// Takes up what the ledger knows, before anything is served. While the ledger is away no answer is charged: an epoch that was closed may lack the receipt
/// for money nobody asked with, which has to stand before any later one.
pub async fn resume(app: &Arc<App>, model: &Arc<ServedModel>) {
    let gate = model.gate.clone().write_owned().await;
    match take_up(app, model).await {
        Ok(()) => {}
        Err(SettleError::Ledger(error @ LedgerError::Away(_))) if !app.config.free => {
            tracing::warn!(%error, "settlement is taken up as soon as the ledger is back");
            let (app, model) = (app.clone(), model.clone());
            tokio::spawn(async move {
                let _gate = gate;
                while !app.stopping() {
                    tokio::time::sleep(TAKE_UP_EVERY).await;
                    match take_up(&app, &model).await {
                        Err(SettleError::Ledger(LedgerError::Away(_))) => {}
                        Err(error) => return tracing::error!(%error, "settlement is taken up again later"),
                        Ok(()) => return,
                    }
                }
            });
        }
        Err(error) => tracing::error!(%error, "settlement is taken up again later"),
    }
}

async fn take_up(app: &Arc<App>, model: &Arc<ServedModel>) -> Result<(), SettleError> {
    let progress = progress(app, model).await?;
    for epoch in progress.epoch.saturating_sub(MAX_BATCHES_KEPT) + 1..=progress.epoch {
        let id = batch_id(app.config.operator.address(), model.worker.model, epoch);
        let call = ISettlement::batchCall { id };
        let record = match view(app.ledger.as_ref(), addresses::SETTLEMENT, &call).await {
            Err(LedgerError::Refused { .. }) => continue,
            other => other?,
        };
        let ISettlement::Batch { firstSequence, count, receipts, fees, .. } = record.batch;
        let fees = Amount::from_word(fees).unwrap_or_default();
        let built = build(model, epoch, firstSequence..firstSequence + count, fees)?;
        if built.batch.receipts != receipts {
            let message = format!("the log does not hold the receipts of epoch {epoch} as they were posted");
            return Err(SettleError::Log(message));
        }
        let done =
            record.status == ISettlement::Status::Finalised && record.claimed == built.batch.payoutTotal;
        keep(model, Posted { id, built: Arc::new(built), done });
    }
    if progress.unposted > U256::ZERO {
        // What came without an answer between closing and the crash.
        let income = Amount::from_word(progress.unposted).unwrap_or_default();
        account_for(model, progress.nextSequence, income).await?;
        post(app, model).await?;
    }
    Ok(())
}

type Progress = ISettlement::progressReturn;

async fn progress(app: &App, model: &ServedModel) -> Result<Progress, LedgerError> {
    let operator = app.config.operator.address();
    let call = ISettlement::progressCall { operator, model: model.worker.model };
    view(app.ledger.as_ref(), addresses::SETTLEMENT, &call).await
}

fn keep(model: &ServedModel, posted: Posted) {
    let mut settled = model.settled.lock().unwrap_or_else(PoisonError::into_inner);
    if settled.iter().all(|known| known.id != posted.id) {
        settled.push(posted);
    }
    if settled.len() as u64 > MAX_BATCHES_KEPT {
        settled.remove(0);
    }
}

/// Settles a model's open receipts; `None` when nothing is due.
pub async fn settle(app: &Arc<App>, model: &Arc<ServedModel>) -> Result<Option<Posted>, SettleError> {
    let before = progress(app, model).await?;
    if before.unposted > U256::ZERO {
        return post(app, model).await.map(Some);
    }
    let gate = model.gate.clone().write_owned().await;
    app.payments.redeem(model.worker.model).await?;
    let pending = app.payments.pending_intents().map_err(|error| SettleError::Log(error.to_string()))?;
    if pending.iter().any(|intent| intent.model == model.worker.model) {
        return Err(SettleError::Pending);
    }
    let escrow = addresses::escrow(app.config.operator.address(), model.worker.model);
    let held = ledger::balance(app.ledger.as_ref(), escrow).await?;
    let owed = open_fees(model, before.nextSequence).0;
    if held == 0 && owed == 0 {
        return Ok(None);
    }
    if held < owed {
        // A voucher was redeemed too late: contributors are paid all the same, the operator pays for them.
        let value = U256::from(owed - held);
        tracing::error!(units = %value, "charges could not be redeemed: the operator makes up for them");
        send(app.ledger.as_ref(), addresses::TOKEN, U256::ZERO, &IToken::transferCall { to: escrow, value })
            .await?;
    }
    account_for(model, before.nextSequence, Amount(held.max(owed))).await?;
    let call = ISettlement::closeCall { model: model.worker.model };
    match send(app.ledger.as_ref(), addresses::SETTLEMENT, U256::ZERO, &call).await {
        Ok(_) => {}
        Err(error) if error.is::<ISettlement::EpochTooShort>() => return Ok(None),
        Err(error) => return Err(error.into()),
    }
    // Somebody may have paid in between.
    let closed = progress(app, model).await?;
    let income = Amount::from_word(closed.unposted).unwrap_or_default();
    account_for(model, before.nextSequence, income).await?;
    drop(gate);
    post(app, model).await.map(Some)
}

fn open_fees(model: &ServedModel, first: u64) -> Amount {
    model.recorder.log().fees(first..u64::MAX)
}

/// Writes a receipt for income that no answer was charged, so that fees and income agree.
async fn account_for(model: &ServedModel, first: u64, income: Amount) -> Result<(), SettleError> {
    let fees = open_fees(model, first);
    let Some(more) = income.checked_sub(fees).filter(|more| *more > Amount::ZERO) else { return Ok(()) };
    let time_ms = crate::api::flow::now_ms();
    let draft = Draft { what: What::Unasked(more), payer: Address::ZERO, note: Vec::new(), time_ms };
    model.recorder.record(draft).await.map_err(|error| SettleError::Log(error.to_string()))?;
    Ok(())
}

/// The receipts from `first` on whose fees are `income`.
fn receipts_of(model: &ServedModel, first: u64, income: Amount) -> Result<std::ops::Range<u64>, SettleError> {
    let log = model.recorder.log();
    let (mut low, mut high) = (first, log.next_sequence());
    // Sums only grow: the shortest range that reaches the income.
    while low < high {
        let middle = low + (high - low) / 2;
        if log.fees(first..middle) < income { low = middle + 1 } else { high = middle }
    }
    let fees = log.fees(first..low);
    if fees != income {
        return Err(BatchError::FeesDifferFromIncome { fees: fees.0, income: income.0 }.into());
    }
    Ok(first..low)
}

fn build(
    model: &ServedModel,
    epoch: u64,
    range: std::ops::Range<u64>,
    income: Amount,
) -> Result<SettlementBatch, SettleError> {
    let mut receipts: Vec<Accounted> = Vec::new();
    for first in range.clone().step_by(RECEIPTS_PER_READ as usize) {
        // Answers are written between two reads.
        let part = first..range.end.min(first + RECEIPTS_PER_READ);
        model.recorder.log().entries(part, |entry| receipts.push(Accounted::from(entry)))?;
    }
    if receipts.len() as u64 != range.end - range.start {
        return Err(SettleError::Log(format!("receipts of {range:?} are missing")));
    }
    Ok(batch::build(model.worker.model, epoch, &receipts, income, model.worker.data_share_bps)?)
}

/// Posts the closed epoch's batch.
async fn post(app: &Arc<App>, model: &Arc<ServedModel>) -> Result<Posted, SettleError> {
    let progress = progress(app, model).await?;
    let income = Amount::from_word(progress.unposted).unwrap_or_default();
    let range = receipts_of(model, progress.nextSequence, income)?;
    let built = {
        let (model, epoch) = (model.clone(), progress.epoch);
        let built = tokio::task::spawn_blocking(move || build(&model, epoch, range, income));
        built.await.map_err(|error| SettleError::Log(error.to_string()))??
    };
    let call = ISettlement::postCall { batch: built.batch.clone() };
    send(app.ledger.as_ref(), addresses::SETTLEMENT, U256::ZERO, &call).await?;
    let id = batch_id(app.config.operator.address(), model.worker.model, progress.epoch);
    let posted = Posted { id, built: Arc::new(built), done: false };
    keep(model, posted.clone());
    Ok(posted)
}

/// A batch whose challenge window is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// The batch.
    pub batch: B256,
    /// Block time, Unix seconds, from which it can be finalised.
    pub ends_s: u64,
    /// Seconds of block time left when the ledger was asked.
    pub left_s: u64,
}

/// Finalises batches whose window has passed, and claims for everyone they pay. Returns what could not be: windows that are open.
pub async fn pay_out(app: &Arc<App>, model: &Arc<ServedModel>) -> Result<Vec<Window>, SettleError> {
    let mut windows = Vec::new();
    let open: Vec<Posted> = {
        let settled = model.settled.lock().unwrap_or_else(PoisonError::into_inner);
        settled.iter().filter(|posted| !posted.done).cloned().collect()
    };
    for posted in open {
        let id = posted.id;
        let record = view(app.ledger.as_ref(), addresses::SETTLEMENT, &ISettlement::batchCall { id }).await?;
        if record.status == ISettlement::Status::Posted {
            let call = ISettlement::finaliseCall { id };
            match send(app.ledger.as_ref(), addresses::SETTLEMENT, U256::ZERO, &call).await {
                Ok(_) => {}
                Err(error) => match error.decode::<ISettlement::WindowOpen>() {
                    Some(ISettlement::WindowOpen { finaliseAt: ends_s, time }) => {
                        windows.push(Window { batch: id, ends_s, left_s: ends_s.saturating_sub(time) });
                        continue;
                    }
                    None => return Err(error.into()),
                },
            }
        }
        claim_all(app, &posted).await?;
        let mut settled = model.settled.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = settled.iter_mut().find(|known| known.id == id) {
            known.done = true;
        }
    }
    Ok(windows)
}

async fn claim_all(app: &App, posted: &Posted) -> Result<(), SettleError> {
    let id = posted.id;
    for first in (0..posted.built.batch.payoutCount).step_by(LEAVES_PER_CLAIM) {
        let range = first..posted.built.batch.payoutCount.min(first + LEAVES_PER_CLAIM as u64);
        let asked = range.clone().map(|index| ISettlement::isClaimedCall { id, index }.abi_encode().into());
        let answers = ledger::views(app.ledger.as_ref(), addresses::SETTLEMENT, asked.collect()).await?;
        let mut leaves = Vec::new();
        for (index, answer) in range.zip(answers) {
            if !ledger::decoded::<ISettlement::isClaimedCall>(&answer)? {
                leaves.extend(posted.built.claim_leaf(index));
            }
        }
        if !leaves.is_empty() {
            let call = ISettlement::claimCall { id, leaves };
            send(app.ledger.as_ref(), addresses::SETTLEMENT, U256::ZERO, &call).await?;
        }
    }
    Ok(())
}

/// The batch that holds a receipt, and the receipt's Merkle proof in it.
pub fn proof(model: &ServedModel, sequence: u64) -> Option<Value> {
    let settled = model.settled.lock().unwrap_or_else(PoisonError::into_inner);
    let posted = settled.iter().find(|posted| posted.built.prove_receipt(sequence).is_some())?;
    let proof = posted.built.prove_receipt(sequence)?;
    let batch = &posted.built.batch;
    Some(json!({
        "batch": posted.id, "epoch": batch.epoch, "receipts": batch.receipts, "firstSequence": batch.firstSequence,
        "proof": proof,
    }))
}
