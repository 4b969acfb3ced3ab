//! History that consensus does not need: blocks, receipts and events, found by hash, address and topic.
//!
//! Consensus hands each finalized block to [`Index::finalized`](crate::application::Sink), which appends it
//! to the journal, shows it to readers at once, and leaves the disk to a thread that writes all that waits in
//! one transaction. After a crash the journal holds what the database lacks; what neither holds is rebuilt by
//! executing blocks again ([`rebuild`]). The index is never read by consensus and may be deleted.
//!
//! An index that cannot be written ends the node ([`Index::failure`]): one that goes on without history would look
//! healthy and answer wrongly. Nothing is lost by it, since consensus holds every finalized block.
//!
//! With a limit on blocks, older ones are removed as new ones come; block 0 stays.

mod journal;
mod logs;
mod packed;
pub mod rebuild;
mod store;
mod tables;

pub use logs::{LogFilter, LogsError, StoredLog};
pub use store::{Entry, Stored};

use crate::{
    application::{Finalized, Sink},
    block::{Block, Digest},
};
use alloy_primitives::B256;
use commonware_cryptography::Digestible as _;
use journal::Journal;
use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, RwLock, mpsc},
    thread::JoinHandle,
};
use store::Store;
use tokio::sync::{broadcast, watch};

/// Blocks that a slow subscriber may fall behind before it loses some.
const SUBSCRIBER_BACKLOG: usize = 1_024;

/// Why the index cannot be opened or read.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// The file belongs to another network.
    #[error(
        "{path} belongs to another network (genesis {found}, expected {expected}): choose another --data-dir, or delete it"
    )]
    ForeignNetwork {
        /// The index file.
        path: PathBuf,
        /// Genesis hash in the file.
        found: B256,
        /// Genesis hash of this node.
        expected: B256,
    },
    /// The file is damaged, locked or of another version.
    #[error(
        "cannot use the index {path}: {reason}. It holds nothing that cannot be rebuilt: delete it and start again"
    )]
    Unusable {
        /// The index file.
        path: PathBuf,
        /// What the database reports.
        reason: String,
    },
    /// The disk refused.
    #[error("cannot write {path}: {source}; free some space or fix the permissions, then start again")]
    Io {
        /// The file in question.
        path: PathBuf,
        /// What the system reports.
        source: std::io::Error,
    },
}

/// Blocks that readers see and the database does not have yet.
#[derive(Default)]
struct Recent {
    blocks: BTreeMap<u64, Arc<Entry>>,
    by_digest: HashMap<Digest, u64>,
    by_transaction: HashMap<B256, (u64, u32)>,
}

impl Recent {
    fn insert(&mut self, entry: Arc<Entry>) {
        let height = entry.block.header.height;
        self.by_digest.insert(entry.digest, height);
        for (index, receipt) in entry.outcome.receipts.iter().enumerate() {
            self.by_transaction.insert(receipt.transaction, (height, index as u32));
        }
        self.blocks.insert(height, entry);
    }

    fn forget_up_to(&mut self, height: u64) {
        let kept = self.blocks.split_off(&(height + 1));
        for entry in std::mem::replace(&mut self.blocks, kept).into_values() {
            self.by_digest.remove(&entry.digest);
            for receipt in &entry.outcome.receipts {
                self.by_transaction.remove(&receipt.transaction);
            }
        }
    }
}

struct Shared {
    store: Store,
    /// Newest blocks to keep; all without it.
    kept: Option<u64>,
    failure: watch::Sender<Option<Arc<IndexError>>>,
    recent: RwLock<Recent>,
    journal: Mutex<Journal>,
}

/// The index of one node. Reads go through [`Index::block`] and its siblings from any thread.
pub struct Index {
    shared: Arc<Shared>,
    head: watch::Sender<Arc<Entry>>,
    blocks: broadcast::Sender<Arc<Entry>>,
    /// Blocks that wait for a gap before them to be filled; `None` once none can come.
    held: Mutex<Option<Vec<Finalized>>>,
    queue: Mutex<Option<mpsc::Sender<Arc<Entry>>>>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

const LOCKED: &str = "no code panics while it holds the lock";

impl Index {
    /// Opens or creates the index in `directory`, for the network that starts with `genesis`. Keeps the newest `kept`
    /// blocks, or all.
    pub fn open(
        directory: &Path,
        genesis_hash: B256,
        genesis: Block,
        kept: Option<u64>,
    ) -> Result<Self, IndexError> {
        let store = Store::open(&directory.join("index.redb"), genesis_hash)?;
        let digest = genesis.digest();
        let first = Arc::new(Entry { digest, block: Arc::new(genesis), outcome: Arc::default() });
        let (journal, journaled) = Journal::open(&directory.join("index.journal"))?;
        let mut head = store.head()?.unwrap_or(0);
        if head == 0 {
            store.write(std::slice::from_ref(&first))?;
        }
        let gap: Vec<Arc<Entry>> = journaled
            .into_iter()
            .map(Arc::new)
            .filter(|entry| {
                let next = entry.block.header.height == head + 1;
                head += u64::from(next);
                next
            })
            .collect();
        store.write(&gap)?;
        let head = store.entry(head)?.unwrap_or(first);
        let shared = Arc::new(Shared {
            store,
            kept,
            failure: watch::Sender::new(None),
            recent: RwLock::default(),
            journal: Mutex::new(journal),
        });
        let (queue, waiting) = mpsc::channel();
        let writer = std::thread::Builder::new()
            .name("index-writer".into())
            .spawn({
                let shared = shared.clone();
                move || write_all(&shared, &waiting)
            })
            .map_err(|source| IndexError::Io { path: directory.to_owned(), source })?;
        Ok(Self {
            shared,
            head: watch::Sender::new(head),
            blocks: broadcast::channel(SUBSCRIBER_BACKLOG).0,
            held: Mutex::new(Some(Vec::new())),
            queue: Mutex::new(Some(queue)),
            writer: Mutex::new(Some(writer)),
        })
    }

    /// The newest finalized block.
    pub fn head(&self) -> Arc<Entry> {
        self.head.borrow().clone()
    }

    /// Every block from now on, in order of height.
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<Entry>> {
        self.blocks.subscribe()
    }

    /// The newest block, and a way to wait for the next.
    pub fn watch(&self) -> watch::Receiver<Arc<Entry>> {
        self.head.subscribe()
    }

    /// Changes once, when the index cannot be written any more.
    pub fn failure(&self) -> watch::Receiver<Option<Arc<IndexError>>> {
        self.shared.failure.subscribe()
    }

    /// Height of the oldest block kept, block 0 aside.
    pub fn oldest(&self) -> Result<u64, IndexError> {
        let stored = self.shared.store.oldest()?;
        Ok(stored.unwrap_or_else(|| self.head().block.header.height))
    }

    /// Block and receipts at `height`.
    pub fn block(&self, height: u64) -> Result<Option<Arc<Entry>>, IndexError> {
        let recent = self.shared.recent.read().expect(LOCKED).blocks.get(&height).cloned();
        match recent {
            Some(entry) => Ok(Some(entry)),
            None => self.shared.store.entry(height),
        }
    }

    /// Height of the block with this hash.
    pub fn height_of(&self, digest: &Digest) -> Result<Option<u64>, IndexError> {
        let recent = self.shared.recent.read().expect(LOCKED).by_digest.get(digest).copied();
        match recent {
            Some(height) => Ok(Some(height)),
            None => self.shared.store.height_of(digest),
        }
    }

    /// A transaction with its receipt and place.
    pub fn transaction(&self, hash: &B256) -> Result<Option<Stored>, IndexError> {
        let recent = {
            let recent = self.shared.recent.read().expect(LOCKED);
            recent.by_transaction.get(hash).map(|(height, index)| (recent.blocks[height].clone(), *index))
        };
        match recent {
            Some((entry, index)) => Ok(Some(entry.transaction(index as usize))),
            None => self.shared.store.transaction(hash),
        }
    }

    /// Events that match `filter`, in order, at most `limit` of them.
    pub fn logs(&self, filter: &LogFilter, limit: usize) -> Result<Vec<StoredLog>, LogsError> {
        let recent: Vec<Arc<Entry>> = {
            let recent = self.shared.recent.read().expect(LOCKED);
            recent.blocks.range(filter.heights.clone()).map(|(_, entry)| entry.clone()).collect()
        };
        let stored_end = recent.first().map_or(*filter.heights.end(), |entry| entry.block.header.height - 1);
        let mut found = Vec::new();
        if *filter.heights.start() <= stored_end {
            for height in self.shared.store.candidates(filter, stored_end)? {
                if let Some(entry) = self.shared.store.entry(height)? {
                    logs::collect(&entry, filter, limit, &mut found)?;
                }
            }
        }
        for entry in &recent {
            logs::collect(entry, filter, limit, &mut found)?;
        }
        Ok(found)
    }

    /// Writes what waits and closes the file.
    pub fn close(&self) {
        drop(self.queue.lock().expect(LOCKED).take());
        let writer = self.writer.lock().expect(LOCKED).take();
        if let Some(writer) = writer
            && writer.join().is_err()
        {
            tracing::error!("the index writer had failed; the journal holds what it did not write");
        }
    }
}

impl Drop for Index {
    fn drop(&mut self) {
        self.close();
    }
}

impl Index {
    /// Lets blocks in whatever came before them: no gap will be filled any more.
    fn release(&self) {
        let mut held = self.held.lock().expect(LOCKED);
        for finalized in held.take().into_iter().flatten() {
            self.insert(finalized);
        }
    }

    fn insert(&self, finalized: Finalized) {
        let Finalized { digest, block, outcome } = finalized;
        if block.header.height <= self.head().block.header.height {
            return; // Consensus repeats blocks after a crash.
        }
        if self.shared.failure.borrow().is_some() {
            return; // What is not kept is not shown either; the node is about to end.
        }
        let entry = Arc::new(Entry { digest, block, outcome });
        if let Err(error) = self.shared.journal.lock().expect(LOCKED).append(&entry) {
            self.shared.fail(error);
            return;
        }
        self.shared.recent.write().expect(LOCKED).insert(entry.clone());
        if let Some(queue) = &*self.queue.lock().expect(LOCKED) {
            // A writer that failed has said so.
            let _ = queue.send(entry.clone());
        }
        self.head.send_replace(entry.clone());
        let _ = self.blocks.send(entry);
    }
}

impl Sink for Index {
    fn finalized(&self, finalized: Finalized) {
        let mut held = self.held.lock().expect(LOCKED);
        let follows = finalized.block.header.height <= self.head().block.header.height + 1;
        match &mut *held {
            Some(waiting) if !follows => waiting.push(finalized),
            _ => self.insert(finalized),
        }
    }
}

impl Shared {
    fn fail(&self, error: IndexError) {
        tracing::error!(%error, "the index cannot be written: the node ends");
        self.failure.send_replace(Some(Arc::new(error)));
    }
}

/// Most blocks of one database transaction.
const WRITE_BATCH: usize = 256;

fn write_all(shared: &Shared, waiting: &mpsc::Receiver<Arc<Entry>>) {
    while let Ok(first) = waiting.recv() {
        let mut batch = vec![first];
        batch.extend(waiting.try_iter().take(WRITE_BATCH - 1));
        let last = batch[batch.len() - 1].block.header.height;
        let oldest = shared.kept.map_or(0, |kept| last.saturating_sub(kept));
        if let Err(error) = shared.store.write(&batch).and_then(|()| shared.store.prune(oldest, WRITE_BATCH))
        {
            shared.fail(error);
            return;
        }
        shared.recent.write().expect(LOCKED).forget_up_to(last);
        shared.journal.lock().expect(LOCKED).written_up_to(last);
    }
}
