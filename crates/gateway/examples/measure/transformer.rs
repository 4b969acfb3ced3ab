//! A model of the demo's shape (4 layers, 4 heads, width 128, vocabulary 2,048, context 256; drawn weights), or of the engine's reference (6 layers, 6
//! heads, width 384) with that vocabulary, and its attribution cache over a text.

use alloy_primitives::{Address, B256};
use attribution::{
    influence::{
        cache::{self, Options, UnitMeta},
        language::{Language, cut, scored_tokens},
    },
    shares::NOVELTY_ONE,
};
use compute::{Beside, LanguageEngine, Worker, engine::Unit};
use model::{Config, Model, Tokenizer, directory::SaveOptions};
use ops::Ctx;
use std::{path::Path, sync::OnceLock};

/// Name of the model at the API.
pub const NAME: &str = "measured";
const CONTEXT: usize = 256;
static WORKER: OnceLock<Worker> = OnceLock::new();

/// The prepared model under another id.
pub fn worker(id: B256) -> Worker {
    Worker { model: id, ..WORKER.get().expect("prepared").clone() }
}

/// Builds model and cache in `folder`, or takes those that are there.
pub fn prepare(text: &Path, folder: &Path) {
    let text = std::fs::read_to_string(text).expect("the text");
    std::fs::create_dir_all(folder).expect("the folder");
    let tokenizer = Tokenizer::load(folder).unwrap_or_else(|_| {
        let tokenizer = Tokenizer::train_bpe([text.as_str()], 2048, &[]).expect("a tokenizer");
        tokenizer.save(folder).expect("the tokenizer is saved");
        tokenizer
    });
    let config = match std::env::var("MODEL").as_deref() {
        Ok("gpt") => Config::gpt(tokenizer.vocabulary(), 6, 6, 384, CONTEXT),
        _ => Config::llama(tokenizer.vocabulary(), 4, 4, 4, 128, CONTEXT),
    };
    let model = Model::initial(config, 7).expect("a model");
    model.save(folder, SaveOptions::default()).expect("the model is saved");
    let tokens = tokenizer.encode(&text, false).expect("tokens");
    let examples = cut(&tokens, CONTEXT);
    let metas: Vec<UnitMeta> = (0u32..)
        .zip(&examples)
        .map(|(index, example)| UnitMeta {
            id: model::commitment::example_hash(&example.tokens, &example.targets),
            document: index,
            owner: index % 1000,
            tokens: scored_tokens(example) as u32,
            novelty: NOVELTY_ONE,
        })
        .collect();
    let units: Vec<_> =
        examples.iter().zip(&metas).map(|(item, meta)| cache::Unit { item, meta: *meta }).collect();
    // As models are served: attributed at a checkpoint, whose weights are drawn too.
    let last = std::env::var("ATTRIBUTED").is_ok_and(|weights| weights == "last");
    let checkpoint = Model::initial(model.config.clone(), 8).expect("a model");
    let language = if last { Language::new(&model) } else { Language::at(&model, &checkpoint) };
    let cached = folder.join(if last { "cache-last" } else { "cache" });
    let ctx = Ctx::detect().with_threads(std::thread::available_parallelism().map_or(1, usize::from));
    let mut told = 0;
    let cache = cache::build(&ctx, &language, &units, &Options::default(), &cached, &mut |p| {
        if p.done * 10 / p.total.max(1) != told {
            told = p.done * 10 / p.total.max(1);
            eprintln!("{:?}: {} of {}", p.stage, p.done, p.total);
        }
    });
    let cache = cache.expect("a cache");
    eprintln!(
        "{} units, {:.0} MB of features, {} parameters",
        units.len(),
        cache.bytes() as f64 / 1e6,
        model.config.parameters()
    );
    let owned = metas
        .iter()
        .map(|meta| Unit {
            datanet: B256::ZERO,
            item: meta.id,
            owner: owner(meta.owner),
            tokens: meta.tokens,
            novelty: meta.novelty,
            label: String::new(),
        })
        .collect();
    let engine = LanguageEngine::new(model.clone(), tokenizer, ctx).expect("they go together");
    let beside = if last { Beside::Nothing } else { Beside::Checkpoint(Box::new(checkpoint)) };
    let worker = engine.worker(B256::ZERO, NAME, beside, cache, owned).expect("they go together");
    let _ = WORKER.set(worker);
}

/// The account of contributor `number`.
pub fn owner(number: u32) -> Address {
    Address::from_word(alloy_primitives::keccak256(number.to_be_bytes()))
}
