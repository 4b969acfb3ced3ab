//! Until when the ledger still needs a model's items: what was answered with them can be challenged until its batch is final.

use crate::rpc::Client;
use alloy_primitives::B256;
use anyhow::ensure;
use interfaces::{
    addresses::{OPERATORS, SETTLEMENT, escrow},
    operators::IOperators,
    settlement::{ISettlement, batch_id},
};

/// The second at which the last open window of the models closes; 0 when none is open.
///
/// # Errors
/// While an operator holds income for answers of a model that is in no batch yet: no window is known for those.
pub async fn close_at(client: &Client, models: &[B256]) -> anyhow::Result<u64> {
    let now = client.timestamp().await?;
    let operators = client.view(OPERATORS, &IOperators::countCall {}).await?;
    let mut last = 0;
    for index in 0..operators {
        let operator = client.view(OPERATORS, &IOperators::operatorAtCall { index }).await?;
        for model in models {
            let held = client.balance(escrow(operator, *model)).await?;
            let progress =
                client.view(SETTLEMENT, &ISettlement::progressCall { operator, model: *model }).await?;
            ensure!(
                held == 0 && progress.unposted.is_zero(),
                "operator {operator} has answered with model {model} and not settled it yet: erase after those answers are final \
                 (`openledger model serve` settles what is open)"
            );
            // Windows are of one length, so the first batch back in time that is past its window ends the search.
            for epoch in (1..=progress.epoch).rev() {
                let id = batch_id(operator, *model, epoch);
                let batch = client.view(SETTLEMENT, &ISettlement::batchCall { id }).await?;
                if batch.finaliseAt <= now {
                    break;
                }
                last = last.max(batch.finaliseAt);
            }
        }
    }
    Ok(last)
}
