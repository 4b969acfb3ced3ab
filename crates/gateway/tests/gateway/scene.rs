//! An operator, a payer, a model on the ledger, and a gateway that serves it.

use crate::{
    book::{Book, Fault},
    transformer::{self, NAME},
};
use alloy_primitives::{Address, B256, U256};
use alloy_sol_types::SolCall;
use compute::{Account, fee::Price, receipt::Kind};
use gateway::{
    GatewayConfig, Handle, Limits, Offered, ServeError,
    client::{
        Client,
        http::{self, Response},
    },
    disk::{Disk, RealDisk},
    payments::wire::{
        self, PAYMENT_REQUIRED, PAYMENT_SIGNATURE, PaymentPayload, PaymentRequired, Requirements,
    },
    settlement,
};
use hyper::{Method, StatusCode};
use interfaces::{
    addresses::{self, MODELS, OPERATORS},
    models::IModels,
    operators::IOperators,
    settlement::ISettlement,
};
use ledger::{Genesis, MemoryLedger};
use primitives::Amount;
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

pub const CHAT: &str = "/v1/chat/completions";
pub const TEXT: &str = "/v1/completions";
/// Who made the model.
pub const DEVELOPER: Address = Address::repeat_byte(0xde);
/// Who tunes it for others.
pub const TUNING_DEVELOPER: Address = Address::repeat_byte(0xdf);
/// Seconds.
const EPOCH: u64 = 1;
const CHALLENGE: u64 = 2;

pub const PRICE: Price = Price {
    rate_in: Amount(100_000_000_000_000_000),
    rate_out: Amount(400_000_000_000_000_000),
    platform_fee: Amount(1_000),
};

/// Everything but the gateway itself, which may come and go.
pub struct Scene {
    pub folder: tempfile::TempDir,
    pub book: Book,
    pub model: B256,
    pub operator: Account,
    pub payer: Account,
    pub limits: Limits,
}

pub fn account(number: u8) -> Account {
    Account::from_bytes(&[number; 32]).unwrap()
}

impl Scene {
    pub fn new() -> Scene {
        let (operator, payer) = (account(1), account(2));
        let holders =
            [operator.address(), payer.address(), DEVELOPER, TUNING_DEVELOPER, account(3).address()];
        let mut genesis = Genesis::development(&holders);
        genesis.timestamp_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
        genesis.parameters = [
            ("epoch_seconds", EPOCH),
            ("challenge_seconds", CHALLENGE),
            ("vesting_seconds", 30),
            ("least_withdraw_delay_seconds", 1),
        ]
        .map(|(name, value)| (name.to_string(), value))
        .into();
        let mut ledger = MemoryLedger::new(genesis);
        let model = ready(&mut ledger, operator.address());
        let book = Book::new(ledger, operator.address());
        let limits = Limits { workers: 1, ..Limits::default() };
        Scene { folder: tempfile::tempdir().unwrap(), book, model, operator, payer, limits }
    }

    pub fn data_dir(&self) -> PathBuf {
        self.folder.path().join("gateway")
    }

    pub fn config(&self, data_dir: &Path) -> GatewayConfig {
        GatewayConfig {
            settle_every: None,
            withdraw_delay_s: 60,
            limits: self.limits,
            ..GatewayConfig::local(data_dir.into(), self.operator.clone())
        }
    }

    /// A gateway over this data folder.
    pub async fn serve_in(&self, data_dir: &Path) -> Handle {
        self.serve_on(data_dir, Arc::new(RealDisk)).await.unwrap()
    }

    pub async fn serve_on(&self, data_dir: &Path, disk: Arc<dyn Disk>) -> Result<Handle, ServeError> {
        let served = vec![(transformer::worker(self.model), Offered { price: PRICE })];
        gateway::serve_on(self.config(data_dir), served, Arc::new(self.book.clone()), disk).await
    }

    pub async fn serve(&self) -> Handle {
        self.serve_in(&self.data_dir()).await
    }

    /// A payer with a channel of its own.
    pub fn client(&self, gateway: &Handle, salt: u8) -> Client {
        let mut client = Client::new(&url(gateway), self.payer.clone(), 31_337, Amount::open(1).0);
        client.salt = B256::repeat_byte(salt);
        client
    }

    /// Settles all that is open, and finds every unit again: fees are the escrow's income, receipts are dense and name each their answer once, nobody
    /// was charged without a receipt, and what came out of the batches is what went in.
    pub async fn audit(&self, gateway: &Handle) -> Audit {
        self.audit_of(gateway, self.model).await
    }

    /// As [`Scene::audit`], for one of the models.
    pub async fn audit_of(&self, gateway: &Handle, model: B256) -> Audit {
        self.book.fail(Fault::None);
        let served = gateway.app().model_by_id(model).unwrap();
        self.book.state().advance(1000 * (EPOCH + 1));
        gateway.settle().await.expect("all that is open can be settled");
        self.book.state().advance(1000 * (CHALLENGE + 1));
        let windows = settlement::pay_out(gateway.app(), &served).await.expect("all can be paid");
        assert_eq!(windows, [], "every window has passed");
        let mut audit = Audit::default();
        let mut ids = BTreeSet::new();
        let receipts = served.recorder.log().next_sequence();
        for sequence in 0..receipts {
            let entry = served.recorder.log().entry(sequence).unwrap().expect("dense");
            let receipt = entry.signed.receipt.clone();
            assert!(entry.signed.is_signed() && receipt.sequence == sequence);
            assert!(ids.insert(receipt.id), "an answer has two receipts");
            audit.fees += receipt.fee.0;
            match receipt.kind {
                Kind::Answer => audit.answers += 1,
                Kind::Unasked => audit.unasked += receipt.fee.0,
            }
            if receipt.payer == self.payer.address() {
                audit.charged += receipt.fee.0;
            }
            if receipt.kind == Kind::Answer {
                compute::replay::replay(&served.worker, &entry).expect("every answer replays");
            }
        }
        let mut settled = 0;
        for posted in served.settled.lock().unwrap().iter() {
            assert!(posted.done, "a batch is not paid out");
            let record = self
                .book
                .state()
                .view(addresses::SETTLEMENT, &ISettlement::batchCall { id: posted.id })
                .unwrap();
            assert_eq!(record.status, ISettlement::Status::Finalised);
            assert_eq!(record.claimed, record.batch.payoutTotal);
            settled += u128::try_from(record.batch.fees).unwrap();
        }
        assert_eq!(settled, audit.fees, "every receipt is settled exactly once");
        let escrow = addresses::escrow(self.operator.address(), model);
        assert_eq!(self.book.state().balance(escrow), 0, "nothing is left in the escrow");
        self.book.state().assert_conserved();
        audit
    }
}

/// What a run came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Audit {
    pub answers: u64,
    /// Units, over all receipts.
    pub fees: u128,
    /// Units, over the payer's.
    pub charged: u128,
    /// Units that nobody asked with.
    pub unasked: u128,
}

fn ready(ledger: &mut MemoryLedger, operator: Address) -> B256 {
    let call = IOperators::registerCall { endpoint: "http://127.0.0.1".into() };
    ledger.transact(operator, OPERATORS, Amount::open(1_000_000).to_word(), &call).unwrap();
    let what = IModels::Registration {
        manifest: B256::repeat_byte(1),
        base: B256::ZERO,
        baseShareBps: 0,
        uses: primitives::licence::ALL_USES,
        licence: "Apache-2.0".into(),
        name: NAME.into(),
    };
    let cache = transformer::worker(B256::ZERO).attributor.cache_root();
    offered(ledger, operator, DEVELOPER, what, cache)
}

/// A model, finalised by its developer and offered by the operator.
pub fn offered(
    ledger: &mut MemoryLedger,
    operator: Address,
    developer: Address,
    what: IModels::Registration,
    cache: B256,
) -> B256 {
    let zero = U256::ZERO;
    let model = ledger.transact(developer, MODELS, zero, &IModels::registerCall { what }).unwrap();
    let call = IModels::finaliseCall {
        model,
        finalRoot: B256::repeat_byte(9),
        cache: IModels::Cache { root: cache, curvature: B256::ZERO, floor: 1, cap: 2, damping: 3 },
        rates: IModels::Rates { rateIn: zero, rateOut: zero, platformFee: zero },
    };
    ledger.transact(developer, MODELS, zero, &call).unwrap();
    let call = IOperators::offerCall { model, rateIn: zero, rateOut: zero, platformFee: zero };
    ledger.transact(operator, OPERATORS, zero, &call).unwrap();
    model
}

pub fn url(gateway: &Handle) -> String {
    format!("http://{}", gateway.addr)
}

/// A chat request.
pub fn chat(text: &str, tokens: u32) -> Value {
    json!({ "model": NAME, "messages": [{ "role": "user", "content": text }], "max_tokens": tokens,
            "temperature": 1.0, "seed": 3 })
}

/// Sends a body as it stands, with a payment if there is one.
pub async fn post(gateway: &Handle, path: &str, body: &[u8], payment: Option<&PaymentPayload>) -> Response {
    let header = payment.map(wire::encode);
    post_header(gateway, path, body, header.as_deref()).await
}

pub async fn post_header(gateway: &Handle, path: &str, body: &[u8], payment: Option<&str>) -> Response {
    let headers: Vec<(&str, &str)> = payment.iter().map(|header| (PAYMENT_SIGNATURE, *header)).collect();
    let url = format!("{}{path}", url(gateway));
    let response = http::send(Method::POST, &url, &headers, body.to_vec()).await.unwrap();
    response.whole(1 << 24).await.unwrap()
}

pub async fn get(gateway: &Handle, path: &str) -> Response {
    http::get(&format!("{}{path}", url(gateway)), &[], 1 << 24).await.unwrap()
}

pub fn body(response: &Response) -> Value {
    serde_json::from_slice(&response.body).unwrap_or_else(|_| panic!("no JSON: {:?}", response.body))
}

/// The offer of a 402.
pub fn offer(response: &Response) -> PaymentRequired {
    assert_eq!(response.status, StatusCode::PAYMENT_REQUIRED, "{:?}", response.body);
    wire::decode(response.headers[PAYMENT_REQUIRED].as_bytes()).unwrap()
}

/// Status and code of an error.
pub fn reason(response: &Response) -> (u16, String) {
    let body = body(response);
    let error = &body["error"];
    assert!(error["message"].as_str().is_some_and(|text| !text.is_empty()), "{body}");
    assert!(error["type"].is_string() && error.get("param").is_some(), "{body}");
    (response.status.as_u16(), error["code"].as_str().unwrap_or_default().into())
}

/// A payment of this way with this payload.
pub fn payment(accepted: Requirements, payload: Value) -> PaymentPayload {
    PaymentPayload { x402_version: 2, accepted, payload, resource: None, extensions: None }
}

/// The way to pay by channel, of an offer.
pub fn by_channel(offer: &PaymentRequired) -> Requirements {
    offer.accepts.iter().find(|way| way.scheme == wire::BATCH).unwrap().clone()
}

/// Sends a call of an account's, past the gateway.
pub fn send<C: SolCall>(scene: &Scene, from: &Account, to: Address, call: &C) {
    let mut state = scene.book.state();
    assert!(state.transact(from.address(), to, U256::ZERO, call).is_ok(), "{} was refused", C::SIGNATURE);
}
