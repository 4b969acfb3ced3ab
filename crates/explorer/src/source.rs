//! Where pages get their data.

use alloy_primitives::{Address, B256, Bytes};
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Why a source gave nothing.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SourceError {
    /// No connection, or no sense in what came back.
    #[error("{0}")]
    Unavailable(String),
    /// The node refused the request: `code` and message of its JSON-RPC error.
    #[error("{message} ({code})")]
    Refused { code: i64, message: String },
}

/// A node's JSON-RPC.
pub trait Rpc: Send + Sync + 'static {
    /// Calls `method`; the result, or the node's error.
    fn request(&self, method: &'static str, params: Value) -> BoxFuture<'_, Result<Value, SourceError>>;
}

/// The answers an operator gave, as it publishes them.
pub trait Answers: Send + Sync + 'static {
    /// The last answers, newest first, at most `limit`.
    fn recent(&self, limit: usize) -> BoxFuture<'_, Vec<Answer>>;
    /// One answer, if the operator knows it; why it says nothing otherwise.
    fn get(&self, id: String) -> BoxFuture<'_, Result<Option<Answer>, String>>;
    /// Asks a question, where the operator allows it from its own pages; the new answer's id or why not.
    fn ask(&self, question: String) -> BoxFuture<'_, Result<String, String>>;
    /// An item that a model learned from, by its hash: where it comes from, never its text.
    fn item(&self, id: String) -> BoxFuture<'_, Option<Item>>;
    /// What the operator's batches still owe an account, oldest first.
    fn owed(&self, account: Address) -> BoxFuture<'_, Result<Vec<Owed>, String>>;
    /// Whether [`Answers::ask`] works.
    fn may_ask(&self) -> bool;
}

/// A batch that owes an account.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Owed {
    /// The batch.
    pub batch: B256,
    /// Name of the model whose answers are in it.
    pub model_name: String,
    /// `ISettlement::claim` of the account's leaves.
    pub call: Bytes,
}

/// An answer and what it owes.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Answer {
    /// Id, as the API gave it.
    pub id: String,
    /// Name of the model.
    pub model: String,
    /// The model's id on the ledger.
    pub model_id: String,
    /// Unix time in seconds.
    pub created: u64,
    /// The question.
    pub prompt: String,
    /// The answer cut into runs with the source each owes most to.
    pub segments: Vec<Segment>,
    /// What is owed, largest first.
    pub sources: Vec<Source>,
    /// What it cost, in units, decimal.
    pub cost: String,
    /// Operator that answered.
    pub operator: String,
    /// Hash of the signed receipt.
    pub receipt: String,
    /// Whether the text is the model's own, whose shares are less certain than those of held-out text.
    pub own_text: bool,
    /// Whether nothing was above the noise floor: nobody is paid for data.
    pub no_evidence: bool,
}

/// A run of an answer's text.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Segment {
    /// The text.
    pub text: String,
    /// Index into the sources, when one stands out.
    pub source: Option<usize>,
    /// The document that the text stands in word for word, if any (corroboration, not influence).
    pub verbatim: Option<String>,
}

/// A contributor that an answer owes.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Source {
    /// Name of the contributor.
    pub name: String,
    /// Account that is paid.
    pub account: String,
    /// Part of the data share, in parts per million.
    pub share_ppm: u32,
    /// Units paid, decimal.
    pub paid: String,
    /// Items with most influence.
    pub items: Vec<ItemShare>,
}

/// An item's part of an answer.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ItemShare {
    /// Its hash.
    pub id: String,
    /// Its title, as its owner gave it.
    pub label: String,
    /// Part of the data share, in parts per million.
    pub share_ppm: u32,
}

/// Where an item comes from.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Item {
    /// Its hash: the leaf under its contribution's root.
    pub id: String,
    /// Title or path, as its owner gave it.
    pub label: String,
    /// Name of the contributor.
    pub contributor: String,
    /// Account that is paid.
    pub account: String,
    /// SPDX expression; empty when the operator does not say.
    pub licence: String,
    /// The Datanet it was contributed to.
    pub datanet: String,
    /// The contribution it stands in; empty when the operator does not say.
    pub contribution: String,
    /// The model that learned from it.
    pub model: String,
    /// Part of it that nobody committed earlier, in parts per million.
    pub novelty_ppm: u32,
    /// Units that it is cut into.
    pub units: u64,
    /// Tokens whose loss is taken.
    pub tokens: u64,
}
