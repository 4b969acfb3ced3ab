use super::*;
use crate::batch::{Batch, Example};
use crate::config::{Config, Family};
use crate::lora::AdapterOptions;
use crate::network::{Activations, Kept, LossScale, Prepared, Quantisation, logits, taps_of, taps_of_kept};
use crate::taps::Hooks;
use ops::Stream;

fn model(family: Family) -> Model {
    let base = if family == Family::Gpt2 {
        Config::gpt(41, 2, 2, 32, 64)
    } else {
        Config::llama(41, 2, 4, 2, 32, 64)
    };
    let config = Config { family, bias: family == Family::Qwen2, initialiser_std: 0.4, ..base };
    Model::initial(config, 8).expect("valid")
}

fn prompt(seed: u64, length: usize) -> Vec<u32> {
    let s = Stream::new(seed, 5);
    (0..length as u64).map(|i| s.below(i, 41) as u32).collect()
}

fn adapter(model: &Model, seed: u64, rank: usize) -> Arc<Adapter> {
    let options = AdapterOptions { rank, alpha: 8.0, targets: Vec::new() };
    let mut adapter = Adapter::initial(&model.layout, options, seed).expect("valid");
    for (i, t) in adapter.tensors_mut().enumerate() {
        Stream::new(seed, 100 + i as u64).fill_normal(0, t);
        t.iter_mut().for_each(|v| *v *= 0.1);
    }
    Arc::new(adapter)
}

fn run(ctx: Ctx, model: &Model, requests: Vec<Request>, options: EngineOptions) -> Vec<Answer> {
    generate(ctx, model, requests, options, &mut |_, _| {}).expect("generates")
}

#[test]
fn greedy_tokens_and_logprobs_are_those_of_a_training_pass_to_the_bit() {
    let ctx = Ctx::detect();
    for family in Family::ALL {
        let m = model(family);
        let mut request = Request::greedy(prompt(1, 9), 20);
        request.logprobs = Some(0);
        let answer = run(ctx, &m, vec![request.clone()], EngineOptions::default()).remove(0);
        let text = [request.prompt.clone(), answer.tokens.clone()].concat();
        let b = Batch::new(&m.config, [&Example::next_token(&text)]).expect("fits");
        let all = logits(&ctx, &m, None, &b);
        for (i, choice) in answer.choices.iter().enumerate() {
            let row = &all[(8 + i) * 41..(9 + i) * 41];
            let expected = sampling::choose(&ctx, row, &Sampling::greedy(), 0, Some(0));
            assert_eq!(*choice, expected, "{family:?} token {i}");
        }
    }
}

#[test]
fn a_sequences_answer_does_not_depend_on_its_batch_threads_or_pieces() {
    let m = model(Family::Llama);
    let ctx = Ctx::detect();
    let adapters = [adapter(&m, 1, 2), adapter(&m, 2, 5)];
    let requests: Vec<Request> = (0..24u64)
        .map(|i| Request {
            sampling: if i % 3 == 0 {
                Sampling::greedy()
            } else {
                Sampling { top_k: 7, top_p: 0.9, ..Sampling::at(0.8, i) }
            },
            adapter: (i % 4 < 2).then(|| adapters[i as usize % 2].clone()),
            logprobs: Some(2),
            ..Request::greedy(prompt(i, 1 + (i as usize * 7) % 40), 1 + i as usize % 20)
        })
        .collect();
    let alone: Vec<Answer> = requests
        .iter()
        .map(|r| run(ctx.with_threads(1), &m, vec![r.clone()], EngineOptions::default()).remove(0))
        .collect();
    for (sequences_max, rows_max, threads) in [(24, 512, 2), (5, 16, 1), (16, 3, 2), (1, 1, 1)] {
        let options = EngineOptions { sequences_max, rows_max, ..EngineOptions::default() };
        let together = run(ctx.with_threads(threads), &m, requests.clone(), options);
        assert_eq!(alone, together, "{sequences_max} sequences, {rows_max} rows, {threads} threads");
    }
}

/// Bits of every tap of a backward pass, by layer.
#[derive(Default)]
struct Bits(Vec<(usize, Vec<u32>, Vec<u32>)>);

impl crate::taps::Taps for Bits {
    fn linear(&mut self, tap: crate::taps::LinearTap<'_>) {
        let bits = |values: &[f32]| values.iter().map(|x| x.to_bits()).collect();
        self.0.push((tap.linear.index, bits(tap.inputs), bits(tap.output_gradients)));
    }
}

#[test]
fn a_pass_that_was_kept_while_generating_has_the_gradients_of_a_whole_one_to_the_bit() {
    let ctx = Ctx::detect().with_threads(2);
    for family in Family::ALL {
        let m = model(family);
        let prepared = Arc::new(Prepared::new(&m, Quantisation::None));
        // Prompts are read in pieces beside rows that generate; one row has an adapter, and one ends early.
        let options = EngineOptions { rows_max: 7, kept_bytes: 1 << 20, ..EngineOptions::default() };
        let mut engine = Engine::with_prepared(ctx, &m, prepared.clone(), options);
        let mut requests: Vec<Request> =
            (0..4).map(|i| Request::greedy(prompt(i, 2 + 5 * i as usize), 4 + i as usize)).collect();
        requests[1].adapter = Some(adapter(&m, 1, 2));
        let ids: Vec<SequenceId> =
            requests.iter().map(|r| engine.submit(r.clone()).expect("valid")).collect();
        let mut answers = vec![None; ids.len()];
        while !engine.is_idle() {
            for step in engine.step().expect("a pass") {
                if let Event::Finished(answer) = step.event {
                    answers[ids.iter().position(|id| *id == step.sequence).expect("known")] = Some(answer);
                }
            }
        }
        assert!(engine.take_kept(ids[1]).is_none(), "an adapter's pass is not the model's");
        for i in [0, 2, 3] {
            let answer = answers[i].take().expect("ended");
            let kept = engine.take_kept(ids[i]).expect("kept");
            assert!(engine.take_kept(ids[i]).is_none(), "once");
            // Whole, and cut before its end as an answer that a stop text ended.
            let tokens = &answer.tokens[..answer.tokens.len() - i / 2];
            let example = Example::answer(&requests[i].prompt, tokens);
            let batch = Batch::new(&m.config, [&example]).expect("fits");
            let (mut whole, mut gone_on) = (Bits::default(), Bits::default());
            let mut acts = Activations::default();
            let scale = LossScale::Sum;
            let hooks = &mut Hooks::taps(&mut whole);
            let losses = taps_of(&ctx, &m, &prepared, None, &batch, scale, &mut acts, hooks);
            let hooks = &mut Hooks::taps(&mut gone_on);
            let same = taps_of_kept(&ctx, &m, &prepared, &batch, scale, kept, &mut acts, hooks);
            assert_eq!(same, Some(losses), "{family:?} sequence {i}");
            assert!(!whole.0.is_empty() && whole.0 == gone_on.0, "{family:?} sequence {i}");
        }
    }
}

#[test]
fn what_is_kept_is_bounded_and_serves_its_own_tokens_only() {
    let (ctx, m) = (Ctx::single(), model(Family::Llama));
    let prepared = Arc::new(Prepared::new(&m, Quantisation::None));
    let room = Kept::bytes(&m.config, 10);
    let options = EngineOptions { kept_bytes: 2 * room - 1, ..EngineOptions::default() };
    let mut engine = Engine::with_prepared(ctx, &m, prepared.clone(), options);
    let ended = |engine: &mut Engine<'_>, seed| {
        let id = engine.submit(Request::greedy(prompt(seed, 5), 5)).expect("valid");
        while !engine.is_idle() {
            engine.step().expect("a pass");
        }
        id
    };
    let (first, second) = (ended(&mut engine, 1), ended(&mut engine, 2));
    assert!(engine.take_kept(second).is_none(), "the first has not been taken");
    let kept = engine.take_kept(first).expect("kept");
    let third = ended(&mut engine, 3);
    assert!(engine.take_kept(third).is_none(), "the first is still there");
    drop(kept);
    let fourth = ended(&mut engine, 3);
    engine.cancel(fourth);
    assert!(engine.take_kept(fourth).is_none(), "cancelled");
    let fifth = ended(&mut engine, 3);
    let kept = engine.take_kept(fifth).expect("there is room again");
    let others = Example::answer(&prompt(4, 5), &prompt(5, 3));
    let batch = Batch::new(&m.config, [&others]).expect("fits");
    let (mut acts, hooks) = (Activations::default(), &mut Hooks::none());
    assert!(taps_of_kept(&ctx, &m, &prepared, &batch, LossScale::Sum, kept, &mut acts, hooks).is_none());
}

#[test]
fn int8_answers_do_not_depend_on_their_batch_either() {
    let m = model(Family::Qwen3);
    let ctx = Ctx::detect();
    let requests: Vec<Request> = (0..6).map(|i| Request::greedy(prompt(i, 3 + i as usize), 12)).collect();
    let options = EngineOptions { quantisation: Quantisation::Int8, ..EngineOptions::default() };
    let together = run(ctx, &m, requests.clone(), options);
    for (r, a) in requests.into_iter().zip(together) {
        assert_eq!(run(ctx.with_threads(1), &m, vec![r], options), [a]);
    }
}

#[test]
fn an_answer_ends_at_its_stop_its_end_token_its_limit_or_the_context() {
    let ctx = Ctx::single();
    let mut m = model(Family::Gpt2);
    let base = Request::greedy(prompt(3, 5), 20);
    let free = run(ctx, &m, vec![base.clone()], EngineOptions::default()).remove(0);
    assert_eq!((free.finish, free.tokens.len()), (Finish::Length, 20));
    let stop = free.tokens[4..6].to_vec();
    let first = (0..19).find(|i| free.tokens[*i..i + 2] == stop[..]).expect("it occurs");
    let stopped = Request { stops: vec![stop], ..base.clone() };
    let stopped = run(ctx, &m, vec![stopped], EngineOptions::default()).remove(0);
    assert_eq!((stopped.finish, &stopped.tokens[..]), (Finish::Stop, &free.tokens[..first]));
    let long = Request { tokens_max: 1000, ..base.clone() };
    let long = run(ctx, &m, vec![long], EngineOptions::default()).remove(0);
    assert_eq!((long.finish, long.tokens.len()), (Finish::Context, 60));
    m.config.end_tokens = vec![free.tokens[7]];
    let first = free.tokens.iter().position(|t| *t == free.tokens[7]).expect("it occurs");
    let ended = run(ctx, &m, vec![base], EngineOptions::default()).remove(0);
    assert_eq!((ended.finish, &ended.tokens[..]), (Finish::End, &free.tokens[..first]));
}

#[test]
fn requests_out_of_range_are_refused_with_their_reason() {
    let m = model(Family::Gpt2);
    let mut engine = Engine::new(Ctx::single(), &m, EngineOptions::default());
    let base = Request::greedy(prompt(3, 5), 20);
    for (request, reason) in [
        (Request { prompt: Vec::new(), ..base.clone() }, "empty"),
        (Request { prompt: vec![1; 64], ..base.clone() }, "context"),
        (Request { prompt: vec![41], ..base.clone() }, "vocabulary"),
        (Request { tokens_max: 0, ..base.clone() }, "tokens_max"),
        (Request { stops: vec![Vec::new()], ..base.clone() }, "stop"),
        (Request { logprobs: Some(21), ..base.clone() }, "logprobs"),
        (Request { sampling: Sampling::at(f32::NAN, 0), ..base.clone() }, "temperature"),
        (Request { sampling: Sampling { top_p: 0.0, ..Sampling::greedy() }, ..base.clone() }, "top_p"),
    ] {
        let error = engine.submit(request).expect_err(reason).to_string();
        assert!(error.contains(reason), "{error}");
    }
    assert!(engine.is_idle());
}

#[test]
fn broken_weights_are_reported_and_not_sampled() {
    let mut m = model(Family::Gpt2);
    m.weights.tensor_mut(0)[41] = f32::NAN;
    let mut engine = Engine::new(Ctx::single(), &m, EngineOptions::default());
    engine.submit(Request::greedy(vec![1, 2], 3)).expect("valid");
    assert!(matches!(engine.step(), Err(GenerateError::NonFinite { .. })));
}

#[test]
fn a_norm_whose_squares_overflow_is_reported_in_f32_and_in_int8() {
    for family in Family::ALL {
        for quantisation in [Quantisation::None, Quantisation::Int8] {
            let mut m = model(family);
            // Finite, as are all weights, but its square is not.
            m.weights.tensor_mut(0)[41] = 1e30;
            let options = EngineOptions { quantisation, ..EngineOptions::default() };
            let mut engine = Engine::new(Ctx::single(), &m, options);
            engine.submit(Request::greedy(vec![1, 2], 3)).expect("valid");
            let result = engine.step();
            assert!(matches!(result, Err(GenerateError::NonFinite { .. })), "{family:?} {quantisation:?}");
        }
    }
}

#[test]
fn draws_follow_the_probabilities() {
    let ctx = Ctx::single();
    // Probabilities 1/2, 1/4, 1/8, 1/8 by ln of halves.
    let logits =
        [0.0f32, -std::f32::consts::LN_2, -2.0 * std::f32::consts::LN_2, -2.0 * std::f32::consts::LN_2];
    let mut counts = [0usize; 4];
    for n in 0..4000 {
        counts[sampling::choose(&ctx, &logits, &Sampling::at(1.0, 7), n, None).token as usize] += 1;
    }
    for (count, expected) in counts.into_iter().zip([2000usize, 1000, 500, 500]) {
        assert!(count.abs_diff(expected) < 120, "{counts:?}");
    }
    let narrow = Sampling { top_p: 0.7, ..Sampling::at(1.0, 7) };
    assert!((0..500).all(|n| sampling::choose(&ctx, &logits, &narrow, n, None).token < 2));
    let narrow = Sampling { top_k: 1, ..Sampling::at(5.0, 7) };
    assert!((0..50).all(|n| sampling::choose(&ctx, &logits, &narrow, n, None).token == 0));
}
