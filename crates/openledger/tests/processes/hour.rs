//! A random hour, compressed: users ask while the operator and the node are killed at any moment and started again. At the end every
//! unit of every fee is found again, every answer that a user holds is settled exactly once, and each verifies.
//!
//! Kills at every write and sync of the receipt log, one by one, are `compute::log`'s tests; here whole processes die between and inside
//! them. `OPENLEDGER_HOUR_ROUNDS` makes the hour longer, `OPENLEDGER_HOUR_SEED` another one.

use crate::harness::World;
use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_sol_types::{SolCall, SolEvent};
use interfaces::{
    addresses::{self, CHANNELS, SETTLEMENT, TOKEN},
    channels::IChannels,
    settlement::ISettlement,
    token::IToken,
};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    process::Stdio,
    time::Duration,
};

const ROUNDS: u64 = 6;
const SEED: u64 = 20_261_121;
const USERS: [&str; 2] = ["alice", "bob"];

/// SplitMix64.
struct Chance(u64);

impl Chance {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % most
    }
}

fn from_environment(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

/// An answer that a user holds.
struct Held {
    file: String,
    receipt: B256,
    fee: u128,
}

fn units(value: &Value) -> u128 {
    value.as_str().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("no amount: {value}"))
}

fn view<C: SolCall>(world: &World, to: Address, call: &C) -> C::Return {
    let data = Bytes::from(call.abi_encode());
    let reply = world.rpc_call("eth_call", json!([{ "to": to, "data": data }, "latest"]));
    let output: Bytes = serde_json::from_value(reply).expect("a view answers");
    C::abi_decode_returns(&output).expect("as its interface says")
}

/// All receipts of all batches at hand, and the batches.
fn batches(world: &World) -> (Vec<Value>, Vec<Value>) {
    let list = world.get("/v1/batches")["data"].as_array().cloned().unwrap_or_default();
    let mut receipts = Vec::new();
    for batch in &list {
        let mut from = 0;
        loop {
            let page =
                world.get(&format!("/v1/batches/{}?from={from}", batch["id"].as_str().expect("an id")));
            receipts.extend(page["receipts"].as_array().expect("receipts").iter().cloned());
            match page["next"].as_u64() {
                Some(next) => from = next,
                None => break,
            }
        }
    }
    (list, receipts)
}

#[test]
fn a_random_hour_of_asks_and_kills_loses_and_doubles_nothing() {
    let rounds = from_environment("OPENLEDGER_HOUR_ROUNDS", ROUNDS);
    let seed = from_environment("OPENLEDGER_HOUR_SEED", SEED);
    let mut chance = Chance(seed);
    let mut world = World::new();
    world.start_node();
    for name in ["operator", "alice", "bob"] {
        world.run(&["wallet", "new", name]);
    }
    world.run(&["wallet", "send", "operator", "20000", "--from", "reserve"]);
    for user in USERS {
        world.run(&["wallet", "send", user, "100", "--from", "reserve"]);
    }
    world.start_operator();
    std::fs::create_dir_all(world.path("held")).expect("a folder");

    let mut held = Vec::new();
    for round in 0..rounds {
        let mut asking = Vec::new();
        for number in 0..1 + chance.below(3) {
            let file = world.path(&format!("held/{round}-{number}.json")).display().to_string();
            let user = USERS[chance.below(2) as usize];
            let question = ["Always keep the soil near", "The tide", "When the dough changes"];
            let mut ask = world.command();
            ask.args(["--json", "ask", question[chance.below(3) as usize], "--from", user, "--save", &file]);
            ask.args(["--max-tokens", &(1 + chance.below(40)).to_string(), "--seed", &round.to_string()]);
            let child = ask.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the binary runs");
            asking.push((child, file));
        }
        // Somewhere inside of the answers, or after them.
        let (killed, moment) = (chance.below(4), Duration::from_millis(chance.below(700)));
        std::thread::sleep(moment);
        match killed {
            0 => world.kill_operator(),
            1 => world.kill_node(),
            2 => {
                world.kill_operator();
                world.kill_node();
            }
            _ => {}
        }
        for (child, file) in asking {
            let output = child.wait_with_output().expect("ends");
            let Ok(body) = serde_json::from_slice::<Value>(&output.stdout) else { continue };
            let owed = &body["openledger"];
            if let Some(receipt) = owed["receipt"].as_str() {
                held.push(Held { file, receipt: receipt.parse().expect("a hash"), fee: units(&owed["fee"]) });
            }
        }
        if killed == 1 || killed == 2 {
            world.start_node();
        }
        if killed == 0 || killed == 2 {
            world.start_operator();
        }
    }
    // At least one answer came through, whatever died.
    let file = world.path("held/last.json").display().to_string();
    let body = world.json(&["ask", "The tide", "--from", "alice", "--save", &file]);
    let owed = &body["openledger"];
    let receipt = owed["receipt"].as_str().expect("a receipt").parse().expect("a hash");
    held.push(Held { file, receipt, fee: units(&owed["fee"]) });

    let model: B256 = owed["model"].as_str().expect("a model").parse().expect("a hash");
    let operator: Address = owed["operator"].as_str().expect("an operator").parse().expect("an address");
    world.wait("payment of all batches", || {
        let (list, receipts) = batches(&world);
        let settled: BTreeSet<&str> = receipts.iter().filter_map(|r| r["digest"].as_str()).collect();
        list.iter().all(|batch| batch["paid"] == true)
            && held.iter().all(|answer| settled.contains(answer.receipt.to_string().as_str()))
    });
    settled_exactly_once(&world, &held);
    every_fee_is_found(&world, operator, model);
    every_unit_is_somewhere(&world);
    for answer in &held {
        let path = std::path::Path::new(&answer.file);
        // An operator that died before the file was whole leaves the answer's id.
        if path.is_file() {
            let report = world.json(&["verify", &answer.file]);
            assert_eq!(report["verified"], true, "seed {seed}, {}: {report}", answer.file);
        }
    }
}

fn settled_exactly_once(world: &World, held: &[Held]) {
    let (_, receipts) = batches(world);
    let mut by_digest = BTreeMap::<String, Vec<u128>>::new();
    let mut sequences = BTreeSet::new();
    for receipt in &receipts {
        let digest = receipt["digest"].as_str().expect("a digest").to_string();
        by_digest.entry(digest).or_default().push(units(&receipt["fee"]));
        assert!(
            sequences.insert(receipt["sequence"].as_u64().expect("a number")),
            "a number twice: {receipt}"
        );
    }
    assert_eq!(sequences.last().map(|last| last + 1), Some(sequences.len() as u64), "numbers are dense");
    for answer in held {
        let fees = by_digest.get(&answer.receipt.to_string());
        assert_eq!(fees, Some(&vec![answer.fee]), "{} is settled once, at its fee", answer.file);
    }
}

/// What payers were charged is what the batches account for, and each batch's parts are its fees.
fn every_fee_is_found(world: &World, operator: Address, model: B256) {
    let (list, receipts) = batches(world);
    let of_receipts: u128 = receipts.iter().map(|receipt| units(&receipt["fee"])).sum();
    let of_batches: u128 = list.iter().map(|batch| units(&batch["fees"])).sum();
    assert_eq!(of_receipts, of_batches);
    let escrow = addresses::escrow(operator, model);
    let receiver = view(world, CHANNELS, &IChannels::receiversCall { receiver: escrow, token: TOKEN });
    assert_eq!(receiver.totalClaimed, of_batches, "vouchers redeemed");
    assert_eq!(receiver.totalSettled, of_batches, "paid into the escrow");
    for batch in &list {
        let id: B256 = batch["id"].as_str().expect("an id").parse().expect("a hash");
        let record = view(world, SETTLEMENT, &ISettlement::batchCall { id });
        assert_eq!(record.claimed, record.batch.payoutTotal, "every leaf is claimed");
        let topics = json!([ISettlement::BatchFinalised::SIGNATURE_HASH, id]);
        let filter = json!([{ "address": SETTLEMENT, "fromBlock": "earliest", "toBlock": "latest", "topics": topics }]);
        let logs = world.rpc_call("eth_getLogs", filter);
        let logs = logs.as_array().expect("logs");
        assert_eq!(logs.len(), 1, "finalised once");
        let topics: Vec<B256> = serde_json::from_value(logs[0]["topics"].clone()).expect("topics");
        let data: Bytes = serde_json::from_value(logs[0]["data"].clone()).expect("data");
        let split = ISettlement::BatchFinalised::decode_raw_log(topics, &data).expect("an event");
        let parts = [
            split.data,
            split.developer,
            split.operator,
            split.auditors,
            split.validators,
            split.treasury,
            split.burned,
        ];
        assert_eq!(parts.into_iter().sum::<U256>(), record.batch.fees, "the parts are the fees");
    }
}

/// Invariant 1: all balances are what is left of the supply.
fn every_unit_is_somewhere(world: &World) {
    let genesis = std::fs::read(world.demo().join("node/genesis.json")).expect("the genesis");
    let genesis: Value = serde_json::from_slice(&genesis).expect("JSON");
    let mut accounts: BTreeSet<Address> = addresses::ALL.into_iter().collect();
    let allocations = genesis["allocations"].as_object().expect("allocations");
    accounts.extend(allocations.keys().map(|account| account.parse::<Address>().expect("an address")));
    let validators = genesis["validators"].as_array().expect("validators");
    accounts.extend(
        validators.iter().map(|v| v["account"].as_str().expect("an account").parse::<Address>().expect("it")),
    );
    let filter = json!([{
        "address": TOKEN, "fromBlock": "earliest", "toBlock": "latest", "topics": [IToken::Transfer::SIGNATURE_HASH],
    }]);
    for log in world.rpc_call("eth_getLogs", filter).as_array().expect("transfers") {
        let topics: Vec<B256> = serde_json::from_value(log["topics"].clone()).expect("topics");
        accounts.extend(topics[1..3].iter().map(|topic| Address::from_word(*topic)));
    }
    accounts.remove(&Address::ZERO);
    // No transaction runs any more; blocks alone move nothing but the validators' pay, and that inside of the sum.
    let held: U256 = accounts
        .iter()
        .map(|account| {
            let reply = world.rpc_call("eth_getBalance", json!([account, "latest"]));
            serde_json::from_value::<U256>(reply).expect("a balance")
        })
        .sum();
    assert_eq!(held, view(world, TOKEN, &IToken::totalSupplyCall {}), "every unit is on some account");
}
