use super::*;
use crate::{
    Account, AnswerId, Log, Prompt, Sampling, Worker,
    batch::{Accounted, SettlementBatch, build},
    fee::{Price, Terms},
    log::{Draft, Entry, FileStore, What},
    ngram::{Document, Ngram},
    receipt::{SignedReceipt, output_salt},
};
use alloy_primitives::U256;
use std::ops::ControlFlow;

const MODEL: B256 = B256::repeat_byte(1);

struct Ledger {
    batch: SettlementBatch,
    operator: Address,
    cache: B256,
}

impl Anchors for Ledger {
    fn batch(&self, id: B256) -> Result<Option<ISettlement::Record>, String> {
        let ours = batch_id(self.operator, MODEL, self.batch.batch.epoch) == id;
        Ok(ours.then(|| ISettlement::Record {
            status: ISettlement::Status::Posted,
            operator: self.operator,
            batch: self.batch.batch.clone(),
            bond: U256::ZERO,
            postedAt: 0,
            finaliseAt: 0,
            finalisedAt: 0,
            claimed: U256::ZERO,
        }))
    }

    fn model(&self, id: B256) -> Result<Option<IModels::Model>, String> {
        let zero = U256::ZERO;
        let cache = IModels::Cache { root: self.cache, curvature: B256::ZERO, floor: 0, cap: 0, damping: 0 };
        Ok((id == MODEL).then(|| IModels::Model {
            status: IModels::Status::Ready,
            developer: Address::ZERO,
            manifest: B256::ZERO,
            base: B256::ZERO,
            baseShareBps: 0,
            uses: 0,
            registeredAt: 0,
            finalRoot: B256::ZERO,
            cache,
            rates: IModels::Rates { rateIn: zero, rateOut: zero, platformFee: zero },
            licence: String::new(),
            name: "test".into(),
        }))
    }

    fn data_share_bps(&self) -> Result<u16, String> {
        Ok(4_000)
    }
}

/// Three answers, settled; the bundle of the second.
fn settled() -> (Bundle, Ledger) {
    let document = |owner, text: &str| Document {
        owner: Address::repeat_byte(owner),
        label: format!("document {owner}"),
        text: text.into(),
    };
    let documents =
        [document(1, "a stitch in time saves nine"), document(2, "time and tide wait for no man")];
    let worker = Worker::new(MODEL, "test", Ngram::new(B256::ZERO, &documents));
    let account = Account::from_bytes(&[5; 32]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let store = FileStore::open(&folder.path().join("log")).unwrap();
    let (mut log, _) = Log::open(Box::new(store), account.clone(), MODEL, |_| {}).unwrap();
    let price = Price { rate_in: Amount(1_000), rate_out: Amount(1_000_000), platform_fee: Amount(10) };
    let mut kept = None;
    for number in 0..3u8 {
        let request = Request {
            prompt: Prompt::Text("time ".into()),
            sampling: Sampling { seed: number.into(), ..Sampling::default() },
        };
        let prepared = worker.prepare(request, true).unwrap();
        let terms = Terms::Metered { price, most: Amount(u128::MAX) };
        let salt = B256::repeat_byte(number);
        let mut sink = |_: &str| ControlFlow::Continue(());
        let answer = worker.answer(AnswerId([number; 16]), salt, &prepared, &terms, &mut sink).unwrap();
        if number == 1 {
            kept = Some(answer.attributed.clone());
        }
        let what = What::Answer(Box::new(answer));
        log.append(vec![Draft { what, payer: Address::ZERO, note: Vec::new(), time_ms: 1 }]).unwrap();
    }
    let entries: Vec<Entry> = (0..3).map(|at| log.entry(at).unwrap().unwrap()).collect();
    let receipts: Vec<Accounted> = entries.iter().map(Accounted::from).collect();
    let batch = build(MODEL, 1, &receipts, log.fees(0..3), 4_000).unwrap();
    let Entry { signed, salt, request, output, .. } = entries[1].clone();
    let attribution = kept.unwrap();
    let bundle = Bundle {
        receipt: signed,
        prompt: Some(OpenedPrompt { salt, request }),
        output: Some(OpenedOutput { salt: output_salt(&salt), output }),
        settlement: Some(Inclusion { epoch: 1, proof: batch.prove_receipt(1).unwrap() }),
        attribution: Some(attribution.clone()),
    };
    (bundle, Ledger { batch, operator: account.address(), cache: attribution.cache })
}

fn broken(links: &[Link]) -> Vec<&str> {
    links.iter().filter(|link| link.state == State::Broken).map(|link| link.name.as_str()).collect()
}

#[test]
fn every_link_of_a_settled_answer_holds() {
    let (bundle, ledger) = settled();
    let links = check(&bundle, &ledger);
    assert!(links.iter().all(|link| link.state == State::Holds), "{links:#?}");
    assert!(holds(&links));
    let json = serde_json::to_string(&bundle).unwrap();
    assert_eq!(
        check(&serde_json::from_str(&json).unwrap(), &ledger),
        links,
        "a saved answer checks the same"
    );
}

#[test]
fn what_is_not_handed_over_is_open_and_not_broken() {
    let (bundle, ledger) = settled();
    let bare = Bundle { prompt: None, output: None, attribution: None, settlement: None, ..bundle };
    let links = check(&bare, &ledger);
    assert!(holds(&links));
    let open: Vec<_> = links.iter().filter(|l| l.state == State::Open).map(|l| l.name.as_str()).collect();
    assert_eq!(open, ["prompt", "output", "attribution root", "shares", "receipt in batch", "batch"]);
}

#[test]
fn what_is_false_is_found_and_named() {
    let (good, ledger) = settled();
    fn attribution(bundle: &mut Bundle) -> &mut Attributed {
        bundle.attribution.as_mut().unwrap()
    }
    let cases: [(fn(&mut Bundle), &[&str]); 8] = [
        (|b| b.receipt.receipt.fee.0 += 1000, &["receipt signature", "fee", "receipt in batch"]),
        (|b| b.prompt.as_mut().unwrap().request.sampling.seed += 1, &["prompt"]),
        (|b| b.output.as_mut().unwrap().output.text.push('!'), &["output"]),
        (|b| attribution(b).units[0].pay.0 += 1, &["attribution root", "shares"]),
        (|b| attribution(b).units[0].score += 0.25, &["attribution root", "shares"]),
        (|b| attribution(b).cache.0[0] ^= 1, &["attribution root", "model"]),
        (|b| b.settlement.as_mut().unwrap().proof.path[0].0[0] ^= 1, &["receipt in batch"]),
        (|b| b.settlement.as_mut().unwrap().epoch = 2, &["receipt in batch", "batch"]),
    ];
    for (change, expected) in cases {
        let mut bundle = good.clone();
        change(&mut bundle);
        assert_eq!(broken(&check(&bundle, &ledger)), expected);
    }
    let other = Account::from_bytes(&[6; 32]).unwrap();
    let forged =
        SignedReceipt { signature: other.sign(&good.receipt.receipt.digest()), ..good.receipt.clone() };
    assert_eq!(broken(&check(&Bundle { receipt: forged, ..good }, &ledger)), ["receipt signature"]);
}

#[test]
fn why_names_every_unit_that_a_contributor_is_paid_for() {
    let (bundle, _) = settled();
    let attributed = bundle.attribution.unwrap();
    let account = attributed.contributors()[0].account;
    let text = why(&attributed, account);
    let units = attributed.units.iter().filter(|unit| unit.of.owner == account).count();
    assert_eq!(text.lines().count(), 1 + units);
    assert!(text.contains(&account.to_string()) && text.contains("document"));
}
