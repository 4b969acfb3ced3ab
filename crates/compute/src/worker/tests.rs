use super::*;
use crate::{
    fee::Price,
    ngram::{Document, Ngram},
    request::{Finish, Message, Role, Sampling},
};
use alloy_primitives::Address;

fn worker() -> Worker {
    let document = |owner, text: &str| Document {
        owner: Address::repeat_byte(owner),
        label: format!("document {owner}"),
        text: text.into(),
    };
    let documents = [
        document(1, "the quick brown fox jumps over the lazy dog"),
        document(2, "lorem ipsum dolor sit amet"),
    ];
    Worker::new(B256::repeat_byte(1), "test", Ngram::new(B256::ZERO, &documents))
}

fn request(prompt: &str) -> Request {
    Request {
        prompt: Prompt::Text(prompt.into()),
        sampling: Sampling { temperature: 0.0, ..Sampling::default() },
    }
}

fn terms() -> Terms {
    let price = Price { rate_in: Amount(1_000_000), rate_out: Amount(2_000_000), platform_fee: Amount(100) };
    Terms::Metered { price, most: Amount(u128::MAX) }
}

fn ask(worker: &Worker, request: Request, sink: &mut dyn Sink) -> Answer {
    let prepared = worker.prepare(request, false).unwrap();
    worker.answer(AnswerId([1; 16]), B256::repeat_byte(2), &prepared, &terms(), sink).unwrap()
}

#[test]
fn what_streams_is_the_answer_and_its_fee_is_by_use() {
    let mut streamed = String::new();
    let answer = ask(&worker(), request("lorem ip"), &mut |text: &str| {
        streamed.push_str(text);
        ControlFlow::Continue(())
    });
    assert_eq!(streamed, "sum dolor sit amet");
    assert_eq!((answer.output.text.as_str(), answer.output.finish), ("sum dolor sit amet", Finish::Stop));
    assert_eq!(answer.usage, Usage { prompt_tokens: 8, completion_tokens: 18 });
    assert_eq!(answer.fee, Amount(8 * 1000 + 18 * 2000 + 100));
    let contributors = answer.attributed.contributors();
    assert_eq!(contributors[0].account, Address::repeat_byte(2));
    assert_eq!(answer.attributed.paid().0 + answer.attributed.treasury.0, answer.fee.0 * 4 / 10);
    let spans = &answer.attributed.spans;
    assert_eq!(spans.first().map(|span| span.bytes), Some([0, 18]));
}

#[test]
fn a_stop_text_ends_the_answer_before_it() {
    let mut stopping = request("lorem ip");
    stopping.sampling.stop = vec![" sit".into()];
    let answer = ask(&worker(), stopping, &mut |_: &str| ControlFlow::Continue(()));
    assert_eq!((answer.output.text.as_str(), answer.output.finish), ("sum dolor", Finish::Stop));
}

#[test]
fn a_client_that_leaves_pays_for_what_it_was_sent() {
    let mut streamed = String::new();
    let answer = ask(&worker(), request("lorem ip"), &mut |text: &str| {
        streamed.push_str(text);
        if streamed.len() < 5 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    assert_eq!((answer.output.text.as_str(), answer.output.finish), ("sum d", Finish::Cancelled));
    assert_eq!(answer.usage.completion_tokens, 5);
}

#[test]
fn the_same_request_gets_the_same_answer_and_attribution() {
    let mut drawn = request("the ");
    drawn.sampling.temperature = 1.0;
    let once = ask(&worker(), drawn.clone(), &mut |_: &str| ControlFlow::Continue(()));
    let again = ask(&worker(), drawn, &mut |_: &str| ControlFlow::Continue(()));
    assert_eq!(once, again);
}

#[test]
fn a_request_past_the_context_is_refused_or_fitted() {
    let mut long = request(&"x".repeat(4090));
    long.sampling.max_tokens = 7;
    let refused = worker().prepare(long.clone(), false).unwrap_err();
    assert!(matches!(refused, AnswerError::Engine(EngineError::PastContext { .. })), "{refused}");
    assert_eq!(worker().prepare(long, true).unwrap().request.sampling.max_tokens, 6);
    assert!(worker().prepare(request(&"x".repeat(4096)), true).is_err());
}

#[test]
fn unknown_tokens_and_empty_prompts_are_refused() {
    let mut tokens = request("x");
    tokens.prompt = Prompt::Tokens(vec![70_000]);
    assert!(matches!(worker().prepare(tokens, true), Err(AnswerError::Engine(EngineError::Refused(_)))));
    let conversation = Prompt::Messages(vec![Message { role: Role::User, content: String::new() }]);
    let mut empty = request("x");
    empty.prompt = conversation;
    assert_eq!(worker().prepare(empty, true), Err(AnswerError::Request(RequestError::Empty)));
}
