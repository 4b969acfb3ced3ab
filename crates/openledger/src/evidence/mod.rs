//! The chain of evidence of one answer, from a file or an operator's word to the genesis.
//!
//! `compute::evidence` checks what a receipt commits to; this module brings what it anchors in: records of the ledger, each proven
//! against the genesis by [`crate::light`]. It adds the links that lie wholly on the ledger (training, data, payouts, the event that paid)
//! and compares what a saved answer repeats of itself. Neither the operator nor the node is trusted.
//!
//! | link | what holds |
//! |---|---|
//! | `ledger` | the node proved every word that was read, against a certificate of the genesis' validators |
//! | `summary` | what the file repeats (text, contributors, fee) is what its receipt, answer and attribution say |
//! | `receipt signature` … `batch` | `compute::evidence` |
//! | `training` | the weights served are the last checkpoint of the run whose seed the beacon drew |
//! | `data` | the Datanet versions the run names are frozen on the ledger |
//! | `payouts` | what the batch owes contributors is paid out, as far as it is claimed |
//! | `split event` | the block that paid divided the fees into parts that are the fees, to the unit |
//!
//! [`replay`] runs generation, attribution and training again, an adapter's over the base that [`base`] compares with the ledger; [`items`] compares what a model was trained on with the vault.

mod anchors;
pub mod base;
pub mod batch;
pub mod items;
mod ledger_links;
pub mod replay;
pub mod saved;
mod summary;
#[cfg(test)]
mod tests;

pub use compute::evidence::{Link, State};
pub use saved::Saved;

use crate::light::{LightError, LightLedger};
use anchors::{Proven, Unproven};

/// A newest block older than this is no newest block: a running ledger makes one a second.
const MAX_AGE_SECONDS: u64 = 120;

/// How a check came out: what holds, as the caller passes it on.
pub(crate) type Outcome = Result<String, (State, String)>;

pub(crate) fn broken(detail: impl Into<String>) -> (State, String) {
    (State::Broken, detail.into())
}

pub(crate) fn open(detail: impl Into<String>) -> (State, String) {
    (State::Open, detail.into())
}

pub(crate) fn link(name: &str, outcome: Outcome) -> Link {
    let (state, detail) = match outcome {
        Ok(detail) => (State::Holds, detail),
        Err(wrong) => wrong,
    };
    Link { name: name.into(), state, detail }
}

/// Checks every link of an answer.
pub async fn check(ledger: &mut LightLedger, saved: &Saved) -> Vec<Link> {
    let bundle = match saved.bundle() {
        Ok(bundle) => bundle,
        Err(error) => return vec![link("summary", Err(broken(format!("{error:#}"))))],
    };
    let mut links = vec![link("summary", summary::check(saved, &bundle))];
    let read = ledger
        .read(|snapshot| {
            let mut links = compute::evidence::check(&bundle, &Proven(snapshot));
            links.extend(ledger_links::check(&bundle, &saved.published["settlement"], snapshot));
            links
        })
        .await;
    let ledger_link = match read {
        Ok(found) => {
            links.extend(found);
            let event = ledger_links::split_event(ledger, &bundle).await;
            links.push(link("split event", event));
            // The event's proof may show that the node lies, too.
            newest(ledger)
        }
        Err(error) => {
            links.extend(compute::evidence::check(&bundle, &Unproven(error.to_string())));
            Err(of(&error))
        }
    };
    links.insert(0, link("ledger", ledger_link));
    links
}

/// A lie is broken evidence; a node that is away leaves the question open.
pub(crate) fn of(error: &LightError) -> (State, String) {
    match error {
        LightError::Lie { .. } => broken(error.to_string()),
        LightError::Silent { .. } | LightError::TooMuch => open(error.to_string()),
    }
}

/// The block that everything was read from, and its age.
fn newest(ledger: &LightLedger) -> Outcome {
    let Some(header) = ledger.header() else { return Err(open("nothing was read from the ledger")) };
    let now = crate::clock::now();
    let (height, seconds) = (header.header().height, header.header().timestamp_ms / 1000);
    let age = now.saturating_sub(seconds);
    let validators = ledger.genesis().validators.len();
    let detail = format!(
        "block {height}, {age} s old, finalized by a quorum of the genesis' {validators} validator{}; every word proven (node {})",
        if validators == 1 { "" } else { "s" },
        ledger.node()
    );
    if age > MAX_AGE_SECONDS {
        return Err(open(format!(
            "{detail}: the ledger stands still, or the node hides its newer blocks; ask another node"
        )));
    }
    Ok(detail)
}

/// Whether no link is broken and none is open: what `verify` calls verified.
pub fn complete(links: &[Link]) -> bool {
    links.iter().all(|link| link.state == State::Holds)
}

/// A link as a line for people.
pub fn line(link: &Link) -> String {
    let state = match link.state {
        State::Holds => "ok  ",
        State::Broken => "BAD ",
        State::Open => "open",
    };
    format!("{state} {:<17} {}", link.name, link.detail)
}
