//! As many transfers as a node takes.

use crate::{
    Failure,
    connection::{Connection, request},
    signing::Account,
};
use alloy_primitives::{Address, Bytes, U256};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const CONNECTIONS: usize = 4;
/// What each sender is given: enough for the fees of thousands of transfers.
const FUNDS: u64 = 10_000_000_000_000_000_000;

/// Gives each account what it needs, and waits for it.
pub fn fund(host: &str, accounts: &[Account]) -> Result<(), Failure> {
    let mut connection = Connection::open(host)?;
    let (chain_id, funded) = (connection.chain_id()?, Account::funded()?);
    let first = connection.nonce(funded.address)?;
    let transfers = (first..)
        .zip(accounts)
        .map(|(nonce, account)| funded.transfer(chain_id, nonce, account.address, U256::from(FUNDS)))
        .collect::<Result<Vec<_>, _>>()?;
    for transfer in &transfers {
        connection.call("eth_sendRawTransaction", json!([transfer]))?;
    }
    wait(&mut connection, funded.address, first + transfers.len() as u64)
}

fn wait(connection: &mut Connection, address: Address, nonce: u64) -> Result<(), Failure> {
    let started = Instant::now();
    while connection.nonce(address)? < nonce {
        if started.elapsed() > Duration::from_secs(120) {
            return Err("not included within two minutes".into());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}

/// Sends bodies over one connection each.
fn send(host: &str, bodies: &[Vec<String>]) -> Result<(), Failure> {
    std::thread::scope(|scope| {
        let senders: Vec<_> = bodies
            .iter()
            .map(|bodies| {
                scope.spawn(move || -> Result<(), Failure> {
                    let mut connection = Connection::open(host)?;
                    for body in bodies {
                        let answer = connection.post(body)?;
                        if answer.windows(7).any(|part| part == b"\"error\"") {
                            return Err(String::from_utf8_lossy(&answer).into());
                        }
                    }
                    Ok(())
                })
            })
            .collect();
        senders.into_iter().try_for_each(|sender| sender.join().map_err(|_| "a sender failed")?)
    })
}

/// Runs and reports.
pub fn run(host: &str, total: u64, batch: usize, accounts: u64) -> Result<String, Failure> {
    let accounts = (0..accounts).map(Account::new).collect::<Result<Vec<_>, _>>()?;
    fund(host, &accounts)?;
    let mut connection = Connection::open(host)?;
    let chain_id = connection.chain_id()?;
    let each = total / accounts.len() as u64;
    // Each connection carries its own accounts, so that nonces arrive in order.
    let mut transfers: Vec<Vec<Bytes>> = vec![Vec::new(); CONNECTIONS];
    let mut last = Vec::new();
    for (index, account) in accounts.iter().enumerate() {
        let first = connection.nonce(account.address)?;
        for nonce in first..first + each {
            let to = Address::repeat_byte(0x42);
            transfers[index % CONNECTIONS].push(account.transfer(chain_id, nonce, to, U256::from(1))?);
        }
        last.push((account.address, first + each));
    }
    let one = |raw: &Bytes| request("eth_sendRawTransaction", json!([raw]));
    let body = |group: &[Bytes]| match group {
        [single] if batch == 1 => one(single).to_string(),
        many => many.iter().map(one).collect::<Value>().to_string(),
    };
    let bodies: Vec<Vec<String>> =
        transfers.iter().map(|own| own.chunks(batch.max(1)).map(body).collect()).collect();
    let started = Instant::now();
    send(host, &bodies)?;
    let accepted = started.elapsed().as_secs_f64();
    for (address, nonce) in last {
        wait(&mut connection, address, nonce)?;
    }
    let included = started.elapsed().as_secs_f64();
    let sent = (each * accounts.len() as u64) as f64;
    Ok(format!(
        "{sent} transfers of {} accounts, batch {batch}: accepted {:.0}/s, included {:.0}/s ({included:.2} s)\n",
        accounts.len(),
        sent / accepted,
        sent / included
    ))
}
