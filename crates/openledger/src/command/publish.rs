//! `openledger publish`: a Datanet of the vault, on the ledger.

use crate::{cli::Rpc, home::Home, output::Output, password, recording, rpc::Client, wallet::Keystore};
use alloy_primitives::{B256, keccak256};
use anyhow::{bail, ensure};
use interfaces::{
    addresses::DATANETS,
    datanets::{IDatanets, datanet_id},
};
use primitives::Amount;
use serde_json::json;
use std::path::PathBuf;
use vault::{commands, vault::layout::ContributionId};

/// Record a Datanet and your contributions to it on the ledger: created, committed with a bond, revealed.
///
/// What stands already is left as it is: after an interruption, or with new contributions, run it again.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Datanet: name, id, or the beginning of its id
    datanet: String,
    /// Key of the contributions' owner
    #[arg(long, default_value = "default")]
    from: String,
    /// File with the key's password
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Also freeze what stands as the next version, which training can name (the Datanet's owner alone)
    #[arg(long)]
    freeze: bool,
    /// Folder of the vault, or s3://BUCKET/PREFIX [default: HOME/vault]
    #[arg(long, value_name = "PLACE")]
    vault: Option<String>,
    /// Address of the S3 server [default: AWS_ENDPOINT_URL, or Amazon's]
    #[arg(long, value_name = "URL")]
    s3_endpoint: Option<String>,
    #[command(flatten)]
    rpc: Rpc,
}

/// Runs `openledger publish`.
pub async fn run(arguments: Arguments, home: &Home, output: &Output) -> anyhow::Result<()> {
    let Arguments { datanet, from, password_file, freeze, vault, s3_endpoint, rpc } = arguments;
    let vault = commands::open(&home.vault(vault.as_deref(), s3_endpoint.as_deref())?)?;
    let local = commands::resolve(&vault, &datanet)?;
    let known = vault.datanet(&local)?.clone();
    let key = Keystore::new(home.keystore()).open(&from, &password::existing(password_file.as_deref())?)?;
    let client = Client::new(&rpc.rpc)?;
    // The same vault and owner always give the same Datanet on the ledger.
    let salt = keccak256(local.0);
    let id = match known.owner == key.address() {
        true => recording::create(&client, &key, salt, &known.name, known.licences.clone()).await?,
        false => datanet_id(known.owner, salt),
    };
    let stands = client.view(DATANETS, &IDatanets::datanetCall { datanet: id }).await;
    if !stands.is_ok_and(|datanet| datanet.createdAt > 0) {
        bail!("the Datanet is not on the ledger yet: its owner {} must publish it first", known.owner);
    }
    let own: Vec<ContributionId> = vault
        .contributions()
        .iter()
        .filter(|c| c.datanet == local && c.owner == key.address())
        .map(|c| c.id)
        .collect();
    ensure!(!own.is_empty() || freeze, "{} contributed nothing to `{}`", key.address(), known.name);
    let bytes: u64 = own.iter().map(|id| vault.contribution(id).map_or(0, |c| c.bytes)).sum();
    let bond = Amount(recording::BOND_PER_BYTE.saturating_mul(bytes.into()));
    let held = Amount(client.balance(key.address()).await?);
    ensure!(
        held > bond,
        "{} holds {held} OPEN; the bonds take up to {bond}, and some for gas",
        key.address()
    );
    for contribution in &own {
        recording::commit(&client, &vault, id, &key, *contribution).await?;
    }
    if !own.is_empty() {
        output.note("Committed; waiting until that is final before anything is revealed.");
        tokio::time::sleep(recording::FINALITY).await;
    }
    for contribution in &own {
        recording::reveal(&client, &vault, &key, *contribution).await?;
    }
    let version = if freeze { Some(recording::freeze(&client, &key, id).await?) } else { None };
    let ids: Vec<B256> = own.iter().map(|id| id.0).collect();
    output.result(&json!({ "datanet": id, "contributions": ids, "bond": bond, "version": version }), || {
        let frozen = version.map_or(String::new(), |number| format!("\nversion {number} is frozen"));
        format!("{id}\n{} contributions stand on the ledger, bonded with {bond} OPEN{frozen}", ids.len())
    });
    Ok(())
}
