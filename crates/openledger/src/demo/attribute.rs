//! Stage 3: the attribution cache. What each unit did to the model is computed once and committed before the first question, with
//! the floor, the cap and the damping (RULEBOOK R2c to e).

use super::{
    accounts::Accounts, journal::Journal, network::Network, scale::Scale, story::Story, train::Trained,
};
use crate::transaction::send;
use alloy_primitives::{B256, U256};
use alloy_sol_types::SolCall;
use anyhow::Context as _;
use attribution::influence::{
    cache::{Cache, Options, Stage, Unit, UnitMeta, build},
    language::Language,
};
use interfaces::{addresses::MODELS, models::IModels};
use model::Example;
use ops::Ctx;
use primitives::Amount;
use std::path::Path;

/// Folder of the cache inside the demo's.
pub const FOLDER: &str = "cache";
/// Units per 1,000 tokens read, per 1,000 written, and flat per query.
pub const RATES: (Amount, Amount, Amount) =
    (Amount(100_000_000_000_000_000), Amount(400_000_000_000_000_000), Amount(1_000_000_000_000_000));

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
    let units: Vec<Unit<'_, Example>> = trained
        .units
        .iter()
        .flat_map(|unit| {
            unit.parts.iter().map(|part| Unit {
                item: &unit.example,
                meta: UnitMeta {
                    id: part.item,
                    document: part.document,
                    owner: part.contributor as u32,
                    tokens: part.tokens,
                    novelty: part.novelty,
                },
            })
        })
        .collect();
    let language = Language::new(&trained.model);
    let options = Options { rank: scale.rank, seed: trained.seed, ..Options::default() };
    let started = std::time::Instant::now();
    let cache = tokio::task::block_in_place(|| {
        build(ctx, &language, &units, &options, &folder.join(FOLDER), &mut |progress| {
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
    if !journal.state.model_ready {
        let call = IModels::finaliseCall {
            model: trained.id,
            finalRoot: trained.final_root,
            cache: IModels::Cache {
                root: commitment.root,
                // The inverse curvature is derived from the committed features by the op set, so the cache's root binds it too.
                curvature: B256::ZERO,
                floor: (commitment.rule.floor as f64).to_bits(),
                cap: (commitment.rule.cap as f64).to_bits(),
                damping: commitment.options.damping_ratio().to_bits(),
            },
            rates: IModels::Rates {
                rateIn: U256::from(RATES.0.0),
                rateOut: U256::from(RATES.1.0),
                platformFee: U256::from(RATES.2.0),
            },
        };
        send(&network.client, &accounts.developer, MODELS, U256::ZERO, call.abi_encode().into())
            .await
            .context("the model was not finalised")?;
        journal.state.model_ready = true;
        journal.save()?;
    }
    Ok(cache)
}
