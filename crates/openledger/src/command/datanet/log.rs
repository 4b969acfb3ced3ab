//! `openledger datanet log`: everything that ever happened to a vault, and the proof that nothing was left out.
//!
//! Each record names the hash of the one before, so the head, the hash of the last one, stands for the whole log. Who has noted a head
//! can ask later whether the log he is shown goes on from it.

use crate::output::{Output, table};
use alloy_primitives::B256;
use anyhow::ensure;
use serde_json::json;
use vault::{
    Vault,
    access::Scope,
    vault::log::{Event, Record},
};

/// Shows the log, or what was added since `noted` was its head.
pub(super) fn log(vault: &Vault, noted: Option<B256>, output: &Output) -> anyhow::Result<()> {
    let since = match noted {
        None => 0,
        Some(noted) => {
            let known = records_under(vault, noted);
            ensure!(
                known.is_some(),
                "no record of this log has the hash {noted}: records that stood there when it was noted were changed or removed"
            );
            known.unwrap_or_default()
        }
    };
    let added = &vault.records()[since..];
    output.result(&json!({ "head": vault.head(), "since": since, "records": added }), || {
        let rows: Vec<[String; 4]> = added.iter().map(row).collect();
        let mut text = String::new();
        if noted.is_some() {
            text += &format!(
                "the log goes on from that head: {since} records stand as they were, {} came after\n",
                rows.len()
            );
        }
        if !rows.is_empty() {
            text += &table(["RECORD", "DAY", "WHAT", "DETAILS"], &rows);
            text.push('\n');
        }
        text + &format!("{} records, head {}", vault.records().len(), vault.head())
    });
    Ok(())
}

/// How many records had been written when `head` was the log's head.
fn records_under(vault: &Vault, head: B256) -> Option<usize> {
    if vault.head() == head {
        return Some(vault.records().len());
    }
    vault.records().iter().position(|record| record.previous == head)
}

fn row(record: &Record) -> [String; 4] {
    let (what, details) = match &record.event {
        Event::Created { vault, .. } => ("created", vault.to_string()),
        Event::Datanet(datanet) => ("datanet", format!("{} {}", datanet.name, datanet.id)),
        Event::Contributed(c) => ("contributed", format!("{} items by {} as {}", c.items, c.owner, c.id)),
        Event::Granted(grant) => {
            let of = match &grant.scope {
                Scope::Set { root } => format!("set {root}"),
                Scope::Contributions { ids } => format!("{} contributions", ids.len()),
            };
            let run = grant.run.map(|run| format!(" for run {run}")).unwrap_or_default();
            let until = vault::export::date(grant.expires_at);
            (
                "granted",
                format!("{} to {}: {of}{run}, until {until}, {}", grant.id, grant.grantee, grant.purpose),
            )
        }
        Event::Revoked { grant, reason } => ("revoked", format!("{grant} {reason}")),
        Event::Frozen { root, items } => ("frozen", format!("set {root} of {items} items")),
        Event::Opened { by, grant, set, items, purpose } => {
            let of = set.map(|root| format!("set {root}")).unwrap_or_else(|| "contributions".into());
            let under = grant.map(|id| format!(" under {id}")).unwrap_or_default();
            ("read", format!("{items} items of {of} by {by}{under}: {purpose}"))
        }
        Event::Erased(tombstone) => {
            let models = match tombstone.models.len() {
                0 => String::new(),
                count => format!(", {count} models partial"),
            };
            (
                "erased",
                format!(
                    "{} items of {} sets{models}: {}",
                    tombstone.leaves.len(),
                    tombstone.sets.len(),
                    tombstone.reason
                ),
            )
        }
    };
    [record.sequence.to_string(), vault::export::date(record.at), what.into(), details]
}
