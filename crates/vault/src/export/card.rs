//! The data card: Markdown with the header that the Hugging Face hub reads.

use super::{Amounts, ExportOptions, Facts};
use crate::licence::obligations;
use crate::vault::training::TrainingSet;
use std::collections::BTreeMap;
use std::fmt::Write;

/// Most rows of a table; the rest is summed up.
const MAX_ROWS: usize = 50;

pub(super) fn write(options: &ExportOptions, set: &TrainingSet, facts: &Facts) -> String {
    let mut out = String::from("---\n");
    let hub = match facts.licences.keys().collect::<Vec<_>>().as_slice() {
        [one] if spdx::license_id(one).is_some() => one.to_ascii_lowercase(),
        _ => "other".into(),
    };
    let _ = writeln!(out, "pretty_name: {}", serde_json::json!(options.name));
    let _ = writeln!(out, "license: {hub}");
    out.push_str(
        "configs:\n- config_name: default\n  data_files:\n  - split: train\n    path: data/train.parquet\n",
    );
    let _ = writeln!(out, "---\n\n# {}\n\n{}\n", options.name, options.description);
    let _ = writeln!(
        out,
        "Version {} of {}, published by {}: {} items, {} bytes of text, about {} tokens.\n",
        options.version,
        options.date,
        options.publisher,
        facts.total.items,
        facts.total.bytes,
        facts.total.tokens
    );
    let _ = writeln!(out, "Training set root `{}`, items root `{}`.", set.root, set.items_root);
    out.push_str(
        "Each row's `leaf` is a Merkle leaf under the items root; `lineage.json` has them in order.\n\n",
    );
    out.push_str("## Licences\n\n| licence | items | bytes | asks for |\n|---|---|---|---|\n");
    for (licence, amounts) in &facts.licences {
        let o = obligations(licence);
        let asks = [
            (o.attribution, "attribution"),
            (o.share_alike, "share alike"),
            (o.non_commercial, "non-commercial use"),
            (o.no_derivatives, "no derivatives"),
            (!o.known, "terms of its own: read it"),
        ];
        let asks: Vec<_> = asks.iter().filter(|(holds, _)| *holds).map(|(_, text)| *text).collect();
        let asks = if asks.is_empty() { "nothing".into() } else { asks.join(", ") };
        let _ = writeln!(out, "| {licence} | {} | {} | {asks} |", amounts.items, amounts.bytes);
    }
    table(&mut out, "## Contributors", "contributor", &facts.groups);
    table(&mut out, "## Languages", "language (ISO 639-3; und: no reliable guess)", &facts.languages);
    out.push_str("\n## Personal data\n\n");
    if facts.findings.is_empty() {
        out.push_str("Screening found none.\n");
    } else {
        for (kind, items) in &facts.findings {
            let _ = writeln!(out, "- {kind}: in {items} items, treated as the Datanet's policy says");
        }
    }
    if facts.erased > 0 {
        let _ =
            writeln!(out, "\n{} items were erased after the set was frozen and are not in it.", facts.erased);
    }
    out
}

pub(super) fn table(out: &mut String, title: &str, column: &str, amounts: &BTreeMap<String, Amounts>) {
    let _ = writeln!(out, "\n{title}\n\n| {column} | items | bytes | tokens |\n|---|---|---|---|");
    let mut rows: Vec<_> = amounts.iter().collect();
    rows.sort_by(|a, b| b.1.bytes.cmp(&a.1.bytes).then(a.0.cmp(b.0)));
    let mut rest = Amounts::default();
    for (i, (name, a)) in rows.iter().enumerate() {
        if i < MAX_ROWS {
            let name = name.replace('|', "\\|");
            let _ = writeln!(out, "| {name} | {} | {} | {} |", a.items, a.bytes, a.tokens);
        } else {
            rest.items += a.items;
            rest.bytes += a.bytes;
            rest.tokens += a.tokens;
        }
    }
    if rest.items > 0 {
        let others = rows.len() - MAX_ROWS;
        let _ = writeln!(out, "| {others} others | {} | {} | {} |", rest.items, rest.bytes, rest.tokens);
    }
}
