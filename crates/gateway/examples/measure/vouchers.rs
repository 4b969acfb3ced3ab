//! How fast vouchers are verified, beside the bare recovery of their signatures.

use crate::scene::{CHAT, Scene, by_channel, chat, offer, payment, post};
use alloy_primitives::{B256, Signature, keccak256};
use compute::account::signed_by;
use gateway::{
    Handle,
    payments::wire::{self, BatchPayload, PaymentPayload, Requirements},
};
use std::{hint::black_box, time::Instant};

const VOUCHERS: usize = 200;
const ROUNDS: usize = 5;

pub async fn run() {
    let scene = Scene::new();
    let gateway = scene.serve().await;
    let request = chat("the quick", 8).to_string().into_bytes();
    let way = by_channel(&offer(&post(&gateway, CHAT, &request, None).await));
    let vouchers: Vec<_> = (0..VOUCHERS).map(|n| voucher(&scene, &gateway, &way, n as u8)).collect();
    let digests: Vec<B256> = (0..VOUCHERS).map(|n| keccak256(n.to_be_bytes())).collect();
    let signed: Vec<Signature> = digests.iter().map(|digest| scene.payer.sign(digest)).collect();
    let payments = &gateway.app().payments;
    // As in service: channels that answered before.
    let mut clients: Vec<_> = (0..VOUCHERS).map(|n| scene.client(&gateway, n as u8)).collect();
    for client in &mut clients {
        client.ask(CHAT, &chat("the quick", 1)).await.expect("an answer");
    }
    let (mut raw, mut verified, mut with_header) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        raw.push(rate(|n| signed_by(scene.payer.address(), &digests[n], &signed[n])));
        verified.push(rate(|n| payments.verify_voucher(scene.model, &vouchers[n].0).is_ok()));
        with_header.push(rate(|n| {
            let payment: PaymentPayload = wire::decode(vouchers[n].1.as_bytes()).expect("a payment");
            let payload: BatchPayload = serde_json::from_value(payment.payload).expect("a payload");
            payments.verify_voucher(scene.model, &payload).is_ok()
        }));
    }
    let [raw, verified, with_header] = [raw, verified, with_header].map(crate::median);
    println!(
        r#"{{"what":"vouchers","signatures_per_s":{raw:.0},"vouchers_per_s":{verified:.0},"headers_per_s":{with_header:.0},"percent":{:.1},"percent_with_header":{:.1}}}"#,
        100.0 * verified / raw,
        100.0 * with_header / raw
    );
    gateway.shutdown().await;
}

fn voucher(scene: &Scene, gateway: &Handle, way: &Requirements, salt: u8) -> (BatchPayload, String) {
    let payload = scene.client(gateway, salt).payment_for(way).expect("a voucher");
    let header = wire::encode(&payment(way.clone(), payload.clone()));
    (serde_json::from_value(payload).expect("a payload"), header)
}

/// Checks a second, each of which must hold.
fn rate(check: impl Fn(usize) -> bool) -> f64 {
    let started = Instant::now();
    for n in 0..VOUCHERS {
        assert!(black_box(check(n)));
    }
    VOUCHERS as f64 / started.elapsed().as_secs_f64()
}
