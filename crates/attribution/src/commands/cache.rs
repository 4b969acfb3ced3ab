//! `attribute cache`: builds a model's cache over its training documents.
//!
//! Texts are put end to end and cut by the protocol ([`pack`]). Exchanges are not: each is one unit, cut to the model's context as fine-tuning cuts it,
//! for a prompt is read before its own answer alone.

use super::{CommandError, Loaded, data, load};
use crate::influence::{
    cache::{Commitment, Options, Progress, Unit, UnitMeta, build},
    language::{Packed, pack, scored_tokens},
};
use ops::Ctx;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// What to build.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CacheRequest {
    /// The model's directory.
    pub model: PathBuf,
    /// Directory of the adapter that was trained over the model; its factors are then what is attributed.
    #[serde(default)]
    pub adapter: Option<PathBuf>,
    /// Directories of earlier checkpoints of its training, the mean of whose weights gradients are taken of; the model's own if there is none.
    #[serde(default)]
    pub attributed: Vec<PathBuf>,
    /// Training documents or exchanges, as [`data::training`] reads them.
    pub documents: PathBuf,
    /// Where the cache goes; a build that was cut off there goes on.
    pub folder: PathBuf,
    /// Choices; the unit's length is cut to the model's context.
    pub options: Options,
}

/// What was built.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CacheReport {
    /// Root and all else that the cache commits to.
    pub commitment: Commitment,
    /// Contributors.
    pub owners: usize,
    /// Documents.
    pub documents: usize,
    /// Of these, copies of earlier ones (novelty 0), which are left out.
    pub left_out: usize,
    /// Bytes that a query reads.
    pub bytes: usize,
    /// Time it took.
    pub seconds: f64,
}

/// Names that the cache's numbers stand for, kept beside it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Names {
    pub owners: Vec<String>,
    pub documents: Vec<String>,
    /// Start of each unit's text.
    pub units: Vec<String>,
    /// Whether these are exchanges: questions are then asked as they were learned.
    #[serde(default)]
    pub exchanges: bool,
}

const PREVIEW_CHARS: usize = 160;
pub(super) const NAMES_FILE: &str = "names.json";

/// Builds or resumes a cache.
pub fn cache(
    ctx: &Ctx,
    request: &CacheRequest,
    progress: &mut dyn FnMut(Progress),
) -> Result<CacheReport, CommandError> {
    let start = std::time::Instant::now();
    let loaded = load(&request.model, request.adapter.as_deref(), &request.attributed)?;
    let documents = data::training(&request.documents)?;
    let (context, exchanges) = (loaded.model.config.context as u32, documents.are_exchanges());
    let unit_tokens = if exchanges { context } else { request.options.unit_tokens.min(context) };
    let options = Options { unit_tokens, ..request.options };
    // Copies of earlier documents are no part of the stream: they are left out before training too (RULEBOOK R3).
    let novel: Vec<u32> =
        (0u32..).zip(&documents.list).filter(|(_, d)| d.novelty > 0).map(|(n, _)| n).collect();
    let packed = rows(&loaded, &documents, &novel, unit_tokens as usize)?;
    let (mut units, mut previews) = (vec![], vec![]);
    for Packed { example, parts } in &packed {
        let id = model::commitment::example_hash(&example.tokens, &example.targets);
        let preview: String = loaded.decode(&example.tokens).chars().take(PREVIEW_CHARS).collect();
        for (place, tokens) in parts {
            let number = novel[*place as usize];
            let data::Document { owner, novelty, .. } = documents.list[number as usize];
            let meta = UnitMeta { id, document: number, owner, tokens: *tokens, novelty };
            units.push(Unit { item: example, meta });
            previews.push(preview.clone());
        }
    }
    let language = loaded.language();
    let built = build(ctx, &language, &units, &options, &request.folder, progress)?;
    let names = Names {
        owners: documents.owners,
        documents: documents.list.into_iter().map(|d| d.name).collect(),
        units: previews,
        exchanges,
    };
    let path = request.folder.join(NAMES_FILE);
    let text = serde_json::to_vec(&names).expect("plain structures serialise");
    std::fs::write(&path, text).map_err(|source| data::DataError::Io { path, source })?;
    Ok(CacheReport {
        commitment: built.commitment().clone(),
        owners: names.owners.len(),
        documents: names.documents.len(),
        left_out: names.documents.len() - novel.len(),
        bytes: built.bytes(),
        seconds: start.elapsed().as_secs_f64(),
    })
}

/// What the model is run on, with the places in `novel` of the documents that have a part in it.
fn rows(
    loaded: &Loaded,
    documents: &data::Documents,
    novel: &[u32],
    unit_tokens: usize,
) -> Result<Vec<Packed>, CommandError> {
    let novel = novel.iter().map(|number| &documents.list[*number as usize]);
    if !documents.are_exchanges() {
        let tokens: Vec<Vec<u32>> = novel.map(|d| loaded.encode(&d.text)).collect::<Result<_, _>>()?;
        return Ok(pack(&tokens, None, unit_tokens));
    }
    let mut packed = vec![];
    for (place, document) in (0u32..).zip(novel) {
        let prompt = document.prompt.as_deref().unwrap_or_default();
        // One without a token of its own is learned nowhere.
        let example = loaded.exchange(prompt, &document.text)?.map(|exchange| exchange.example());
        if let Some(example) = example.filter(|example| scored_tokens(example) > 0) {
            let parts = vec![(place, scored_tokens(&example) as u32)];
            packed.push(Packed { example, parts });
        }
    }
    Ok(packed)
}
