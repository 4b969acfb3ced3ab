//! `openledger model register`: a model of one's own, trained on Datanets of the vault and registered on the ledger, ready to serve.

use super::fit::{Fit, Sizes};
use crate::{
    cli::Rpc,
    command::datanet::keyring,
    command::uses,
    home::Home,
    output::Output,
    password,
    registration::{Registrar, Request, check_purse},
    rpc::Client,
    wallet::Keystore,
};
use alloy_primitives::B256;
use anyhow::{Context as _, ensure};
use compute::fee::Price;
use model::{TrainOptions, data::Order, train::Trained};
use primitives::{Amount, licence::Use};
use std::path::PathBuf;
use vault::{commands, vault::training::Query};

/// Train a model on Datanets and register it on the ledger: descriptor, seed, checkpoints, attribution cache, prices.
///
/// The Datanets must stand on the ledger with a frozen version (`openledger publish DATANET --freeze`). What stands already is left as it is: after
/// an interruption run it again. `openledger model serve FOLDER` then offers and serves it.
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
    let vocabulary = arguments.sizes.tokenizer.parse().ok().filter(|tokens| *tokens > 0);
    let vocabulary =
        vocabulary.context("--tokenizer is a vocabulary's size here: it is learned from the training set")?;
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
    let train = arguments.fit.options(Trained::Weights, Order::Shuffled);
    let request = Request {
        name: name.clone(),
        licence: licence.clone(),
        uses: declared(uses)?,
        set,
        architecture: arguments.sizes.architecture(),
        vocabulary,
        // The beacon draws it.
        train: TrainOptions { seed: 0, ..train },
        rank: *rank,
        price,
    };
    let tell = |text: String| output.note(text);
    let ctx = crate::arithmetic::context(arguments.fit.threads);
    let registrar = Registrar { client: &client, key: &key, folder, ctx, tell: &tell };
    let registered = registrar.run(&request, &mut vault, &ring, now).await?;
    output.result(&registered, || {
        format!(
            "{}\n`{}` stands on the ledger: {} parameters, trained on {} units of {} contributors with seed {}, last checkpoint {}, attribution cache {}\nserve it: openledger model serve {}",
            registered.model,
            registered.name,
            registered.parameters,
            registered.units,
            registered.contributors,
            registered.seed,
            registered.final_root,
            registered.cache,
            folder.display()
        )
    });
    Ok(())
}

fn declared(uses: &[String]) -> anyhow::Result<u32> {
    let bits = uses::bits(uses)?;
    ensure!(bits & Use::Train.bit() != 0, "a model that is trained needs the use `train`");
    Ok(bits)
}
