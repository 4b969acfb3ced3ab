//! Stage 3: the attribution cache. What each unit did to the model is computed once and committed before the first question, with
//! the floor, the cap and the damping (RULEBOOK R2c to e).

use super::{
    accounts::Accounts,
    journal::Journal,
    network::Network,
    scale::Scale,
    story::Story,
    train::{Trained, UNIT_TOKENS},
};
use crate::registration::Models;
use attribution::influence::cache::{Cache, Options, Stage};
use compute::fee::Price;
use ops::Ctx;
use primitives::Amount;
use std::path::Path;

/// Folder of the cache inside the demo's.
pub const FOLDER: &str = "cache";
/// Units per 1,000 tokens read, per 1,000 written, and flat per query.
pub const PRICE: Price = Price {
    rate_in: Amount(100_000_000_000_000_000),
    rate_out: Amount(400_000_000_000_000_000),
    platform_fee: Amount(1_000_000_000_000_000),
};

/// Builds the cache and finalises the model on the ledger with its root.
pub async fn run(
    folder: &Path,
    ctx: &Ctx,
    scale: Scale,
    trained: &Trained,
    accounts: &Accounts,
    network: &Network,
    journal: &mut Journal,
    story: &mut Story,
) -> anyhow::Result<Cache> {
    let options = Options {
        rank: scale.rank,
        seed: trained.seed,
        unit_tokens: UNIT_TOKENS as u32,
        ..Options::default()
    };
    let started = std::time::Instant::now();
    let cache = tokio::task::block_in_place(|| {
        trained.serving.build_cache(ctx, &folder.join(FOLDER), &options, &mut |progress| {
            let what = match progress.stage {
                Stage::Features => "gradients of the units",
                Stage::Curvature => "curvature of the loss",
                Stage::Influence => "influence of the units",
                Stage::Rule => "floor and cap",
            };
            story.progress(format!("{what}: {} of {}", progress.done, progress.total));
        })
    })?;
    let commitment = cache.commitment();
    story.tell(format!(
        "influence features of {} units in {:.0} s; features, floor, cap and damping committed under {}",
        trained.units.len(),
        started.elapsed().as_secs_f64(),
        commitment.root
    ));
    let models = Models { client: &network.client, key: &accounts.developer };
    models.finalise(trained.id, trained.final_root, commitment, &PRICE).await?;
    journal.state.model_ready = true;
    journal.save()?;
    Ok(cache)
}
