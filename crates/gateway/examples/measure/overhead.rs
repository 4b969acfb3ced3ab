//! What attribution and receipt add to an answer's time, alone and eight together.

use crate::{median, scene::PRICE, transformer};
use alloy_primitives::{Address, B256};
use compute::{
    Account, AnswerId, Decoding, Generated, Log, Prompt, Request, Sampling, Worker,
    fee::Terms,
    log::{Draft, FileStore, What},
    worker::{Completing, Prepared},
};
use primitives::Amount;
use std::{ops::ControlFlow, time::Instant};

const ROUNDS: usize = 15;
const PROMPT_TOKENS: u32 = 32;

pub fn run() {
    let worker = transformer::worker(B256::repeat_byte(1));
    let folder = tempfile::tempdir().expect("a folder");
    let store = FileStore::open(&folder.path().join("log")).expect("a log");
    let operator = Account::from_bytes(&[1; 32]).expect("a key");
    let (mut log, _) = Log::open(Box::new(store), operator, worker.model, |_| {}).expect("a log");
    for batch in [1, 8] {
        for tokens in [64, 128, 220] {
            let (mut decoding, mut attributing, mut writing) = (Vec::new(), Vec::new(), Vec::new());
            for round in 0..ROUNDS {
                let started = Instant::now();
                let generated = generate(&worker, batch, tokens, round);
                decoding.push(started.elapsed().as_secs_f64());
                let started = Instant::now();
                let answers = complete(&worker, generated);
                attributing.push(started.elapsed().as_secs_f64());
                let started = Instant::now();
                let drafts = answers.into_iter().map(|answer| Draft {
                    what: What::Answer(Box::new(answer)),
                    payer: Address::ZERO,
                    note: vec![0; 300],
                    time_ms: 1,
                });
                log.append(drafts.collect()).expect("written");
                writing.push(started.elapsed().as_secs_f64());
            }
            let (made, attributed, written) = (median(decoding), median(attributing), median(writing));
            println!(
                r#"{{"what":"overhead","batch":{batch},"tokens":{tokens},"generate_ms":{:.2},"attribute_ms":{:.2},"receipt_ms":{:.2},"added_percent":{:.1}}}"#,
                made * 1e3,
                attributed * 1e3,
                written * 1e3,
                100.0 * (attributed + written) / made
            );
        }
    }
}

fn prepared(worker: &Worker, tokens: u32, seed: usize) -> Prepared {
    let prompt = (0..PROMPT_TOKENS).map(|at| (at * 31 + seed as u32 * 7) % 2000 + 1).collect();
    let sampling = Sampling { max_tokens: tokens, seed: seed as u64, ..Sampling::default() };
    let request = Request { prompt: Prompt::Tokens(prompt), sampling };
    worker.prepare(request, false).expect("it fits")
}

fn generate(worker: &Worker, batch: usize, tokens: u32, round: usize) -> Vec<Generated> {
    let mut decoding = Decoding::new(worker.generator.as_ref());
    for row in 0..batch {
        let request = prepared(worker, tokens, round * batch + row);
        let quiet = |_: &str| ControlFlow::Continue(());
        decoding.admit(row, request, Box::new(quiet)).expect("admitted");
    }
    let mut all = Vec::new();
    while !decoding.is_empty() {
        all.extend(decoding.step().into_iter().map(|(_, generated)| generated.expect("generated")));
    }
    all
}

fn complete(worker: &Worker, generated: Vec<Generated>) -> Vec<compute::Answer> {
    let completing = |generated| {
        let mut id = [0; 16];
        getrandom::fill(&mut id).expect("random bytes");
        let terms = Terms::Metered { price: PRICE, most: Amount(u128::MAX) };
        Completing { id: AnswerId(id), salt: B256::repeat_byte(2), generated, terms }
    };
    let answers = worker.complete_all(generated.into_iter().map(completing).collect());
    answers.into_iter().map(|answer| answer.expect("attributed")).collect()
}
