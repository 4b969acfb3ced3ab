use super::*;
use crate::{
    Account, Log, Prompt, Request, Sampling,
    fee::{Price, Terms},
    log::{Draft, FileStore, What},
    ngram::{Document, Ngram},
    receipt::AnswerId,
};
use alloy_primitives::{Address, B256};
use primitives::Amount;

const MODEL: B256 = B256::repeat_byte(1);

fn worker() -> Worker {
    let document = |owner, text: &str| Document {
        owner: Address::repeat_byte(owner),
        label: format!("document {owner}"),
        text: text.into(),
    };
    let documents =
        [document(1, "a stitch in time saves nine"), document(2, "time and tide wait for no man")];
    Worker::new(MODEL, "test", Ngram::new(B256::ZERO, &documents))
}

fn entry(stop_after: usize) -> Entry {
    let request = Request {
        prompt: Prompt::Text("time ".into()),
        sampling: Sampling { seed: 7, ..Sampling::default() },
    };
    let worker = worker();
    let prepared = worker.prepare(request, true).unwrap();
    let price = Price { rate_in: Amount(1000), rate_out: Amount(100_000), platform_fee: Amount(10) };
    let mut seen = 0;
    let mut sink = |text: &str| {
        seen += text.len();
        if seen < stop_after { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    let terms = Terms::Metered { price, most: Amount(u128::MAX) };
    let answer =
        worker.answer(AnswerId([1; 16]), B256::repeat_byte(3), &prepared, &terms, &mut sink).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let store = FileStore::open(&folder.path().join("log")).unwrap();
    let account = Account::from_bytes(&[5; 32]).unwrap();
    let (mut log, _) = Log::open(Box::new(store), account, MODEL, |_| {}).unwrap();
    let what = What::Answer(Box::new(answer));
    let draft = Draft { what, payer: Address::ZERO, note: Vec::new(), time_ms: 1 };
    log.append(vec![draft]).unwrap().remove(0)
}

#[test]
fn an_answer_is_run_again_to_the_bit() {
    let entry = entry(usize::MAX);
    let replayed = replay(&worker(), &entry).unwrap();
    assert_eq!(replayed.tokens, entry.output.tokens.len());
    assert!(replayed.units > 0);
}

#[test]
fn an_answer_that_was_left_early_is_the_start_of_its_replay() {
    let entry = entry(4);
    assert_eq!(entry.output.finish, Finish::Cancelled);
    assert_eq!(replay(&worker(), &entry).unwrap().tokens, 4);
}

#[test]
fn what_was_kept_must_open_the_receipt_and_come_out_the_same() {
    let good = entry(usize::MAX);
    let with = |change: fn(&mut Entry)| {
        let mut entry = good.clone();
        change(&mut entry);
        replay(&worker(), &entry).unwrap_err()
    };
    assert_eq!(with(|e| e.request.sampling.seed += 1), ReplayError::Opening("prompt"));
    assert_eq!(with(|e| e.output.tokens[0] ^= 1), ReplayError::Opening("output"));
    assert_eq!(with(|e| e.salt.0[0] ^= 1), ReplayError::Opening("prompt"));
    // An operator that signs what its model did not say.
    let signed_wrong = with(|e| {
        e.output.tokens[0] ^= 1;
        e.signed.receipt.output = commit_output(&output_salt(&e.salt), &e.output);
    });
    assert!(
        matches!(signed_wrong, ReplayError::Differs { what: "the answer's tokens", .. }),
        "{signed_wrong}"
    );
    let paid = with(|e| e.signed.receipt.paid.0 += 1);
    assert!(matches!(paid, ReplayError::Differs { what: "what contributors are paid", .. }), "{paid}");
    let root = with(|e| e.signed.receipt.attribution.0[0] ^= 1);
    assert!(matches!(root, ReplayError::Differs { what: "the attribution's root", .. }), "{root}");
    assert_eq!(with(|e| e.signed.receipt.op_set = 0), ReplayError::NotReproducible);
    assert_eq!(with(|e| e.signed.receipt.model.0[0] ^= 1), ReplayError::OtherModel);
}
