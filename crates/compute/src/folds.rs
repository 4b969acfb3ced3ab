//! Partial sums of a batch, so that a wrong total can be bisected to the receipt that is wrong (RULEBOOK R14).
//!
//! Fold k states what holds after the first `min(k * FOLD_RECEIPTS, count)` receipts, k from 1: fees so far, paid so far and the root
//! of the payout tree with the sums so far. That tree has the shape of the batch's payout tree from the first fold on (accounts
//! of the whole batch, ascending; liquid, then vesting), so the last fold's root is the batch's, and two parties who disagree
//! on a total find the first fold on which they differ, and within it the receipt, by comparing digests.

use crate::batch::Accounted;
use alloy_primitives::{Address, B256};
use interfaces::settlement::{ISettlement::Kind, payout_key};
use primitives::{
    Amount, Domain,
    encoding::Writer,
    hash::hash,
    merkle_sum::{SumNode, SumTree, leaf},
};
use std::collections::BTreeMap;

/// Receipts between two folds.
pub const FOLD_RECEIPTS: usize = 256;

/// Totals after a number of receipts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fold {
    /// Receipts so far.
    pub receipts: u64,
    /// Their fees.
    pub fees: Amount,
    /// What they pay contributors.
    pub paid: Amount,
    /// Root of the payout tree with the sums so far.
    pub payouts: B256,
}

impl Fold {
    /// The leaf under a batch's `folds` root.
    pub fn digest(&self) -> B256 {
        let Fold { receipts, fees, paid, payouts } = self;
        let mut writer = Writer::new();
        writer.u64(*receipts).u128(fees.0).u128(paid.0).hash(payouts);
        hash(Domain::LogLink, writer.as_bytes())
    }
}

/// Liquid and vesting part of what an account is owed: half vests, rounded down (RULEBOOK R4).
pub fn halves(owed: Amount) -> (Amount, Amount) {
    let vesting = Amount(owed.0 / 2);
    (Amount(owed.0 - vesting.0), vesting)
}

/// The payout tree of these sums: two leaves an account, accounts ascending. `None` when the total passes 128 bits.
pub fn payout_tree(owed: &BTreeMap<Address, Amount>) -> Option<SumTree> {
    let leaves: Vec<SumNode> = owed
        .iter()
        .flat_map(|(account, owed)| {
            let (liquid, vesting) = halves(*owed);
            [
                leaf(&payout_key(*account, Kind::Liquid), liquid.0),
                leaf(&payout_key(*account, Kind::Vesting), vesting.0),
            ]
        })
        .collect();
    SumTree::new(leaves)
}

/// The folds of a batch. `None` when a sum passes 128 bits.
pub fn folds(receipts: &[Accounted]) -> Option<Vec<Fold>> {
    let mut owed: BTreeMap<Address, Amount> =
        receipts.iter().flat_map(|r| &r.payouts).map(|(account, _)| (*account, Amount::ZERO)).collect();
    let (mut fees, mut paid) = (Amount::ZERO, Amount::ZERO);
    let mut folds = Vec::with_capacity(receipts.len().div_ceil(FOLD_RECEIPTS));
    for (at, receipt) in (1u64..).zip(receipts) {
        fees = fees.checked_add(receipt.fee)?;
        for (account, pay) in &receipt.payouts {
            paid = paid.checked_add(*pay)?;
            let sum = owed.get_mut(account).expect("every account was entered above");
            *sum = sum.checked_add(*pay)?;
        }
        if at.is_multiple_of(FOLD_RECEIPTS as u64) || at == receipts.len() as u64 {
            folds.push(Fold { receipts: at, fees, paid, payouts: payout_tree(&owed)?.root() });
        }
    }
    Some(folds)
}
