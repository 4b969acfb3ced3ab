//! Holds consensus back until a quorum of validators is connected.
//!
//! Connections lose what is sent before they stand. A leader that proposes to nobody costs the network the whole
//! patience with a leader, and validators that start together do just that in the first round. So each says
//! [`HELLO`] again and again until it has heard enough others, and answers every hello with [`HERE`] from then on, so that
//! whoever comes later hears them too. Neither has a content; the connection authenticates the sender.
//!
//! It is a matter of speed, never of safety: after [`PATIENCE`] consensus starts with whoever is there, and a peer
//! that says nothing here votes like any other.

use crate::block::PublicKey;
use commonware_macros::select;
use commonware_p2p::{Receiver, Recipients, Sender};
use commonware_runtime::Clock;
use commonware_utils::{Faults as _, N3f1, channel::oneshot};
use std::{collections::BTreeSet, time::Duration};

/// Asks for an answer.
const HELLO: u8 = 0;
/// Is one.
const HERE: u8 = 1;
/// Time between hellos.
const INTERVAL: Duration = Duration::from_millis(50);
/// Time between looks at nothing, once the quorum is there.
const IDLE: Duration = Duration::from_secs(3_600);
/// Longest wait for a quorum.
pub const PATIENCE: Duration = Duration::from_secs(5);
/// Messages a second that one peer may send: hellos and the answers to as many.
pub const MESSAGES_PER_SECOND: u32 = 64;

/// Runs for as long as the node does, for one of `validators` validators. `gathered` is told once, when enough others
/// are there or [`PATIENCE`] is over.
pub async fn run<S, R>(
    clock: impl Clock,
    validators: usize,
    gathered: oneshot::Sender<()>,
    (mut sender, mut receiver): (S, R),
) where
    S: Sender<PublicKey = PublicKey>,
    R: Receiver<PublicKey = PublicKey>,
{
    let needed = N3f1::quorum(validators) as usize - 1;
    let mut heard = BTreeSet::new();
    let mut gathered = Some(gathered);
    let deadline = clock.current() + PATIENCE;
    let mut next_hello = clock.current();
    loop {
        let now = clock.current();
        if heard.len() >= needed || now >= deadline {
            if let Some(gathered) = gathered.take() {
                // The node may be ending already.
                let _ = gathered.send(());
            }
            next_hello = now + IDLE;
        } else if now >= next_hello {
            sender.send(Recipients::All, vec![HELLO], true);
            next_hello = now + INTERVAL;
        }
        select! {
            _ = clock.sleep_until(next_hello) => {},
            message = receiver.recv() => {
                let Ok((peer, message)) = message else { return };
                if message == [HELLO] {
                    sender.send(Recipients::One(peer.clone()), vec![HERE], true);
                }
                if gathered.is_some() {
                    heard.insert(peer);
                }
            },
        }
    }
}
