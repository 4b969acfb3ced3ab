//! The state database at 10^4, 10^5 and 10^6 accounts: proof of a word, its verification, and a block of 1,000 transfers
//! between accounts drawn at random (execution, new root, and the write to disk).
//!
//! `cargo bench -p chain --bench state`. The accounts lie in a temporary directory under the system's one.

use alloy_primitives::{Address, B256, U256, keccak256};
use chain::{
    engine::{database_config, page_cache},
    state::{Databases, StateReader as _, Word, WordProof, to_fixed},
};
use commonware_cryptography::Sha256;
use commonware_glue::stateful::db::{DatabaseSet as _, Merkleized as _, Unmerkleized as _};
use commonware_runtime::{Runner as _, Supervisor as _, tokio as runtime};
use commonware_storage::qmdb::any::value::FixedEncoding;
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use ledger::{BlockEnv, Misses, State, Transaction, account::account_slot};
use std::time::{Duration, Instant};

type Database = Databases<runtime::Context>;

const TRANSFERS: u64 = 1_000;
/// Accounts of one batch while the state is built.
const STEP: u64 = 50_000;

fn address(index: u64) -> Address {
    Address::from_slice(&keccak256(index.to_le_bytes())[12..])
}

/// A number below `limit` that `seed` fixes.
fn draw(seed: u64, limit: u64) -> u64 {
    let hash = keccak256([b"draw".as_slice(), &seed.to_le_bytes()].concat());
    u64::from_le_bytes(hash[..8].try_into().expect("eight bytes")) % limit
}

async fn apply(database: &Database, words: impl Iterator<Item = (B256, B256)>) {
    let mut batch = database.new_batches().await;
    for (slot, word) in words {
        batch = batch.write(to_fixed(&slot), Some(to_fixed(&word)));
    }
    let sealed = batch.merkleize().await.expect("the database is readable");
    std::hint::black_box(sealed.root());
    database.apply(sealed).await;
    database.finalize().await.durable().await;
}

/// A database with `count` accounts of 10^18 units each.
async fn accounts(context: &runtime::Context, count: u64) -> Database {
    let config = database_config("bench", page_cache());
    let database = Database::init(context.child("state"), config, None).await;
    let word = ledger::account::Account { balance: primitives::Amount::open(1), nonce: 0 }.to_word();
    for start in (0..count).step_by(STEP as usize) {
        let end = (start + STEP).min(count);
        apply(&database, (start..end).map(|index| (account_slot(address(index)), word))).await;
    }
    database
}

fn environment(number: u64) -> BlockEnv {
    BlockEnv {
        chain_id: 31_337,
        number,
        timestamp_ms: 1_000 * number,
        parent_hash: B256::ZERO,
        base_fee: 1,
        proposer: Address::repeat_byte(0xfe),
        signers: vec![Address::repeat_byte(0xfe)],
        gas_limit: 200_000_000,
    }
}

/// Executes and writes one block; the time is the whole of it.
async fn block(database: &Database, number: u64, count: u64) -> Duration {
    let transfers: Vec<Transaction> = (0..TRANSFERS)
        .map(|index| Transaction {
            hash: B256::ZERO,
            sender: address(draw(2 * (number * TRANSFERS + index), count)),
            to: address(draw(2 * (number * TRANSFERS + index) + 1, count)),
            nonce: 0,
            value: U256::from(1),
            data: Default::default(),
            gas_limit: 21_000,
            max_fee: 1,
            max_priority_fee: 0,
        })
        .collect();
    let started = Instant::now();
    let (mut state, env) = (State::new(), environment(number));
    let slots: Vec<B256> = transfers
        .iter()
        .flat_map(|transfer| [account_slot(transfer.sender), account_slot(transfer.to)])
        .collect();
    let (_, words) = database.words(&slots).await.expect("the database is readable");
    slots.into_iter().zip(words).for_each(|(slot, word)| state.provide(slot, word));
    for mut transfer in transfers {
        loop {
            match ledger::execute(&mut state, &env, &transfer) {
                Ok(Ok(_)) => break,
                Ok(Err(ledger::Invalid::NonceTooLow { expected, .. })) => transfer.nonce = expected,
                Ok(Err(invalid)) => panic!("{invalid}"),
                Err(Misses(missed)) => {
                    let (_, words) = database.words(&missed).await.expect("the database is readable");
                    missed.into_iter().zip(words).for_each(|(slot, word)| state.provide(slot, word));
                }
            }
        }
    }
    apply(database, state.writes().map(|(slot, word)| (*slot, *word))).await;
    started.elapsed()
}

fn measure(criterion: &mut Criterion, database: &Database, count: u64) {
    let handle = tokio::runtime::Handle::current();
    let mut group = criterion.benchmark_group("state");
    group.sample_size(20).warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(3));
    let mut drawn = 0;
    group.bench_function(BenchmarkId::new("prove a word", count), |bencher| {
        bencher.iter(|| {
            drawn += 1;
            let slot = account_slot(address(draw(drawn, count)));
            handle.block_on(database.prove(slot)).expect("the database is readable")
        });
    });
    let slot = account_slot(address(1));
    let proven = handle.block_on(database.prove(slot)).expect("the database is readable");
    let WordProof::Inclusion(proof) = &proven.proof else { panic!("the account exists") };
    let (key, word) = (to_fixed(&slot), to_fixed(&proven.word));
    group.bench_function(BenchmarkId::new("verify a word", count), |bencher| {
        bencher.iter(|| {
            proof.verify::<Sha256, FixedEncoding<Word>>(key.clone(), word.clone(), &proven.state_root)
        });
    });
    let mut number = 1;
    group.bench_function(BenchmarkId::new("block of 1,000 transfers", count), |bencher| {
        bencher.iter_custom(|rounds| {
            let mut spent = Duration::ZERO;
            for _ in 0..rounds {
                number += 1;
                spent += handle.block_on(block(database, number, count));
            }
            spent
        });
    });
    group.finish();
}

fn state(criterion: &mut Criterion) {
    for count in [10_000u64, 100_000, 1_000_000] {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let config = runtime::Config::new().with_storage_directory(directory.path());
        let criterion = &mut *criterion;
        runtime::Runner::new(config).start(|context| async move {
            let database = accounts(&context, count).await;
            // Criterion is synchronous: it blocks one of the runtime's threads.
            tokio::task::block_in_place(|| measure(criterion, &database, count));
        });
    }
}

criterion_group!(benches, state);
criterion_main!(benches);
