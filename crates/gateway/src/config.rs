//! What a gateway is told.

use compute::{Account, fee::Price};
use std::{net::SocketAddr, path::PathBuf, time::Duration};

/// One gateway: an operator, its models' prices, and its limits.
#[derive(Clone, Debug)]
pub struct GatewayConfig {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Receipts, pending payments and settlement marks are kept here. One gateway at a time.
    pub data_dir: PathBuf,
    /// The operator's account: signs receipts, claims and transactions.
    pub operator: Account,
    /// EIP-155 chain id of the ledger.
    pub chain_id: u64,
    /// Where the explorer stands, for citations: such as `http://127.0.0.1:8080`.
    pub explorer_url: String,
    /// The gateway's own address as clients see it; empty takes the listening address.
    pub public_url: String,
    /// Answers cost nothing and their receipts say so. Only where nobody is owed: development.
    pub free: bool,
    /// Seconds a payer's withdrawal takes (RULEBOOK R13).
    pub withdraw_delay_s: u64,
    /// How often to redeem vouchers and settle, if anything is due. `None` leaves settlement to the caller.
    pub settle_every: Option<Duration>,
    /// Limits on what comes from outside.
    pub limits: Limits,
}

/// A model's price at this operator, as offered on the ledger.
#[derive(Clone, Copy, Debug, Default)]
pub struct Offered {
    /// Rates and platform fee.
    pub price: Price,
}

/// Limits on what comes from outside.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Longest request body.
    pub body_bytes: usize,
    /// Connections open at once; more wait to be accepted.
    pub connections: usize,
    /// Answers of one base model and its adapters that are decoded together; more wait.
    pub rows: usize,
    /// Threads that attribute answers that ended.
    pub workers: usize,
    /// Answers of one base model and its adapters waiting to be decoded; beyond, 429.
    pub queue: usize,
    /// Time to send a request's head, and then its body.
    pub read_timeout: Duration,
    /// Time without progress in taking the response.
    pub write_timeout: Duration,
    /// Time from asking to the answer's end.
    pub answer_timeout: Duration,
    /// Time for running answers to end on shutdown.
    pub shutdown_timeout: Duration,
    /// Tokens of an answer when the request does not say.
    pub default_max_tokens: u32,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            body_bytes: 2 << 20,
            connections: 4096,
            rows: 64,
            workers: std::thread::available_parallelism().map_or(2, usize::from),
            queue: 512,
            read_timeout: Duration::from_secs(20),
            write_timeout: Duration::from_secs(60),
            answer_timeout: Duration::from_secs(300),
            shutdown_timeout: Duration::from_secs(30),
            default_max_tokens: 256,
        }
    }
}

impl GatewayConfig {
    /// A gateway on a free local port, with development's chain id and the default limits.
    pub fn local(data_dir: PathBuf, operator: Account) -> GatewayConfig {
        GatewayConfig {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            data_dir,
            operator,
            chain_id: 31_337,
            explorer_url: "http://127.0.0.1:8080".into(),
            public_url: String::new(),
            free: false,
            withdraw_delay_s: interfaces::channels::DEFAULT_WITHDRAW_DELAY_SECONDS,
            settle_every: Some(Duration::from_secs(60)),
            limits: Limits::default(),
        }
    }
}
