//! What must hold at the end of every run.

use crate::simulated::State;
use chain::block::PublicKey;
use commonware_glue::simulate::{
    processed::ProcessedHeight as _, property::Property, tracker::ProgressTracker,
};
use std::{future::Future, pin::Pin};

/// All honest validators hold the same block with the same state root at the height all have reached.
#[derive(Clone)]
pub struct Agreement;

impl Property<PublicKey, State> for Agreement {
    fn name(&self) -> &str {
        "agreement"
    }

    fn check<'a>(
        &'a self,
        _: &'a ProgressTracker<PublicKey>,
        states: &'a [&'a State],
    ) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send + 'a>> {
        Box::pin(async move {
            let mut common = u64::MAX;
            for state in states {
                common = common.min(state.processed_height().await);
            }
            let mut agreed = None;
            for state in states {
                let Some(block) = state.block(common).await else { continue };
                if *agreed.get_or_insert(block) != block {
                    return Err(format!("validators disagree at height {common}"));
                }
            }
            agreed.map(drop).ok_or_else(|| format!("nobody holds the block at height {common}"))
        })
    }
}
