//! Answers do not depend on batch, threads or the processor's path: not one bit of a token or a log-probability.
//!
//! The small test runs with all others. The whole one, 1,000 prompts at every batch size from 1 to 16 on 1 and 2 threads of each
//! path: `cargo test --release -p model --test prompts -- --ignored`. It has not been run to its end yet.

use model::{Answer, Config, EngineOptions, Model, Request, Sampling, generate};
use ops::{Ctx, Path, Stream};

const VOCABULARY: usize = 61;

fn model() -> Model {
    // Grouped heads, and weights large enough that answers differ from each other.
    let config = Config { initialiser_std: 0.4, ..Config::llama(VOCABULARY, 2, 4, 2, 32, 64) };
    Model::initial(config, 8).expect("valid")
}

/// Prompt `i`: 1 to 24 tokens, an answer of 1 to 12, two of three sampled.
fn request(i: u64) -> Request {
    let stream = Stream::new(i, 5);
    let length = 1 + stream.below(0, 24);
    let prompt = (1..=length).map(|n| stream.below(n, VOCABULARY as u64) as u32).collect();
    let sampling = match i % 3 {
        0 => Sampling::greedy(),
        1 => Sampling::at(0.9, i),
        _ => Sampling { top_k: 9, top_p: 0.9, ..Sampling::at(1.1, i) },
    };
    let tokens = 1 + stream.below(100, 12) as usize;
    Request { sampling, logprobs: Some(2), ..Request::greedy(prompt, tokens) }
}

fn answers(ctx: Ctx, model: &Model, prompts: u64, batch: usize) -> Vec<Answer> {
    let options = EngineOptions { sequences_max: batch, ..EngineOptions::default() };
    generate(ctx, model, (0..prompts).map(request).collect(), options, &mut |_, _| {}).expect("generates")
}

/// Compares every combination with the portable path on one thread, one prompt at a time.
fn all_agree(prompts: u64, batches: impl Iterator<Item = usize> + Clone) {
    let model = model();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().expect("two threads");
    let portable = Ctx::new(Path::Portable, 1).expect("always there");
    let expected = answers(portable, &model, prompts, 1);
    let different: std::collections::BTreeSet<&[u32]> = expected.iter().map(|a| &a.tokens[..]).collect();
    assert!(different.len() * 2 > expected.len(), "answers that are all alike would show nothing");
    for path in Path::available() {
        for threads in [1, 2] {
            for batch in batches.clone() {
                let ctx = Ctx::new(path, threads).expect("available");
                let found = pool.install(|| answers(ctx, &model, prompts, batch));
                let differing = expected.iter().zip(&found).filter(|(a, b)| a != b).count();
                assert_eq!(
                    (differing, found.len()),
                    (0, expected.len()),
                    "{path}, {threads} threads, batch {batch}"
                );
            }
        }
    }
}

#[test]
fn sixty_prompts_agree_on_every_path_thread_count_and_some_batch_sizes() {
    all_agree(60, [1, 3, 8, 16].into_iter());
}

#[test]
#[ignore = "takes minutes; the small test above runs always"]
fn a_thousand_prompts_agree_on_every_path_thread_count_and_batch_size() {
    all_agree(1000, 1..=16);
}
