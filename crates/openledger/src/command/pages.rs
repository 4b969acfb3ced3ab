//! `openledger pages`: the explorer over a node and an operator's API.

use crate::{
    cli::Rpc,
    home::Home,
    output::Output,
    pages::{NodeRpc, OperatorAnswers, serve},
    rpc::Client,
    serving::Serving,
};
use explorer::Explorer;
use serde_json::json;
use std::{net::SocketAddr, path::PathBuf, sync::Arc};

/// Serve the pages: blocks, accounts, Datanets, models, answers, settlements, claims; until Ctrl-C.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Where the pages stand
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "HOST:PORT")]
    listen: SocketAddr,
    /// Address of an operator's API, for answers and claims
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8000", env = "OPENLEDGER_API")]
    api: String,
    /// Folder of a model that the operator serves, so that citations lead to where an item comes from; may be given several times
    /// [config: gateway.models]
    #[arg(long = "model", value_name = "DIR")]
    models: Vec<PathBuf>,
    #[command(flatten)]
    rpc: Rpc,
}

/// Runs `openledger pages`.
pub async fn run(arguments: Arguments, home: &Home, output: &Output) -> anyhow::Result<()> {
    let Arguments { listen, api, models, rpc } = arguments;
    let models = if models.is_empty() { home.config.gateway.models.clone() } else { models };
    let mut units = Vec::new();
    for folder in &models {
        let serving = Serving::open(folder)?;
        units.push((serving.description.model.to_string(), serving.units()?));
    }
    let client = Client::new(&rpc.rpc)?;
    // A node that does not answer is better told now than on every page.
    client.chain_id().await?;
    let answers = OperatorAnswers::new(&api, &units);
    let router = Explorer::new(Arc::new(NodeRpc(client)), Arc::new(answers)).router();
    let address = serve(listen, router).await?;
    output.result(&json!({ "pages": format!("http://{address}") }), || format!("http://{address}"));
    super::stop_signal().await?;
    Ok(())
}
