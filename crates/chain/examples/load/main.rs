//! Signs transfers in advance, sends them through JSON-RPC and times until all are included.
//!
//! `load URL_HOST:PORT [TRANSFERS] [BATCH]`. Works against any Ethereum node that funds the accounts of the mnemonic
//! "test test test test test test test test test test test junk" (the first three are used).

use alloy_consensus::{SignableTransaction as _, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::Encodable2718 as _;
use alloy_primitives::{Address, Bytes, Signature, TxKind, U256, hex};
use k256::ecdsa::SigningKey;
use serde_json::{Value, json};
use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    time::{Duration, Instant},
};

type Failure = Box<dyn std::error::Error + Send + Sync>;

const KEYS: [&str; 3] = [
    "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80",
    "59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d",
    "5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a",
];
const CONNECTIONS_PER_SENDER: usize = 2;

struct Connection(BufReader<TcpStream>, String);

impl Connection {
    fn open(host: &str) -> Result<Self, Failure> {
        let stream = TcpStream::connect(host)?;
        stream.set_nodelay(true)?;
        Ok(Self(BufReader::new(stream), host.to_owned()))
    }

    fn post(&mut self, body: &Value) -> Result<Value, Failure> {
        let body = body.to_string();
        let head = format!(
            "POST / HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            self.1,
            body.len()
        );
        self.0.get_mut().write_all((head + &body).as_bytes())?;
        let mut length = 0;
        loop {
            let mut line = String::new();
            if self.0.read_line(&mut line)? == 0 {
                return Err("the node closed the connection".into());
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse()?;
            }
            if line == "\r\n" {
                break;
            }
        }
        let mut answer = vec![0; length];
        self.0.read_exact(&mut answer)?;
        Ok(serde_json::from_slice(&answer)?)
    }

    fn call(&mut self, method: &str, params: Value) -> Result<Value, Failure> {
        Ok(self.post(&request(method, params))?["result"].take())
    }

    fn count(&mut self, address: Address) -> Result<u64, Failure> {
        let count = self.call("eth_getTransactionCount", json!([address, "latest"]))?;
        let digits = count.as_str().unwrap_or_default().trim_start_matches("0x");
        Ok(u64::from_str_radix(digits, 16)?)
    }
}

fn request(method: &str, params: Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params })
}

fn sign(key: &SigningKey, chain_id: u64, nonce: u64) -> Result<Bytes, Failure> {
    let unsigned = TxEip1559 {
        chain_id,
        nonce,
        gas_limit: 21_000,
        max_fee_per_gas: 50_000_000_000,
        max_priority_fee_per_gas: 1_000_000_000,
        to: TxKind::Call(Address::repeat_byte(0x42)),
        value: U256::from(1),
        ..TxEip1559::default()
    };
    let (signature, recovery) = key.sign_prehash_recoverable(unsigned.signature_hash().as_slice())?;
    let signed = unsigned.into_signed(Signature::from((signature, recovery)));
    Ok(TxEnvelope::from(signed).encoded_2718().into())
}

/// Sends `transfers` over a few connections, `batch` to a request (1: no batch).
fn send(host: &str, transfers: &[Bytes], batch: usize) -> Result<(), Failure> {
    std::thread::scope(|scope| {
        let share = transfers.len().div_ceil(CONNECTIONS_PER_SENDER).max(1);
        let senders: Vec<_> = transfers
            .chunks(share)
            .map(|part| {
                scope.spawn(move || -> Result<(), Failure> {
                    let mut connection = Connection::open(host)?;
                    for group in part.chunks(batch) {
                        let one = |raw: &Bytes| request("eth_sendRawTransaction", json!([raw]));
                        let body = if batch == 1 { one(&group[0]) } else { group.iter().map(one).collect() };
                        let answer = connection.post(&body)?.to_string();
                        if answer.contains("\"error\"") {
                            return Err(answer.into());
                        }
                    }
                    Ok(())
                })
            })
            .collect();
        senders.into_iter().try_for_each(|sender| sender.join().map_err(|_| "a sender failed")?)
    })
}

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let host = arguments.first().ok_or("usage: load HOST:PORT [TRANSFERS] [BATCH]")?;
    let total: u64 = arguments.get(1).map_or(Ok(12_000), |text| text.parse())?;
    let batch: usize = arguments.get(2).map_or(Ok(1), |text| text.parse())?;
    let mut connection = Connection::open(host)?;
    let chain_id = connection.call("eth_chainId", json!([]))?;
    let chain_id = u64::from_str_radix(chain_id.as_str().unwrap_or_default().trim_start_matches("0x"), 16)?;
    let each = total / KEYS.len() as u64;
    let mut senders = Vec::new();
    for key in KEYS {
        let key = SigningKey::from_slice(&hex::decode(key)?)?;
        let address = Address::from_public_key(key.verifying_key());
        let first = connection.count(address)?;
        let transfers =
            (first..first + each).map(|nonce| sign(&key, chain_id, nonce)).collect::<Result<Vec<_>, _>>()?;
        senders.push((address, first + each, transfers));
    }
    let started = Instant::now();
    std::thread::scope(|scope| {
        let running: Vec<_> = senders
            .iter()
            .map(|(_, _, transfers)| scope.spawn(move || send(host, transfers, batch)))
            .collect();
        running.into_iter().try_for_each(|sender| sender.join().map_err(|_| "a sender failed")?)
    })?;
    let accepted = started.elapsed();
    for (address, last, _) in &senders {
        while connection.count(*address)? < *last {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
    let included = started.elapsed();
    let sent = (each * KEYS.len() as u64) as f64;
    let report = format!(
        "{sent} transfers, batch {batch}: accepted {:.0}/s, included {:.0}/s ({:.2} s)\n",
        sent / accepted.as_secs_f64(),
        sent / included.as_secs_f64(),
        included.as_secs_f64()
    );
    std::io::stdout().write_all(report.as_bytes())?;
    Ok(())
}
