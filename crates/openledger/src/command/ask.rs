//! `openledger ask`: a question, paid from a wallet through a channel.

use crate::{
    cli::Rpc,
    evidence::{
        Saved,
        saved::{Asked, published},
    },
    home::Home,
    output::Output,
    password, rpc,
    wallet::Keystore,
};
use anyhow::Context as _;
use compute::Account;
use gateway::client::{Client, Memory};
use primitives::Amount;
use serde_json::json;
use std::{
    io::Write as _,
    path::{Path, PathBuf},
};

/// File of known channels inside the user's folder.
const CHANNELS_FILE: &str = "channels.json";

/// Ask a model and pay by voucher.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The question
    question: String,
    /// Model to ask; see /v1/models
    #[arg(long, default_value = "documentation-1m")]
    model: String,
    /// Tokens of the answer at most
    #[arg(long, default_value_t = 64)]
    max_tokens: u32,
    /// Randomness; 0 is greedy
    #[arg(long, default_value_t = 0.0)]
    temperature: f32,
    /// Most OPEN that this answer may cost
    #[arg(long, default_value = "1")]
    most: String,
    /// Seed of the draws; with it the answer can be opened and replayed
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Keep question, answer and evidence in this file, for `verify` and `why`
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// Key that pays
    #[arg(long, default_value = "default")]
    from: String,
    /// File with the key's password
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Address of the operator's API
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8000", env = "OPENLEDGER_API")]
    api: String,
    #[command(flatten)]
    rpc: Rpc,
}

/// Runs `openledger ask`.
pub async fn run(arguments: Arguments, home: &Home, output: &Output) -> anyhow::Result<()> {
    let Arguments {
        question,
        model,
        max_tokens,
        temperature,
        most,
        seed,
        save,
        from,
        password_file,
        api,
        rpc,
    } = arguments;
    let key = Keystore::new(home.keystore()).open(&from, &password::existing(password_file.as_deref())?)?;
    let chain_id = rpc::Client::new(&rpc.rpc)?.chain_id().await?;
    let account = Account::from_bytes(&key.to_bytes().0)?;
    let mut client = Client::new(&api, account, chain_id, Amount::parse_open(&most)?.0);
    let path = home.join(CHANNELS_FILE);
    client.memory = match std::fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes).with_context(|| {
            format!("{} is damaged; delete it, the operator knows your channels", path.display())
        })?,
        Err(_) => Memory::new(),
    };
    let body = json!({
        "model": model, "prompt": question, "max_tokens": max_tokens, "temperature": temperature, "seed": seed,
    });
    let endpoint = "/v1/completions";
    let paid = client.ask(endpoint, &body).await?;
    // What is lost here is found again by the operator's corrective 402; a file cut short would stop the next question.
    if let Err(error) = replace(&path, &serde_json::to_vec_pretty(&client.memory)?) {
        output.note(format!(
            "{} was not written ({error:#}): the operator knows your channels",
            path.display()
        ));
    }
    let owed = &paid.body["openledger"];
    if let Some(path) = save {
        let id = owed["answer"].as_str().context("the answer has no id")?;
        let published = published(id, &api).await?;
        let request = Some(Asked { path: endpoint.into(), body });
        Saved { request, response: Some(paid.body.clone()), published }.write(&path)?;
    }
    output.result(&paid.body, || paid.body["choices"][0]["text"].as_str().unwrap_or_default().to_string());
    if !output.is_json() {
        let fee: Amount = serde_json::from_value(owed["fee"].clone()).unwrap_or_default();
        output.note(format!("cost {fee} OPEN, answer {}", owed["answer"].as_str().unwrap_or("?")));
        for c in owed["contributors"].as_array().map(Vec::as_slice).unwrap_or_default().iter().take(5) {
            output.note(format!(
                "  {:>5.1} %  {}",
                100.0 * c["share"].as_f64().unwrap_or(0.0),
                c["account"].as_str().unwrap_or("?")
            ));
        }
        output.note("`openledger why` explains each share, `openledger verify` checks the answer.");
    }
    Ok(())
}

/// Puts bytes in a file's place as a whole.
fn replace(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let folder = path.parent().context("a file needs a folder")?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.persist(path)?;
    Ok(())
}
