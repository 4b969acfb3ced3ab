//! The engine's language models as embedding models: a text's vector is the mean of its tokens' last hidden states.
//!
//! Long texts are read in pieces of the model's context, [`MAX_PIECES`] of them at most. The vector's bits do not depend on what is
//! embedded with it, nor on the threads.

use anyhow::Context as _;
use model::{Activations, Batch, Example, Model, Tokenizer, network};
use ops::Ctx;
use std::path::Path;
use vault::similar::{EmbedError, Embedder};

/// Pieces of one text that are read.
const MAX_PIECES: usize = 4;

/// A model of the engine that embeds texts.
pub(crate) struct EngineEmbedder {
    ctx: Ctx,
    model: Model,
    tokenizer: Tokenizer,
    activations: Activations,
}

impl EngineEmbedder {
    /// Opens a model's folder; of a served model, its weights.
    pub fn open(folder: &Path) -> anyhow::Result<EngineEmbedder> {
        let served = folder.join(crate::serving::FILE).is_file();
        let (model, tokenizer) = if served {
            crate::serving::Serving::open(folder)?.model()?
        } else {
            let opened = || format!("{} is no model", folder.display());
            (Model::load(folder).with_context(opened)?, Tokenizer::load(folder).with_context(opened)?)
        };
        let ctx = crate::arithmetic::context(0);
        Ok(EngineEmbedder { ctx, model, tokenizer, activations: Activations::default() })
    }

    fn vector(&mut self, text: &str) -> Result<Vec<f32>, EmbedError> {
        let failed = |reason: String| EmbedError::Text(reason);
        let tokens = self.tokenizer.encode(text, true).map_err(|error| failed(error.to_string()))?;
        let mut sums = vec![0f64; self.model.config.hidden];
        for piece in tokens.chunks(self.model.config.context).take(MAX_PIECES) {
            let example = Example { tokens: piece.to_vec(), targets: vec![ops::IGNORED_TARGET; piece.len()] };
            let batch =
                Batch::new(&self.model.config, [&example]).map_err(|error| failed(error.to_string()))?;
            network::hidden(&self.ctx, &self.model, None, &batch, &mut self.activations);
            for row in self.activations.last_hidden().chunks_exact(sums.len()).take(piece.len()) {
                sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += f64::from(*x));
            }
        }
        let count = tokens.len().clamp(1, self.model.config.context * MAX_PIECES) as f64;
        Ok(sums.into_iter().map(|sum| (sum / count) as f32).collect())
    }
}

impl Embedder for EngineEmbedder {
    fn dimensions(&self) -> usize {
        self.model.config.hidden
    }

    fn embed(&mut self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbedError> {
        texts.iter().map(|text| self.vector(text)).collect()
    }
}
