//! A steady load, and how long it takes until its blocks are final.

use crate::{
    Failure,
    connection::{Connection, Subscription, number},
    signing::Account,
    throughput::fund,
};
use alloy_primitives::{Address, U256};
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

const ACCOUNTS: u64 = 100;

fn now_ms() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64() * 1_000.0)
}

/// Arrival in milliseconds of each block by height.
fn observe(host: &str, done: Arc<AtomicBool>) -> Result<HashMap<u64, f64>, Failure> {
    let mut subscription = Subscription::heads(host)?;
    let mut arrivals = HashMap::new();
    while !done.load(Ordering::Relaxed) {
        let head = subscription.next()?;
        arrivals.insert(number(&head["number"])?, now_ms());
    }
    Ok(arrivals)
}

fn percentiles(name: &str, mut values: Vec<f64>) -> String {
    values.sort_by(f64::total_cmp);
    let at = |share: f64| values.get((values.len() as f64 * share) as usize).copied().unwrap_or(f64::NAN);
    format!(
        "{name}: p50 {:.0} ms, p90 {:.0} ms, p99 {:.0} ms ({})\n",
        at(0.5),
        at(0.9),
        at(0.99),
        values.len()
    )
}

/// Runs and reports.
pub fn run(seconds: u64, rate: u64, hosts: &[String]) -> Result<String, Failure> {
    let accounts = (0..ACCOUNTS).map(Account::new).collect::<Result<Vec<_>, _>>()?;
    fund(&hosts[0], &accounts)?;
    let mut connections = hosts.iter().map(|host| Connection::open(host)).collect::<Result<Vec<_>, _>>()?;
    let chain_id = connections[0].chain_id()?;
    let mut transfers = Vec::new();
    let each = (seconds * rate).div_ceil(ACCOUNTS);
    for account in &accounts {
        let first = connections[0].nonce(account.address)?;
        let own = (first..first + each)
            .map(|nonce| account.transfer(chain_id, nonce, Address::repeat_byte(0x42), U256::from(1)));
        transfers.push(own.collect::<Result<Vec<_>, _>>()?);
    }
    let done = Arc::new(AtomicBool::new(false));
    let (host, flag) = (hosts[0].clone(), done.clone());
    let observer = std::thread::spawn(move || observe(&host, flag));
    let started = Instant::now();
    let mut sent: HashMap<String, f64> = HashMap::new();
    for index in 0..seconds * rate {
        let due = Duration::from_secs_f64(index as f64 / rate as f64);
        std::thread::sleep(due.saturating_sub(started.elapsed()));
        // An account always uses the same node, so that its nonces arrive in order.
        let account = (index % ACCOUNTS) as usize;
        let at = now_ms();
        let node = account % connections.len();
        let hash = connections[node]
            .call("eth_sendRawTransaction", json!([transfers[account][(index / ACCOUNTS) as usize]]))?;
        sent.insert(hash.as_str().unwrap_or_default().to_owned(), at);
    }
    let took = started.elapsed().as_secs_f64();
    std::thread::sleep(Duration::from_secs(2));
    done.store(true, Ordering::Relaxed);
    let arrivals = observer.join().map_err(|_| "the observer failed")??;
    let (mut of_blocks, mut of_transfers) = (Vec::new(), Vec::new());
    for (height, arrival) in &arrivals {
        let block: Value =
            connections[0].call("eth_getBlockByNumber", json!([format!("0x{height:x}"), false]))?;
        let transactions = block["transactions"].as_array().map_or(&[][..], Vec::as_slice);
        let found: Vec<f64> =
            transactions.iter().filter_map(|hash| sent.get(hash.as_str()?)).map(|at| arrival - at).collect();
        if !found.is_empty() {
            of_blocks.push(arrival - number(&block["timestampMillis"])? as f64);
        }
        of_transfers.extend(found);
    }
    let included = of_transfers.len();
    Ok(format!(
        "{} transfers in {took:.1} s ({:.0}/s) to {} nodes, {included} included, {} blocks\n{}{}",
        sent.len(),
        sent.len() as f64 / took,
        hosts.len(),
        arrivals.len(),
        percentiles("from the block's time to its arrival", of_blocks),
        percentiles("from sending to the block's arrival", of_transfers),
    ))
}
