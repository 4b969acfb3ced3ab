//! The chain of links from one answer to the ledger: each named, checked, and shown with what was checked.
//!
//! ```text
//! text ─ output commitment ─┐                        ┌─ batch on the ledger
//! prompt ─ its commitment ──┼─ receipt ─ signature ──┼─ Merkle proof in the batch
//! use, fee, shares ─────────┤                        └─ payouts within the data share
//! attribution ─ its root ───┘─ cache ─ model on the ledger
//! ```
//! Nothing is taken from the operator on trust: what it hands over ([`Bundle`]) is checked against the receipt it signed, and the receipt
//! against what the ledger holds ([`Anchors`]), which callers read through a light client or a node of their own. A link
//! whose evidence is not there is [`State::Open`], and says what is missing.

use crate::{
    attributed::Attributed,
    fee::data_share,
    receipt::{Kind, Output, SignedReceipt, commit_output, commit_prompt},
    request::Request,
};
use alloy_primitives::{Address, B256};
use attribution::shares::{self, Scored};
use interfaces::{
    models::IModels,
    settlement::{ISettlement, batch_id},
};
use primitives::{Amount, merkle::Proof};
use serde::{Deserialize, Serialize};

#[cfg(test)]
mod tests;

/// What an operator, or a saved answer, says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bundle {
    /// The receipt.
    pub receipt: SignedReceipt,
    /// The request and its salt, which only the payer and drawn auditors have.
    #[serde(default)]
    pub prompt: Option<OpenedPrompt>,
    /// The answer and its salt.
    #[serde(default)]
    pub output: Option<OpenedOutput>,
    /// The attribution, complete.
    #[serde(default)]
    pub attribution: Option<Attributed>,
    /// The receipt's place in its batch.
    #[serde(default)]
    pub settlement: Option<Inclusion>,
}

/// Opens the prompt's commitment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OpenedPrompt {
    /// The salt.
    pub salt: B256,
    /// The request.
    pub request: Request,
}

/// Opens the output's commitment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenedOutput {
    /// The output's own salt (`compute::receipt::output_salt`).
    pub salt: B256,
    /// The answer.
    pub output: Output,
}

/// A receipt's place in a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inclusion {
    /// Epoch of the escrow.
    pub epoch: u64,
    /// Proof under the batch's receipts root.
    pub proof: Proof,
}

/// What the ledger holds, as the checker reads it.
pub trait Anchors {
    /// A batch; `None` when there is no such batch.
    fn batch(&self, id: B256) -> Result<Option<ISettlement::Record>, String>;
    /// A model; `None` when there is no such model.
    fn model(&self, id: B256) -> Result<Option<IModels::Model>, String>;
    /// The data contributors' part of fees in hundredths of a percent.
    fn data_share_bps(&self) -> Result<u16, String>;
}

/// One link of the chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Its name.
    pub name: String,
    /// How it stands.
    pub state: State,
    /// What was checked, or what is wrong or missing.
    pub detail: String,
}

/// How a link stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It holds.
    Holds,
    /// It does not: the answer, the receipt or the ledger's record is false.
    Broken,
    /// It cannot be checked with what there is.
    Open,
}

/// Whether no link is broken.
pub fn holds(links: &[Link]) -> bool {
    links.iter().all(|link| link.state != State::Broken)
}

type Outcome = Result<String, (State, String)>;

fn broken(detail: impl Into<String>) -> (State, String) {
    (State::Broken, detail.into())
}

fn open(detail: impl Into<String>) -> (State, String) {
    (State::Open, detail.into())
}

fn require(holds: bool, wrong: &str) -> Result<(), (State, String)> {
    if holds { Ok(()) } else { Err(broken(wrong)) }
}

/// Checks every link of an answer.
pub fn check(bundle: &Bundle, anchors: &dyn Anchors) -> Vec<Link> {
    let links: [(&str, &dyn Fn() -> Outcome); 9] = [
        ("receipt signature", &|| signature(bundle)),
        ("prompt", &|| prompt(bundle)),
        ("output", &|| output(bundle)),
        ("attribution root", &|| root(bundle)),
        ("shares", &|| shares(bundle)),
        ("fee", &|| fee(bundle, anchors)),
        ("model", &|| model(bundle, anchors)),
        ("receipt in batch", &|| inclusion(bundle, anchors)),
        ("batch", &|| batch(bundle, anchors)),
    ];
    links
        .into_iter()
        .map(|(name, check)| {
            let (state, detail) = match check() {
                Ok(detail) => (State::Holds, detail),
                Err(wrong) => wrong,
            };
            Link { name: name.into(), state, detail }
        })
        .collect()
}

fn signature(bundle: &Bundle) -> Outcome {
    require(bundle.receipt.is_signed(), "the receipt is not signed by the operator it names")?;
    let receipt = &bundle.receipt.receipt;
    Ok(format!("operator {} signed receipt {} ({})", receipt.operator, receipt.sequence, receipt.digest()))
}

fn prompt(bundle: &Bundle) -> Outcome {
    let opened = bundle.prompt.as_ref().ok_or_else(|| open("the prompt was not handed over"))?;
    let commitment = commit_prompt(&opened.salt, &opened.request);
    require(commitment == bundle.receipt.receipt.prompt, "the prompt is not the one that was committed to")?;
    Ok(format!("the prompt opens {commitment}"))
}

fn output(bundle: &Bundle) -> Outcome {
    let opened = bundle.output.as_ref().ok_or_else(|| open("the answer was not handed over"))?;
    let receipt = &bundle.receipt.receipt;
    let commitment = commit_output(&opened.salt, &opened.output);
    require(commitment == receipt.output, "the answer is not the one that was committed to")?;
    let tokens = opened.output.tokens.len();
    require(tokens as u64 == u64::from(receipt.usage.completion_tokens), "the answer has another length")?;
    Ok(format!("{tokens} tokens open {commitment}"))
}

fn attributed(bundle: &Bundle) -> Result<&Attributed, (State, String)> {
    bundle.attribution.as_ref().ok_or_else(|| open("the attribution was not handed over"))
}

fn root(bundle: &Bundle) -> Outcome {
    if bundle.receipt.receipt.kind == Kind::Unasked {
        return Ok("money without an answer owes no contributor".into());
    }
    let attributed = attributed(bundle)?;
    let root = attributed.root();
    require(
        root == bundle.receipt.receipt.attribution,
        "the attribution is not the one that was committed to",
    )?;
    Ok(format!("{} units with weight under {root}", attributed.units.len()))
}

/// Weights and pay follow from the scores by the committed rule, to the unit.
fn shares(bundle: &Bundle) -> Outcome {
    if bundle.receipt.receipt.kind == Kind::Unasked {
        return Ok("nothing is divided".into());
    }
    let attributed = attributed(bundle)?;
    let scored: Vec<Scored> = attributed
        .units
        .iter()
        .map(|u| Scored { score: u.score, tokens: u.of.tokens, novelty: u.of.novelty, owner: 0 })
        .collect();
    let divided = shares::divide(&attributed.rule, &scored, attributed.data_share)
        .map_err(|error| broken(error.to_string()))?;
    for (unit, (weight, pay)) in attributed.units.iter().zip(divided.weights.iter().zip(&divided.pay)) {
        let same = (unit.weight, unit.pay) == (*weight, *pay);
        require(same, &format!("unit {} is paid {} where the rule pays {pay}", unit.unit, unit.pay))?;
    }
    let same = (divided.total_weight, divided.treasury) == (attributed.total_weight, attributed.treasury);
    require(same, "the totals are not those of the rule")?;
    require(attributed.paid() == bundle.receipt.receipt.paid, "the receipt pays another sum")?;
    Ok(format!("{} of {} go to {} units", attributed.paid(), attributed.data_share, attributed.units.len()))
}

fn fee(bundle: &Bundle, anchors: &dyn Anchors) -> Outcome {
    let receipt = &bundle.receipt.receipt;
    let bps = anchors.data_share_bps().map_err(open)?;
    let share = data_share(receipt.fee, bps);
    require(receipt.paid <= share, "more is paid to contributors than their part of the fee")?;
    if let Some(attributed) = &bundle.attribution {
        let expected = if receipt.kind == Kind::Answer { share } else { Amount::ZERO };
        require(attributed.data_share == expected, "what is divided is not the data contributors' part")?;
    }
    Ok(format!("{} OPEN, of which {share} for data", receipt.fee))
}

fn model(bundle: &Bundle, anchors: &dyn Anchors) -> Outcome {
    let id = bundle.receipt.receipt.model;
    let model = anchors.model(id).map_err(open)?;
    let model = model.ok_or_else(|| broken("the ledger knows no model of this id"))?;
    let served = matches!(model.status, IModels::Status::Ready | IModels::Status::Retired);
    require(served, "the model was never finalised")?;
    if let Some(attributed) = &bundle.attribution {
        require(
            model.cache.root == attributed.cache,
            "the attribution's cache is not the one the model's developer committed",
        )?;
    }
    let lineage = match model.base {
        B256::ZERO => String::new(),
        base => format!(
            ", over {base}, whose developers get {} % of what its own earns",
            f64::from(model.baseShareBps) / 100.0
        ),
    };
    Ok(format!("{} by {}, cache {}{lineage}", model.name, model.developer, model.cache.root))
}

fn record(bundle: &Bundle, anchors: &dyn Anchors) -> Result<(B256, ISettlement::Record), (State, String)> {
    let place = bundle.settlement.as_ref().ok_or_else(|| open("the answer is not settled yet"))?;
    let receipt = &bundle.receipt.receipt;
    let id = batch_id(receipt.operator, receipt.model, place.epoch);
    let record = anchors.batch(id).map_err(open)?;
    Ok((id, record.ok_or_else(|| broken("the ledger knows no batch of this epoch"))?))
}

fn inclusion(bundle: &Bundle, anchors: &dyn Anchors) -> Outcome {
    let (id, record) = record(bundle, anchors)?;
    let receipt = &bundle.receipt.receipt;
    let place = bundle.settlement.as_ref().ok_or_else(|| open("the answer is not settled yet"))?;
    let index = receipt.sequence.checked_sub(record.batch.firstSequence);
    let placed = index == Some(place.proof.index) && place.proof.count == record.batch.count;
    require(placed, "the receipt's number is not its place in the batch")?;
    let proven = place.proof.verify(&record.batch.receipts, &receipt.digest());
    require(proven, "the receipt is not in the batch that the operator posted")?;
    Ok(format!("place {} of {} in batch {id}", place.proof.index, record.batch.count))
}

fn batch(bundle: &Bundle, anchors: &dyn Anchors) -> Outcome {
    let (_, record) = record(bundle, anchors)?;
    let ISettlement::Record { status, operator, batch, .. } = record;
    let receipt = &bundle.receipt.receipt;
    require(operator == receipt.operator && batch.model == receipt.model, "the batch is another operator's")?;
    require(status != ISettlement::Status::Refuted, "the batch was refuted")?;
    let bps = anchors.data_share_bps().map_err(open)?;
    let fees = Amount::from_word(batch.fees).unwrap_or_default();
    let paid = Amount::from_word(batch.payoutTotal).unwrap_or_default();
    require(paid <= data_share(fees, bps), "the batch pays more than the data contributors' part")?;
    let stage = match status {
        ISettlement::Status::Finalised => "final",
        _ => "in its challenge window",
    };
    Ok(format!("{} receipts, {fees} OPEN of fees, {paid} to contributors, {stage}", batch.count))
}

/// What one contributor is paid by an answer, in words and numbers, down to the units.
pub fn why(attributed: &Attributed, account: Address) -> String {
    let units: Vec<_> = attributed.units.iter().filter(|unit| unit.of.owner == account).collect();
    let paid = Amount(units.iter().map(|unit| unit.pay.0).sum());
    let mut text = format!(
        "{account} is paid {paid} of the {} OPEN that the answer leaves for data, for {} of {} units that rose above the floor.\n",
        attributed.data_share,
        units.len(),
        attributed.units.len()
    );
    for unit in units {
        text += &format!(
            "  unit {} ({}): score {:.6}, weight {} of {}, {} units of 10^-18 OPEN\n",
            unit.unit, unit.of.label, unit.score, unit.weight, attributed.total_weight, unit.pay.0
        );
    }
    text
}
