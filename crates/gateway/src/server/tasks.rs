//! Tasks that shutdown waits for.

use std::{future::Future, sync::Arc};
use tokio::sync::{Notify, Semaphore};

/// Counts running tasks. Clones share the count.
#[derive(Clone)]
pub struct Tasks {
    running: Arc<Semaphore>,
    ended: Arc<Notify>,
}

impl Default for Tasks {
    fn default() -> Tasks {
        Tasks { running: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)), ended: Arc::new(Notify::new()) }
    }
}

impl Tasks {
    /// Spawns a task that counts.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let permit = self.running.clone().try_acquire_owned();
        let ended = self.ended.clone();
        tokio::spawn(async move {
            task.await;
            drop(permit);
            ended.notify_waiters();
        });
    }

    /// Waits until none runs.
    pub async fn finished(&self) {
        loop {
            let ended = self.ended.notified();
            if self.running.available_permits() == Semaphore::MAX_PERMITS {
                return;
            }
            ended.await;
        }
    }
}
