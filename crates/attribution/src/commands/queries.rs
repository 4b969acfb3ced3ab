//! Queries from held-out text: stretches of documents by known owners, the start as prompt, the rest as answer.

use super::{CommandError, Loaded, data::Documents};
use model::{EngineOptions, Example, Request, generate};
use ops::Ctx;

/// What is asked about, and what overlap is measured on.
#[derive(Clone, Debug)]
pub(super) struct Query {
    /// Index of the owner in the training documents.
    pub owner: u32,
    /// Prompt and answer.
    pub tokens: Vec<u32>,
    /// Tokens of the prompt.
    pub prompt: usize,
    /// The same, as the model is run on it.
    pub example: Example,
}

impl Query {
    fn new(owner: u32, tokens: Vec<u32>, prompt: usize) -> Query {
        let example = Example::answer(&tokens[..prompt], &tokens[prompt..]);
        Query { owner, tokens, prompt, example }
    }
}

/// How stretches are taken.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stretches {
    pub prompt_tokens: usize,
    pub answer_tokens: usize,
    pub per_document: usize,
}

/// Stretches of the held-out documents whose owners are known.
pub(super) fn held_out(
    loaded: &Loaded,
    documents: &Documents,
    held_out: &Documents,
    stretches: &Stretches,
) -> Result<Vec<Query>, CommandError> {
    let length = (stretches.prompt_tokens + stretches.answer_tokens).max(2);
    let mut queries = vec![];
    for document in &held_out.list {
        let name = &held_out.owners[document.owner as usize];
        let Some(owner) = documents.owners.iter().position(|known| known == name) else { continue };
        let tokens = loaded.encode(&document.text)?;
        for stretch in tokens.chunks_exact(length).take(stretches.per_document) {
            let prompt = stretches.prompt_tokens.clamp(1, length - 1);
            queries.push(Query::new(owner as u32, stretch.to_vec(), prompt));
        }
    }
    if queries.is_empty() { Err(CommandError::NoQueries(length)) } else { Ok(queries) }
}

/// The same prompts with the answers that the model itself gives, most likely token by token.
pub(super) fn own_answers(ctx: &Ctx, loaded: &Loaded, queries: &[Query]) -> Result<Vec<Query>, CommandError> {
    let failed = |e: model::generate::GenerateError| CommandError::Model {
        path: "generation".into(),
        reason: e.to_string(),
    };
    let request = |q: &Query| Request::greedy(q.tokens[..q.prompt].to_vec(), q.tokens.len() - q.prompt);
    let requests = queries.iter().map(request).collect();
    let answers =
        generate(*ctx, &loaded.model, requests, EngineOptions::default(), &mut |_, _| {}).map_err(failed)?;
    let own =
        queries.iter().zip(answers).filter(|(_, answer)| !answer.tokens.is_empty()).map(|(q, answer)| {
            Query::new(q.owner, [&q.tokens[..q.prompt], &answer.tokens].concat(), q.prompt)
        });
    Ok(own.collect())
}
