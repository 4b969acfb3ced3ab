//! `openledger model register`: a model of one's own, or an adapter of a base on the ledger, trained on Datanets of the vault and registered there, ready to
//! serve.

use super::fit::{Fit, Sizes};
use crate::{
    cli::Rpc,
    command::datanet::keyring,
    command::uses,
    home::Home,
    output::Output,
    password,
    registration::{Origin, Registrar, Request, check_purse},
    rpc::Client,
    serving::Serving,
    wallet::Keystore,
};
use alloy_primitives::B256;
use anyhow::{Context as _, ensure};
use compute::fee::Price;
use model::{AdapterOptions, TrainOptions, data::Order, train::Trained};
use primitives::{Amount, licence::Use};
use std::path::PathBuf;
use vault::{commands, vault::training::Query};

/// Basis points of one percent.
const BPS_OF_A_PERCENT: u16 = 100;

/// Train a model on Datanets and register it on the ledger: descriptor, seed, checkpoints, attribution cache, prices.
///
/// The Datanets must stand on the ledger with a frozen version (`openledger publish DATANET --freeze`). What stands already is left as it is: after
/// an interruption run it again. `openledger model serve FOLDER` then offers and serves it. With --base the model is a LoRA adapter over the base's weights, which
/// `openledger model serve BASE FOLDER` serves as `BASE:NAME`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Folder to make the model in, and to serve it from. It holds texts in plain: keep it as you keep keys
    folder: PathBuf,
    /// Datanets to train on: names, ids, or beginnings of ids
    #[arg(required_unless_present = "set")]
    datanets: Vec<String>,
    /// Root of a training set instead, as `datanet train-set` prints it
    #[arg(long, value_name = "ROOT", conflicts_with = "datanets")]
    set: Option<B256>,
    /// What people call the model, at the API too
    #[arg(long)]
    name: String,
    /// Train a LoRA adapter over the registered model in this folder instead of a new model
    #[arg(long, value_name = "DIR", conflicts_with = "Sizes")]
    base: Option<PathBuf>,
    /// Percent of the developer's part of each fee that the base's developers get
    #[arg(long, value_name = "PERCENT", default_value_t = 50, requires = "base", value_parser = clap::value_parser!(u16).range(0..=100))]
    base_share: u16,
    /// Rank of the adapter
    #[arg(long, default_value_t = 8, requires = "base")]
    lora_rank: usize,
    /// Strength of the adapter
    #[arg(long, default_value_t = 16.0, requires = "base")]
    lora_alpha: f32,
    /// Layers that the adapter is over, by the last part of their names [default: all]
    #[arg(long, value_name = "LAYER", value_delimiter = ',', requires = "base")]
    lora_targets: Vec<String>,
    /// Licence of the model, as an SPDX expression
    #[arg(long, default_value = "Apache-2.0", value_name = "SPDX")]
    licence: String,
    /// What it will be offered for: train, commercial, distribute, quote. A licence in the data that forbids one is named
    #[arg(long = "use", value_name = "USE", value_delimiter = ',', default_values = ["train", "commercial"])]
    uses: Vec<String>,
    /// OPEN per 1,000 tokens read
    #[arg(long, default_value = "0.1", value_name = "OPEN")]
    rate_in: String,
    /// OPEN per 1,000 tokens written
    #[arg(long, default_value = "0.4", value_name = "OPEN")]
    rate_out: String,
    /// OPEN per answer
    #[arg(long, default_value = "0.001", value_name = "OPEN")]
    platform_fee: String,
    /// Dimensions that each side of a layer's gradients is projected to, for attribution
    #[arg(long, default_value_t = 32)]
    rank: usize,
    /// Key of the developer's account
    #[arg(long, default_value = "default")]
    from: String,
    /// File with the key's password
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Folder of the vault, or s3://BUCKET/PREFIX [default: HOME/vault]
    #[arg(long, value_name = "PLACE")]
    vault: Option<String>,
    /// Address of the S3 server [default: AWS_ENDPOINT_URL, or Amazon's]
    #[arg(long, value_name = "URL")]
    s3_endpoint: Option<String>,
    #[command(flatten)]
    sizes: Sizes,
    #[command(flatten)]
    fit: Fit,
    #[command(flatten)]
    rpc: Rpc,
}

/// Runs `openledger model register`.
pub async fn run(arguments: Arguments, home: &Home, output: &Output) -> anyhow::Result<()> {
    let Arguments {
        folder, datanets, set, name, licence, uses, rate_in, rate_out, platform_fee, rank, ..
    } = &arguments;
    let base = arguments.base.as_deref().map(Serving::open).transpose()?;
    let (origin, trained) = origin(&arguments, base.as_ref())?;
    let amount =
        |text: &str| Amount::parse_open(text).with_context(|| format!("`{text}` is no amount of OPEN"));
    let price =
        Price { rate_in: amount(rate_in)?, rate_out: amount(rate_out)?, platform_fee: amount(platform_fee)? };
    let password = password::existing(arguments.password_file.as_deref())?;
    let key = Keystore::new(home.keystore()).open(&arguments.from, &password)?;
    let client = Client::new(&arguments.rpc.rpc)?;
    check_purse(&client, key.address()).await?;
    let mut vault =
        commands::open(&home.vault(arguments.vault.as_deref(), arguments.s3_endpoint.as_deref())?)?;
    let (ring, now) = (keyring(home)?, crate::clock::now());
    let set = match set {
        Some(root) => *root,
        None => {
            let datanets =
                datanets.iter().map(|name| commands::resolve(&vault, name)).collect::<Result<_, _>>()?;
            // Near-copies earn nothing and teach little (RULEBOOK R3).
            vault.freeze(Query { datanets, ..Query::deduplicated() }, &ring, now)?.root
        }
    };
    let train = arguments.fit.options(trained, Order::Shuffled);
    let request = Request {
        name: name.clone(),
        licence: licence.clone(),
        uses: declared(uses)?,
        set,
        origin,
        // The beacon draws it.
        train: TrainOptions { seed: 0, ..train },
        rank: *rank,
        price,
    };
    let tell = |text: String| output.note(text);
    let ctx = crate::arithmetic::context(arguments.fit.threads);
    let registrar = Registrar { client: &client, key: &key, folder, base: base.as_ref(), ctx, tell: &tell };
    let registered = registrar.run(&request, &mut vault, &ring, now).await?;
    output.result(&registered, || {
        format!(
            "{}\n`{}` stands on the ledger: {} parameters, trained on {} units of {} contributors with seed {}, last checkpoint {}, attribution cache {}\nserve it: openledger model serve {}{}",
            registered.model,
            registered.name,
            registered.parameters,
            registered.units,
            registered.contributors,
            registered.seed,
            registered.final_root,
            registered.cache,
            arguments.base.as_ref().map_or(String::new(), |base| format!("{} ", base.display())),
            folder.display()
        )
    });
    Ok(())
}

/// What the model is made from, and what of it is trained.
fn origin(arguments: &Arguments, base: Option<&Serving>) -> anyhow::Result<(Origin, Trained)> {
    let Some(base) = base else {
        let vocabulary = arguments.sizes.tokenizer.parse().ok().filter(|tokens| *tokens > 0);
        let vocabulary = vocabulary
            .context("--tokenizer is a vocabulary's size here: it is learned from the training set")?;
        return Ok((
            Origin::New { architecture: arguments.sizes.architecture(), vocabulary },
            Trained::Weights,
        ));
    };
    let Arguments { base_share, lora_rank, lora_alpha, lora_targets, .. } = arguments;
    let adapter = AdapterOptions { rank: *lora_rank, alpha: *lora_alpha, targets: lora_targets.clone() };
    let origin = Origin::Base { model: base.description.model, share_bps: base_share * BPS_OF_A_PERCENT };
    Ok((origin, Trained::Adapter(adapter)))
}

fn declared(uses: &[String]) -> anyhow::Result<u32> {
    let bits = uses::bits(uses)?;
    ensure!(bits & Use::Train.bit() != 0, "a model that is trained needs the use `train`");
    Ok(bits)
}
