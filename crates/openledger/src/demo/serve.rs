//! Stage 4: the operator. It stakes, offers the model, and serves it by an OpenAI-compatible API whose answers carry what they owe.

use super::{
    accounts::Accounts, attribute::PRICE, contribute::fund, journal::Journal, network::Network, story::Story,
    train::Trained,
};
use crate::transaction::send;
use alloy_primitives::{B256, U256};
use alloy_sol_types::SolCall;
use anyhow::Context as _;
use attribution::influence::cache::Cache;
use compute::Account;
use gateway::{GatewayConfig, Handle, Offered, RpcLedger};
use interfaces::{addresses::OPERATORS, operators::IOperators};
use ops::Ctx;
use primitives::Amount;
use std::{net::SocketAddr, path::Path, sync::Arc};

/// Folder of the gateway inside the demo's.
const FOLDER: &str = "gateway";
/// Name of the model at the API.
pub const MODEL: &str = "documentation-1m";
/// OPEN that the operator answers with.
const STAKE: Amount = Amount::open(10_000);

/// Stakes, offers and serves.
pub async fn run(
    folder: &Path,
    ctx: &Ctx,
    trained: &Trained,
    cache: Cache,
    accounts: &Accounts,
    network: &Network,
    addresses: (SocketAddr, String),
    journal: &mut Journal,
    story: &mut Story,
) -> anyhow::Result<Handle> {
    let (listen, explorer_url) = addresses;
    if !journal.state.operator_ready {
        stand(trained.id, accounts, network, &format!("http://{listen}")).await?;
        journal.state.operator_ready = true;
        journal.save()?;
    }
    let worker = trained.serving.worker(&trained.serving.engine(*ctx)?, cache)?;
    let key = &accounts.operator;
    let operator = || Account::from_bytes(&key.to_bytes().0);
    let config = GatewayConfig {
        listen,
        explorer_url,
        chain_id: network.client.chain_id().await?,
        settle_every: None,
        ..GatewayConfig::local(folder.join(FOLDER), operator()?)
    };
    let ledger = RpcLedger::new(&format!("http://{}", network.rpc), operator()?, config.chain_id);
    let handle = gateway::serve(config, vec![(worker, Offered { price: PRICE })], Arc::new(ledger))
        .await
        .context("the gateway does not start")?;
    story.tell(format!(
        "operator {} staked {STAKE} OPEN and serves `{MODEL}` on http://{}/v1 ({} OPEN per 1,000 tokens read, {} per 1,000 written)",
        key.address(),
        handle.addr,
        PRICE.rate_in,
        PRICE.rate_out
    ));
    Ok(handle)
}

async fn stand(model: B256, accounts: &Accounts, network: &Network, endpoint: &str) -> anyhow::Result<()> {
    let key = &accounts.operator;
    fund(network, accounts, &[(key.address(), Amount(STAKE.0 + Amount::open(100).0))]).await?;
    let operator =
        network.client.view(OPERATORS, &IOperators::operatorCall { operator: key.address() }).await;
    if !operator.is_ok_and(|o| o.status == IOperators::Status::Active) {
        let call = IOperators::registerCall { endpoint: endpoint.into() };
        send(&network.client, key, OPERATORS, STAKE.to_word(), call.abi_encode().into())
            .await
            .context("the operator was not registered")?;
    }
    let call = IOperators::offerCall {
        model,
        rateIn: PRICE.rate_in.to_word(),
        rateOut: PRICE.rate_out.to_word(),
        platformFee: PRICE.platform_fee.to_word(),
    };
    send(&network.client, key, OPERATORS, U256::ZERO, call.abi_encode().into())
        .await
        .map(drop)
        .context("the offer was refused")
}
