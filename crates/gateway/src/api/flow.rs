//! From an admitted request to an answer in the log.
//!
//! Each answer is driven by a task of its own, so that what was begun ends properly whether or not the client is still there:
//! - a client that leaves before it was given anything is not charged, and its answer is dropped;
//! - a client that leaves a stream pays for what it was sent;
//! - once the log has the answer, the charge stands, and the same payment gets the same answer again.

use super::{ApiError, endpoint::Ask, owed::Recorded};
use crate::{
    payments::{
        Admitted, ChannelHold, ExactHold, Note, Paid, Served, admit::IdentifierHold, exact::Transferred,
        intent::Intent, wire::SettleResponse,
    },
    pool::{Job, Made, Running},
    server::{App, ServedModel},
};
use alloy_primitives::{Address, B256};
use axum::http::StatusCode;
use compute::{
    Answer, AnswerId,
    fee::Terms,
    log::{Draft, What},
    worker::Prepared,
};
use primitives::Amount;
use std::{
    sync::Arc,
    time::{Instant, SystemTime, UNIX_EPOCH},
};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// What the driver reports to the response.
pub enum Event {
    /// More text.
    Piece(String),
    /// The answer is in the log.
    Done(Box<Delivered>),
    /// There is none. Nothing was charged.
    Failed(ApiError),
}

/// An answer and how it was paid.
pub struct Delivered {
    /// The answer.
    pub recorded: Recorded,
    /// What to tell the payer; `None` for a free answer.
    pub settled: Option<SettleResponse>,
}

/// An answer being made.
pub struct Started {
    /// Its id.
    pub id: AnswerId,
    /// Unix seconds.
    pub created_s: u64,
    /// What comes.
    pub events: UnboundedReceiver<Event>,
}

/// How an answer is paid.
pub enum Payment {
    /// It is free.
    Free,
    /// By channel.
    Channel(ChannelHold, IdentifierHold),
    /// By one transfer.
    Exact(ExactHold, IdentifierHold),
}

impl Payment {
    /// From an admission; an answer that was paid for before is the caller's to give again.
    pub fn of(admitted: Admitted) -> Result<Payment, Served> {
        match admitted {
            Admitted::Channel(hold, identifier) => Ok(Payment::Channel(hold, identifier)),
            Admitted::Exact(hold, identifier) => Ok(Payment::Exact(hold, identifier)),
            Admitted::Again(served) => Err(served),
        }
    }
}

/// Unix time in milliseconds.
pub fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_millis() as u64)
}

/// Random bytes from the system.
pub fn random<const N: usize>() -> Result<[u8; N], ApiError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| {
        ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "no_randomness", error.to_string())
    })?;
    Ok(bytes)
}

/// Queues the answer and starts its driver.
pub fn start(
    app: &Arc<App>,
    model: &Arc<ServedModel>,
    ask: Ask,
    prepared: Prepared,
    quote: Amount,
    payment: Payment,
) -> Result<Started, ApiError> {
    let (id, salt) = (AnswerId(random()?), B256::new(random()?));
    let terms = match &payment {
        Payment::Free => Terms::Free,
        Payment::Channel(..) => Terms::Metered { price: model.offered.price, most: quote },
        Payment::Exact(hold, _) => Terms::Flat(hold.amount()),
    };
    let job = Job { model: model.worker.model, id, salt, prepared, terms };
    let running = app.pool.submit(job).map_err(|full| {
        app.metrics.queue_full();
        ApiError::busy(full.to_string())
    })?;
    let (sender, events) = unbounded_channel();
    let driver = Driver {
        app: app.clone(),
        model: model.clone(),
        ask,
        payment: Some(payment),
        events: sender,
        begun: Instant::now(),
        delivered: false,
    };
    app.tasks.spawn(driver.drive(running));
    Ok(Started { id, created_s: now_ms() / 1000, events })
}

struct Driver {
    app: Arc<App>,
    model: Arc<ServedModel>,
    ask: Ask,
    payment: Option<Payment>,
    events: UnboundedSender<Event>,
    begun: Instant,
    /// Whether the client was given text.
    delivered: bool,
}

impl Driver {
    async fn drive(mut self, mut running: Running) {
        let deadline = tokio::time::sleep(self.app.config.limits.answer_timeout);
        tokio::pin!(deadline);
        let (mut late, mut gone) = (false, false);
        let answer = loop {
            let made = tokio::select! {
                made = running.next() => made,
                () = self.events.closed(), if !gone => {
                    if !self.delivered {
                        return self.app.metrics.cancelled();
                    }
                    gone = true;
                    running.cancel();
                    continue;
                }
                () = &mut deadline, if !late => {
                    if !self.delivered {
                        let message = "the answer took too long and was not charged: ask for fewer tokens";
                        return self.fail(ApiError::new(StatusCode::GATEWAY_TIMEOUT, "answer_timeout", message));
                    }
                    late = true;
                    running.cancel();
                    continue;
                }
            };
            match made {
                Some(Made::Piece(text)) => {
                    if self.ask.stream && !gone {
                        if !self.delivered {
                            self.app.metrics.first_token(self.begun.elapsed());
                        }
                        self.delivered |= self.events.send(Event::Piece(text)).is_ok();
                    }
                }
                Some(Made::Done(done)) => break done,
                None => {
                    let message = "the answer was given up before it began";
                    return self.fail(ApiError::unavailable("answer_cancelled", message));
                }
            }
        };
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => return self.fail(error.into()),
        };
        // Nobody is there and nobody was given anything: nobody pays.
        if self.events.is_closed() && !self.delivered {
            self.app.metrics.cancelled();
            return;
        }
        match self.commit(*answer).await {
            Ok(delivered) => {
                self.app.metrics.answered(self.begun.elapsed(), &delivered.recorded.entry.signed.receipt);
                let _ = self.events.send(Event::Done(Box::new(delivered)));
            }
            Err(error) => self.fail(error),
        }
    }

    fn fail(&self, error: ApiError) {
        self.app.metrics.failed();
        let _ = self.events.send(Event::Failed(error));
    }

    async fn commit(&mut self, answer: Answer) -> Result<Delivered, ApiError> {
        // Settlement must not close the escrow between a charge and its receipt.
        let _gate = self.model.gate.clone().read_owned().await;
        match self.payment.take().unwrap_or(Payment::Free) {
            Payment::Free => {
                let recorded = self.record(answer, Address::ZERO, "", Paid::Free).await?;
                Ok(Delivered { recorded, settled: None })
            }
            Payment::Channel(hold, identifier) => {
                let fee = answer.fee;
                let paid = Paid::Channel {
                    config: hold.config.clone(),
                    signed_max: hold.signed_max,
                    signature: hold.signature.clone(),
                    charged: hold.charged_after(fee),
                };
                let payer = hold.config.payer;
                let recorded = self.record(answer, payer, &identifier.identifier, paid).await?;
                let served = self.served(&recorded);
                identifier.served(served);
                Ok(Delivered { recorded, settled: Some(hold.charged(fee, served)) })
            }
            Payment::Exact(hold, identifier) => self.commit_exact(answer, hold, identifier).await,
        }
    }

    async fn commit_exact(
        &mut self,
        answer: Answer,
        hold: ExactHold,
        identifier: IdentifierHold,
    ) -> Result<Delivered, ApiError> {
        let authorization = hold.authorization.clone();
        let intent = Intent {
            endpoint: self.ask.endpoint,
            model: self.model.worker.model,
            body: self.ask.body,
            identifier: identifier.identifier.clone(),
            id: answer.id,
            salt: answer.salt,
            request: answer.request.clone(),
            amount: hold.amount(),
            from: authorization.from,
            nonce: authorization.nonce,
            valid_before_s: u64::try_from(authorization.valid_before.0).unwrap_or(u64::MAX),
        };
        let payments = &self.app.payments;
        let disk = |error: std::io::Error| {
            tracing::error!(%error, "a pending payment could not be written");
            ApiError::unavailable("disk_full", format!("the payment could not be noted: {error}"))
        };
        payments.note_intent(&intent).map_err(disk)?;
        let transaction = match hold.transfer().await {
            Transferred::Paid(hash) => hash,
            Transferred::Refused(refusal) => {
                payments.forget_intent(&intent).map_err(disk)?;
                let offer = self.app.offer(&self.ask, &self.model, hold.amount());
                return Err(ApiError::refusal(refusal, offer));
            }
            Transferred::Unknown(refusal) => {
                let offer = self.app.offer(&self.ask, &self.model, hold.amount());
                return Err(ApiError::refusal(refusal, offer));
            }
        };
        let paid = Paid::Exact { from: authorization.from, nonce: authorization.nonce, transaction };
        let recorded = self.record(answer, authorization.from, &identifier.identifier, paid).await?;
        let served = self.served(&recorded);
        identifier.served(served);
        if let Err(error) = payments.forget_intent(&intent) {
            tracing::warn!(%error, "a paid intent stays until the next start");
        }
        Ok(Delivered { recorded, settled: Some(hold.paid(transaction, served)) })
    }

    fn served(&self, recorded: &Recorded) -> Served {
        let sequence = recorded.entry.signed.receipt.sequence;
        Served { model: self.model.worker.model, sequence, body: self.ask.body }
    }

    async fn record(
        &self,
        answer: Answer,
        payer: Address,
        identifier: &str,
        paid: Paid,
    ) -> Result<Recorded, ApiError> {
        let note =
            Note { endpoint: self.ask.endpoint, body: self.ask.body, identifier: identifier.into(), paid };
        let attributed = answer.attributed.clone();
        let draft =
            Draft { what: What::Answer(Box::new(answer)), payer, note: note.encode(), time_ms: now_ms() };
        let written = self.model.recorder.record(draft).await;
        let entry = written.map_err(|error| ApiError::unavailable("receipt_not_written", error.0))?;
        Ok(Recorded { entry, attributed })
    }
}
