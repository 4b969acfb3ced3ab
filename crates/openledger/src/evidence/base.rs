//! What an adapter is over: the weights in its base's folder are those of the model that the ledger has it over.
//!
//! The base's cache on the ledger commits to its weights, and the adapter's to these and its factors. Without this link an adapter's developer could have
//! trained it over other weights than the ledger says, whose developers would get nothing.

use super::{Outcome, broken, of, open};
use crate::{light::LightLedger, serving::Serving};
use interfaces::{addresses::MODELS, models::IModels};

/// Compares the base of `serving` with the ledger's; `None` where it is no adapter.
pub async fn check(ledger: &mut LightLedger, serving: &Serving) -> Option<Outcome> {
    let base = serving.base()?;
    Some(compare(ledger, serving, base).await)
}

async fn compare(ledger: &mut LightLedger, serving: &Serving, base: &Serving) -> Outcome {
    let ids = [serving.description.model, base.description.model];
    let [adapter, known] = ledger
        .read(|snapshot| {
            ids.map(|model| match snapshot.view(MODELS, &IModels::modelCall { model }) {
                Ok(known) => known.ok_or_else(|| broken(format!("the ledger knows no model {model}"))),
                Err(missing) => Err(open(missing)),
            })
        })
        .await
        .map_err(|error| of(&error))?;
    let (adapter, known) = (adapter?, known?);
    if adapter.base != ids[1] {
        return Err(broken(format!("the ledger has the adapter over {}, not over {}", adapter.base, ids[1])));
    }
    let cache = base.cache().map_err(|error| open(format!("the base's cache cannot be read: {error}")))?;
    let root = cache.commitment().root;
    if root != known.cache.root {
        return Err(broken(format!(
            "the base's cache has root {root}, the ledger holds {}",
            known.cache.root
        )));
    }
    let (model, _) = base.model().map_err(|error| open(format!("{error:#}")))?;
    base.require_built_over(&cache, &model).map_err(|error| broken(error.to_string()))?;
    Ok(format!(
        "the weights are those that the cache {root} of `{}` commits to, over which the ledger has it",
        known.name
    ))
}
