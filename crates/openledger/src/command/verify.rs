//! `openledger verify`: the chain of evidence of one answer, from what is public.

use crate::{cli::Rpc, evidence, output::Output, rpc::Client};
use anyhow::{Context as _, bail};
use serde_json::{Value, json};
use std::path::PathBuf;

/// Verify an answer: its receipt, shares, settlement, model and data.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Id of the answer, or a file with what `/v1/attributions/{id}` published
    answer: String,
    /// Address of the operator's API
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8000", env = "OPENLEDGER_API")]
    api: String,
    #[command(flatten)]
    rpc: Rpc,
}

/// Largest saved answer that is read.
const MAX_FILE_BYTES: u64 = 64 << 20;

/// Runs `openledger verify`.
pub async fn run(arguments: Arguments, output: &Output) -> anyhow::Result<()> {
    let Arguments { answer, api, rpc } = arguments;
    let published = published(&answer, &api).await?;
    let links = evidence::check(&Client::new(&rpc.rpc)?, &published).await;
    let broken = links.iter().filter(|link| !link.holds).count();
    output.result(&json!({ "verified": broken == 0, "links": links }), || {
        links
            .iter()
            .map(|l| format!("{} {:<12} {}", if l.holds { "ok " } else { "BAD" }, l.name, l.detail))
            .collect::<Vec<_>>()
            .join("\n")
    });
    if broken > 0 {
        bail!("{broken} of {} links do not hold", links.len());
    }
    Ok(())
}

/// What the operator published of an answer: from a file if there is one of that name, else from the API.
pub async fn published(answer: &str, api: &str) -> anyhow::Result<Value> {
    let path = PathBuf::from(answer);
    if path.is_file() {
        let size = std::fs::metadata(&path)?.len();
        anyhow::ensure!(
            size <= MAX_FILE_BYTES,
            "{answer} has {size} bytes; a saved answer has at most {MAX_FILE_BYTES}"
        );
        return serde_json::from_slice(&std::fs::read(&path)?)
            .with_context(|| format!("{answer} is not JSON"));
    }
    let url = format!("{}/v1/attributions/{answer}", api.trim_end_matches('/'));
    let response = reqwest::get(&url).await.with_context(|| {
        format!("no operator answers at {api}; pass --api, or a file with the published attribution")
    })?;
    let status = response.status();
    let body: Value =
        response.json().await.with_context(|| format!("{url} answered {status} without JSON"))?;
    if !status.is_success() {
        bail!("{url}: {}", body["error"]["message"].as_str().unwrap_or("no reason given"));
    }
    Ok(body)
}
