//! A transformer small enough for a test: its weights are drawn, with its attribution cache over three texts; and an adapter over it, with a cache over
//! another text.

use alloy_primitives::{Address, B256};
use attribution::{
    influence::{
        cache::{self, Cache, Options, UnitMeta},
        language::{Language, cut, scored_tokens},
    },
    shares::NOVELTY_ONE,
};
use compute::{Beside, LanguageEngine, Worker, engine::Unit};
use model::{Adapter, AdapterOptions, Config, Model, Tokenizer};
use ops::{Ctx, Stream};
use std::sync::OnceLock;

/// Name of the model at the API.
pub const NAME: &str = "small";
/// Name of the adapter at the API.
pub const ADAPTER: &str = "small:tuned";
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
/// What the adapter is attributed to, and who wrote it.
const TUNED: &str =
    "when the fox is quick the dog is slow, and when the sun sets on the hill they all go home to sleep";
/// Who wrote that.
pub const TUNER: Address = Address::repeat_byte(0xb1);

/// What the small model says is noise, and so is what its adapter says: its factors are drawn.
struct Made {
    base: Worker,
    adapter: Worker,
}

/// The model's worker; one for the whole process, since its weights stay for good.
pub fn worker(id: B256) -> Worker {
    Worker { model: id, ..made().base.clone() }
}

/// The worker of an adapter over the model, of the same engine.
pub fn adapter_worker(id: B256) -> Worker {
    Worker { model: id, ..made().adapter.clone() }
}

fn made() -> &'static Made {
    static MADE: OnceLock<Made> = OnceLock::new();
    MADE.get_or_init(build)
}

fn build() -> Made {
    let tokenizer = Tokenizer::train_bpe(TEXTS.iter().copied(), 300, &[]).unwrap();
    // Its weights are drawn, not trained: it has much to say and never ends by itself.
    let config = Config::llama(tokenizer.vocabulary(), 2, 2, 2, 32, CONTEXT);
    let model = Model::initial(config, 7).unwrap();
    let mut adapter = Adapter::zeros(&model.layout, AdapterOptions::default()).unwrap();
    for (number, factor) in (0..).zip(adapter.tensors_mut()) {
        Stream::new(9, number).fill_normal(0, factor);
        factor.iter_mut().for_each(|value| *value *= 0.1);
    }
    let of_base = cache(&model, None, &tokenizer, &TEXTS, &OWNERS);
    let of_adapter = cache(&model, Some(&adapter), &tokenizer, &[TUNED], &[TUNER]);
    let engine = LanguageEngine::new(model, tokenizer, Ctx::detect()).unwrap();
    let base = engine.worker(B256::ZERO, NAME, Beside::Nothing, of_base.0, of_base.1).unwrap();
    let adapter =
        engine.worker(B256::ZERO, ADAPTER, Beside::Adapter(adapter), of_adapter.0, of_adapter.1).unwrap();
    Made { base, adapter }
}

/// The attribution cache of a model, or of an adapter over it, over a text of each owner.
fn cache(
    model: &Model,
    adapter: Option<&Adapter>,
    tokenizer: &Tokenizer,
    texts: &[&str],
    owners: &[Address],
) -> (Cache, Vec<Unit>) {
    let examples: Vec<_> = (0u32..)
        .zip(texts)
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
    let options = Options { rank: 16, sample: 4, unit_tokens: UNIT_TOKENS as u32, ..Options::default() };
    // Weights and factors that were drawn learned nothing that rises far above the noise.
    let options = match adapter {
        Some(_) => Options { floor_percent: 0, own_floor_percent: 0, ..options },
        None => Options { own_floor_percent: 200, ..options },
    };
    let folder = tempfile::tempdir().unwrap();
    let language = match adapter {
        Some(adapter) => Language::with_adapter(model, adapter),
        None => Language::new(model),
    };
    let cache =
        cache::build(&Ctx::single(), &language, &units, &options, folder.path(), &mut |_| {}).unwrap();
    let owned = metas
        .iter()
        .map(|meta| Unit {
            datanet: B256::ZERO,
            item: meta.id,
            owner: owners[meta.owner as usize],
            tokens: meta.tokens,
            novelty: meta.novelty,
            label: format!("text {}", meta.owner),
        })
        .collect();
    (cache, owned)
}
