//! `openledger demo`: the main job, end to end, on real data.

use crate::{demo, home::Home, output::Output};
use std::{net::SocketAddr, path::PathBuf};

/// The whole of OpenLedger on real data: contribute, train, answer, pay, verify.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Your own documents: one contributor a subfolder [default: the documentation of the crates this binary was built from]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Folder the demo works in; a run that was cut off goes on there [default: HOME/demo]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// A question to ask; may be given several times [default: three of the demo's own]
    #[arg(long = "ask", value_name = "QUESTION")]
    questions: Vec<String>,
    /// End after the story instead of serving until Ctrl-C
    #[arg(long)]
    exit: bool,
    /// Where the ledger's JSON-RPC answers; another port is taken if this one is busy
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:8545")]
    rpc: SocketAddr,
    /// Where the inference API answers; another port is taken if this one is busy
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:8000")]
    api: SocketAddr,
    /// Where the pages are; another port is taken if this one is busy
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:8080")]
    pages: SocketAddr,
}

/// Runs `openledger demo`.
pub fn run(arguments: Arguments, home: &Home, output: &Output) -> anyhow::Result<()> {
    let Arguments { data, dir, questions, exit, rpc, api, pages } = arguments;
    let folder = dir.unwrap_or_else(|| home.join("demo"));
    let options = demo::Options { data, folder, questions, exit, rpc, api, pages };
    super::runtime()?.block_on(demo::run(options, output))
}
