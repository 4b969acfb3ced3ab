//! Listens to consensus: keeps the evidence of equivocation that it finds, for slashing, and its certificates.

use crate::{
    block::{Digest, Scheme},
    participation::{Certificate, Participation},
};
use commonware_actor::Feedback;
use commonware_codec::Encode as _;
use commonware_consensus::{Reporter, simplex::types::Activity};
use std::sync::Arc;

/// Receives encoded evidence: two votes of one validator that contradict each other.
pub trait EvidenceSink: Send + Sync + 'static {
    /// `evidence` is the encoding of a consensus activity; anyone can verify it against the validator set.
    fn conflict(&self, evidence: Vec<u8>);
}

/// Passes every activity on, evidence to the sink and certificates to the count of participation.
#[derive(Clone)]
pub struct Watch<R> {
    pub(crate) inner: R,
    pub(crate) sink: Arc<dyn EvidenceSink>,
    pub(crate) participation: Arc<Participation>,
}

impl<R: Reporter<Activity = Activity<Scheme, Digest>>> Reporter for Watch<R> {
    type Activity = Activity<Scheme, Digest>;

    fn report(&mut self, activity: Self::Activity) -> Feedback {
        if matches!(
            activity,
            Activity::ConflictingNotarize(_)
                | Activity::ConflictingFinalize(_)
                | Activity::NullifyFinalize(_)
        ) {
            self.sink.conflict(activity.encode().to_vec());
        }
        match &activity {
            Activity::Notarization(votes) => {
                self.participation.learn(Certificate::Notarization(votes.clone()));
            }
            Activity::Finalization(votes) => {
                self.participation.learn(Certificate::Finalization(votes.clone()));
            }
            _ => {}
        }
        self.inner.report(activity)
    }
}
