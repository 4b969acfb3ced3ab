//! `attribute cache`: builds a model's cache over its training documents.

use super::{CommandError, data, load};
use crate::influence::{
    cache::{Commitment, Options, Progress, Unit, UnitMeta, build},
    language::{Language, Packed, pack},
};
use ops::Ctx;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// What to build.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CacheRequest {
    /// The model's directory.
    pub model: PathBuf,
    /// Training documents, as [`data::documents`] reads them.
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
    let loaded = load(&request.model)?;
    let documents = data::documents(&request.documents)?;
    let context = loaded.model.config.context as u32;
    let options = Options { unit_tokens: request.options.unit_tokens.min(context), ..request.options };
    // Copies of earlier documents are no part of the stream: they are left out before training too (RULEBOOK R3).
    let novel: Vec<u32> =
        (0u32..).zip(&documents.list).filter(|(_, d)| d.novelty > 0).map(|(n, _)| n).collect();
    let tokens: Vec<Vec<u32>> =
        novel.iter().map(|n| loaded.encode(&documents.list[*n as usize].text)).collect::<Result<_, _>>()?;
    let packed = pack(&tokens, None, options.unit_tokens as usize);
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
    let language = Language::new(&loaded.model);
    let built = build(ctx, &language, &units, &options, &request.folder, progress)?;
    let names = Names {
        owners: documents.owners,
        documents: documents.list.into_iter().map(|d| d.name).collect(),
        units: previews,
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
