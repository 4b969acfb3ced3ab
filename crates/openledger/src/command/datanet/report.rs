//! What people read of imports, checks and contents.

use crate::output::{Output, table};
use primitives::DatanetId;
use std::collections::BTreeMap;
use vault::{
    Vault, commands,
    vault::report::{ImportReport, LeftOut},
};

/// What a check found.
pub(super) fn verified(report: &commands::VerifyReport) -> String {
    let mut lines = vec![format!(
        "{} records, {} contributions, {} items: {} decrypted, {} erased, {} whose keys are not here",
        report.records, report.contributions, report.items, report.decrypted, report.erased, report.locked
    )];
    if report.garbage > 0 {
        lines.push(format!(
            "{} objects belong to nothing; `openledger datanet clean` removes them",
            report.garbage
        ));
    }
    lines.extend(report.problems.iter().map(|problem| format!("DAMAGED: {problem}")));
    if report.problems.is_empty() {
        lines.push("everything matches its root".into());
    }
    lines.join("\n")
}

/// One line over several contributions.
pub(super) fn total(imports: &[ImportReport]) -> String {
    let sum = |of: fn(&ImportReport) -> u64| imports.iter().map(of).sum::<u64>();
    format!(
        "in all       {} items in {} contributions, one a licence: {} bytes, about {} tokens; {} copies, {} redacted, {} refused, {} not read",
        sum(|i| i.items),
        imports.iter().filter(|i| i.contribution.is_some()).count(),
        sum(|i| i.bytes),
        sum(|i| i.tokens),
        sum(|i| i.exact_duplicates + i.near_duplicates),
        sum(|i| i.redacted),
        sum(|i| i.refused_count),
        sum(|i| i.error_count)
    )
}

/// An import's report for the data's owner.
pub(super) fn imported(import: &ImportReport) -> String {
    let ImportReport {
        contribution,
        root: _,
        items,
        bytes,
        tokens,
        resumed,
        stored_bytes,
        already_present,
        exact_duplicates,
        near_duplicates,
        mean_nu_ppm: _,
        compared_with_all,
        findings,
        flagged,
        redacted,
        licences,
        languages,
        refused,
        refused_count,
        errors,
        error_count,
    } = import;
    let mut lines = Vec::new();
    let mut say = |what: &str, text: String| lines.push(format!("{what:<13}{text}"));
    match contribution {
        Some(id) => say("contribution", id.to_string()),
        None => say("contribution", "none: nothing new came in".into()),
    }
    if *items > 0 {
        say(
            "items",
            format!(
                "{items} ({bytes} bytes of text, about {tokens} tokens; {stored_bytes} bytes stored, encrypted)"
            ),
        );
        say("licences", counts(licences.iter().map(|(name, (items, _))| (name.as_str(), *items))));
        say("languages", counts(languages.iter().map(|(name, items)| (language(name), *items))));
        let all = if *compared_with_all { "" } else { "; some earlier items by their signatures only" };
        say("novelty", format!("{:.1} % of the text is new here{all}", 100.0 * import.mean_nu()));
    }
    if exact_duplicates + near_duplicates > 0 {
        say(
            "copies",
            format!("{exact_duplicates} exact, {near_duplicates} near: kept, worth nothing, not trained on"),
        );
    }
    if *already_present > 0 {
        say("known", format!("{already_present} in this Datanet already, from the same owner"));
    }
    if *resumed > 0 {
        say("resumed", format!("{resumed} were stored by an interrupted import"));
    }
    if !findings.is_empty() {
        let names: Vec<(String, u64)> =
            findings.iter().map(|(kind, count)| (kind.to_string(), *count)).collect();
        let found = counts(names.iter().map(|(name, count)| (name.as_str(), *count)));
        let first = format!("{found}; redacted in {redacted} items");
        say("screening", under(first, grouped(flagged, flagged.len() as u64)));
    }
    if *refused_count > 0 {
        say("refused", under(refused_count.to_string(), grouped(refused, *refused_count)));
    }
    if *error_count > 0 {
        say("not read", under(error_count.to_string(), grouped(errors, *error_count)));
    }
    lines.join("\n")
}

/// A line and those below it.
fn under(first: String, mut below: Vec<String>) -> String {
    below.insert(0, first);
    below.join("\n")
}

/// Names with their counts, the most frequent first, at most eight.
fn counts<'a>(all: impl Iterator<Item = (&'a str, u64)>) -> String {
    const SHOWN: usize = 8;
    let mut all: Vec<_> = all.collect();
    all.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    let rest: u64 = all.iter().skip(SHOWN).map(|(_, count)| count).sum();
    let mut texts: Vec<_> = all.iter().take(SHOWN).map(|(name, count)| format!("{name} {count}")).collect();
    if rest > 0 {
        texts.push(format!("others {rest}"));
    }
    texts.join(", ")
}

fn language(code: &str) -> &str {
    if code == "und" { "unsure" } else { code }
}

/// What was left out by reason, with an example of each.
fn grouped(left_out: &[LeftOut], all: u64) -> Vec<String> {
    let mut reasons: BTreeMap<&str, (u64, &str)> = BTreeMap::new();
    for out in left_out {
        let reason =
            out.reason.strip_prefix(&out.source).map_or(out.reason.as_str(), |r| r.trim_start_matches(": "));
        reasons.entry(reason).or_insert((0, &out.source)).0 += 1;
    }
    let mut rows: Vec<_> = reasons.into_iter().collect();
    rows.sort_by(|a, b| b.1.0.cmp(&a.1.0).then(a.0.cmp(b.0)));
    let mut lines: Vec<_> = rows
        .iter()
        .map(|(reason, (count, example))| match count {
            1 => format!("  {example}: {reason}"),
            _ => format!("  {count}: {reason} (such as {example})"),
        })
        .collect();
    let unlisted = all.saturating_sub(left_out.len() as u64);
    if unlisted > 0 {
        lines.push(format!("  and {unlisted} more"));
    }
    lines
}

/// Datanets and what stands in them.
pub(super) fn show(vault: &Vault, only: Option<DatanetId>, output: &Output) -> anyhow::Result<()> {
    let report = commands::show(vault, only.as_ref())?;
    output.result(&report, || {
        let mut text = Vec::new();
        for view in &report.datanets {
            text.push(format!(
                "{} {}\n  owner {}, {} items ({} bytes, about {} tokens), root {}",
                view.datanet.name,
                view.datanet.id,
                view.datanet.owner,
                view.live_items,
                view.bytes,
                view.tokens,
                view.version.root
            ));
            let rows: Vec<[String; 5]> = view
                .contributions
                .iter()
                .map(|c| {
                    [
                        c.id.0.to_string(),
                        c.owner.to_string(),
                        c.items.to_string(),
                        c.bytes.to_string(),
                        c.licences.join(", "),
                    ]
                })
                .collect();
            if !rows.is_empty() {
                text.push(table(["CONTRIBUTION", "OWNER", "ITEMS", "BYTES", "LICENCE"], &rows));
            }
        }
        if text.is_empty() {
            "no Datanet yet; `openledger datanet create NAME` makes one".into()
        } else {
            text.join("\n")
        }
    });
    Ok(())
}

/// Items that say what earlier ones say.
pub(super) fn paraphrases(report: &commands::ParaphraseReport) -> String {
    let rows: Vec<[String; 4]> = report
        .pairs
        .iter()
        .map(|pair| {
            let similarity = format!("{:.3}", pair.similarity);
            let kind = if pair.near_duplicate { "near-duplicate" } else { "paraphrase" };
            [similarity, kind.into(), format!("{} {}", pair.source, pair.leaf), pair.of_source.clone()]
        })
        .collect();
    let said = format!("{} of {} items say what an earlier one says", rows.len(), report.items);
    if rows.is_empty() {
        said
    } else {
        format!("{}\n{said}", table(["SIMILARITY", "KIND", "ITEM", "OF"], &rows))
    }
}
