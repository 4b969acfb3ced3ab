//! A report as one self-contained page: bars for contributors, the answer with its spans, units with their text.

use super::{EvaluateReport, QueryReport, RetrainReport, SpansReport, ValueReport};
use crate::metrics::Interval;
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
    body.push_str("<table><tr><th>contributor<th>share of pay<th>95 %<th><th>pay (OPEN)<th>influence</tr>");
    for c in &report.contributors {
        let _ = write!(
            body,
            "<tr><td>{}<td>{:.1} %<td class=\"low\">{:.1} to {:.1} %<td>{}<td>{}<td>{:.4}</tr>",
            escape(&c.owner),
            100.0 * c.share,
            100.0 * c.low,
            100.0 * c.high,
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

/// A bar with its interval for each name; `chance`, if any, is a dashed line.
fn bars(rows: &[(&str, Interval)], chance: Option<f64>) -> String {
    let x = |value: f64| 320.0 + 300.0 * value.clamp(0.0, 1.0);
    let mut svg = format!("<svg width=\"680\" height=\"{}\" role=\"img\">", 40 * rows.len() + 24);
    for (i, (name, s)) in rows.iter().enumerate() {
        let y = 40 * i + 20;
        let _ = write!(
            svg,
            "<text x=\"0\" y=\"{}\" font-size=\"13\">{}</text><rect x=\"320\" y=\"{}\" width=\"{:.0}\" height=\"16\" fill=\"#2f6f9f\"/>\
             <line x1=\"{:.0}\" x2=\"{:.0}\" y1=\"{y}\" y2=\"{y}\" stroke=\"#111\" stroke-width=\"2\"/><text x=\"{:.0}\" y=\"{}\" font-size=\"12\">{:.3}</text>",
            y + 4,
            escape(name),
            y - 8,
            x(s.value) - 320.0,
            x(s.low),
            x(s.high),
            x(s.high) + 6.0,
            y + 4,
            s.value
        );
    }
    if let Some(chance) = chance {
        let bottom = 40 * rows.len() + 4;
        let _ = write!(
            svg,
            "<line x1=\"{0:.0}\" x2=\"{0:.0}\" y1=\"0\" y2=\"{bottom}\" stroke=\"#b00\" stroke-dasharray=\"4\"/><text x=\"{0:.0}\" y=\"{1}\" font-size=\"12\" fill=\"#b00\">chance {chance:.3}</text>",
            x(chance),
            bottom + 16
        );
    }
    svg + "</svg>"
}

/// The page of an evaluation: bars with intervals for source identification, and for LDS when models were retrained.
pub fn evaluation(report: &EvaluateReport, retraining: Option<&RetrainReport>) -> String {
    let rows: Vec<(&str, Interval)> =
        report.methods.iter().map(|m| (m.method.as_str(), m.source.first)).collect();
    let mut body = format!(
        "<p>{} queries of held-out text, {} contributors. Right source first, with 95 % bootstrap intervals. Overlap is not influence.</p>{}\
         <p>Answers that owed nobody: {}. Median query: {:.1} ms.</p>",
        report.queries,
        report.owners,
        bars(&rows, report.methods.first().map(|m| m.source.chance)),
        report.without_evidence,
        1e3 * report.median_seconds
    );
    if let Some(found) = retraining {
        let held_out: Vec<(&str, Interval)> =
            found.methods.iter().map(|m| (m.method.as_str(), m.held_out)).collect();
        let own: Vec<(&str, Interval)> =
            found.methods.iter().map(|m| (m.method.as_str(), m.own_answers)).collect();
        let names: Vec<String> = found.tried.iter().map(|t| format!("damping {}", t.ratio)).collect();
        let tried: Vec<(&str, Interval)> =
            names.iter().map(String::as_str).zip(found.tried.iter().map(|t| t.lds)).collect();
        let _ = write!(
            body,
            "<h2>Does it predict retraining?</h2><p>{} halves of the contributors, {} models trained on each. LDS: rank correlation of the sum of shares \
             over a half with how well a model of that half does. Damping {} was chosen on every other pair of halves; these are the rest.</p>\
             <h3>Held-out text</h3>{}<h3>The model's own answers</h3>{}<h3>Choosing the damping</h3>{}",
            found.subsets,
            found.seeds,
            found.chosen.ratio,
            bars(&held_out, None),
            bars(&own, None),
            bars(&tried, None)
        );
    }
    page("How good the attribution is", &body)
}

/// The page of a valuation: the distribution of values, and the rows likeliest to be wrong.
pub fn value(report: &ValueReport, top: usize) -> String {
    const BINS: usize = 40;
    let (low, high) = match (report.rows.first(), report.rows.last()) {
        (Some(first), Some(last)) if last.value > first.value => (first.value, last.value),
        _ => (-1.0, 1.0),
    };
    let mut counts = [0usize; BINS];
    for row in &report.rows {
        let bin = ((row.value - low) / (high - low) * BINS as f64) as usize;
        counts[bin.min(BINS - 1)] += 1;
    }
    let most = counts.iter().copied().max().unwrap_or(1).max(1);
    let mut body = format!(
        "<p>{} rows, worth {:.6} together. The lowest are the likeliest to be mislabelled.</p><svg width=\"640\" height=\"170\" role=\"img\">",
        report.rows.len(),
        report.total
    );
    for (bin, count) in counts.iter().enumerate() {
        let height = 140.0 * *count as f64 / most as f64;
        let middle = low + (bin as f64 + 0.5) / BINS as f64 * (high - low);
        let _ = write!(
            body,
            "<rect x=\"{}\" y=\"{:.0}\" width=\"14\" height=\"{height:.0}\" fill=\"{}\"><title>{count} rows near {middle:.6}</title></rect>",
            16 * bin,
            145.0 - height,
            if middle < 0.0 { "#b5562b" } else { "#2f6f9f" }
        );
    }
    let _ = write!(
        body,
        "<text x=\"0\" y=\"164\" font-size=\"12\">{low:.6}</text><text x=\"640\" y=\"164\" font-size=\"12\" text-anchor=\"end\">{high:.6}</text></svg>\
         <table><tr><th>row<th>label<th>value</tr>"
    );
    for row in report.rows.iter().take(top) {
        let _ = write!(body, "<tr><td>{}<td>{}<td>{:+.6}</tr>", row.row, escape(&row.label), row.value);
    }
    body.push_str("</table>");
    page("What rows are worth", &body)
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
