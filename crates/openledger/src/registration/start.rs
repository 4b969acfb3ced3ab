//! What a registration's training starts from, and the tokenizer that reads for it: both new, or those of a base that stands on the ledger.

use super::{Origin, Registrar, Request, Start, Text};
use anyhow::Context as _;
use model::Tokenizer;

impl Registrar<'_> {
    /// Start and tokenizer.
    pub(super) async fn start(
        &self,
        texts: &[Text],
        request: &Request,
    ) -> anyhow::Result<(Start, Tokenizer)> {
        match &request.origin {
            Origin::New { architecture, vocabulary } => {
                let tokenizer = self.learned(texts, *vocabulary)?;
                Ok((Start::Drawn(architecture.config(tokenizer.vocabulary())), tokenizer))
            }
            Origin::Base { .. } => self.upon().await,
        }
    }

    /// A tokenizer learned from the texts, once.
    fn learned(&self, texts: &[Text], vocabulary: usize) -> anyhow::Result<Tokenizer> {
        if let Ok(tokenizer) = Tokenizer::load(self.folder) {
            return Ok(tokenizer);
        }
        let all = texts.iter().map(|text| text.text.as_str());
        let tokenizer = Tokenizer::train_bpe(all, vocabulary, &[])?;
        tokenizer.save(self.folder)?;
        Ok(tokenizer)
    }

    /// The base, once its folder is found to hold the weights that the ledger's cache of it was built over: an adapter of others could be served by
    /// nobody who has the base.
    async fn upon(&self) -> anyhow::Result<(Start, Tokenizer)> {
        let base = self.base.context("an adapter needs the folder of its base")?;
        base.require_weights()?;
        let cache = tokio::task::block_in_place(|| base.cache())?;
        base.standing(self.client, &cache).await.context("the base cannot be built upon")?;
        let (model, tokenizer) = base.model()?;
        base.require_built_over(&cache, &model)?;
        Ok((Start::Base { id: base.description.model, model: Box::new(model) }, tokenizer))
    }
}
