//! A gateway for trying clients against, within a second: the tests' small transformer and the ledger's rules in memory, with HTTP, prices, vouchers
//! and receipts as everywhere. Prints one line of JSON and ends with its standard input.
//!
//! ```sh
//! cargo run -p gateway --example stand
//! ```
//! `free` answers without payment, `gateway` wants x402, `proxy` is the signer of the prepaid `key` before it.
#![allow(clippy::print_stdout)]

#[path = "../tests/gateway/book.rs"]
#[allow(dead_code)]
mod book;
#[path = "../tests/gateway/life.rs"]
#[allow(dead_code)]
mod life;
#[path = "../tests/gateway/scene.rs"]
#[allow(dead_code)]
mod scene;
#[path = "../tests/gateway/transformer.rs"]
#[allow(dead_code)]
mod transformer;

use gateway::{
    GatewayConfig, Offered,
    payments::wire::Units,
    prepaid::{Key, fund, lanes::Lanes, proxy},
};
use interfaces::addresses;
use primitives::Amount;
use scene::{PRICE, Scene, send, url};
use serde_json::json;
use std::{io::Read as _, sync::Arc};

/// Channels of the key.
const LANES: usize = 4;

#[tokio::main]
async fn main() {
    let scene = Scene::new();
    let paid = scene.serve().await;
    let free = GatewayConfig { free: true, ..scene.config(&scene.folder.path().join("free")) };
    let served = vec![(transformer::worker(scene.model), Offered { price: PRICE })];
    let free = gateway::serve(free, served, Arc::new(scene.book.clone())).await.expect("it serves");
    let deposit = Amount::open(100).0;
    let payer = &scene.payer;
    let mut key = Key::generate(&url(&paid), transformer::NAME, 31_337, payer.address(), u128::MAX)
        .expect("random bytes");
    let configs = fund::open(&mut key, LANES).await.expect("an offer");
    for (lane, config) in configs.into_iter().enumerate() {
        let call = fund::deposit(payer, 31_337, config, deposit).expect("random bytes");
        send(&scene, payer, addresses::CHANNELS, &call);
        key.lanes[lane].known.balance = Units(deposit);
    }
    let token = key.token.clone();
    let lanes = Lanes::new(scene.folder.path().join("key.json"), key, Amount::open(10).0).expect("channels");
    let signer = proxy::serve("127.0.0.1:0".parse().expect("an address"), lanes, |_| {}).await;
    let signer = signer.expect("a free port");
    println!(
        "{}",
        json!({ "free": url(&free), "gateway": url(&paid), "proxy": format!("http://{}", signer.addr),
                "key": token, "model": transformer::NAME })
    );
    let wait = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
    let _ = wait.await;
    signer.shutdown().await;
    let audit = scene.audit(&paid).await;
    eprintln!("{} answers, every unit of {} found again", audit.answers, audit.fees);
    paid.shutdown().await;
    free.shutdown().await;
}
