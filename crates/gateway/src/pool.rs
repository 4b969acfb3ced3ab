//! Worker threads behind a bounded queue. Generation is computing: it stays off the threads that serve connections.

use alloy_primitives::B256;
use compute::{Answer, AnswerError, AnswerId, Worker, fee::Terms, worker::Prepared};
use std::sync::Mutex;
use std::{
    ops::ControlFlow,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// An answer to be made.
pub struct Job {
    /// Who makes it.
    pub worker: Worker,
    /// Its id.
    pub id: AnswerId,
    /// Blinds its commitments.
    pub salt: B256,
    /// What is asked.
    pub prepared: Prepared,
    /// What may be charged.
    pub terms: Terms,
}

/// What a worker reports. An answer is bounded by its `max_tokens`, so that what waits for a slow client is too.
#[derive(Debug)]
pub enum Made {
    /// More text.
    Piece(String),
    /// The end.
    Done(Result<Box<Answer>, AnswerError>),
}

/// The reports of one job. Dropping it, or [`Running::cancel`], ends the job at its next token.
pub struct Running {
    made: UnboundedReceiver<Made>,
    cancelled: Arc<AtomicBool>,
}

impl Running {
    /// The next report; `None` when the worker broke down.
    pub async fn next(&mut self) -> Option<Made> {
        self.made.recv().await
    }

    /// Ends the job at its next token; its report still comes.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.cancel();
    }
}

struct Queued {
    job: Job,
    made: UnboundedSender<Made>,
    cancelled: Arc<AtomicBool>,
}

/// The queue is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the queue is full: try again in a moment")]
pub struct Full;

/// Worker threads and their queue.
pub struct Pool {
    queue: SyncSender<Queued>,
    waiting: Arc<AtomicUsize>,
}

impl Pool {
    /// Starts `workers` threads with room for `queue` waiting jobs. They end when the pool is dropped.
    pub fn start(workers: usize, queue: usize) -> std::io::Result<Pool> {
        let (sender, receiver) = sync_channel::<Queued>(queue);
        let receiver = Arc::new(Mutex::new(receiver));
        let waiting = Arc::new(AtomicUsize::new(0));
        for number in 0..workers.max(1) {
            let (receiver, waiting) = (receiver.clone(), waiting.clone());
            std::thread::Builder::new()
                .name(format!("answer-{number}"))
                .spawn(move || work(&receiver, &waiting))?;
        }
        Ok(Pool { queue: sender, waiting })
    }

    /// Queues a job, or refuses at once.
    pub fn submit(&self, job: Job) -> Result<Running, Full> {
        let (made, reports) = unbounded_channel();
        let cancelled = Arc::new(AtomicBool::new(false));
        self.waiting.fetch_add(1, Ordering::Relaxed);
        match self.queue.try_send(Queued { job, made, cancelled: cancelled.clone() }) {
            Ok(()) => Ok(Running { made: reports, cancelled }),
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.waiting.fetch_sub(1, Ordering::Relaxed);
                Err(Full)
            }
        }
    }

    /// Jobs that no worker has taken yet.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }
}

fn work(receiver: &Mutex<Receiver<Queued>>, waiting: &AtomicUsize) {
    loop {
        let queued = receiver.lock().unwrap_or_else(std::sync::PoisonError::into_inner).recv();
        let Ok(Queued { job, made, cancelled }) = queued else { return };
        waiting.fetch_sub(1, Ordering::Relaxed);
        if cancelled.load(Ordering::Relaxed) {
            continue;
        }
        let Job { worker, id, salt, prepared, terms } = job;
        let mut sink = |text: &str| {
            let sent = made.send(Made::Piece(text.into()));
            if sent.is_err() || cancelled.load(Ordering::Relaxed) {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        };
        // A defect in a model must not take the thread, and with it the gateway, down.
        let answered = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            worker.answer(id, salt, &prepared, &terms, &mut sink)
        }));
        let done = answered.unwrap_or_else(|_| {
            Err(compute::EngineError::Failed("it broke down on this request; nothing was charged".into())
                .into())
        });
        let _ = made.send(Made::Done(done.map(Box::new)));
    }
}
