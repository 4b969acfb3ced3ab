//! `openledger channel`: prepaid keys for OpenAI clients that know nothing of payment. Money stays in channels on the ledger, the key signs vouchers
//! on this machine, and what is left goes back to who paid it in (`gateway::prepaid`).

use crate::{
    cli::Rpc,
    home::Home,
    output::{Output, table},
    password, rpc, transaction,
    wallet::{Keystore, private_folder},
};
use alloy_primitives::U256;
use alloy_signer_local::PrivateKeySigner;
use alloy_sol_types::SolCall;
use anyhow::{Context as _, bail, ensure};
use clap::Subcommand;
use compute::Account;
use gateway::{
    payments::wire::Units,
    prepaid::{
        Key, fund,
        lanes::Lanes,
        proxy::{self, Spent},
    },
};
use interfaces::{addresses::CHANNELS, channels::IChannels};
use primitives::Amount;
use serde_json::{Value, json};
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

/// Folder of prepaid keys inside the user's.
const FOLDER: &str = "channels";
/// Longest name of a prepaid key.
const MAX_NAME_BYTES: usize = 64;

/// Prepaid keys: open, show, use from any OpenAI client, withdraw.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Deposit for a model and get a key
    Open {
        /// OPEN to deposit; what is not spent can be withdrawn
        deposit: String,
        /// Name of the key
        #[arg(long, default_value = "default")]
        name: String,
        /// Model that it pays for; see /v1/models
        #[arg(long, default_value = "documentation-1m")]
        model: String,
        /// OPEN that may be spent in all [default: the deposit]
        #[arg(long, value_name = "OPEN")]
        limit: Option<String>,
        /// Requests that can be answered at once: the deposit is divided among as many channels
        #[arg(long, default_value_t = 2)]
        lanes: usize,
        /// Address of the operator's API
        #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8000", env = "OPENLEDGER_API")]
        api: String,
        #[command(flatten)]
        wallet: Wallet,
        #[command(flatten)]
        rpc: Rpc,
    },
    /// Show keys, what they spent and what is left
    Show {
        /// Show this key alone, with the token that clients send
        name: Option<String>,
        #[command(flatten)]
        rpc: Rpc,
    },
    /// Serve a key on this machine to any OpenAI client
    Proxy {
        /// Name of the key
        #[arg(default_value = "default")]
        name: String,
        /// Where to listen; keep it on this machine
        #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:9100")]
        listen: SocketAddr,
        /// Most OPEN that one answer may cost
        #[arg(long, value_name = "OPEN", default_value = "1")]
        most: String,
    },
    /// Get back what a key has left
    Withdraw {
        /// Name of the key
        #[arg(default_value = "default")]
        name: String,
        /// Without the operator's help: start the withdrawal now, and end it by the same command after the channel's delay
        #[arg(long)]
        alone: bool,
        #[command(flatten)]
        wallet: Wallet,
        #[command(flatten)]
        rpc: Rpc,
    },
}

/// Which wallet key acts.
#[derive(Debug, clap::Args)]
struct Wallet {
    /// Wallet key that pays, and gets back what is left
    #[arg(long, default_value = "default")]
    from: String,
    /// File with the wallet key's password
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

impl Wallet {
    fn open(&self, home: &Home) -> anyhow::Result<PrivateKeySigner> {
        let password = password::existing(self.password_file.as_deref())?;
        Keystore::new(home.keystore()).open(&self.from, &password)
    }
}

/// Runs `openledger channel`.
pub async fn run(arguments: Arguments, home: &Home, output: &Output) -> anyhow::Result<()> {
    match arguments.action {
        Action::Open { deposit, name, model, limit, lanes, api, wallet, rpc } => {
            let deposit = Amount::parse_open(&deposit)?;
            let limit = limit.map_or(Ok(deposit), |limit| Amount::parse_open(&limit))?;
            let path = path(home, &name)?;
            ensure!(!path.exists(), "there is a key `{name}`: choose another --name, or withdraw it first");
            let wallet = wallet.open(home)?;
            let key = open(&path, &wallet, (&api, &model), (deposit, limit), lanes, &rpc, output).await?;
            output.result(&shown(&name, &key, true), || {
                format!(
                    "{deposit} OPEN in {} channels for `{model}`\nkey  {}\nStart the signer with `openledger channel proxy {name}`, then point clients to it:\n  base_url=\"http://127.0.0.1:9100/v1\", api_key=\"{}\"",
                    key.lanes.len(),
                    key.token,
                    key.token
                )
            });
        }
        Action::Show { name, rpc } => show(home, name.as_deref(), &rpc, output).await?,
        Action::Proxy { name, listen, most } => {
            let most = Amount::parse_open(&most)?;
            serve(&path(home, &name)?, &name, listen, most, output).await?;
        }
        Action::Withdraw { name, alone, wallet, rpc } => {
            let path = path(home, &name)?;
            if alone {
                withdraw_alone(&path, &wallet.open(home)?, &rpc, output).await?;
            } else {
                withdraw(&path, &rpc, output).await?;
            }
        }
    }
    Ok(())
}

fn path(home: &Home, name: &str) -> anyhow::Result<PathBuf> {
    let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
    if name.is_empty() || name.len() > MAX_NAME_BYTES || !plain {
        bail!("`{name}` is not a key name: use up to {MAX_NAME_BYTES} letters, digits, - and _");
    }
    let folder = home.join(FOLDER);
    private_folder(&folder)?;
    Ok(folder.join(format!("{name}.json")))
}

fn read(path: &Path) -> anyhow::Result<Key> {
    ensure!(
        path.exists(),
        "there is no such key: `openledger channel show` lists them, `openledger channel open` makes one"
    );
    Ok(Key::read(path)?)
}

/// Holds a key for this process alone, so that its sums are told by one.
fn lock(path: &Path) -> anyhow::Result<std::fs::File> {
    let lock = path.with_extension("lock");
    let file = std::fs::File::create(&lock).with_context(|| format!("cannot write {}", lock.display()))?;
    file.try_lock().context("another `openledger channel` works with this key: stop it first")?;
    Ok(file)
}

async fn open(
    path: &Path,
    wallet: &PrivateKeySigner,
    (api, model): (&str, &str),
    (deposit, limit): (Amount, Amount),
    lanes: usize,
    rpc: &Rpc,
    output: &Output,
) -> anyhow::Result<Key> {
    let ledger = rpc::Client::new(&rpc.rpc)?;
    let chain_id = ledger.chain_id().await?;
    let payer = Account::from_bytes(&wallet.to_bytes().0)?;
    let mut key = Key::generate(api, model, chain_id, payer.address(), limit.0)?;
    let configs = fund::open(&mut key, lanes).await?;
    let each = deposit.0 / lanes as u128;
    ensure!(each > 0, "nothing to deposit: give an amount of OPEN");
    let held = ledger.balance(payer.address()).await?;
    ensure!(held > deposit.0, "{} holds {} OPEN: too little for {deposit}", payer.address(), Amount(held));
    // Before any money moves: whoever has the file can get it back.
    key.write(path)?;
    for (lane, config) in configs.into_iter().enumerate() {
        let call = fund::deposit(&payer, chain_id, config, each)?;
        transaction::send(&ledger, wallet, CHANNELS, U256::ZERO, call.abi_encode().into())
            .await
            .with_context(|| {
                format!("channel {} was not funded; `openledger channel withdraw` returns what was", lane + 1)
            })?;
        key.lanes[lane].known.balance = Units(each);
        key.write(path)?;
        output.note(format!("channel {} of {lanes}: {}", lane + 1, key.lanes[lane].id));
    }
    Ok(key)
}

fn shown(name: &str, key: &Key, with_token: bool) -> Value {
    let lanes: Vec<Value> = key
        .lanes
        .iter()
        .map(|lane| json!({ "id": lane.id, "deposited": lane.known.balance, "charged": lane.known.charged }))
        .collect();
    let mut value = json!({
        "name": name, "gateway": key.gateway, "model": key.model, "payer": key.payer, "limit": key.limit.to_string(),
        "spent": key.spent().to_string(), "left": key.left().to_string(), "channels": lanes,
    });
    if with_token {
        value["token"] = json!(key.token);
    }
    value
}

/// Takes up what the ledger holds: a sponsor may have put more in, or a withdrawal taken it out.
async fn refresh(key: &mut Key, rpc: &Rpc) -> anyhow::Result<()> {
    let ledger = rpc::Client::new(&rpc.rpc)?;
    for lane in &mut key.lanes {
        let channel = ledger.view(CHANNELS, &IChannels::channelsCall { channelId: lane.id }).await?;
        lane.known.balance = Units(channel.balance);
        lane.known.charged = lane.known.charged.max(Units(channel.totalClaimed));
    }
    Ok(())
}

async fn show(home: &Home, name: Option<&str>, rpc: &Rpc, output: &Output) -> anyhow::Result<()> {
    let names: Vec<String> = match name {
        Some(name) => vec![name.into()],
        None => {
            let folder = home.join(FOLDER);
            let files = std::fs::read_dir(&folder)
                .map(|files| files.flatten().collect())
                .unwrap_or_else(|_| Vec::new());
            let mut names: Vec<String> = files
                .iter()
                .map(std::fs::DirEntry::path)
                .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
                .filter_map(|path| Some(path.file_stem()?.to_str()?.to_string()))
                .collect();
            names.sort();
            names
        }
    };
    let mut keys = Vec::new();
    for known in &names {
        let mut key = read(&path(home, known)?)?;
        if let Err(error) = refresh(&mut key, rpc).await {
            output.note(format!("{known}: as it was last known; {error:#}"));
        }
        keys.push(key);
    }
    let values: Vec<Value> =
        names.iter().zip(&keys).map(|(known, key)| shown(known, key, name.is_some())).collect();
    output.result(&values, || {
        let rows: Vec<[String; 6]> = names
            .iter()
            .zip(&keys)
            .map(|(name, key)| {
                [
                    name.clone(),
                    key.model.clone(),
                    key.gateway.clone(),
                    Amount(key.limit).to_string(),
                    Amount(key.spent()).to_string(),
                    Amount(key.left()).to_string(),
                ]
            })
            .collect();
        let mut text = table(["KEY", "MODEL", "OPERATOR", "LIMIT", "SPENT", "LEFT"], &rows);
        if let (Some(_), Some(key)) = (name, keys.first()) {
            text += &format!("\n\napi_key {}", key.token);
        }
        if keys.is_empty() {
            text = "no keys; `openledger channel open` makes one".into();
        }
        text
    });
    Ok(())
}

async fn serve(
    path: &Path,
    name: &str,
    listen: SocketAddr,
    most: Amount,
    output: &Output,
) -> anyhow::Result<()> {
    let key = read(path)?;
    let _lock = lock(path)?;
    if !listen.ip().is_loopback() {
        output.note(
            "warning: other machines can reach this address, and the key goes to it without encryption",
        );
    }
    let (left, token, model) = (Amount(key.left()), key.token.clone(), key.model.clone());
    let lanes = Lanes::new(path.to_owned(), key, most.0)?;
    let told = *output;
    let proxy = proxy::serve(listen, lanes, move |Spent { cost, left }| {
        told.note(format!("{} OPEN, {} left", Amount(cost), Amount(left)));
    });
    let proxy = proxy.await.with_context(|| format!("cannot listen on {listen}: choose another --listen"))?;
    let base = format!("http://{}/v1", proxy.addr);
    output.result(
        &json!({ "base_url": base, "api_key": token, "model": model, "left": left, "name": name }),
        || {
            format!(
                "{left} OPEN left. OpenAI clients, until Ctrl-C:\n  base_url=\"{base}\"\n  api_key=\"{token}\"\n  model=\"{model}\""
            )
        },
    );
    super::stop_signal().await?;
    proxy.shutdown().await;
    Ok(())
}

/// By the operator: at once.
async fn withdraw(path: &Path, rpc: &Rpc, output: &Output) -> anyhow::Result<()> {
    let _lock = lock(path)?;
    let mut key = read(path)?;
    refresh(&mut key, rpc).await?;
    let mut returned = 0u128;
    for lane in 0..key.lanes.len() {
        let known = key.lanes[lane].known;
        if known.balance <= known.charged {
            continue;
        }
        let mut client = key.client(lane, 0).map_err(anyhow::Error::msg)?;
        let refund = client.refund(&key.model).await.context(
            "the operator made no refund: `--alone` withdraws without it, after the channel's delay",
        )?;
        returned += refund.amount.parse::<u128>().unwrap_or(0);
    }
    refresh(&mut key, rpc).await?;
    key.write(path)?;
    finish(path, &key, output);
    output.result(&json!({ "returned": returned.to_string(), "payer": key.payer }), || {
        format!("{} OPEN went back to {}", Amount(returned), key.payer)
    });
    Ok(())
}

/// Past the operator: nobody can refuse it.
async fn withdraw_alone(
    path: &Path,
    wallet: &PrivateKeySigner,
    rpc: &Rpc,
    output: &Output,
) -> anyhow::Result<()> {
    let _lock = lock(path)?;
    let mut key = read(path)?;
    ensure!(wallet.address() == key.payer, "{} paid this key: choose its wallet by --from", key.payer);
    refresh(&mut key, rpc).await?;
    let ledger = rpc::Client::new(&rpc.rpc)?;
    let mut states = Vec::new();
    for lane in 0..key.lanes.len() {
        let (id, known) = (key.lanes[lane].id, key.lanes[lane].known);
        let pending = ledger.view(CHANNELS, &IChannels::pendingWithdrawalsCall { channelId: id }).await?;
        let started: u64 = pending.initiatedAt.to();
        let channel = ledger.view(CHANNELS, &IChannels::channelsCall { channelId: id }).await?;
        let available = channel.balance - channel.totalClaimed;
        if available == 0 {
            states.push(format!("{id}: nothing is left"));
            continue;
        }
        let config = key.lanes[lane].config.config().context("the key's file is damaged: its delay")?;
        let delay: u64 = config.withdrawDelay.to();
        let call = match started {
            0 => IChannels::initiateWithdrawCall { config, amount: available }.abi_encode(),
            _ => IChannels::finalizeWithdrawCall { config }.abi_encode(),
        };
        let sent = transaction::send(&ledger, wallet, CHANNELS, U256::ZERO, call.into()).await;
        states.push(match (started, sent) {
            (0, Ok(_)) => format!("{id}: started; run this again in {delay} s"),
            (_, Ok(_)) => format!("{id}: withdrawn"),
            (_, Err(error)) if started > 0 => {
                format!("{id}: can be ended {delay} s after Unix time {started}: {error:#}")
            }
            (_, Err(error)) => return Err(error.context(format!("{id} (charged {})", known.charged.0))),
        });
    }
    refresh(&mut key, rpc).await?;
    key.write(path)?;
    finish(path, &key, output);
    output.result(&states, || states.join("\n"));
    Ok(())
}

/// Puts an empty key's file aside.
fn finish(path: &Path, key: &Key, output: &Output) {
    if key.lanes.iter().all(|lane| lane.known.balance <= lane.known.charged) {
        let aside = path.with_extension("closed");
        if std::fs::rename(path, &aside).is_ok() {
            output.note(format!("the key is closed; its file is {}", aside.display()));
        }
    }
}
