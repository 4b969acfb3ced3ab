//! The channels of a key, lent out one request each, and the sums that are kept of them.

use super::{Key, KeyError};
use crate::client::Client;
use alloy_primitives::B256;
use std::{
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// A key's channels.
pub struct Lanes {
    path: PathBuf,
    most: u128,
    free: Arc<Semaphore>,
    returned: Notify,
    state: Mutex<State>,
}

struct State {
    key: Key,
    /// Channels nobody uses now.
    idle: Vec<Client>,
    /// The most that answers being made may cost.
    pending: u128,
}

/// A channel lent for one request. Dropped, it goes back, and what it was charged is kept.
pub struct Lent {
    lanes: Arc<Lanes>,
    client: Option<Client>,
    reserved: u128,
    _permit: OwnedSemaphorePermit,
}

/// Why a channel is not lent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LendError {
    /// The key's limit, or its deposits, are used up.
    #[error("this key is used up: open another with `openledger channel open`")]
    UsedUp,
}

impl Lanes {
    /// The channels of `key`, whose file is `path`. An answer costs at most `most`.
    pub fn new(path: PathBuf, key: Key, most: u128) -> Result<Arc<Lanes>, KeyError> {
        let malformed = |why: &str| KeyError::Malformed(path.clone(), why.into());
        let idle: Result<Vec<Client>, &str> =
            (0..key.lanes.len()).map(|lane| key.client(lane, most)).collect();
        let idle = idle.map_err(malformed)?;
        if idle.is_empty() {
            return Err(malformed("it has no channel"));
        }
        let free = Arc::new(Semaphore::new(idle.len()));
        Ok(Arc::new(Lanes {
            path,
            most,
            free,
            returned: Notify::new(),
            state: Mutex::new(State { key, idle, pending: 0 }),
        }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The key as it stands.
    pub fn key(&self) -> Key {
        self.state().key.clone()
    }

    /// Waits for a channel: of those that are free, the one with most left.
    pub async fn lend(self: &Arc<Self>) -> Result<Lent, LendError> {
        let permit = self.free.clone().acquire_owned().await.map_err(|_| LendError::UsedUp)?;
        loop {
            let returned = self.returned.notified();
            if let Some((client, reserved)) = self.take()? {
                return Ok(Lent { lanes: self.clone(), client: Some(client), reserved, _permit: permit });
            }
            // What others may cost leaves nothing: most cost less.
            returned.await;
        }
    }

    fn take(&self) -> Result<Option<(Client, u128)>, LendError> {
        let mut state = self.state();
        let left_of_key = state.key.left();
        if left_of_key == 0 {
            return Err(LendError::UsedUp);
        }
        // Answers being made may cost what they may: the limit holds whatever they come to.
        let allowed = left_of_key.saturating_sub(state.pending).min(self.most);
        let best = (0..state.idle.len()).max_by_key(|at| left(&state.idle[*at]));
        let (Some(best), true) = (best, allowed > 0) else { return Ok(None) };
        let mut client = state.idle.swap_remove(best);
        client.most = allowed;
        state.pending += allowed;
        Ok(Some((client, allowed)))
    }
}

fn left(client: &Client) -> u128 {
    client.memory.values().map(|known| known.balance.0.saturating_sub(known.charged.0)).sum()
}

impl Lent {
    /// The payer.
    pub fn client(&mut self) -> &mut Client {
        self.client.as_mut().expect("a client until it is dropped")
    }

    /// Takes up what a stream cost.
    pub fn charge(&mut self, channel: B256, units: u128) {
        self.client().charge(channel, units);
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let Some(client) = self.client.take() else { return };
        let mut state = self.lanes.state();
        state.pending -= self.reserved;
        for lane in &mut state.key.lanes {
            if let Some(known) = client.memory.get(&lane.id) {
                lane.known = *known;
            }
        }
        state.idle.push(client);
        // What is lost here is found again by the operator's corrective 402.
        if let Err(error) = state.key.write(&self.lanes.path) {
            tracing::warn!(%error, "the key's sums could not be kept");
        }
        drop(state);
        self.lanes.returned.notify_one();
    }
}
