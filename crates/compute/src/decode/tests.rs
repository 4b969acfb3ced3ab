use super::*;
use crate::{
    LanguageEngine,
    engine::{Attributor, Generator, Unit},
    fee::{Price, Terms},
    ngram::{Document, Ngram},
    receipt::AnswerId,
    request::{Prompt, Request, Sampling},
    worker::Answer,
};
use alloy_primitives::{Address, B256};
use attribution::{
    influence::{
        cache::{self, Options, UnitMeta},
        language::{Language, cut, scored_tokens},
    },
    shares::NOVELTY_ONE,
};
use model::{Config, Model, Tokenizer};
use ops::Ctx;
use primitives::Amount;
use std::{cell::RefCell, rc::Rc};

const CONTEXT: usize = 64;
const TEXTS: [&str; 3] = [
    "the quick brown fox jumps over the lazy dog and the dog sleeps on",
    "lorem ipsum dolor sit amet consectetur adipiscing elit sed do eiusmod tempor",
    "a stitch in time saves nine, and time and tide wait for no man at all",
];

fn served(engine: impl Generator + Attributor + 'static) -> Worker {
    Worker::new(B256::repeat_byte(1), "test", engine)
}

fn counted() -> Worker {
    let documents: Vec<Document> = (1u8..)
        .zip(TEXTS)
        .map(|(owner, text)| Document {
            owner: Address::repeat_byte(owner),
            label: String::new(),
            text: text.into(),
        })
        .collect();
    served(Ngram::new(B256::ZERO, &documents))
}

/// A transformer with drawn weights, and its attribution cache over three texts: what it says is noise, to the bit.
fn transformer() -> Worker {
    let tokenizer = Tokenizer::train_bpe(TEXTS.iter().copied(), 300, &[]).unwrap();
    let config = Config::llama(tokenizer.vocabulary(), 2, 2, 2, 16, CONTEXT);
    let model = Model::initial(config, 7).unwrap();
    let language = Language::new(&model);
    let examples: Vec<_> = TEXTS
        .iter()
        .flat_map(|text| cut(&tokenizer.encode(text, false).unwrap(), 16))
        .enumerate()
        .map(|(index, example)| (index as u32, example))
        .collect();
    let metas: Vec<UnitMeta> = examples
        .iter()
        .map(|(index, example)| UnitMeta {
            id: B256::repeat_byte(*index as u8),
            document: *index,
            owner: *index,
            tokens: scored_tokens(example) as u32,
            novelty: NOVELTY_ONE,
        })
        .collect();
    let units: Vec<_> =
        examples.iter().zip(&metas).map(|((_, item), meta)| cache::Unit { item, meta: *meta }).collect();
    let options = Options { rank: 4, sample: 4, unit_tokens: 16, ..Options::default() };
    let folder = tempfile::tempdir().unwrap();
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
    let ctx = Ctx::detect().with_threads(2);
    served(LanguageEngine::new(model.clone(), tokenizer, cache, owned, ctx).unwrap())
}

/// Requests unlike each other in length, sampling and stop texts.
fn requests(worker: &Worker) -> Vec<Prepared> {
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
            let request = Request { prompt: Prompt::Text(prompt.into()), sampling, adapter: String::new() };
            worker.prepare(request, true).unwrap()
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
fn together(worker: &Worker, admit: &[usize], leave: &[usize]) -> Vec<(usize, String, Answer)> {
    let requests = requests(worker);
    let texts: Vec<Rc<RefCell<String>>> = requests.iter().map(|_| Rc::default()).collect();
    let mut decoding = Decoding::new(worker);
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
            done.push((key, texts[key].borrow().clone(), complete(worker, key, generated)));
        }
        if decoding.is_empty() && admit.iter().all(|at| *at <= pass) {
            break;
        }
    }
    done.sort_by_key(|(key, ..)| *key);
    done
}

fn alone(worker: &Worker) -> Vec<Answer> {
    let mut quiet = |_: &str| ControlFlow::Continue(());
    let answer = |(key, prepared): (usize, &Prepared)| {
        worker
            .answer(AnswerId([key as u8; 16]), B256::repeat_byte(9), prepared, &terms(), &mut quiet)
            .unwrap()
    };
    requests(worker).iter().enumerate().map(answer).collect()
}

#[test]
fn an_answer_and_what_it_owes_are_the_same_bits_alone_and_in_any_company() {
    for worker in [counted(), transformer()] {
        let alone = alone(&worker);
        assert!(alone.iter().any(|answer| !answer.attributed.units.is_empty()), "somebody is owed something");
        for admit in [[0; 5], [0, 1, 1, 3, 4], [6, 5, 0, 2, 2]] {
            let together = together(&worker, &admit, &[]);
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
    for worker in [counted(), transformer()] {
        let alone = alone(&worker);
        for (key, streamed, answer) in together(&worker, &[0, 0, 1, 1, 2], &[0, 2]) {
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
    let worker = counted();
    let mut decoding = Decoding::new(&worker);
    decoding.admit(0, requests(&worker).remove(0), Box::new(Gone)).unwrap();
    let (_, generated) = decoding.step().pop().unwrap();
    let Generated { output, .. } = generated.unwrap();
    assert_eq!((output.tokens.len(), output.finish), (0, Finish::Cancelled));
    assert!(decoding.is_empty());
}

#[test]
fn a_broken_engine_gives_every_row_up_and_the_next_is_served() {
    let worker = counted();
    let mut decoding = Decoding::new(&worker);
    let quiet = || Box::new(|_: &str| ControlFlow::Continue(()));
    for (key, request) in requests(&worker).into_iter().enumerate() {
        decoding.admit(key, request, quiet()).unwrap();
    }
    let failed = decoding.abandon(&EngineError::Failed("broken".into()));
    assert!(failed.len() == 5 && failed.iter().all(|(_, outcome)| outcome.is_err()));
    decoding.admit(9, requests(&worker).remove(1), quiet()).unwrap();
    let mut ended = Vec::new();
    while ended.is_empty() {
        ended = decoding.step();
    }
    assert_eq!(ended[0].1.as_ref().unwrap().output, alone(&worker)[1].output);
}
