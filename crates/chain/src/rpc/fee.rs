//! What to pay.

use super::{
    block::height_of,
    error::RpcError,
    objects::quantity,
    params::{BlockTag, Params},
};
use crate::{index::Entry, node::Services};
use serde_json::{Value, json};

/// Tip per gas that wallets are told to pay: blocks are rarely full.
const SUGGESTED_TIP: u128 = 1_000_000;
/// Most blocks of one history.
const MAX_HISTORY: u64 = 1_024;
/// Most percentiles of one history.
const MAX_PERCENTILES: usize = 100;

/// Base fee of a block right after `entry`.
fn next_base_fee(services: &Services, entry: &Entry) -> u128 {
    let (rules, header) = (&services.rules, &entry.block.header);
    rules.next_base_fee(header.base_fee, header.gas_used, rules.genesis.block_interval_ms)
}

/// Enough for the next blocks even if the base fee rises.
pub(super) fn gas_price(services: &Services) -> Value {
    let base_fee = next_base_fee(services, &services.index.head());
    quantity(base_fee + base_fee / 4 + SUGGESTED_TIP)
}

pub(super) fn priority_fee() -> Value {
    quantity(SUGGESTED_TIP)
}

pub(super) fn history(services: &Services, mut params: Params) -> Result<Value, RpcError> {
    let count = params.take::<u64>(0, "block count")?.clamp(1, MAX_HISTORY);
    let tag: BlockTag = params.take(1, "newest block")?;
    let percentiles: Vec<f64> = params.optional(2, "reward percentiles")?.unwrap_or_default();
    let ascending = percentiles.windows(2).all(|pair| pair[0] <= pair[1]);
    if percentiles.len() > MAX_PERCENTILES
        || !ascending
        || percentiles.iter().any(|p| !(0.0..=100.0).contains(p))
    {
        return Err(RpcError::params(
            "reward percentiles must ascend between 0 and 100, at most 100 of them",
        ));
    }
    let newest = height_of(services, tag)?.ok_or_else(|| RpcError::refused("unknown block"))?;
    let oldest = (newest + 1).saturating_sub(count).max(services.index.oldest()?.min(newest));
    let (mut base_fees, mut ratios, mut rewards) = (Vec::new(), Vec::new(), Vec::new());
    let mut last = None;
    for height in oldest..=newest {
        let Some(entry) = services.index.block(height)? else { continue };
        base_fees.push(quantity(entry.block.header.base_fee));
        ratios.push(entry.block.header.gas_used as f64 / services.rules.genesis.gas_limit as f64);
        rewards.push(percentiles.iter().map(|at| quantity(tip_at(&entry, *at))).collect::<Vec<_>>());
        last = Some(entry);
    }
    base_fees.extend(last.map(|entry| quantity(next_base_fee(services, &entry))));
    let mut history = json!({
        "oldestBlock": quantity(oldest),
        "baseFeePerGas": base_fees,
        "gasUsedRatio": ratios,
    });
    if !percentiles.is_empty() {
        history["reward"] = json!(rewards);
    }
    Ok(history)
}

/// Tip at a percentile of the block's gas.
fn tip_at(entry: &Entry, percentile: f64) -> u128 {
    let base_fee = entry.block.header.base_fee;
    let mut tips: Vec<(u128, u64)> = entry
        .outcome
        .receipts
        .iter()
        .map(|receipt| (receipt.effective_gas_price.saturating_sub(base_fee), receipt.gas_used))
        .collect();
    tips.sort_unstable();
    let wanted = entry.block.header.gas_used as f64 * percentile / 100.0;
    let mut seen = 0;
    for (tip, gas) in &tips {
        seen += gas;
        if seen as f64 >= wanted {
            return *tip;
        }
    }
    0
}
