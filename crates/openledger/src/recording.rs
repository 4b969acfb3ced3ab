//! Putting a vault's data on the ledger: a Datanet, a commitment for each contribution, and its opening once the commitment's block is
//! final, so that nobody can claim what they saw in another's transaction (RULEBOOK R4). Every step can be repeated: what stands is
//! left as it is.

use crate::{rpc::Client, transaction::send};
use alloy_primitives::{B256, U256};
use alloy_signer_local::PrivateKeySigner;
use alloy_sol_types::SolCall;
use anyhow::Context as _;
use interfaces::{
    addresses::{DATANETS, TREASURY},
    datanets::{IDatanets, datanet_id},
    treasury::ITreasury,
};
use ledger::treasury::Parameter;
use std::time::Duration;
use vault::{Vault, commands::Reveal, vault::layout::ContributionId};

/// Bond for each byte contributed, in units.
pub const BOND_PER_BYTE: u128 = 1_000_000_000_000;
/// Time between two looks at the newest block.
const LOOK: Duration = Duration::from_millis(100);
/// After this time a commitment's block is final and its second has passed.
pub const FINALITY: Duration = Duration::from_millis(1500);

/// Creates `key`'s Datanet of this salt unless it stands; its id.
pub async fn create(
    client: &Client,
    key: &PrivateKeySigner,
    salt: B256,
    name: &str,
    licences: Vec<String>,
) -> anyhow::Result<B256> {
    let id = datanet_id(key.address(), salt);
    let known = client.view(DATANETS, &IDatanets::datanetCall { datanet: id }).await;
    if known.is_ok_and(|datanet| datanet.createdAt > 0) {
        return Ok(id);
    }
    let call = IDatanets::createCall {
        salt,
        name: name.into(),
        policy: IDatanets::Policy::Open,
        licences,
        bondPerByte: U256::from(BOND_PER_BYTE),
        metadata: B256::ZERO,
        shares: Vec::new(),
    };
    send(client, key, DATANETS, U256::ZERO, call.abi_encode().into())
        .await
        .context("the Datanet was not created")?;
    Ok(id)
}

/// Whether a contribution is revealed.
async fn is_revealed(client: &Client, id: ContributionId) -> bool {
    let known = client.view(DATANETS, &IDatanets::contributionCall { contribution: id.0 }).await;
    known.is_ok_and(|contribution| contribution.commitHeight > 0)
}

/// Commits to a contribution of `key`'s, with its bond, unless that is done.
pub async fn commit(
    client: &Client,
    vault: &Vault,
    datanet: B256,
    key: &PrivateKeySigner,
    id: ContributionId,
) -> anyhow::Result<()> {
    let contribution = vault.contribution(&id)?;
    let call = IDatanets::commitmentCall { owner: key.address(), commitment: id.0 };
    let waiting = client.view(DATANETS, &call).await.is_ok_and(|commitment| commitment.height > 0);
    if waiting || is_revealed(client, id).await {
        return Ok(());
    }
    let bond = U256::from(BOND_PER_BYTE) * U256::from(contribution.bytes);
    let call = IDatanets::commitCall { datanet, commitment: id.0 };
    send(client, key, DATANETS, bond, call.abi_encode().into())
        .await
        .map(drop)
        .context("a commitment was refused")
}

/// Opens a commitment, unless that is done, as soon as the network's delay allows. Its block must be final: [`FINALITY`].
pub async fn reveal(
    client: &Client,
    vault: &Vault,
    key: &PrivateKeySigner,
    id: ContributionId,
) -> anyhow::Result<()> {
    if is_revealed(client, id).await {
        return Ok(());
    }
    wait_until_open(client, key, id).await?;
    let Reveal { commitment: _, root, salt, owner: _, items, bytes, signatures, licence } =
        vault::commands::reveal(vault, &id)?;
    let uses = primitives::licence::granted(&licence);
    let what = IDatanets::Reveal { root, count: items, size: bytes, salt, uses, signatures, licence };
    let call = IDatanets::revealCall { commitment: id.0, what };
    send(client, key, DATANETS, U256::ZERO, call.abi_encode().into())
        .await
        .map(drop)
        .context("a reveal was refused")
}

/// Waits until the network's delay after a commitment has passed, in the time of blocks.
async fn wait_until_open(client: &Client, key: &PrivateKeySigner, id: ContributionId) -> anyhow::Result<()> {
    let call = IDatanets::commitmentCall { owner: key.address(), commitment: id.0 };
    let committed_s = client.view(DATANETS, &call).await?.time;
    let call = ITreasury::parameterCall { id: Parameter::RevealDelaySeconds as u16 };
    let delay_s = u64::try_from(client.view(TREASURY, &call).await?.value).unwrap_or(u64::MAX);
    while client.timestamp().await? < committed_s.saturating_add(delay_s) {
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

/// Freezes what a Datanet holds as its next version; the version's number.
pub async fn freeze(client: &Client, key: &PrivateKeySigner, datanet: B256) -> anyhow::Result<u32> {
    let call = IDatanets::freezeCall { datanet };
    send(client, key, DATANETS, U256::ZERO, call.abi_encode().into())
        .await
        .context("no version was frozen")?;
    Ok(client.view(DATANETS, &IDatanets::datanetCall { datanet }).await?.versions)
}
