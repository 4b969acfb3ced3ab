//! `openledger verify`: the chain of evidence of one answer, with nothing trusted but the genesis.

use crate::{
    cli::Rpc,
    evidence::{self, Link, Saved, State, link, replay},
    home::Home,
    light::{LightLedger, read_genesis},
    output::Output,
    rpc::Client,
    serving::Serving,
};
use anyhow::{Context as _, bail};
use serde_json::json;
use std::{io::IsTerminal as _, path::PathBuf};

/// Verify an answer with nothing trusted but the genesis: receipt, shares, settlement, model, data; replay it.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Id of the answer, or a file: of `ask --save`, or with what `/v1/attributions/{id}` published
    answer: String,
    /// Run generation and attribution again, bit for bit; the attribution cache is built anew first
    #[arg(long, requires = "model")]
    replay: bool,
    /// Run the model's training again, bit for bit; goes on where it was cut off
    #[arg(long, requires = "model")]
    replay_training: bool,
    /// Also rebuild the answer's batch from all of its receipts
    #[arg(long)]
    batch: bool,
    /// Compare what the model was trained on with the items in the vault, for who keeps it or holds a grant
    #[arg(long, requires = "model")]
    items: bool,
    /// Folder of the vault, or s3://BUCKET/PREFIX [default: HOME/vault]
    #[arg(long, value_name = "PLACE", requires = "items")]
    vault: Option<String>,
    /// Address of the S3 server [default: AWS_ENDPOINT_URL, or Amazon's]
    #[arg(long, value_name = "URL", requires = "items")]
    s3_endpoint: Option<String>,
    /// Folder of the served model, for replays and items
    #[arg(long, value_name = "DIR")]
    model: Option<PathBuf>,
    /// Folder of the model's base, where the model is an adapter
    #[arg(long, value_name = "DIR", requires = "model")]
    base: Option<PathBuf>,
    #[command(flatten)]
    genesis: Genesis,
    /// Address of the operator's API
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8000", env = "OPENLEDGER_API")]
    api: String,
    #[command(flatten)]
    rpc: Rpc,
}

/// The one document that is trusted.
#[derive(Clone, Debug, clap::Args)]
pub struct Genesis {
    /// Genesis document of the ledger, the only thing trusted [default: HOME/node/genesis.json, HOME/demo/node/genesis.json]
    #[arg(long, value_name = "FILE", env = "OPENLEDGER_GENESIS")]
    genesis: Option<PathBuf>,
}

impl Genesis {
    /// The ledger that it starts, read from the node at `rpc`.
    pub fn ledger(&self, rpc: &Rpc, home: &Home) -> anyhow::Result<LightLedger> {
        let path = match &self.genesis {
            Some(path) => path.clone(),
            None => ["node/genesis.json", "node/node0/genesis.json", "demo/node/genesis.json"]
                .into_iter()
                .map(|name| home.join(name))
                .find(|path| path.is_file())
                .context(
                    "no genesis is known: pass --genesis FILE, the document every node of the ledger has",
                )?,
        };
        LightLedger::new(Client::new(&rpc.rpc)?, read_genesis(&path)?)
    }
}

/// Runs `openledger verify`.
pub async fn run(arguments: Arguments, home: &Home, output: &Output) -> anyhow::Result<()> {
    let Arguments {
        answer,
        replay,
        replay_training,
        batch,
        items,
        vault,
        s3_endpoint,
        model,
        base,
        genesis,
        api,
        rpc,
    } = arguments;
    let saved = Saved::read(&answer, &api).await?;
    let mut ledger = genesis.ledger(&rpc, home)?;
    let mut links = evidence::check(&mut ledger, &saved).await;
    if batch {
        links.push(batch_link(&mut ledger, &saved, &api).await);
    }
    if let Some(folder) = model.filter(|_| replay || replay_training || items) {
        let serving = Serving::open_over(&folder, base.as_deref())?;
        if let Some(outcome) = evidence::base::check(&mut ledger, &serving).await {
            links.push(link("base", outcome));
        }
        if items {
            let place = home.vault(vault.as_deref(), s3_endpoint.as_deref())?;
            let (mut vault, ring) = (vault::commands::open(&place)?, super::datanet::keyring(home)?);
            let outcome = evidence::items::check(&serving, &mut vault, &ring, crate::clock::now())?;
            links.push(link("items", outcome));
        }
        if replay {
            links.extend(replayed(&mut ledger, &saved, &serving, home, output).await?);
        }
        if replay_training {
            links.push(retrained(&mut ledger, &serving, home, output).await?);
        }
    }
    let count = |state| links.iter().filter(|link| link.state == state).count();
    let (broken, unknown) = (count(State::Broken), count(State::Open));
    output.result(&json!({ "verified": evidence::complete(&links), "links": links }), || {
        links.iter().map(evidence::line).collect::<Vec<_>>().join("\n")
    });
    if broken > 0 {
        bail!("{broken} of {} links do not hold", links.len());
    }
    if unknown > 0 {
        output.note(format!("No link is broken, but {unknown} cannot be checked with what there is."));
    }
    Ok(())
}

/// The batch that the answer stands in, rebuilt from all of its receipts.
async fn batch_link(ledger: &mut LightLedger, saved: &Saved, api: &str) -> Link {
    let outcome = async {
        let bundle = saved.bundle()?;
        let place = bundle.settlement.as_ref().context("the answer is not settled yet")?;
        let receipt = &bundle.receipt.receipt;
        let id = interfaces::settlement::batch_id(receipt.operator, receipt.model, place.epoch);
        let rebuilt = evidence::batch::rebuild(ledger, api, id).await?;
        anyhow::Ok(format!(
            "{} receipts make the receipts' root, the folds and the payout tree of {} leaves that stand on the ledger",
            rebuilt.built.batch.count, rebuilt.built.batch.payoutCount
        ))
    };
    link("batch rebuilt", outcome.await.map_err(|error| (State::Broken, format!("{error:#}"))))
}

async fn replayed(
    ledger: &mut LightLedger,
    saved: &Saved,
    serving: &Serving,
    home: &Home,
    output: &Output,
) -> anyhow::Result<Vec<Link>> {
    if let Err(partial) = serving.require_replay() {
        let partial = |name| link(name, Err((State::Open, partial.to_string())));
        return Ok(vec![partial("cache replay"), partial("answer replay")]);
    }
    let ctx = crate::arithmetic::context(0);
    let scratch = replay::scratch(&home.join("replay"))?;
    let terminal = std::io::stderr().is_terminal();
    output.note(
        "Building the attribution cache again from weights and units; nothing computed earlier is read.",
    );
    let (replayer, root) = tokio::task::block_in_place(|| {
        replay::Replayer::build(serving, ctx, scratch.path(), &mut |progress| {
            if terminal {
                output.overwrite(format!("{:?}: {} of {}", progress.stage, progress.done, progress.total));
            }
        })
    })?;
    if terminal {
        output.overwrite("");
    }
    let cache = replay::cache_link(ledger, serving, root).await;
    let bundle = saved.bundle()?;
    let answer = tokio::task::block_in_place(|| replayer.answer(&bundle));
    Ok(vec![link("cache replay", cache), link("answer replay", answer)])
}

async fn retrained(
    ledger: &mut LightLedger,
    serving: &Serving,
    home: &Home,
    output: &Output,
) -> anyhow::Result<Link> {
    if let Err(partial) = serving.require_replay() {
        return Ok(link("training replay", Err((State::Open, partial.to_string()))));
    }
    let ctx = crate::arithmetic::context(0);
    let notes = home.join(format!("replay-training-{}.json", serving.description.model));
    if let Some(folder) = notes.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let terminal = std::io::stderr().is_terminal();
    let mut progress = |step, steps| {
        if terminal {
            output.overwrite(format!("step {step} of {steps}"));
        } else if step % 64 == 0 {
            output.note(format!("step {step} of {steps}"));
        }
    };
    let outcome = replay::training(ledger, serving, ctx, &notes, &mut progress).await?;
    if terminal {
        output.overwrite("");
    }
    Ok(link("training replay", outcome))
}
