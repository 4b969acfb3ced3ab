//! Keeps the evidence of equivocation that consensus finds, for slashing.

use crate::block::{Digest, Scheme};
use commonware_actor::Feedback;
use commonware_codec::Encode as _;
use commonware_consensus::{Reporter, simplex::types::Activity};
use std::sync::Arc;

/// Receives encoded evidence: two votes of one validator that contradict each other.
pub trait EvidenceSink: Send + Sync + 'static {
    /// `evidence` is the encoding of a consensus activity; anyone can verify it against the validator set.
    fn conflict(&self, evidence: Vec<u8>);
}

/// Passes every activity on, and evidence to the sink.
#[derive(Clone)]
pub struct Watch<R> {
    pub(crate) inner: R,
    pub(crate) sink: Arc<dyn EvidenceSink>,
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
        self.inner.report(activity)
    }
}
