//! Documentation by repository: a folder of folders of text files, every one in eight held out.

use anyhow::{Context as _, Result, ensure};
use attribution::influence::{
    cache::{Unit, UnitMeta},
    language::{cut, scored_tokens},
};
use attribution::shares::NOVELTY_ONE;
use model::{Example, Tokenizer};
use std::{collections::BTreeSet, fs, path::Path};

const HELD_OUT_EVERY: usize = 8;

#[derive(Debug)]
pub struct Document {
    pub owner: u32,
    pub text: String,
}

#[derive(Debug, Default)]
pub struct Corpus {
    pub owners: Vec<String>,
    pub train: Vec<Document>,
    pub held_out: Vec<Document>,
}

/// Lists a folder in the order of names.
fn sorted(folder: &Path) -> Result<Vec<std::path::PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

pub fn load(folder: &Path) -> Result<Corpus> {
    let mut corpus = Corpus::default();
    for repository in sorted(folder)?.into_iter().filter(|path| path.is_dir()) {
        let owner = corpus.owners.len() as u32;
        corpus.owners.push(repository.file_name().unwrap_or_default().to_string_lossy().into_owned());
        for (i, file) in sorted(&repository)?.into_iter().enumerate() {
            let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
            let side = if i % HELD_OUT_EVERY == HELD_OUT_EVERY / 2 {
                &mut corpus.held_out
            } else {
                &mut corpus.train
            };
            side.push(Document { owner, text });
        }
    }
    ensure!(!corpus.train.is_empty(), "no text in {}", folder.display());
    Ok(corpus)
}

/// Training examples with their meta, cut by the protocol.
#[derive(Debug, Default)]
pub struct Units {
    pub examples: Vec<Example>,
    pub metas: Vec<UnitMeta>,
}

impl Units {
    /// Cuts documents; `document` numbers them. `most` is U.
    pub fn new(tokenizer: &Tokenizer, documents: &[Document], most: usize) -> Result<Units> {
        let mut units = Units::default();
        for (number, document) in (0u32..).zip(documents) {
            units.add(&tokenizer.encode(&document.text, false)?, number, document.owner, most);
        }
        Ok(units)
    }

    /// Adds one document.
    pub fn add(&mut self, tokens: &[u32], document: u32, owner: u32, most: usize) {
        for example in cut(tokens, most) {
            let tokens = scored_tokens(&example) as u32;
            let id = model::commitment::example_hash(&example.tokens, &example.targets);
            self.metas.push(UnitMeta { id, document, owner, tokens, novelty: NOVELTY_ONE });
            self.examples.push(example);
        }
    }

    pub fn as_units(&self) -> Vec<Unit<'_, Example>> {
        self.examples.iter().zip(&self.metas).map(|(item, meta)| Unit { item, meta: *meta }).collect()
    }
}

/// A query: the start of a stretch of held-out text, and its continuation as the answer.
#[derive(Debug)]
pub struct Query {
    pub owner: u32,
    pub example: Example,
    pub tokens: Vec<u32>,
}

/// At most `per_document` stretches of each held-out document.
pub fn queries(
    tokenizer: &Tokenizer,
    documents: &[Document],
    prompt: usize,
    answer: usize,
    per_document: usize,
) -> Result<Vec<Query>> {
    let mut queries = vec![];
    for document in documents {
        let tokens = tokenizer.encode(&document.text, false)?;
        for stretch in tokens.chunks_exact(prompt + answer).take(per_document) {
            let example = Example::answer(&stretch[..prompt], &stretch[prompt..]);
            queries.push(Query { owner: document.owner, example, tokens: stretch.to_vec() });
        }
    }
    Ok(queries)
}

/// Owners that occur.
pub fn owners(metas: &[UnitMeta]) -> usize {
    metas.iter().map(|meta| meta.owner).collect::<BTreeSet<_>>().len()
}
