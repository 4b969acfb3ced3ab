//! The threads that make answers. Generation is computing: it stays off the threads that serve connections.
//!
//! ```text
//! submit ─▶ queue of the generator ─▶ its decoding thread ─▶ finished ─▶ attributing threads ─▶ Made::Done
//!   429       first come, first         one batch: rows come     bounded       price, score, divide
//!             served                    and go between passes
//! ```
//! A base model and the adapters over it are one generator, so that their rows share a batch. Every row of a batch gets one token a pass, so that a long
//! answer does not hold a short one up. A client that leaves takes its row out before the next pass. Answers that ended are attributed beside the
//! decoding of the others, those of a model that wait at the same time together; decoding waits only when as many answers as the batch has rows wait for
//! attribution.

use alloy_primitives::B256;
use compute::{
    Answer, AnswerError, AnswerId, Decoding, EngineError, Generated, Generator, Sink, Worker,
    fee::Terms,
    worker::{Completing, Prepared},
};
use std::{
    collections::HashMap,
    ops::ControlFlow,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, sync_channel},
    },
};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Most answers that are attributed together.
const TOGETHER: usize = 8;

/// An answer to be made.
pub struct Job {
    /// The model that makes it.
    pub model: B256,
    /// Its id.
    pub id: AnswerId,
    /// Blinds its commitments.
    pub salt: B256,
    /// What is asked.
    pub prepared: Prepared,
    /// What may be charged.
    pub terms: Terms,
}

/// What is reported. An answer is bounded by its `max_tokens`, so that what waits for a slow client is too.
#[derive(Debug)]
pub enum Made {
    /// More text.
    Piece(String),
    /// The end.
    Done(Result<Box<Answer>, AnswerError>),
}

/// The reports of one job. [`Running::cancel`] ends the job at its next token, and its report still comes; dropped, the job is given up.
pub struct Running {
    made: UnboundedReceiver<Made>,
    cancelled: Arc<AtomicBool>,
}

impl Running {
    /// The next report; `None` when the worker broke down.
    pub async fn next(&mut self) -> Option<Made> {
        self.made.recv().await
    }

    /// Ends the job at its next token.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.cancel();
    }
}

/// Whom an answer is made for, and by which model.
struct Ticket {
    worker: Worker,
    id: AnswerId,
    salt: B256,
    terms: Terms,
    reports: Reports,
}

#[derive(Clone)]
struct Reports {
    made: UnboundedSender<Made>,
    cancelled: Arc<AtomicBool>,
}

impl Sink for Reports {
    fn piece(&mut self, text: &str) -> ControlFlow<()> {
        let sent = self.made.send(Made::Piece(text.into()));
        if sent.is_err() || self.is_gone() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn is_gone(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }
}

struct Queued {
    ticket: Ticket,
    prepared: Prepared,
}

struct Finished {
    ticket: Ticket,
    generated: Generated,
}

/// The queue is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the queue is full: try again in a moment")]
pub struct Full;

/// How much is made at once.
#[derive(Clone, Copy, Debug)]
pub struct PoolLimits {
    /// Answers of one base model and its adapters that are decoded together.
    pub rows: usize,
    /// Threads that attribute.
    pub attributing: usize,
    /// Answers of one base model and its adapters that wait to be decoded.
    pub queue: usize,
}

/// Threads and their queues.
pub struct Pool {
    /// What answers as a model of the ledger, and the queue of its generator.
    models: HashMap<B256, (Worker, SyncSender<Queued>)>,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    waiting: AtomicUsize,
    decoding: AtomicUsize,
}

impl Pool {
    /// Starts the threads of these models. They end when the pool is dropped and what was taken is made.
    pub fn start(workers: &[Worker], limits: PoolLimits) -> std::io::Result<Pool> {
        let (finished, receiver) = sync_channel::<Finished>(limits.rows.max(1));
        let receiver = Arc::new(Mutex::new(receiver));
        for number in 0..limits.attributing.max(1) {
            let receiver = receiver.clone();
            std::thread::Builder::new()
                .name(format!("attribute-{number}"))
                .spawn(move || attribute(&receiver))?;
        }
        let counts = Arc::new(Counts::default());
        let mut models: HashMap<B256, (Worker, SyncSender<Queued>)> = HashMap::new();
        for worker in workers {
            let shared = models.values().find(|(other, _)| is_same(&other.generator, &worker.generator));
            let queue = match shared {
                Some((_, queue)) => queue.clone(),
                None => {
                    let (queue, jobs) = sync_channel(limits.queue);
                    let (generator, finished, counts) =
                        (worker.generator.clone(), finished.clone(), counts.clone());
                    std::thread::Builder::new().name(format!("decode-{}", worker.name)).spawn(move || {
                        decode(generator.as_ref(), limits.rows.max(1), &jobs, &finished, &counts)
                    })?;
                    queue
                }
            };
            models.insert(worker.model, (worker.clone(), queue));
        }
        Ok(Pool { models, counts })
    }

    /// Queues a job, or refuses at once.
    pub fn submit(&self, job: Job) -> Result<Running, Full> {
        let Job { model, id, salt, prepared, terms } = job;
        let (worker, queue) = self.models.get(&model).ok_or(Full)?;
        let (made, reports) = unbounded_channel();
        let cancelled = Arc::new(AtomicBool::new(false));
        let running = Running { made: reports, cancelled: cancelled.clone() };
        let reports = Reports { made, cancelled };
        let ticket = Ticket { worker: worker.clone(), id, salt, terms, reports };
        self.counts.waiting.fetch_add(1, Ordering::Relaxed);
        match queue.try_send(Queued { ticket, prepared }) {
            Ok(()) => Ok(running),
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.counts.waiting.fetch_sub(1, Ordering::Relaxed);
                Err(Full)
            }
        }
    }

    /// Jobs that are in no batch yet.
    pub fn waiting(&self) -> usize {
        self.counts.waiting.load(Ordering::Relaxed)
    }

    /// Rows of all batches.
    pub fn decoding(&self) -> usize {
        self.counts.decoding.load(Ordering::Relaxed)
    }
}

fn broke_down() -> EngineError {
    EngineError::Failed("it broke down on this request; nothing was charged".into())
}

/// Whether rows of both go into one batch.
fn is_same(one: &Arc<dyn Generator>, other: &Arc<dyn Generator>) -> bool {
    std::ptr::addr_eq(Arc::as_ptr(one), Arc::as_ptr(other))
}

/// Runs one generator's batch until nobody can ask any more.
fn decode(
    generator: &dyn Generator,
    rows: usize,
    jobs: &Receiver<Queued>,
    finished: &SyncSender<Finished>,
    counts: &Counts,
) {
    let mut decoding: Decoding<'_, Ticket> = Decoding::new(generator);
    // Rows that the gauge counts.
    let mut shown = 0;
    loop {
        while decoding.len() < rows {
            let next = if decoding.is_empty() {
                jobs.recv().map_err(|_| TryRecvError::Disconnected)
            } else {
                jobs.try_recv()
            };
            match next {
                Ok(queued) => {
                    counts.waiting.fetch_sub(1, Ordering::Relaxed);
                    admit(&mut decoding, queued);
                }
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) if decoding.is_empty() => return,
                Err(TryRecvError::Disconnected) => break,
            }
        }
        counts.decoding.fetch_add(decoding.len() - shown, Ordering::Relaxed);
        shown = decoding.len();
        // A defect in a model must not take the thread, and with it the gateway, down.
        let ended = catch_unwind(AssertUnwindSafe(|| decoding.step()));
        let ended = ended.unwrap_or_else(|_| decoding.abandon(&broke_down()));
        for (ticket, outcome) in ended {
            match outcome {
                Err(error) => {
                    let _ = ticket.reports.made.send(Made::Done(Err(error)));
                }
                // Nobody waits, nobody pays: there is nothing to attribute.
                Ok(_) if ticket.reports.made.is_closed() => {}
                Ok(generated) => {
                    let _ = finished.send(Finished { ticket, generated });
                }
            }
        }
        counts.decoding.fetch_sub(shown - decoding.len(), Ordering::Relaxed);
        shown = decoding.len();
    }
}

fn admit(decoding: &mut Decoding<'_, Ticket>, queued: Queued) {
    let Queued { ticket, prepared } = queued;
    if ticket.reports.is_gone() {
        return;
    }
    let reports = ticket.reports.clone();
    let admitted =
        catch_unwind(AssertUnwindSafe(|| decoding.admit(ticket, prepared, Box::new(reports.clone()))));
    let refused = match admitted {
        Ok(Ok(())) => return,
        Ok(Err(error)) => error,
        Err(_) => broke_down().into(),
    };
    let _ = reports.made.send(Made::Done(Err(refused)));
}

/// Completes answers; those that wait at the same time share one reading of their model's features.
fn attribute(finished: &Mutex<Receiver<Finished>>) {
    loop {
        let mut ended = {
            let finished = finished.lock().unwrap_or_else(PoisonError::into_inner);
            let Ok(first) = finished.recv() else { return };
            std::iter::once(first).chain(finished.try_iter().take(TOGETHER - 1)).collect::<Vec<_>>()
        };
        while let Some(model) = ended.first().map(|ended| ended.ticket.worker.model) {
            let (ours, others) = ended.into_iter().partition(|ended| ended.ticket.worker.model == model);
            ended = others;
            complete(ours);
        }
    }
}

/// Completes answers of one model.
fn complete(ended: Vec<Finished>) {
    let Some(worker) = ended.first().map(|ended| ended.ticket.worker.clone()) else { return };
    let (completing, reports): (Vec<_>, Vec<_>) = ended
        .into_iter()
        .map(|Finished { ticket: Ticket { worker: _, id, salt, terms, reports }, generated }| {
            (Completing { id, salt, generated, terms }, reports)
        })
        .unzip();
    let answered = catch_unwind(AssertUnwindSafe(|| worker.complete_all(completing)));
    let mut answered = answered.unwrap_or_default().into_iter();
    for reports in reports {
        let done = answered.next().unwrap_or_else(|| Err(broke_down().into()));
        let _ = reports.made.send(Made::Done(done.map(Box::new)));
    }
}
