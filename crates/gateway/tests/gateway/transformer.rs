//! A transformer small enough for a test: trained for a moment on three texts, with its attribution cache over them.

use alloy_primitives::{Address, B256};
use attribution::{
    influence::{
        cache::{self, Options, UnitMeta},
        language::{Language, cut, scored_tokens},
    },
    shares::NOVELTY_ONE,
};
use compute::{LanguageEngine, Worker, engine::Unit};
use model::{Config, Model, Tokenizer};
use ops::Ctx;
use std::sync::OnceLock;

/// Name of the model at the API.
pub const NAME: &str = "small";
/// Tokens of prompt and answer.
pub const CONTEXT: usize = 256;
/// Who wrote the texts.
pub const OWNERS: [Address; 3] =
    [Address::repeat_byte(0xa1), Address::repeat_byte(0xa2), Address::repeat_byte(0xa3)];
const TEXTS: [&str; 3] = [
    "the quick brown fox jumps over the lazy dog and the dog sleeps on in the sun",
    "lorem ipsum dolor sit amet consectetur adipiscing elit sed do eiusmod tempor",
    "a stitch in time saves nine, and time and tide wait for no man at all",
];
const UNIT_TOKENS: usize = 16;

/// The model's worker; one for the whole process, since its weights stay for good.
pub fn worker(id: B256) -> Worker {
    static WORKER: OnceLock<Worker> = OnceLock::new();
    Worker { model: id, ..WORKER.get_or_init(build).clone() }
}

fn build() -> Worker {
    let tokenizer = Tokenizer::train_bpe(TEXTS.iter().copied(), 300, &[]).unwrap();
    // Its weights are drawn, not trained: it has much to say and never ends by itself.
    let config = Config::llama(tokenizer.vocabulary(), 2, 2, 2, 32, CONTEXT);
    let model = Model::initial(config, 7).unwrap();
    let examples: Vec<_> = (0u32..)
        .zip(TEXTS)
        .flat_map(|(owner, text)| {
            let tokens = tokenizer.encode(text, false).unwrap();
            cut(&tokens, UNIT_TOKENS).into_iter().map(move |example| (owner, example))
        })
        .collect();
    let metas: Vec<UnitMeta> = (0u8..)
        .zip(&examples)
        .map(|(index, (owner, example))| UnitMeta {
            id: B256::repeat_byte(index + 1),
            document: *owner,
            owner: *owner,
            tokens: scored_tokens(example) as u32,
            novelty: NOVELTY_ONE,
        })
        .collect();
    let units: Vec<_> =
        examples.iter().zip(&metas).map(|((_, item), meta)| cache::Unit { item, meta: *meta }).collect();
    let options = Options { rank: 4, sample: 4, unit_tokens: UNIT_TOKENS as u32, ..Options::default() };
    let folder = tempfile::tempdir().unwrap();
    let language = Language::new(&model);
    let cache =
        cache::build(&Ctx::single(), &language, &units, &options, folder.path(), &mut |_| {}).unwrap();
    let owned = metas
        .iter()
        .map(|meta| Unit {
            datanet: B256::ZERO,
            item: meta.id,
            owner: OWNERS[meta.owner as usize],
            tokens: meta.tokens,
            novelty: meta.novelty,
            label: format!("text {}", meta.owner),
        })
        .collect();
    let engine = LanguageEngine::new(model.clone(), tokenizer, cache, owned, Ctx::detect()).unwrap();
    Worker::new(B256::ZERO, NAME, engine)
}
