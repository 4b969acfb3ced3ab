//! What the demo leaves: one JSON object for programs and one HTML page for people.

use super::{
    ask::Answered, journal::Journal, measure::Measured, settle::Settled, story::Story, train::Trained,
    verify::Verified,
};
use anyhow::Context as _;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fmt::Write as _,
    path::{Path, PathBuf},
};

/// File of the page inside the demo's folder.
const FILE: &str = "report.html";

/// All results.
pub struct Summary<'a> {
    /// What was done.
    pub journal: &'a Journal,
    /// The answers.
    pub answers: &'a [Answered],
    /// The batches.
    pub settled: &'a Settled,
    /// The checks.
    pub verified: &'a Verified,
    /// How good the attribution is.
    pub measured: &'a Measured,
    /// Seconds by stage.
    pub seconds: BTreeMap<&'static str, f64>,
    /// The demo's folder.
    pub data_dir: &'a Path,
}

impl Summary<'_> {
    /// The last line of `--exit --json`.
    pub fn json(&self) -> Value {
        let state = &self.journal.state;
        let items: u64 = state.contributors.iter().map(|c| c.items).sum();
        let measured = self.measured.documents > 0;
        let units = |amount: primitives::Amount| amount.0.to_string();
        json!({
            "items": items,
            "contributors": state.contributors.len(),
            "datanet": state.datanet,
            "model": state.model,
            "answers": self.answers,
            "fees_total": units(self.settled.fees),
            "paid_total": units(self.settled.data),
            "burned": units(self.settled.burned),
            "treasury": units(self.settled.treasury),
            "conserved": self.settled.conserved,
            "verified": self.verified.verified,
            "replayed": self.verified.replayed,
            "source_top1": measured.then_some(self.measured.paid.top1),
            "source_top3": measured.then_some(self.measured.paid.top3),
            "source_chance": self.measured.chance,
            "source_bm25": measured.then_some(self.measured.bm25.top1),
            "seconds": self.seconds,
            "data_dir": self.data_dir,
        })
    }
}

/// Tells the measurement.
pub fn tell_measured(measured: &Measured, story: &mut Story) {
    let percent = |x: f64| format!("{:.0} %", 100.0 * x);
    if measured.documents == 0 {
        story.tell("not measured: no document is long enough and could be spared from training");
        return;
    }
    story.tell(format!(
        "measured on {} held-out documents: the right contributor is paid most for {} [{} to {}], is among the first three for {}; BM25 names it \
         first for {}, chance for {}",
        measured.documents,
        percent(measured.paid.top1),
        percent(measured.paid.top1_interval.0),
        percent(measured.paid.top1_interval.1),
        percent(measured.paid.top3),
        percent(measured.bm25.top1),
        percent(measured.chance),
    ));
    story.tell(
        "(ties and texts without evidence count as failures; shares of the model's own text, below, are less certain than these)",
    );
}

/// Writes the page.
pub fn write_html(summary: &Summary, trained: &Trained) -> anyhow::Result<PathBuf> {
    let path = summary.data_dir.join(FILE);
    let page = html(summary, trained).context("the report could not be made")?;
    std::fs::write(&path, page).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

fn html(summary: &Summary, trained: &Trained) -> Result<String, std::fmt::Error> {
    let mut page = String::from(HEAD);
    let state = &summary.journal.state;
    let m = summary.measured;
    write!(
        page,
        "<h1>OpenLedger demo</h1><p class=lead>{} contributors, {} items, a model of {} parameters, {} answers, {} OPEN of fees, {}.</p>",
        state.contributors.len(),
        state.contributors.iter().map(|c| c.items).sum::<u64>(),
        trained.model.config.parameters(),
        summary.answers.len(),
        summary.settled.fees,
        if summary.settled.conserved { "every unit accounted for" } else { "NOT every unit accounted for" },
    )?;
    write!(
        page,
        "<h2>Does attribution name the right source?</h2><p>On {} documents that training never saw.</p>",
        m.documents
    )?;
    write!(
        page,
        "<svg role=img aria-label='Right contributor first: paid shares {:.2}, BM25 {:.2}, chance {:.2}' viewBox='0 0 520 96' width=520 height=96>",
        m.paid.top1, m.bm25.top1, m.chance
    )?;
    for (row, (name, value)) in
        [("paid shares", m.paid.top1), ("BM25", m.bm25.top1), ("chance", m.chance)].iter().enumerate()
    {
        let y = row * 30 + 6;
        write!(
            page,
            "<text x=0 y={}>{name}</text><rect x=110 y={y} width={:.1} height=20 rx=3 /><text x={:.1} y={}>{:.0} %</text>",
            y + 15,
            value * 360.0,
            118.0 + value * 360.0,
            y + 15,
            100.0 * value
        )?;
    }
    write!(page, "</svg><h2>Answers and what they owe</h2>")?;
    for answer in summary.answers {
        write!(
            page,
            "<article><h3>{}</h3><pre>{}</pre><table>",
            escape(&answer.prompt),
            escape(&answer.text)
        )?;
        for share in answer.shares.iter().take(8) {
            write!(
                page,
                "<tr><td>{}</td><td class=n>{:.1} %</td><td><svg width=200 height=12 role=img aria-label='{:.1} percent'><rect width={:.1} height=12 rx=2 /></svg></td></tr>",
                escape(&share.contributor),
                100.0 * share.share,
                100.0 * share.share,
                200.0 * share.share
            )?;
        }
        write!(
            page,
            "</table><p class=soft>Cost {} OPEN. Answer <code>{}</code>.</p></article>",
            answer.cost,
            escape(&answer.id)
        )?;
    }
    let s = summary.settled;
    write!(page, "<h2>Where the fees went (OPEN)</h2><table>")?;
    for (name, amount) in [
        ("Data contributors", s.data),
        ("Model developer", s.developer),
        ("Operator", s.operator),
        ("Auditors", s.auditors),
        ("Validators", s.validators),
        ("Treasury", s.treasury),
        ("Burned", s.burned),
        ("All fees", s.fees),
    ] {
        write!(page, "<tr><td>{name}</td><td class=n>{amount}</td></tr>")?;
    }
    write!(page, "</table><h2>What was checked</h2><ul>")?;
    for check in &summary.verified.checks {
        write!(page, "<li>{}</li>", escape(check))?;
    }
    write!(
        page,
        "</ul><h2>Contributors</h2><table><tr><th>Name<th>Licence<th class=n>Items<th class=n>Bytes<th>Account</tr>"
    )?;
    for c in &state.contributors {
        write!(
            page,
            "<tr><td>{}</td><td>{}</td><td class=n>{}</td><td class=n>{}</td><td><code>{}</code></td></tr>",
            escape(&c.name),
            escape(&c.licence),
            c.items,
            c.bytes,
            c.account
        )?;
    }
    write!(page, "</table></main></body></html>")?;
    Ok(page)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

const HEAD: &str = "<!doctype html><html lang=en><head><meta charset=utf-8><meta name=viewport content='width=device-width, initial-scale=1'>\
<title>OpenLedger demo</title><style>:root{color-scheme:light dark;--ink:#1b1f24;--soft:#5c6670;--back:#fbfaf7;--line:#e3e0d8;--accent:#0b6e4f}\
@media(prefers-color-scheme:dark){:root{--ink:#e8e6e1;--soft:#9aa4ad;--back:#14171a;--line:#2d3339;--accent:#5fc9a1}}\
body{margin:0;background:var(--back);color:var(--ink);font:16px/1.5 system-ui,sans-serif}main{max-width:56rem;margin:0 auto;padding:1rem}\
.lead,.soft{color:var(--soft)}table{border-collapse:collapse;font-size:.94rem}td,th{padding:.3rem .8rem .3rem 0;border-bottom:1px solid var(--line);text-align:left}\
.n{text-align:right;font-variant-numeric:tabular-nums}pre{white-space:pre-wrap;overflow-wrap:anywhere;border-left:3px solid var(--accent);padding-left:1rem}\
svg rect{fill:var(--accent)}svg text{fill:var(--ink);font:14px system-ui,sans-serif}code{font-size:.85em;overflow-wrap:anywhere}</style></head><body><main>";
