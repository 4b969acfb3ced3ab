//! Floor 3: the operator. Answers with their attribution, receipts, the log that keeps them, and settlement batches.
//!
//! # One answer
//! ```text
//! Request ─▶ Worker::answer ─▶ Answer ─▶ Log::append ─▶ SignedReceipt ─▶ delivered and charged
//!            generate, score,            sequence, previous hash,
//!            price, divide               signature, fsync
//! ```
//! [`worker`] drives an [`engine`] (a model and its attribution cache) and divides the data share of the fee with
//! `attribution::shares`; [`decode`] lets many answers be made in one batch. [`log`] gives the answer its place: a dense sequence number and the hash of the receipt before, so that
//! an omitted answer shows. What was not synced was not answered: nothing is delivered before the log has it.
//!
//! # One epoch
//! [`batch`] turns the receipts of an epoch into what the ledger's settlement module takes: the receipts' Merkle root, fold
//! roots over partial sums, and a Merkle-sum tree of payouts. [`replay`] re-executes a kept answer and compares bits;
//! [`evidence`] checks the chain of links from an answer to the ledger, and names the link that breaks.
//!
//! Nothing here knows HTTP, a clock or a network: times and connections are handed in.

pub mod account;
pub mod attributed;
pub mod batch;
pub mod decode;
pub mod engine;
pub mod evidence;
pub mod fee;
pub mod folds;
pub mod language;
pub mod log;
pub mod ngram;
pub mod receipt;
pub mod replay;
pub mod request;
pub mod worker;

pub use account::Account;
pub use attributed::Attributed;
pub use decode::{Decoding, Generated};
pub use engine::{Attributor, Decoder, EngineError, Generator};
pub use language::{Beside, LanguageEngine};
pub use log::{Entry, Log, LogError};
pub use receipt::{AnswerId, Receipt, SignedReceipt};
pub use request::{Finish, Message, Prompt, Request, Role, Sampling, Usage};
pub use worker::{Answer, AnswerError, Sink, Worker};
