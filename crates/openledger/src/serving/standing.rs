//! What the ledger holds of a served model, and whether the folder holds just that.

use super::Serving;
use crate::rpc::Client;
use anyhow::{Context as _, ensure};
use attribution::influence::{cache::Cache, language::Language, taps::Tapped as _};
use interfaces::{addresses::MODELS, models::IModels};
use model::Model;

impl Serving {
    /// The model's record on the ledger.
    ///
    /// # Errors
    /// When the model is not there or not finalised, is registered over another base, or was finalised with another cache than `cache`, which is
    /// the folder's.
    pub async fn standing(&self, client: &Client, cache: &Cache) -> anyhow::Result<IModels::Model> {
        let (folder, model) = (self.folder.display(), self.description.model);
        let known = client
            .view(MODELS, &IModels::modelCall { model })
            .await
            .with_context(|| format!("the model of {folder} is not on this ledger"))?;
        ensure!(
            known.status == IModels::Status::Ready,
            "the ledger has the model of {folder} as {:?}: its developer must finalise it first",
            known.status
        );
        if let Some(base) = self.description.base {
            ensure!(
                known.base == base,
                "{folder} says that it is an adapter of {base}, the ledger has it over {}: take the folder as its developer made it",
                known.base
            );
        }
        let root = cache.commitment().root;
        ensure!(
            root == known.cache.root,
            "the attribution cache in {folder} has root {root}, the ledger holds {}: answers by it would be refuted",
            known.cache.root
        );
        Ok(known)
    }
    /// # Errors
    /// When `cache` was built over other weights than these, which are the folder's.
    pub fn require_built_over(&self, cache: &Cache, model: &Model) -> anyhow::Result<()> {
        let checkpoint = self.checkpoint(model)?;
        let language = || Language::of(model, None, checkpoint.as_ref());
        let identity = tokio::task::block_in_place(|| language().identity());
        ensure!(
            identity == cache.commitment().model,
            "the weights in {} are not those that its attribution cache was built over: take the folder as its developer made it",
            self.folder.display()
        );
        Ok(())
    }
}
