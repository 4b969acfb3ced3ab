//! A report as one self-contained page: bars for contributors, the answer with its spans, units with their text.

use super::{EvaluateReport, QueryReport, SpansReport};
use crate::shares::Outcome;
use std::fmt::Write as _;

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:56rem;margin:2rem auto;padding:0 1rem;color:#1b1f24}\
table{border-collapse:collapse;width:100%}td,th{padding:.25rem .5rem;text-align:left;vertical-align:top;border-bottom:1px solid #e4e8ec}\
.bar{background:#2f6f9f;height:.8rem;display:inline-block}.low{color:#68727d}mark{background:#d9ecf7;border-radius:3px}\
code{font-size:13px;overflow-wrap:anywhere}pre{white-space:pre-wrap}";

/// Text that cannot be taken for markup.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

fn page(title: &str, body: &str) -> String {
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{title}</title><style>{STYLE}</style><h1>{title}</h1>{body}</html>\n"
    )
}

fn bar(part: f64) -> String {
    format!("<span class=\"bar\" style=\"width:{:.1}rem\"></span>", 20.0 * part.clamp(0.0, 1.0))
}

/// The page of one answer.
pub fn query(report: &QueryReport) -> String {
    let mut body = String::new();
    match report.outcome {
        Outcome::Paid => body.push_str("<h2>Contributors</h2>"),
        Outcome::NoEvidence => {
            body.push_str("<p>No unit is above the noise floor: this answer owes nobody, and its data share goes to the treasury.</p><h2>Most influence below the floor</h2>");
        }
    }
    body.push_str("<table><tr><th>contributor<th>share of pay<th><th>pay (OPEN)<th>influence</tr>");
    for c in &report.contributors {
        let _ = write!(
            body,
            "<tr><td>{}<td>{:.1} %<td>{}<td>{}<td>{:.4}</tr>",
            escape(&c.owner),
            100.0 * c.share,
            bar(c.share),
            c.pay,
            c.influence
        );
    }
    body.push_str(
        "</table><h2>The answer, span by span</h2><table><tr><th>text<th>strongest through this text</tr>",
    );
    for span in &report.spans {
        let _ = write!(body, "<tr><td><mark>{}</mark><td>", escape(&span.text));
        for unit in &span.units {
            let _ =
                write!(body, "{} <span class=\"low\">{:.4}</span><br>", escape(&unit.document), unit.score);
        }
        body.push_str("</tr>");
    }
    body.push_str("</table><h2>Training units with the highest scores</h2><table><tr><th>unit<th>score<th>pay (OPEN)</tr>");
    for unit in &report.units {
        let _ = write!(
            body,
            "<tr><td>{}<br><span class=\"low\">{}</span><td>{:.4}<td>{}</tr>",
            escape(&unit.document),
            escape(&unit.preview),
            unit.score,
            unit.pay
        );
    }
    let _ = write!(
        body,
        "</table><p class=\"low\">To the treasury: {}. Cache <code>{}</code>, attribution <code>{}</code>, {:.0} ms.</p>",
        report.treasury,
        report.cache,
        report.digest,
        1e3 * report.seconds
    );
    page("Who this answer owes", &body)
}

/// The page of an evaluation: a bar with its interval for each method.
pub fn evaluation(report: &EvaluateReport) -> String {
    let mut body = format!(
        "<p>{} queries of held-out text, {} contributors. Right source first, with 95 % bootstrap intervals. Overlap is not influence.</p><svg width=\"640\" height=\"{}\" role=\"img\">",
        report.queries,
        report.owners,
        40 * (report.methods.len() + 1)
    );
    let x = |value: f64| 280.0 + 340.0 * value.clamp(0.0, 1.0);
    for (i, method) in report.methods.iter().enumerate() {
        let (y, s) = (40 * i + 20, method.source.first);
        let _ = write!(
            body,
            "<text x=\"0\" y=\"{}\" font-size=\"13\">{}</text><rect x=\"280\" y=\"{}\" width=\"{:.0}\" height=\"16\" fill=\"#2f6f9f\"/>\
             <line x1=\"{:.0}\" x2=\"{:.0}\" y1=\"{y}\" y2=\"{y}\" stroke=\"#111\" stroke-width=\"2\"/><text x=\"{:.0}\" y=\"{}\" font-size=\"12\">{:.3}</text>",
            y + 4,
            escape(&method.method),
            y - 8,
            x(s.value) - 280.0,
            x(s.low),
            x(s.high),
            x(s.high) + 6.0,
            y + 4,
            s.value
        );
    }
    let chance = report.methods.first().map_or(0.0, |m| m.source.chance);
    let bottom = 40 * report.methods.len() + 4;
    let _ = write!(
        body,
        "<line x1=\"{0:.0}\" x2=\"{0:.0}\" y1=\"0\" y2=\"{bottom}\" stroke=\"#b00\" stroke-dasharray=\"4\"/><text x=\"{0:.0}\" y=\"{1}\" font-size=\"12\" fill=\"#b00\">chance {chance:.3}</text></svg>",
        x(chance),
        bottom + 16
    );
    let _ = write!(
        body,
        "<p>Answers that owed nobody: {}. Median query: {:.1} ms.</p>",
        report.without_evidence,
        1e3 * report.median_seconds
    );
    page("Source identification", &body)
}

/// The page of a span report: the answer with its matches marked.
pub fn spans(report: &SpansReport, answer: &str) -> String {
    let mut body = String::from("<p>Verbatim overlap: corroboration, not influence.</p><pre>");
    let mut at = 0;
    for found in &report.report.matches {
        let start = found.bytes.start.max(at);
        let (Some(before), Some(text)) = (answer.get(at..start), answer.get(start..found.bytes.end)) else {
            continue;
        };
        let source = found.sources.first().and_then(|s| report.documents.get(s.document as usize));
        let _ = write!(
            body,
            "{}<mark title=\"{} ({} times, {} bits)\">{}</mark>",
            escape(before),
            escape(source.map_or("", String::as_str)),
            found.occurrences,
            found.rarity_bits,
            escape(text)
        );
        at = found.bytes.end;
    }
    let _ = write!(
        body,
        "{}</pre><table><tr><th>contributor<th>matches<th>bytes<th>rarity (bits)</tr>",
        escape(answer.get(at..).unwrap_or(""))
    );
    for tally in &report.report.contributors {
        let name = report.owners.get(tally.owner as usize).map_or("", String::as_str);
        let _ = write!(
            body,
            "<tr><td>{}<td>{}<td>{}<td>{}</tr>",
            escape(name),
            tally.first_of,
            tally.bytes,
            tally.rarity_bits
        );
    }
    body.push_str("</table>");
    page("Verbatim spans", &body)
}
