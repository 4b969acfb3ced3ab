//! Stage 4: the operator. It stakes, offers the model, and serves it by an OpenAI-compatible API whose answers carry what they owe.

use super::{
    accounts::Accounts,
    attribute::RATES,
    contribute::fund,
    journal::Journal,
    network::Network,
    story::Story,
    train::{Part, Trained},
};
use crate::{
    serving::{Description, ServedPart, ServedUnit, Serving},
    transaction::send,
};
use alloy_primitives::{B256, U256};
use alloy_sol_types::SolCall;
use anyhow::Context as _;
use attribution::influence::cache::Cache;
use compute::{Account, Worker, fee::Price};
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
    let serving = describe(folder, trained, journal)?;
    let worker = Worker::new(trained.id, MODEL, serving.engine(*ctx, cache)?);
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
    let price = Price { rate_in: RATES.0, rate_out: RATES.1, platform_fee: RATES.2 };
    let handle = gateway::serve(config, vec![(worker, Offered { price })], Arc::new(ledger))
        .await
        .context("the gateway does not start")?;
    story.tell(format!(
        "operator {} staked {STAKE} OPEN and serves `{MODEL}` on http://{}/v1 ({} OPEN per 1,000 tokens read, {} per 1,000 written)",
        key.address(),
        handle.addr,
        RATES.0,
        RATES.1
    ));
    Ok(handle)
}

/// Writes what serving the model takes into the demo's folder: `openledger model serve` and `openledger verify --replay` read it.
fn describe(folder: &Path, trained: &Trained, journal: &Journal) -> anyhow::Result<Serving> {
    let datanet = journal.state.datanet.unwrap_or(B256::ZERO);
    let units: Vec<ServedUnit> = trained
        .units
        .iter()
        .map(|unit| {
            let last = unit.example.targets.last().copied();
            let part = |part: &Part| {
                let contributor = &journal.state.contributors[part.contributor];
                ServedPart {
                    datanet,
                    item: part.item,
                    owner: contributor.account,
                    contributor: part.contributor as u32,
                    document: part.document,
                    tokens: part.tokens,
                    novelty: part.novelty,
                    label: format!("{}: {}", contributor.name, part.label),
                }
            };
            ServedUnit {
                text: unit.example.tokens.iter().copied().chain(last).collect(),
                parts: unit.parts.iter().map(part).collect(),
            }
        })
        .collect();
    let weights = Path::new(super::train::FOLDER).join(model::train::MODEL_DIR);
    trained.tokenizer.save(&folder.join(&weights))?;
    let description = Description {
        weights,
        cache: super::attribute::FOLDER.into(),
        run: Some(super::train::FOLDER.into()),
        ..Serving::describe(trained.id, MODEL)
    };
    Serving::write(folder, description, &units)
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
        rateIn: U256::from(RATES.0.0),
        rateOut: U256::from(RATES.1.0),
        platformFee: U256::from(RATES.2.0),
    };
    send(&network.client, key, OPERATORS, U256::ZERO, call.abi_encode().into())
        .await
        .map(drop)
        .context("the offer was refused")
}
