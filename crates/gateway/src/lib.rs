//! Floor 4: the inference API, its payments, and settlement.
//!
//! An operator runs one gateway for its models. It answers OpenAI's calls ([`api`]), is paid by x402 ([`payments`]), writes a
//! signed receipt for every answer before it is delivered ([`recorder`]), and settles each epoch with the ledger
//! ([`settlement`]). HTTP and JSON stay in this crate.
//!
//! # One paid answer
//! ```text
//!  request ─▶ parse, tokenise ─▶ price ─▶ 402, or hold the payment ─▶ queue ─▶ worker ─▶ recorder ─▶ charge ─▶ deliver
//!               400, 404           voucher or authorization verified    429     cancel    fsync
//! ```
//! Before the fsync nothing is charged; after it everything is known after a crash. A voucher's charge stands inside the answer's own
//! log entry, so that charge and receipt cannot part. Under `exact` the intent is on disk before the transfer is sent, and a restart
//! finds out whether it went through.
//!
//! [`serve`] starts it; [`client`] is the paying side, and [`prepaid`] pays for programs that cannot.

pub mod api;
pub mod client;
pub mod config;
pub mod connection;
pub mod disk;
pub mod ledger;
pub mod metrics;
pub mod payments;
pub mod pool;
pub mod prepaid;
pub mod recorder;
pub mod rpc;
pub mod server;
pub mod settlement;

pub use config::{GatewayConfig, Limits, Offered};
pub use ledger::{Ledger, LedgerError};
pub use rpc::RpcLedger;
pub use server::{Handle, ServeError, serve, serve_on};
