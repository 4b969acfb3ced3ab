//! 1,000, 10,000 and 100,000 receipts over 1,000 contributors: seconds to settle and to pay, and what the ledger holds of it.

use crate::{
    scene::{Scene, send},
    transformer::{self, owner},
};
use alloy_primitives::{B256, U256};
use alloy_sol_types::SolCall;
use attribution::shares::{NOVELTY_ONE, Rule};
use compute::{
    Answer, AnswerId, Attributed, Finish, Log, Prompt, Request, Sampling, Usage,
    engine::{Scores, Unit},
    log::{Draft, FileStore, What},
    receipt::Output,
};
use gateway::{server::log_path, settlement};
use interfaces::{addresses, settlement::ISettlement, token::IToken};
use primitives::Amount;
use std::time::Instant;

const CONTRIBUTORS: u32 = 1_000;
const FEE: Amount = Amount(1_000_000_000_000_000);
/// Units that an answer owes.
const OWED: usize = 8;

pub async fn run() {
    for receipts in [1_000u64, 10_000, 100_000] {
        one(receipts).await;
    }
}

async fn one(receipts: u64) {
    let scene = Scene::new();
    write(&scene, receipts);
    let gateway = scene.serve().await;
    let served = gateway.app().model_by_id(scene.model).expect("served");
    let escrow = addresses::escrow(scene.operator.address(), scene.model);
    let value = U256::from(FEE.0) * U256::from(receipts);
    send(&scene, &scene.payer, addresses::TOKEN, &IToken::transferCall { to: escrow, value });
    let words = scene.book.state().words.len();
    let started = Instant::now();
    let posted = gateway.settle().await.expect("settled");
    let settled = started.elapsed().as_secs_f64();
    let held = scene.book.state().words.len() - words;
    let call = ISettlement::postCall { batch: posted[0].built.batch.clone() }.abi_encode().len();
    scene.book.state().advance(10_000);
    let started = Instant::now();
    settlement::pay_out(gateway.app(), &served).await.expect("paid");
    let paid = started.elapsed().as_secs_f64();
    println!(
        r#"{{"what":"settlement","receipts":{receipts},"contributors":{CONTRIBUTORS},"settle_s":{settled:.2},"leaves":{},"pay_s":{paid:.2},"post_bytes":{call},"words_of_32_bytes":{held}}}"#,
        posted[0].built.batch.payoutCount
    );
    gateway.shutdown().await;
}

fn write(scene: &Scene, receipts: u64) {
    std::fs::create_dir_all(scene.data_dir()).expect("a folder");
    let store = FileStore::open(&log_path(&scene.data_dir(), scene.model)).expect("a log");
    let (mut log, _) =
        Log::open(Box::new(store), scene.operator.clone(), scene.model, |_| {}).expect("a log");
    let units: Vec<Unit> = (0..CONTRIBUTORS)
        .map(|number| Unit {
            datanet: B256::ZERO,
            item: B256::ZERO,
            owner: owner(number),
            tokens: 256,
            novelty: NOVELTY_ONE,
            label: String::new(),
        })
        .collect();
    let rule = Rule { scale_bits: 20, floor: 1, cap: 1 << 40, unit_tokens: 256 };
    let cache = transformer::worker(scene.model).attributor.cache_root();
    let mut drafts = Vec::new();
    for sequence in 0..receipts {
        let mut scores = vec![0.0; units.len()];
        for owed in 0..OWED {
            scores[(sequence as usize * OWED + owed) % units.len()] = 1.0;
        }
        let scores = Scores { units: scores, spans: Vec::new() };
        let attributed =
            Attributed::divide(cache, rule, &units, &scores, Amount(FEE.0 * 4 / 10)).expect("divided");
        let mut id = [0; 16];
        id[8..].copy_from_slice(&sequence.to_be_bytes());
        let answer = Answer {
            id: AnswerId(id),
            salt: B256::ZERO,
            request: Request { prompt: Prompt::Tokens(vec![1; 32]), sampling: Sampling::default() },
            output: Output { tokens: vec![1; 64], text: "x".repeat(200), finish: Finish::Length },
            usage: Usage { prompt_tokens: 32, completion_tokens: 64 },
            fee: FEE,
            attributed,
            op_set: 1,
        };
        let what = What::Answer(Box::new(answer));
        drafts.push(Draft { what, payer: scene.payer.address(), note: Vec::new(), time_ms: 1 });
        if drafts.len() == 64 || sequence + 1 == receipts {
            log.append(std::mem::take(&mut drafts)).expect("written");
        }
    }
}
