//! Re-executes an answer from what was kept of it, and compares bits.
//!
//! The commitments are opened first: a replay of another request proves nothing. Then generation runs again, and the attribution of
//! what it gives; tokens, text, use, shares and the attribution's root must be the receipt's. A client that left early leaves a
//! prefix: then the replay must begin with it.

use crate::{
    attributed::Attributed,
    decode::Generated,
    log::Entry,
    receipt::{Kind, Output, commit_output, commit_prompt, output_salt},
    request::{Finish, Usage},
    worker::{AnswerError, Worker},
};
use std::ops::ControlFlow;

/// What a replay found to be the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replayed {
    /// Tokens generated again.
    pub tokens: usize,
    /// Units with weight, scored again.
    pub units: usize,
}

/// Where a replay departs from the receipt.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ReplayError {
    /// There is no answer to run again.
    #[error("this receipt accounts for money without an answer")]
    NoAnswer,
    /// The operator said that its model is not reproducible.
    #[error("the receipt's op set is 0: its operator does not claim that the answer can be run again")]
    NotReproducible,
    /// Another op set computes other bits.
    #[error(
        "the receipt's op set is {receipt}, this program's is {ours}: replay with a release of that op set"
    )]
    OtherOpSet { receipt: u32, ours: u32 },
    /// The answer was another model's.
    #[error("the receipt names another model than the one that was loaded")]
    OtherModel,
    /// What was kept does not open the receipt's commitment.
    #[error("what was kept of the {0} does not open the receipt's commitment")]
    Opening(&'static str),
    /// The replay came out otherwise.
    #[error("{what} differs: the receipt has {receipt}, the replay {replay}")]
    Differs { what: &'static str, receipt: String, replay: String },
    /// The replay could not be run.
    #[error(transparent)]
    Answer(#[from] AnswerError),
}

fn same<T: PartialEq + std::fmt::Debug>(
    what: &'static str,
    receipt: T,
    replay: T,
) -> Result<(), ReplayError> {
    if receipt == replay {
        return Ok(());
    }
    let short = |value: T| format!("{value:?}").chars().take(120).collect::<String>();
    Err(ReplayError::Differs { what, receipt: short(receipt), replay: short(replay) })
}

/// Runs an entry's generation and attribution again.
pub fn replay(worker: &Worker, entry: &Entry) -> Result<Replayed, ReplayError> {
    let receipt = &entry.signed.receipt;
    if receipt.kind != Kind::Answer {
        return Err(ReplayError::NoAnswer);
    }
    if receipt.model != worker.model {
        return Err(ReplayError::OtherModel);
    }
    match (receipt.op_set, worker.generator.op_set()) {
        (0, _) => return Err(ReplayError::NotReproducible),
        (receipt, ours) if receipt != ours => return Err(ReplayError::OtherOpSet { receipt, ours }),
        _ => {}
    }
    if commit_prompt(&entry.salt, &entry.request) != receipt.prompt {
        return Err(ReplayError::Opening("prompt"));
    }
    if commit_output(&output_salt(&entry.salt), &entry.output) != receipt.output {
        return Err(ReplayError::Opening("output"));
    }
    let mut prepared = worker.prepare(entry.request.clone(), false)?;
    let kept = &entry.output;
    let left = kept.finish == Finish::Cancelled;
    let nothing = Output { tokens: Vec::new(), text: String::new(), finish: Finish::Cancelled };
    let (again, ends) = if left && kept.tokens.is_empty() {
        (nothing, Vec::new())
    } else {
        if left {
            // As far as it went; more is nobody's.
            prepared.request.sampling.max_tokens = kept.tokens.len() as u32;
        }
        let mut quiet = |_: &str| ControlFlow::Continue(());
        let Generated { output, ends, .. } = worker.generate(&prepared, &mut quiet)?;
        (output, ends)
    };
    same("the answer's tokens", kept.tokens.as_slice(), again.tokens.as_slice())?;
    if left {
        // What was sent is a beginning: of the last tokens, some text may have been held back.
        let beginning = again.text.get(..kept.text.len()).unwrap_or(&again.text);
        same("the answer's text", kept.text.as_str(), beginning)?;
    } else {
        same("the answer's text", kept.text.as_str(), again.text.as_str())?;
        same("why the answer ended", kept.finish, again.finish)?;
    }
    let usage =
        Usage { prompt_tokens: prepared.tokens.len() as u32, completion_tokens: kept.tokens.len() as u32 };
    same("the use", receipt.usage, usage)?;
    let attributed: Attributed = worker.attribute(&prepared, kept, &ends, entry.data_share)?;
    same("the attribution's root", receipt.attribution, attributed.root())?;
    same("what contributors are paid", receipt.paid, attributed.paid())?;
    Ok(Replayed { tokens: kept.tokens.len(), units: attributed.units.len() })
}

#[cfg(test)]
mod tests;
