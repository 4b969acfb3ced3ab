//! `openledger claim`: what settled answers owe contributors, paid out to them. Anyone may claim for anyone.

use super::verify::Genesis;
use crate::{
    cli::Rpc,
    evidence::batch::{Rebuilt, ids, rebuild},
    home::Home,
    light::LightLedger,
    output::Output,
    password,
    rpc::Client,
    transaction::send,
    wallet::Keystore,
};
use alloy_primitives::{Address, B256, U256};
use alloy_signer_local::PrivateKeySigner;
use alloy_sol_types::SolCall;
use anyhow::{Context as _, ensure};
use interfaces::{
    addresses::SETTLEMENT,
    settlement::ISettlement::{self, Kind},
};
use primitives::Amount;
use serde_json::json;
use std::path::PathBuf;

/// Leaves claimed in one call; the ledger takes 256.
const LEAVES_PER_CLAIM: usize = 128;

/// Pay out what settled answers owe contributors, and what has vested.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Key name or address to claim for [default: everyone]
    account: Option<String>,
    /// Batch to claim from [default: all that the operator has at hand]
    #[arg(long, value_name = "ID")]
    batch: Option<B256>,
    /// Key that pays the gas
    #[arg(long, default_value = "default")]
    from: String,
    /// File with the key's password
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    #[command(flatten)]
    genesis: Genesis,
    /// Address of the operator's API, which publishes the batches' receipts
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8000", env = "OPENLEDGER_API")]
    api: String,
    #[command(flatten)]
    rpc: Rpc,
}

/// What was paid of one batch.
#[derive(Debug, serde::Serialize)]
struct Claimed {
    batch: B256,
    leaves: usize,
    liquid: Amount,
    vesting: Amount,
    note: String,
}

/// Runs `openledger claim`.
pub async fn run(arguments: Arguments, home: &Home, output: &Output) -> anyhow::Result<()> {
    let Arguments { account, batch, from, password_file, genesis, api, rpc } = arguments;
    let keystore = Keystore::new(home.keystore());
    let account = account.map(|name| keystore.address(&name)).transpose()?;
    let key = keystore.open(&from, &password::existing(password_file.as_deref())?)?;
    let client = Client::new(&rpc.rpc)?;
    let mut ledger = genesis.ledger(&rpc, home)?;
    let ids = match batch {
        Some(id) => vec![id],
        None => ids(&api).await?,
    };
    let mut claims = Vec::new();
    for id in ids {
        ledger.renew();
        let rebuilt = rebuild(&mut ledger, &api, id).await?;
        claims.push(claim(&client, &key, &mut ledger, id, rebuilt, account).await?);
    }
    let released = match account {
        Some(account) => release(&client, &key, account).await?,
        None => Amount::ZERO,
    };
    let report = json!({ "batches": claims, "released": released });
    output.result(&report, || {
        let mut lines: Vec<String> = claims
            .iter()
            .map(|c| match c.leaves {
                0 => format!("batch {}: {}", c.batch, c.note),
                n => format!(
                    "batch {}: {n} leaves claimed, {} OPEN at once and {} OPEN over the vesting time",
                    c.batch, c.liquid, c.vesting
                ),
            })
            .collect();
        if lines.is_empty() {
            lines.push("the operator has settled nothing yet".into());
        }
        if account.is_some() {
            lines.push(format!("{released} OPEN that had vested were paid"));
        }
        lines.join("\n")
    });
    Ok(())
}

/// Claims the leaves of a batch that nobody claimed yet.
async fn claim(
    client: &Client,
    key: &PrivateKeySigner,
    ledger: &mut LightLedger,
    id: B256,
    rebuilt: Rebuilt,
    account: Option<Address>,
) -> anyhow::Result<Claimed> {
    let Rebuilt { record, built } = rebuilt;
    let mut claimed =
        Claimed { batch: id, leaves: 0, liquid: Amount::ZERO, vesting: Amount::ZERO, note: String::new() };
    if record.status == ISettlement::Status::Posted {
        let now = client.timestamp().await?;
        if now < record.finaliseAt {
            claimed.note = format!("can still be challenged for {} s", record.finaliseAt - now);
            return Ok(claimed);
        }
        let call = ISettlement::finaliseCall { id };
        send(client, key, SETTLEMENT, U256::ZERO, call.abi_encode().into())
            .await
            .context("the batch was not finalised")?;
    }
    let wanted: Vec<u64> = (0u64..)
        .zip(&built.payouts)
        .filter(|(_, payout)| account.is_none_or(|account| payout.account == account))
        .map(|(index, _)| index)
        .collect();
    let mut open = Vec::new();
    for part in wanted.chunks(LEAVES_PER_CLAIM) {
        let flags = ledger
            .read(|snapshot| {
                let flags: Vec<_> = part
                    .iter()
                    .map(|index| snapshot.view(SETTLEMENT, &ISettlement::isClaimedCall { id, index: *index }))
                    .collect();
                flags.into_iter().collect::<Result<Vec<_>, _>>()
            })
            .await?
            .map_err(anyhow::Error::msg)?;
        open.extend(part.iter().zip(flags).filter(|(_, flag)| *flag != Some(true)).map(|(index, _)| *index));
    }
    if open.is_empty() {
        claimed.note = "nothing is left to claim".into();
        return Ok(claimed);
    }
    for part in open.chunks(LEAVES_PER_CLAIM) {
        let leaves: Vec<ISettlement::Leaf> = part
            .iter()
            .map(|index| built.claim_leaf(*index))
            .collect::<Option<_>>()
            .context("a leaf is missing")?;
        for leaf in &leaves {
            let amount = Amount::from_word(leaf.amount).unwrap_or_default();
            let sum = if leaf.kind == Kind::Liquid { &mut claimed.liquid } else { &mut claimed.vesting };
            *sum = sum.checked_add(amount).context("a sum past the supply")?;
        }
        claimed.leaves += leaves.len();
        let call = ISettlement::claimCall { id, leaves };
        let receipt = send(client, key, SETTLEMENT, U256::ZERO, call.abi_encode().into())
            .await
            .context("the claim was refused")?;
        ensure!(
            receipt.status == U256::from(1),
            "the ledger refused transaction {}",
            receipt.transaction_hash
        );
    }
    Ok(claimed)
}

/// Pays what has vested to `account`.
async fn release(client: &Client, key: &PrivateKeySigner, account: Address) -> anyhow::Result<Amount> {
    let before = client.view(SETTLEMENT, &ISettlement::vestingCall { account }).await?;
    if before.vested <= before.paid {
        return Ok(Amount::ZERO);
    }
    let call = ISettlement::releaseCall { account };
    send(client, key, SETTLEMENT, U256::ZERO, call.abi_encode().into())
        .await
        .context("nothing was released")?;
    let after = client.view(SETTLEMENT, &ISettlement::vestingCall { account }).await?;
    Ok(Amount::from_word(after.paid.saturating_sub(before.paid)).unwrap_or_default())
}
