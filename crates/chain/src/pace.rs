//! Paces proposals without holding anything up.
//!
//! Consensus asks for a block as soon as the last one is notarized. Waiting inside the application would
//! also delay the finalization of the parent, so the wait stands in front of it: a block follows its parent
//! by at least [`Pace::interval`] while transactions wait that it can take, and by [`Pace::heartbeat`] when none does.
//! A transaction that no block can take (its fee cap is below the base fee, its sender cannot pay any more) hurries none.
//!
//! The pace is a courtesy of leaders and no rule: R0 bounds a block's time from its parent's, and everything that
//! depends on time (base fee, windows) counts seconds, so a faster leader gains nothing by it.

use crate::{
    application::{Pending, now_ms},
    block::{Digest, RoundContext},
    mempool::Mempool,
    network_rules::Rules,
};
use commonware_consensus::{Automaton, CertifiableAutomaton, Handoff, types::Round};
use commonware_macros::select;
use commonware_runtime::{Clock, Spawner};
use commonware_utils::channel::{fallible::OneshotExt as _, oneshot};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

/// Times between blocks.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Time from a block to the next while transactions wait.
    pub interval: Duration,
    /// Time from a block to the next when nothing waits; below the leader timeout of consensus.
    pub heartbeat: Duration,
}

/// Arrivals after which the pool is looked at immediately; further ones wait for [`LOOK_INTERVAL`].
const EAGER_LOOKS: usize = 8;
/// Time between later looks.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// An automaton that waits before it proposes.
pub struct Paced<E, A> {
    pub(crate) runtime: Arc<E>,
    pub(crate) inner: A,
    pub(crate) pace: Pace,
    pub(crate) rules: Arc<Rules>,
    pub(crate) mempool: Arc<Mempool>,
    pub(crate) pending: Arc<Mutex<Pending>>,
}

impl<E, A: Clone> Clone for Paced<E, A> {
    fn clone(&self) -> Self {
        Self {
            runtime: self.runtime.clone(),
            inner: self.inner.clone(),
            pace: self.pace,
            rules: self.rules.clone(),
            mempool: self.mempool.clone(),
            pending: self.pending.clone(),
        }
    }
}

impl<E: Clock, A> Paced<E, A> {
    /// Waits until a block on `parent` is due.
    async fn due(&self, parent: Digest) {
        let known = self.pending.lock().expect("no code panics while it holds the lock").parent(&parent);
        let Some(facts) = known else { return };
        let age_ms = || now_ms(&*self.runtime).saturating_sub(facts.timestamp_ms);
        let age = Duration::from_millis(age_ms());
        self.runtime.sleep(self.pace.interval.saturating_sub(age)).await;
        let age = age.max(self.pace.interval);
        let heartbeat = self.runtime.sleep(self.pace.heartbeat.saturating_sub(age));
        let work = async {
            let mut looks = 0;
            loop {
                // Subscribe first, or an arrival between the two would be missed.
                let arrival = self.mempool.arrival();
                let base_fee = self.rules.next_base_fee(facts.base_fee, facts.gas_used, age_ms());
                if self.mempool.has_ready(&parent, base_fee) {
                    return;
                }
                arrival.await;
                // Looking costs time in proportion to the senders that wait: a flood of what is not ready must not
                // make it happen at every arrival.
                looks += 1;
                if looks > EAGER_LOOKS {
                    self.runtime.sleep(LOOK_INTERVAL).await;
                }
            }
        };
        select! {
            _ = heartbeat => {},
            _ = work => {},
        }
    }
}

impl<E, A> Automaton for Paced<E, A>
where
    E: Clock + Spawner,
    A: Automaton<Context = RoundContext, Digest = Digest> + Sync,
{
    type Context = RoundContext;
    type Digest = Digest;

    #[allow(clippy::async_yields_async)]
    async fn propose(&mut self, context: RoundContext) -> oneshot::Receiver<Digest> {
        let (mut response, receiver) = oneshot::channel();
        let mut paced = self.clone();
        self.runtime.child("propose").spawn(move |_| async move {
            let parent = context.parent.1;
            select! {
                // Consensus has moved on: nobody waits for this block.
                _ = response.closed() => return,
                _ = paced.due(parent) => {},
            }
            let proposal = paced.inner.propose(context).await;
            select! {
                _ = response.closed() => {},
                digest = proposal => {
                    if let Ok(digest) = digest {
                        response.send_lossy(digest);
                    }
                },
            }
        });
        receiver
    }

    async fn verify(&mut self, context: RoundContext, payload: Digest) -> oneshot::Receiver<bool> {
        self.inner.verify(context, payload).await
    }
}

impl<E, A> CertifiableAutomaton for Paced<E, A>
where
    E: Clock + Spawner,
    A: CertifiableAutomaton<Context = RoundContext, Digest = Digest> + Sync,
{
    async fn prepare(&mut self, context: RoundContext) -> oneshot::Receiver<Handoff<Digest>> {
        self.inner.prepare(context).await
    }

    async fn certify(&mut self, round: Round, payload: Digest) -> oneshot::Receiver<bool> {
        self.inner.certify(round, payload).await
    }
}
