//! What an answer owes, as responses carry it.

use crate::server::{App, ServedModel};
use compute::{Attributed, Entry};
use primitives::Amount;
use serde_json::{Value, json};

/// Contributors named in a response; `/v1/attributions/{id}` names all.
const CONTRIBUTORS: usize = 16;
/// Units named in a response.
const UNITS: usize = 8;

/// An answer that is in the log, with what it owes.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// The entry.
    pub entry: Entry,
    /// Its attribution, complete.
    pub attributed: Attributed,
}

impl Recorded {
    /// From an entry of the log: scores and shares are rebuilt by the committed rule. `None` when the model's cache is not the
    /// one that the receipt commits to.
    pub fn from_entry(entry: Entry, model: &ServedModel) -> Option<Recorded> {
        let attributor = &model.worker.attributor;
        let units = attributor.units();
        if entry.scores.iter().any(|(unit, _)| *unit as usize >= units.len()) {
            return None;
        }
        let mut attributed = Attributed::divide_sparse(
            attributor.cache_root(),
            attributor.rule(),
            units,
            &entry.scores,
            entry.data_share,
        )
        .ok()?;
        if attributed.root() != entry.signed.receipt.attribution {
            return None;
        }
        attributed.spans = entry.spans.clone();
        Some(Recorded { entry, attributed })
    }

    /// The top-level `openledger` object.
    pub fn object(&self, app: &App) -> Value {
        let receipt = &self.entry.signed.receipt;
        let Attributed { outcome, data_share, treasury, units, .. } = &self.attributed;
        let total = self.attributed.total_weight.max(1);
        let contributors: Vec<Value> = self
            .attributed
            .contributors()
            .into_iter()
            .take(CONTRIBUTORS)
            .map(|c| json!({ "account": c.account, "pay": c.pay, "share": f64::from(c.share_ppm) / 1e6 }))
            .collect();
        let best: Vec<Value> = self
            .attributed
            .best_units(UNITS)
            .into_iter()
            .map(|unit| {
                json!({
                    "unit": unit.unit, "item": unit.of.item, "datanet": unit.of.datanet,
                    "account": unit.of.owner, "label": unit.of.label, "pay": unit.pay,
                    "share": (unit.weight * 1_000_000 / total) as f64 / 1e6,
                })
            })
            .collect();
        json!({
            "answer": receipt.id,
            "receipt": receipt.digest(),
            "operator": receipt.operator,
            "model": receipt.model,
            "sequence": receipt.sequence,
            "fee": receipt.fee,
            "outcome": outcome,
            "dataShare": data_share,
            "paid": receipt.paid,
            "treasury": treasury,
            "attributionRoot": receipt.attribution,
            "contributors": contributors,
            "units": best,
            "unitsWithWeight": units.len(),
            "url": format!("{}/answer/{}", app.config.explorer_url, receipt.id),
            "attribution": format!("{}/v1/attributions/{}", app.public_url, receipt.id),
        })
    }

    /// As [`Recorded::object`], with what opens the prompt's commitment: for the payer alone.
    pub fn payer_object(&self, app: &App) -> Value {
        let mut object = self.object(app);
        object["promptSalt"] = json!(self.entry.salt);
        object
    }

    /// Citations of the spans' best sources: the place in the answer, in characters, the source's label and its page.
    pub fn citations(&self, app: &App) -> Vec<Citation> {
        let text = &self.entry.output.text;
        let units = &self.attributed.units;
        let mut cited: Vec<Citation> = Vec::new();
        for span in &self.attributed.spans {
            let source = span.sources.iter().find_map(|(unit, _)| {
                units.binary_search_by_key(unit, |share| share.unit).ok().map(|at| &units[at])
            });
            let Some(source) = source else { continue };
            let [start, end] = span.bytes.map(|byte| characters(text, byte as usize));
            let url = format!("{}/item/{}", app.config.explorer_url, source.of.item);
            match cited.last_mut() {
                Some(last) if last.url == url && last.end == start => last.end = end,
                _ => cited.push(Citation { start, end, title: source.of.label.clone(), url }),
            }
        }
        cited
    }
}

/// One stretch of an answer and the source it owes most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Citation {
    /// First character.
    pub start: usize,
    /// Past the last.
    pub end: usize,
    /// The source's label.
    pub title: String,
    /// Its page.
    pub url: String,
}

impl Citation {
    /// As `message.annotations[]` has it.
    pub fn chat(&self) -> Value {
        let Citation { start, end, title, url } = self;
        json!({ "type": "url_citation", "url_citation": {
            "start_index": start, "end_index": end, "title": title, "url": url,
        } })
    }

    /// As `output_text.annotations[]` has it.
    pub fn responses(&self) -> Value {
        let Citation { start, end, title, url } = self;
        json!({ "type": "url_citation", "start_index": start, "end_index": end, "title": title, "url": url })
    }
}

fn characters(text: &str, byte: usize) -> usize {
    text.char_indices().take_while(|(at, _)| *at < byte).count()
}

/// The cost fields of a usage object: decimal OPEN, and the smallest unit.
pub fn with_cost(mut usage: Value, fee: Amount) -> Value {
    usage["cost"] = json!(fee.to_string());
    usage["cost_units"] = json!(fee);
    usage
}
