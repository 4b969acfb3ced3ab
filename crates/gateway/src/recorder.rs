//! Writes receipts. One thread owns a model's log; answers that end together share one sync.

use compute::{
    Entry, Log, LogError,
    log::{Draft, MAX_GROUP_ENTRIES},
};
use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    mpsc::{Receiver, Sender, channel},
};
use tokio::sync::oneshot;

/// Most entries that share a sync.
const GROUP: usize = 64;
const _: () = assert!(GROUP <= MAX_GROUP_ENTRIES);

struct Waiting {
    draft: Draft,
    done: oneshot::Sender<Result<Entry, RecordError>>,
}

/// The receipt could not be written. Nothing was charged.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct RecordError(pub String);

/// A model's log and the thread that writes it.
pub struct Recorder {
    log: Arc<Mutex<Log>>,
    queue: Sender<Waiting>,
}

impl Recorder {
    /// Starts the thread. It ends when the recorder is dropped.
    pub fn start(log: Log) -> std::io::Result<Recorder> {
        let log = Arc::new(Mutex::new(log));
        let (queue, waiting) = channel();
        let ours = log.clone();
        std::thread::Builder::new().name("receipts".into()).spawn(move || write(&ours, &waiting))?;
        Ok(Recorder { log, queue })
    }

    /// Writes a receipt; returns once it is durable.
    pub async fn record(&self, draft: Draft) -> Result<Entry, RecordError> {
        let (done, written) = oneshot::channel();
        let stopped = || RecordError("the receipt log has stopped: restart the gateway".into());
        self.queue.send(Waiting { draft, done }).map_err(|_| stopped())?;
        written.await.map_err(|_| stopped())?
    }

    /// The log, for reading. Writing goes through [`Recorder::record`].
    pub fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn write(log: &Mutex<Log>, waiting: &Receiver<Waiting>) {
    while let Ok(first) = waiting.recv() {
        let group: Vec<Waiting> = std::iter::once(first).chain(waiting.try_iter().take(GROUP - 1)).collect();
        let (drafts, done): (Vec<_>, Vec<_>) = group.into_iter().map(|w| (w.draft, w.done)).unzip();
        let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
        match log.append(drafts.clone()) {
            Ok(entries) => {
                for (entry, done) in entries.into_iter().zip(done) {
                    let _ = done.send(Ok(entry));
                }
            }
            // One entry too large must not fail the others.
            Err(LogError::TooLarge(..)) if drafts.len() > 1 => {
                for (draft, done) in drafts.into_iter().zip(done) {
                    let written = log.append(vec![draft]);
                    let _ = done.send(first_of(written));
                }
            }
            Err(error) => {
                tracing::error!(%error, "receipts could not be written");
                for done in done {
                    let _ = done.send(Err(RecordError(error.to_string())));
                }
            }
        }
    }
}

fn first_of(written: Result<Vec<Entry>, LogError>) -> Result<Entry, RecordError> {
    match written {
        Ok(entries) => entries.into_iter().next().ok_or_else(|| RecordError("nothing was written".into())),
        Err(error) => Err(RecordError(error.to_string())),
    }
}
