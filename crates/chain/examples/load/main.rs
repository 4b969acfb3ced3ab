//! Loads a node through JSON-RPC and measures it; `docs/benchmarks/chain.md` has the figures.
//!
//! - `load throughput HOST:PORT [TRANSFERS] [BATCH] [ACCOUNTS]`: transfers signed beforehand, sent as fast as they are
//!   taken, timed until all are included. Works against any Ethereum node that funds the first account of the mnemonic
//!   "test test test test test test test test test test test junk".
//! - `load finality SECONDS RATE HOST:PORT...`: transfers at a steady rate, in turn to each node; times from a block's own
//!   time, and from a transfer's sending, to the block's arrival at a subscriber of the first node.
//! - `load recover [COUNT]`: signatures recovered per second on all cores, the bound of any such ledger.

mod connection;
mod finality;
mod signing;
mod throughput;

use std::io::Write as _;

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |index: usize, default: u64| arguments.get(index).map_or(Ok(default), |text| text.parse());
    let usage = "usage: load throughput HOST:PORT [TRANSFERS] [BATCH] [ACCOUNTS] | finality SECONDS RATE HOST:PORT... | recover [COUNT]";
    let report = match arguments.first().map(String::as_str) {
        Some("throughput") => {
            let host = arguments.get(1).ok_or(usage)?;
            throughput::run(host, number(2, 20_000)?, number(3, 100)? as usize, number(4, 100)?)?
        }
        Some("finality") if arguments.len() > 3 => {
            finality::run(number(1, 0)?, number(2, 0)?, &arguments[3..])?
        }
        Some("recover") => signing::recovery(number(1, 20_000)?)?,
        _ => return Err(usage.into()),
    };
    std::io::stdout().write_all(report.as_bytes())?;
    Ok(())
}
