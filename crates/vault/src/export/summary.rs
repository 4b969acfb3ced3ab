//! The public summary of training content, by the sections of the European Commission's template (July 2025) for
//! article 53(1)(d) of Regulation (EU) 2024/1689: general information, list of data sources, data processing aspects.
//!
//! It states what the vault knows. What only the model's provider knows (its name, the date it was placed on the
//! market, sources outside this set) is marked as to be filled in, never guessed.

use super::card::table;
use super::{ExportOptions, Facts};
use crate::vault::training::TrainingSet;
use std::fmt::Write;

/// The template's size classes for text, in tokens.
fn size_class(tokens: u64) -> &'static str {
    match tokens {
        0..1_000_000_000 => "less than 1 billion tokens",
        1_000_000_000..=10_000_000_000_000 => "1 billion to 10 trillion tokens",
        _ => "more than 10 trillion tokens",
    }
}

/// A number with its noun.
fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

pub(super) fn write(options: &ExportOptions, set: &TrainingSet, facts: &Facts) -> String {
    let mut out = String::from("# Public summary of training content\n\n## 1. General information\n\n");
    let _ = writeln!(out, "- Provider: to be filled in by the model's provider");
    let _ = writeln!(out, "- Model: to be filled in by the model's provider");
    let _ = writeln!(
        out,
        "- Data described here: {}, version {} of {}",
        options.name, options.version, options.date
    );
    let _ = writeln!(out, "- Modality: text");
    let _ = writeln!(out, "- Size: {} ({} estimated)", size_class(facts.total.tokens), facts.total.tokens);
    let languages: Vec<&str> = facts.languages.keys().map(String::as_str).collect();
    let _ = writeln!(out, "- Languages (ISO 639-3): {}", languages.join(", "));
    let _ = writeln!(
        out,
        "- Frozen as: training set root `{}` over {}",
        set.root,
        counted(set.versions.len(), "Datanet version")
    );
    out.push_str("\n## 2. List of data sources\n\n### 2.1 Publicly available datasets\n\n");
    out.push_str(
        "Those among the contributors below that are public; the contributor states it with the licence.\n\n",
    );
    out.push_str("### 2.2 Private datasets obtained from third parties\n\n");
    let _ = writeln!(
        out,
        "Everything in this set was contributed by {} under the licences named, and each contribution is recorded.",
        counted(facts.owners.len(), "owner")
    );
    table(&mut out, "#### Contributors", "contributor", &facts.groups);
    table(&mut out, "#### Licences", "licence", &facts.licences);
    out.push_str("\n### 2.3 Data crawled and scraped from online sources\n\nNone by this system.\n");
    out.push_str("\n### 2.4 User data\n\nNone.\n\n### 2.5 Synthetic data\n\nNone known; contributors declare under bond.\n");
    out.push_str("\n## 3. Data processing aspects\n\n### 3.1 Respect of reservation of rights\n\n");
    out.push_str(
        "Only items whose licence grants the declared use are taken; the check is made before training and on the ledger. An \
         owner can have items erased: key, ciphertext and metadata are deleted and affected models listed.\n",
    );
    let _ = writeln!(out, "Erased since this set was frozen: {} items.", facts.erased);
    out.push_str("\n### 3.2 Removal of illegal content and personal data\n\n");
    out.push_str("Items were screened for personal data, credentials and junk by pattern and checksum.\n");
    for (kind, items) in &facts.findings {
        let _ = writeln!(out, "- {kind}: found in {items} items and treated as the Datanet's policy says");
    }
    let _ = writeln!(
        out,
        "\n### 3.3 Other\n\nNear-duplicates: items with a novelty below {} ppm were left out.",
        set.query.min_nu_ppm
    );
    out
}
