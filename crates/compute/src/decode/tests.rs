use super::*;
use crate::{
    LanguageEngine, Worker,
    engine::Unit,
    fee::{Price, Terms},
    language::MismatchError,
    ngram::{Document, Ngram},
    receipt::AnswerId,
    request::{Prompt, Request, Sampling},
    worker::Answer,
};
use alloy_primitives::{Address, B256};
use attribution::{
    influence::{
        cache::{self, Cache, Options, UnitMeta},
        language::{Language, cut, scored_tokens},
    },
    shares::NOVELTY_ONE,
};
use model::{Adapter, AdapterOptions, Config, Example, Model, Tokenizer};
use ops::{Ctx, Stream};
use primitives::Amount;
use std::{cell::RefCell, rc::Rc, sync::Arc};

const CONTEXT: usize = 64;
const TEXTS: [&str; 3] = [
    "the quick brown fox jumps over the lazy dog and the dog sleeps on",
    "lorem ipsum dolor sit amet consectetur adipiscing elit sed do eiusmod tempor",
    "a stitch in time saves nine, and time and tide wait for no man at all",
];

fn counted() -> Vec<Worker> {
    let documents: Vec<Document> = (1u8..)
        .zip(TEXTS)
        .map(|(owner, text)| Document {
            owner: Address::repeat_byte(owner),
            label: String::new(),
            text: text.into(),
        })
        .collect();
    vec![Worker::new(B256::repeat_byte(1), "test", Ngram::new(B256::ZERO, &documents))]
}

fn tokenizer() -> Tokenizer {
    Tokenizer::train_bpe(TEXTS.iter().copied(), 300, &[]).unwrap()
}

/// A transformer with drawn weights: what it says is noise, to the bit.
fn model(heads: usize) -> Model {
    Model::initial(Config::llama(tokenizer().vocabulary(), 2, heads, heads, 8 * heads, CONTEXT), 7).unwrap()
}

/// An adapter of drawn factors.
fn adapter(model: &Model, seed: u64, rank: usize) -> Adapter {
    let options = AdapterOptions { rank, alpha: 8.0, targets: Vec::new() };
    let mut adapter = Adapter::zeros(&model.layout, options).unwrap();
    for (number, factor) in (0..).zip(adapter.tensors_mut()) {
        Stream::new(seed, number).fill_normal(0, factor);
        factor.iter_mut().for_each(|value| *value *= 0.2);
    }
    adapter
}

/// The attribution cache of a model, or of an adapter over it, over three texts from the `first` on, each owned by whom its number says.
fn cache(model: &Model, adapter: Option<&Adapter>, first: usize) -> (Cache, Vec<Unit>) {
    let tokenizer = tokenizer();
    let examples: Vec<(usize, Example)> = (first..first + TEXTS.len())
        .flat_map(|text| cut(&tokenizer.encode(TEXTS[text % TEXTS.len()], false).unwrap(), 16))
        .enumerate()
        .collect();
    let metas: Vec<UnitMeta> = examples
        .iter()
        .map(|(index, example)| UnitMeta {
            id: B256::repeat_byte(*index as u8),
            document: *index as u32,
            owner: *index as u32,
            tokens: scored_tokens(example) as u32,
            novelty: NOVELTY_ONE,
        })
        .collect();
    let units: Vec<_> =
        examples.iter().zip(&metas).map(|((_, item), meta)| cache::Unit { item, meta: *meta }).collect();
    let options = Options { rank: 4, sample: 4, unit_tokens: 16, ..Options::default() };
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
            owner: Address::repeat_byte(meta.owner as u8 + 1),
            tokens: meta.tokens,
            novelty: meta.novelty,
            label: String::new(),
        })
        .collect();
    (cache, owned)
}

fn engine(model: &Model) -> Arc<LanguageEngine> {
    LanguageEngine::new(model.clone(), tokenizer(), Ctx::detect().with_threads(2)).unwrap()
}

/// A base and two adapters over it, of one engine, each a model with a cache of its own.
fn transformers() -> Vec<Worker> {
    let model = model(2);
    let engine = engine(&model);
    let adapters = [None, Some(adapter(&model, 1, 2)), Some(adapter(&model, 2, 5))];
    (0u8..)
        .zip(adapters)
        .map(|(number, adapter)| {
            let (cache, units) = cache(&model, adapter.as_ref(), number.into());
            engine.worker(B256::repeat_byte(number + 1), "test", adapter.into(), cache, units).unwrap()
        })
        .collect()
}

/// Models whose requests can share a batch.
fn companies() -> Vec<Vec<Worker>> {
    let mixed = transformers();
    vec![counted(), mixed[..1].to_vec(), mixed]
}

/// Which of the workers answers a request.
fn of(workers: &[Worker], key: usize) -> &Worker {
    &workers[key % workers.len()]
}

/// Requests unlike each other in length, sampling and stop texts, and to one model after the other.
fn requests(workers: &[Worker]) -> Vec<Prepared> {
    let prompts = ["the quick", "l", "a stitch in time saves nine, and time and", "dolor sit", "no man"];
    (0u64..)
        .zip(prompts)
        .map(|(index, prompt)| {
            let sampling = Sampling {
                temperature: [0.0, 1.0, 0.7, 1.5, 1.0][index as usize],
                top_p: [1.0, 0.9, 1.0, 0.5, 1.0][index as usize],
                seed: index,
                max_tokens: [30, 5, 9, 20, 1][index as usize],
                stop: if index == 3 { vec!["e".into()] } else { Vec::new() },
                ..Sampling::default()
            };
            let request = Request { prompt: Prompt::Text(prompt.into()), sampling };
            of(workers, index as usize).prepare(request, true).unwrap()
        })
        .collect()
}

fn terms() -> Terms {
    let price = Price { rate_in: Amount(1000), rate_out: Amount(1_000_000), platform_fee: Amount(10) };
    Terms::Metered { price, most: Amount(u128::MAX) }
}

fn complete(worker: &Worker, key: usize, generated: Result<Generated, AnswerError>) -> Answer {
    worker.complete(AnswerId([key as u8; 16]), B256::repeat_byte(9), generated.unwrap(), &terms()).unwrap()
}

/// Admits request `i` before pass `admit[i]`, and takes away the client of those in `leave` once they have some text.
fn together(workers: &[Worker], admit: &[usize], leave: &[usize]) -> Vec<(usize, String, Answer)> {
    let requests = requests(workers);
    let texts: Vec<Rc<RefCell<String>>> = requests.iter().map(|_| Rc::default()).collect();
    let mut decoding = Decoding::new(workers[0].generator.as_ref());
    let mut done = Vec::new();
    for pass in 0.. {
        for (key, request) in requests.iter().enumerate().filter(|(key, _)| admit[*key] == pass) {
            let (text, leaves) = (texts[key].clone(), leave.contains(&key));
            let sink = move |piece: &str| {
                text.borrow_mut().push_str(piece);
                if leaves { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            };
            decoding.admit(key, request.clone(), Box::new(sink)).unwrap();
        }
        for (key, generated) in decoding.step() {
            done.push((key, texts[key].borrow().clone(), complete(of(workers, key), key, generated)));
        }
        if decoding.is_empty() && admit.iter().all(|at| *at <= pass) {
            break;
        }
    }
    done.sort_by_key(|(key, ..)| *key);
    done
}

fn alone(workers: &[Worker]) -> Vec<Answer> {
    let mut quiet = |_: &str| ControlFlow::Continue(());
    let answer = |(key, prepared): (usize, &Prepared)| {
        of(workers, key)
            .answer(AnswerId([key as u8; 16]), B256::repeat_byte(9), prepared, &terms(), &mut quiet)
            .unwrap()
    };
    requests(workers).iter().enumerate().map(answer).collect()
}

#[test]
fn an_answer_and_what_it_owes_are_the_same_bits_alone_and_in_any_company() {
    for workers in companies() {
        let alone = alone(&workers);
        assert!(alone.iter().any(|answer| !answer.attributed.units.is_empty()), "somebody is owed something");
        for admit in [[0; 5], [0, 1, 1, 3, 4], [6, 5, 0, 2, 2]] {
            let together = together(&workers, &admit, &[]);
            assert_eq!(together.len(), alone.len());
            for ((_, streamed, answer), alone) in together.into_iter().zip(&alone) {
                assert_eq!(streamed, alone.output.text);
                assert_eq!(&answer, alone);
                assert_eq!(answer.attributed.root(), alone.attributed.root());
            }
        }
    }
}

#[test]
fn a_row_that_leaves_disturbs_no_other() {
    for workers in companies() {
        let alone = alone(&workers);
        for (key, streamed, answer) in together(&workers, &[0, 0, 1, 1, 2], &[0, 2]) {
            if [0, 2].contains(&key) {
                assert_eq!(answer.output.finish, Finish::Cancelled);
                let tokens = answer.output.tokens.len();
                assert_eq!(answer.output.tokens, alone[key].output.tokens[..tokens]);
                assert_eq!(answer.output.text, streamed, "what was sent is what is charged");
            } else {
                assert_eq!(answer, alone[key]);
            }
        }
    }
}

struct Gone;

impl Sink for Gone {
    fn piece(&mut self, _: &str) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    fn is_gone(&self) -> bool {
        true
    }
}

#[test]
fn a_client_that_is_gone_costs_no_pass() {
    let workers = counted();
    let mut decoding = Decoding::new(workers[0].generator.as_ref());
    decoding.admit(0, requests(&workers).remove(0), Box::new(Gone)).unwrap();
    let (_, generated) = decoding.step().pop().unwrap();
    let Generated { output, .. } = generated.unwrap();
    assert_eq!((output.tokens.len(), output.finish), (0, Finish::Cancelled));
    assert!(decoding.is_empty());
}

#[test]
fn a_broken_engine_gives_every_row_up_and_the_next_is_served() {
    let workers = counted();
    let mut decoding = Decoding::new(workers[0].generator.as_ref());
    let quiet = || Box::new(|_: &str| ControlFlow::Continue(()));
    for (key, request) in requests(&workers).into_iter().enumerate() {
        decoding.admit(key, request, quiet()).unwrap();
    }
    let failed = decoding.abandon(&EngineError::Failed("broken".into()));
    assert!(failed.len() == 5 && failed.iter().all(|(_, outcome)| outcome.is_err()));
    decoding.admit(9, requests(&workers).remove(1), quiet()).unwrap();
    let mut ended = Vec::new();
    while ended.is_empty() {
        ended = decoding.step();
    }
    assert_eq!(ended[0].1.as_ref().unwrap().output, alone(&workers)[1].output);
}

#[test]
fn an_adapter_is_a_model_of_its_own_over_the_base() {
    let workers = transformers();
    // The same request, whichever model answers it.
    let answers: Vec<Answer> =
        workers.iter().map(|worker| alone(std::slice::from_ref(worker)).remove(0)).collect();
    for (number, answer) in answers.iter().enumerate() {
        for other in &answers[..number] {
            assert_ne!(answer.output.tokens, other.output.tokens);
            assert_ne!(answer.attributed.cache, other.attributed.cache);
        }
        assert_eq!(answer.attributed.cache, workers[number].attributor.cache_root());
    }
}

#[test]
fn what_does_not_belong_together_is_refused_with_what_to_do() {
    let model = model(2);
    let (engine, id) = (engine(&model), B256::repeat_byte(1));
    let (one, other) = (adapter(&model, 1, 2), adapter(&model, 2, 2));
    let refused = |adapter: Option<Adapter>, (cache, units): (Cache, Vec<Unit>)| {
        let refused = engine.worker(id, "test", adapter.into(), cache, units).err().expect("refused");
        assert!(!refused.to_string().is_empty());
        refused
    };
    // The base's cache, and another adapter's, for an adapter; an adapter's for the base.
    for (asked, built) in [(Some(&one), None), (Some(&one), Some(&other)), (None, Some(&one))] {
        let refused = refused(asked.cloned(), cache(&model, built, 0));
        assert!(matches!(refused, MismatchError::OtherModel { .. }), "{refused}");
    }
    // Of a base with other sizes, and of one with the same.
    let wide = self::model(4);
    let foreign = adapter(&wide, 1, 2);
    assert_eq!(refused(Some(foreign.clone()), cache(&wide, Some(&foreign), 0)), MismatchError::OtherBase);
    let mut twin = model.clone();
    twin.weights.tensors_mut()[0][0] += 1.0;
    let refused_twin = refused(Some(one.clone()), cache(&twin, Some(&one), 0));
    assert!(matches!(refused_twin, MismatchError::OtherModel { .. }), "{refused_twin}");
    let (of_one, mut units) = cache(&model, Some(&one), 0);
    units.pop();
    let left = units.len();
    assert_eq!(refused(Some(one), (of_one, units)), MismatchError::OtherUnits(left));
}
