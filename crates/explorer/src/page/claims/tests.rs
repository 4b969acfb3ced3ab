use super::*;
use crate::source::{Answer, Answers, Item, Rpc, SourceError};
use alloy_sol_types::SolValue as _;
use futures::future::BoxFuture;
use serde_json::{Value, json};
use std::sync::Arc;

const PAYEE: Address = Address::repeat_byte(7);
const BATCH: B256 = B256::repeat_byte(3);
const CLAIMED: u64 = 5;

/// A ledger with one batch, whose leaf 5 is claimed.
struct Node(Status);

impl Rpc for Node {
    fn request(&self, method: &'static str, params: Value) -> BoxFuture<'_, Result<Value, SourceError>> {
        Box::pin(async move {
            if method == "eth_chainId" {
                return Ok(json!("0x7a69"));
            }
            let data: Bytes = serde_json::from_value(params[0]["data"].clone()).unwrap();
            let output = if let Ok(call) = ISettlement::isClaimedCall::abi_decode(&data) {
                (call.index == CLAIMED).abi_encode()
            } else if ISettlement::vestingCall::abi_decode(&data).is_ok() {
                (U256::from(10), U256::from(4), U256::from(1)).abi_encode()
            } else {
                assert_eq!(ISettlement::batchCall::abi_decode(&data).unwrap().id, BATCH);
                // A record of 17 words: its status, and nothing else.
                let mut words = vec![0; 32 * 17];
                words[31] = self.0 as u8;
                words
            };
            Ok(json!(Bytes::from(output)))
        })
    }
}

/// An operator that hands out a claim of three leaves, of which one is another's.
struct Operator;

impl Answers for Operator {
    fn recent(&self, _: usize) -> BoxFuture<'_, Vec<Answer>> {
        Box::pin(async { Vec::new() })
    }

    fn get(&self, _: String) -> BoxFuture<'_, Result<Option<Answer>, String>> {
        Box::pin(async { Ok(None) })
    }

    fn ask(&self, _: String) -> BoxFuture<'_, Result<String, String>> {
        Box::pin(async { Err("no".into()) })
    }

    fn item(&self, _: String) -> BoxFuture<'_, Option<Item>> {
        Box::pin(async { None })
    }

    fn owed(&self, _: Address) -> BoxFuture<'_, Result<Vec<Owed>, String>> {
        let leaf = |index, account| Leaf {
            index,
            account,
            kind: Kind::Liquid,
            amount: U256::from(100 + index),
            path: Vec::new(),
        };
        let leaves = vec![leaf(1, PAYEE), leaf(2, Address::repeat_byte(9)), leaf(CLAIMED, PAYEE)];
        let call = ISettlement::claimCall { id: BATCH, leaves }.abi_encode().into();
        Box::pin(async move { Ok(vec![Owed { batch: BATCH, model_name: "a model".into(), call }]) })
    }

    fn may_ask(&self) -> bool {
        false
    }
}

async fn claims(status: Status) -> Claims {
    let explorer = Explorer::new(Arc::new(Node(status)), Arc::new(Operator));
    let mut claims = Claims::default();
    for owed in explorer.answers.owed(PAYEE).await.unwrap() {
        claims.add(&explorer, PAYEE, &owed).await.unwrap();
    }
    claims
}

#[tokio::test]
async fn a_wallet_gets_claims_of_the_accounts_own_unclaimed_leaves_alone() {
    let found = claims(Status::Finalised).await;
    assert_eq!((found.rows.len(), found.claimable), (1, U256::from(101)));
    let [step] = found.steps.as_slice() else { panic!("one transaction") };
    assert_eq!(step.to, SETTLEMENT);
    let call = ISettlement::claimCall::abi_decode(&step.data).unwrap();
    assert_eq!(call.id, BATCH);
    assert_eq!(call.leaves.iter().map(|leaf| (leaf.index, leaf.account)).collect::<Vec<_>>(), [(1, PAYEE)]);
}

#[tokio::test]
async fn a_posted_batch_is_made_final_first_and_a_refuted_one_pays_nobody() {
    let found = claims(Status::Posted).await;
    assert_eq!(found.steps.len(), 2);
    assert_eq!(ISettlement::finaliseCall::abi_decode(&found.steps[0].data).unwrap().id, BATCH);
    let found = claims(Status::Refuted).await;
    assert!(found.steps.is_empty() && found.claimable.is_zero());
}

#[tokio::test]
async fn the_page_shows_what_is_owed_and_both_ways_to_have_it_paid() {
    let explorer = Explorer::new(Arc::new(Node(Status::Finalised)), Arc::new(Operator));
    let Html(page) = show(State(explorer), Path(PAYEE.to_string())).await.unwrap();
    assert!(page.contains(&format!("openledger claim {PAYEE}")));
    assert!(page.contains("data-chain=\"0x7a69\"") && page.contains("/assets/claims.js"));
    assert!(page.contains("pay what has vested"));
}
