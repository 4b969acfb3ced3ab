//! A validator that votes for two blocks in every round.

use chain::block::{Digest, PublicKey, Scheme};
use commonware_codec::{DecodeExt as _, Encode as _};
use commonware_consensus::simplex::types::{Finalize, Notarize, Proposal, Vote};
use commonware_p2p::{Receiver, Recipients, Sender};
use commonware_runtime::{Handle, Spawner};

/// Answers every vote it hears with its own, and with one that contradicts it.
pub fn start(
    context: impl Spawner,
    scheme: Scheme,
    (mut sender, mut receiver): (impl Sender<PublicKey = PublicKey>, impl Receiver<PublicKey = PublicKey>),
) -> Handle<()> {
    context.spawn(move |_| async move {
        let mut count = 0u64;
        while let Ok((_, message)) = receiver.recv().await {
            let Ok(vote) = Vote::<Scheme, Digest>::decode(message) else { continue };
            count += 1;
            let mut other = [0xbb; 32];
            other[..8].copy_from_slice(&count.to_be_bytes());
            let other = Digest::from(other);
            let votes = match vote {
                Vote::Notarize(heard) => {
                    let lie = Proposal::new(heard.proposal.round, heard.proposal.parent, other);
                    [lie, heard.proposal]
                        .map(|proposal| Notarize::sign(&scheme, proposal).map(Vote::Notarize))
                }
                Vote::Finalize(heard) => {
                    let lie = Proposal::new(heard.proposal.round, heard.proposal.parent, other);
                    [lie, heard.proposal]
                        .map(|proposal| Finalize::sign(&scheme, proposal).map(Vote::Finalize))
                }
                Vote::Nullify(_) => continue,
            };
            for vote in votes.into_iter().flatten() {
                sender.send(Recipients::All, vote.encode(), true);
            }
        }
    })
}
