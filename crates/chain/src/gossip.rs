//! Passes clients' transactions on to every validator, so that whoever leads next can include them.
//!
//! A message is a list of raw transactions. Each node sends what its own clients brought and nothing it was
//! sent: validators are connected with each other, so one hop reaches all. Loss costs latency only, since the
//! node that was given a transaction proposes it when its turn comes.

use crate::{
    block::{MAX_TRANSACTION_BYTES, PublicKey},
    intake::Intake,
};
use bytes::Bytes;
use commonware_codec::{Decode as _, Encode as _, RangeCfg};
use commonware_macros::select;
use commonware_p2p::{Receiver, Recipients, Sender};
use std::sync::Arc;
use tokio::sync::mpsc;
use tracing::{debug, warn};

/// Most transactions of one message.
const MESSAGE_TRANSACTIONS: usize = 1_024;
/// Bytes of transactions at which a message is sent; far below the largest message of the network.
const MESSAGE_BYTES: usize = 256 << 10;

/// Sends `outbox` and feeds what peers send into `intake`, until either ends.
pub async fn run<S, R>(
    intake: Arc<Intake>,
    mut outbox: mpsc::Receiver<Bytes>,
    (mut sender, mut receiver): (S, R),
) where
    S: Sender<PublicKey = PublicKey>,
    R: Receiver<PublicKey = PublicKey>,
{
    loop {
        select! {
            first = outbox.recv() => {
                let Some(first) = first else { return };
                let (mut bytes, mut batch) = (first.len(), vec![first]);
                while bytes < MESSAGE_BYTES && batch.len() < MESSAGE_TRANSACTIONS {
                    let Ok(next) = outbox.try_recv() else { break };
                    bytes += next.len();
                    batch.push(next);
                }
                sender.send(Recipients::All, batch.encode(), false);
            },
            message = receiver.recv() => {
                let Ok((peer, message)) = message else { return };
                match decode(message) {
                    Ok(raw) => {
                        if let Err(fault) = intake.receive(raw).await {
                            warn!(%fault, "gossip");
                        }
                    }
                    Err(error) => debug!(%peer, %error, "malformed gossip"),
                }
            },
        }
    }
}

/// Reads one gossip message.
pub fn decode(message: impl commonware_codec::Input) -> Result<Vec<Bytes>, commonware_codec::Error> {
    let limits = (RangeCfg::from(1..=MESSAGE_TRANSACTIONS), RangeCfg::from(1..=MAX_TRANSACTION_BYTES));
    Vec::<Bytes>::decode_cfg(message, &limits)
}
