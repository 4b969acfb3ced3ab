//! `openledger model serve`: an operator. It stakes, offers its models on the ledger and answers by an API that is paid.

use crate::{
    home::Home,
    output::Output,
    password,
    rpc::Client,
    serving::{Description, Serving},
    transaction::send,
    wallet::{Keystore, private_folder},
};
use alloy_primitives::{Address, B256, U256};
use alloy_signer_local::PrivateKeySigner;
use alloy_sol_types::SolCall;
use anyhow::{Context as _, bail, ensure};
use compute::{Account, LanguageEngine, Worker, fee::Price};
use gateway::{GatewayConfig, Limits, Offered, RpcLedger};
use interfaces::{addresses::OPERATORS, operators::IOperators};
use primitives::Amount;
use serde_json::json;
use std::{
    collections::{BTreeMap, btree_map::Entry},
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// OPEN staked unless asked otherwise: covers some 300 OPEN of revenue that is not settled yet (RULEBOOK R6).
const DEFAULT_STAKE: &str = "10000";
/// Where the API answers unless asked otherwise.
const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8000);
/// Where the node answers unless asked otherwise.
const DEFAULT_RPC: &str = "127.0.0.1:8545";
/// Seconds between two looks for something to settle.
const DEFAULT_SETTLE_SECONDS: u64 = 60;

/// Serve models as an operator: stake, offer, answer, settle. Flags go before `openledger.toml`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Folders of served models, each with a serving.json; an adapter's beside its base's [config: gateway.models]
    models: Vec<PathBuf>,
    /// Key of the operator's account [default: operator; config: gateway.key]
    #[arg(long)]
    key: Option<String>,
    /// File with the key's password [config: gateway.password_file]
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// OPEN that answer for the operator's work; what is missing is added [default: 10000; config: gateway.stake]
    #[arg(long, value_name = "OPEN")]
    stake: Option<String>,
    /// Where the API answers [default: 127.0.0.1:8000; config: gateway.listen]
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<SocketAddr>,
    /// Folder of receipts and pending payments [default: HOME/gateway; config: gateway.data_dir]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The API's address as clients see it [default: where it listens; config: gateway.public_url]
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
    /// Where the pages stand, for citations [config: gateway.explorer_url]
    #[arg(long, value_name = "URL")]
    explorer_url: Option<String>,
    /// OPEN per 1,000 tokens read [default: the developer's rate]
    #[arg(long, value_name = "OPEN")]
    rate_in: Option<String>,
    /// OPEN per 1,000 tokens written [default: the developer's rate]
    #[arg(long, value_name = "OPEN")]
    rate_out: Option<String>,
    /// OPEN per answer [default: the developer's]
    #[arg(long, value_name = "OPEN")]
    platform_fee: Option<String>,
    /// Seconds between two looks for something to settle [default: 60; config: settlement.every_seconds]
    #[arg(long, value_name = "SECONDS")]
    settle_every: Option<u64>,
    /// Address of the operator's own node [default: 127.0.0.1:8545; config: gateway.rpc]
    #[arg(long, value_name = "HOST:PORT", env = "OPENLEDGER_RPC")]
    rpc: Option<String>,
}

/// A model that is about to be served.
struct Ready {
    worker: Worker,
    price: Price,
}

/// Runs `openledger model serve`.
pub async fn run(arguments: Arguments, home: &Home, output: &Output) -> anyhow::Result<()> {
    let (file, settlement) = (&home.config.gateway, &home.config.settlement);
    let folders = if arguments.models.is_empty() { file.models.clone() } else { arguments.models.clone() };
    ensure!(!folders.is_empty(), "no model: name folders with a serving.json, or `models` under [gateway]");
    let key = arguments.key.clone().or(file.key.clone()).unwrap_or_else(|| "operator".into());
    let password_file = arguments.password_file.as_ref().or(file.password_file.as_ref());
    let password = password::existing(password_file.map(PathBuf::as_path))?;
    let key = Keystore::new(home.keystore()).open(&key, &password)?;
    let rpc = arguments.rpc.clone().or(file.rpc.clone()).unwrap_or_else(|| DEFAULT_RPC.into());
    let client = Client::new(&rpc)?;
    let listen = arguments.listen.or(file.listen).unwrap_or(DEFAULT_LISTEN);
    let data_dir =
        arguments.data_dir.clone().or(file.data_dir.clone()).unwrap_or_else(|| home.join("gateway"));
    private_folder(&data_dir)?;
    let _lock = lock(&data_dir)?;
    let stake = arguments.stake.clone().or(file.stake.clone()).unwrap_or_else(|| DEFAULT_STAKE.into());
    let stake = Amount::parse_open(&stake)?;
    let public_url = arguments.public_url.clone().or(file.public_url.clone()).unwrap_or_default();

    let (mut ready, mut engines) = (Vec::new(), BTreeMap::new());
    for serving in &Serving::open_all(&folders)? {
        ready.push(open(serving, &mut engines, &arguments, &client).await?);
    }
    let endpoint = if public_url.is_empty() { format!("http://{listen}") } else { public_url.clone() };
    stand(&client, &key, stake, &endpoint, output).await?;
    for Ready { worker, price } in &ready {
        offer(&client, &key, worker, price, output).await?;
    }
    let operator = || Account::from_bytes(&key.to_bytes().0);
    let chain_id = client.chain_id().await?;
    let every = arguments.settle_every.or(settlement.every_seconds).unwrap_or(DEFAULT_SETTLE_SECONDS);
    ensure!(every > 0, "epochs are settled every so many seconds, at least 1");
    let defaults = GatewayConfig::local(data_dir, operator()?);
    let limits = Limits {
        workers: file.workers.unwrap_or(defaults.limits.workers).max(1),
        queue: file.queue.unwrap_or(defaults.limits.queue),
        connections: file.connections.unwrap_or(defaults.limits.connections).max(1),
        body_bytes: file.body_bytes.unwrap_or(defaults.limits.body_bytes),
        answer_timeout: file.answer_seconds.map_or(defaults.limits.answer_timeout, Duration::from_secs),
        default_max_tokens: file.default_max_tokens.unwrap_or(defaults.limits.default_max_tokens),
        ..defaults.limits
    };
    let config = GatewayConfig {
        listen,
        chain_id,
        public_url,
        explorer_url: arguments
            .explorer_url
            .or(file.explorer_url.clone())
            .unwrap_or(defaults.explorer_url.clone()),
        withdraw_delay_s: settlement.withdraw_delay_seconds.unwrap_or(defaults.withdraw_delay_s),
        settle_every: Some(Duration::from_secs(every)),
        limits,
        ..defaults
    };
    let ledger = RpcLedger::new(client.url(), operator()?, chain_id);
    let names: Vec<String> = ready.iter().map(|r| r.worker.name.clone()).collect();
    let workers = ready.into_iter().map(|Ready { worker, price }| (worker, Offered { price })).collect();
    let handle =
        gateway::serve(config, workers, Arc::new(ledger)).await.context("the gateway does not start")?;
    output.result(
        &json!({ "api": format!("http://{}", handle.addr), "operator": key.address(), "models": names }),
        || format!("operator {} serves {} on http://{}/v1", key.address(), names.join(", "), handle.addr),
    );
    super::stop_signal().await.context("cannot wait for Ctrl-C")?;
    output.note("Stopping: running answers end first.");
    handle.shutdown().await;
    Ok(())
}

/// Takes a served model into service, compared with what the ledger holds. Adapters find the weights of their base in `engines`, or leave them there.
async fn open(
    serving: &Serving,
    engines: &mut BTreeMap<B256, Arc<LanguageEngine>>,
    arguments: &Arguments,
    client: &Client,
) -> anyhow::Result<Ready> {
    let cache = tokio::task::block_in_place(|| serving.cache())?;
    let known = serving.standing(client, &cache).await?;
    let rate = |asked: &Option<String>, developer: U256, name: &str| {
        let developer = Amount::from_word(developer).context("a rate past the supply")?;
        let asked = asked.as_deref().map(Amount::parse_open).transpose()?.unwrap_or(developer);
        ensure!(asked >= developer, "{name} {asked} is below the developer's {developer} OPEN");
        anyhow::Ok(asked)
    };
    let price = Price {
        rate_in: rate(&arguments.rate_in, known.rates.rateIn, "--rate-in")?,
        rate_out: rate(&arguments.rate_out, known.rates.rateOut, "--rate-out")?,
        platform_fee: rate(&arguments.platform_fee, known.rates.platformFee, "--platform-fee")?,
    };
    let Description { model, base, .. } = serving.description;
    let worker = tokio::task::block_in_place(|| {
        let engine = match engines.entry(base.unwrap_or(model)) {
            Entry::Occupied(engine) => engine.into_mut(),
            Entry::Vacant(free) => free.insert(serving.engine(crate::arithmetic::context(0))?),
        };
        serving.worker(engine, cache)
    })?;
    Ok(Ready { worker, price })
}

/// Registers the operator, or adds what its stake lacks.
async fn stand(
    client: &Client,
    key: &PrivateKeySigner,
    stake: Amount,
    endpoint: &str,
    output: &Output,
) -> anyhow::Result<()> {
    let operator = key.address();
    let known = client.view(OPERATORS, &IOperators::operatorCall { operator }).await;
    let known = known.ok().filter(|known| known.status != IOperators::Status::None);
    let (value, data) = match known {
        None => {
            let call = IOperators::registerCall { endpoint: endpoint.into() };
            (stake, call.abi_encode())
        }
        Some(known) if known.status == IOperators::Status::Active => {
            if known.endpoint != endpoint {
                let call = IOperators::setEndpointCall { endpoint: endpoint.into() };
                transact(client, key, U256::ZERO, call.abi_encode())
                    .await
                    .context("the endpoint was refused")?;
            }
            let held = Amount::from_word(known.stake).unwrap_or_default();
            let Some(missing) = stake.checked_sub(held).filter(|missing| *missing > Amount::ZERO) else {
                return Ok(());
            };
            (missing, IOperators::addStakeCall {}.abi_encode())
        }
        Some(known) => bail!("operator {operator} is {:?} on the ledger and cannot serve", known.status),
    };
    short_of(client, operator, value).await?;
    transact(client, key, value.to_word(), data).await.context("the stake was refused")?;
    output.note(format!("operator {operator} stakes {stake} OPEN and answers at {endpoint}"));
    Ok(())
}

/// Says what is missing before anything is sent.
async fn short_of(client: &Client, account: Address, value: Amount) -> anyhow::Result<()> {
    let held = Amount(client.balance(account).await?);
    ensure!(
        held > value,
        "{account} holds {held} OPEN; it needs {value} to stake, and some for gas: send it OPEN with `openledger wallet send`"
    );
    Ok(())
}

async fn offer(
    client: &Client,
    key: &PrivateKeySigner,
    worker: &Worker,
    price: &Price,
    output: &Output,
) -> anyhow::Result<()> {
    let Price { rate_in, rate_out, platform_fee } = *price;
    let (operator, model) = (key.address(), worker.model);
    let known = client.view(OPERATORS, &IOperators::offerOfCall { operator, model }).await;
    let same = known.is_ok_and(|offer| {
        offer.active
            && (offer.rateIn, offer.rateOut, offer.platformFee)
                == (rate_in.to_word(), rate_out.to_word(), platform_fee.to_word())
    });
    if same {
        return Ok(());
    }
    let call = IOperators::offerCall {
        model,
        rateIn: rate_in.to_word(),
        rateOut: rate_out.to_word(),
        platformFee: platform_fee.to_word(),
    };
    transact(client, key, U256::ZERO, call.abi_encode()).await.context("the offer was refused")?;
    output.note(format!(
        "`{}` is offered: {rate_in} OPEN per 1,000 tokens read, {rate_out} per 1,000 written, {platform_fee} an answer",
        worker.name
    ));
    Ok(())
}

async fn transact(client: &Client, key: &PrivateKeySigner, value: U256, data: Vec<u8>) -> anyhow::Result<()> {
    let receipt = send(client, key, OPERATORS, value, data.into()).await?;
    ensure!(receipt.status == U256::from(1), "the ledger refused transaction {}", receipt.transaction_hash);
    Ok(())
}

/// Keeps a second gateway out of the same folder.
fn lock(folder: &Path) -> anyhow::Result<std::fs::File> {
    let path = folder.join("lock");
    let file = std::fs::File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    file.try_lock().with_context(|| {
        format!("another gateway works in {}; stop it or pass --data-dir", folder.display())
    })?;
    Ok(file)
}
