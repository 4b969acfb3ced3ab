//! `openledger why`: a payout in words and numbers, down to the items.

use crate::{
    evidence::Saved,
    output::{Output, table},
};
use alloy_primitives::Address;
use anyhow::{Context as _, bail};
use compute::{Attributed, SignedReceipt};
use serde_json::json;

/// Explain what an answer pays an account, down to the items.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Id of the answer, or a file: of `ask --save`, or with what `/v1/attributions/{id}` published
    answer: String,
    /// Account to explain; without it, every account that the answer owes
    account: Option<Address>,
    /// Address of the operator's API
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8000", env = "OPENLEDGER_API")]
    api: String,
}

/// Runs `openledger why`.
pub async fn run(arguments: Arguments, output: &Output) -> anyhow::Result<()> {
    let Arguments { answer, account, api } = arguments;
    let published = Saved::read(&answer, &api).await?.published;
    let receipt: SignedReceipt =
        serde_json::from_value(published["receipt"].clone()).context("the receipt cannot be read")?;
    let attributed: Attributed =
        serde_json::from_value(published["attribution"].clone()).context("the attribution cannot be read")?;
    let units: Vec<_> =
        attributed.units.iter().filter(|unit| account.is_none_or(|a| unit.of.owner == a)).collect();
    if let (Some(account), true) = (account, units.is_empty()) {
        bail!("the answer owes {account} nothing: none of its units rose above the noise floor");
    }
    let report = json!({
        "answer": receipt.receipt.id,
        "fee": receipt.receipt.fee,
        "dataShare": attributed.data_share,
        "totalWeight": attributed.total_weight.to_string(),
        "units": units,
    });
    output.result(&report, || {
        let mut rows: Vec<_> = units.clone();
        rows.sort_by_key(|unit| std::cmp::Reverse(unit.weight));
        let rows: Vec<[String; 5]> = rows
            .iter()
            .map(|unit| {
                let share = unit.weight as f64 / attributed.total_weight.max(1) as f64;
                let novelty = f64::from(unit.of.novelty) / f64::from(attribution::shares::NOVELTY_ONE);
                [
                    unit.of.label.clone(),
                    format!("{:.3}", unit.score),
                    format!("{novelty:.2}"),
                    format!("{:.2} %", 100.0 * share),
                    unit.pay.to_string(),
                ]
            })
            .collect();
        format!(
            "The answer cost {} OPEN; {} of it is for data. A unit weighs its score above the floor ({}), at most the cap ({}), times its novelty; it is \
             paid its part of all weight, rounded down.\n\n{}",
            receipt.receipt.fee,
            attributed.data_share,
            scaled(attributed.rule.floor, attributed.rule.scale_bits),
            scaled(attributed.rule.cap, attributed.rule.scale_bits),
            table(["UNIT", "SCORE", "NOVELTY", "SHARE", "PAID (OPEN)"], &rows)
        )
    });
    Ok(())
}

fn scaled(integer: u64, bits: u32) -> String {
    format!("{:.3}", integer as f64 / (1u64 << bits.min(62)) as f64)
}
