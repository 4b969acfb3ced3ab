//! An epoch's settlement batch, out of its receipts (RULEBOOK R14).
//!
//! The ledger refuses a batch whose fees are not the escrow's income, whose first sequence number does not follow the last batch, or
//! which pays out more than the data share. [`build`] checks the same before anything is sent, and says what is wrong.

use crate::{
    fee::data_share,
    folds::{Fold, folds, halves, payout_tree},
    log::Entry,
    receipt::Receipt,
};
use alloy_primitives::{Address, B256, U256};
use interfaces::settlement::ISettlement::{self, Kind};
use primitives::{
    Amount,
    merkle::{Proof, Tree},
    merkle_sum::SumTree,
};
use std::collections::BTreeMap;

/// Most receipts of one batch.
pub const MAX_RECEIPTS: usize = 1 << 24;

/// What a batch needs of a receipt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accounted {
    /// Its number.
    pub sequence: u64,
    /// Its digest: the leaf.
    pub digest: B256,
    /// Digest of the one before.
    pub previous: B256,
    /// F.
    pub fee: Amount,
    /// Pay by account, ascending.
    pub payouts: Vec<(Address, Amount)>,
}

impl From<&Entry> for Accounted {
    fn from(entry: &Entry) -> Accounted {
        let Receipt { sequence, previous, fee, .. } = entry.signed.receipt;
        let digest = entry.signed.receipt.digest();
        Accounted { sequence, digest, previous, fee, payouts: entry.payouts.clone() }
    }
}

/// A batch and what its proofs are taken from.
#[derive(Clone, Debug)]
pub struct SettlementBatch {
    /// What `ISettlement::post` takes.
    pub batch: ISettlement::Batch,
    /// Payouts in the order of their leaves: two an account.
    pub payouts: Vec<Payout>,
    /// Partial sums.
    pub folds: Vec<Fold>,
    receipts: Tree,
    sums: Option<SumTree>,
}

/// One leaf of the payout tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payout {
    /// Who is paid.
    pub account: Address,
    /// At once, or over time.
    pub kind: Kind,
    /// How much.
    pub amount: Amount,
}

/// Why receipts do not make a batch.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// Nothing to settle.
    #[error("the epoch has no receipt: close it once there is income")]
    Empty,
    /// More than one batch takes.
    #[error("{0} receipts are more than the {MAX_RECEIPTS} one batch takes: close the epoch earlier")]
    TooMany(usize),
    /// A number or a hash does not follow.
    #[error("receipt {0} does not follow the one before: the log is incomplete")]
    Broken(u64),
    /// The receipts and the escrow disagree.
    #[error(
        "the receipts' fees are {fees} units and the escrow's income is {income}: redeem open vouchers, or account for the difference with a receipt"
    )]
    FeesDifferFromIncome { fees: u128, income: u128 },
    /// More is paid out than data contributors' part.
    #[error(
        "the receipts pay {paid} units, the data share of their fees is {share}: the shares were divided wrongly"
    )]
    PaidAboveShare { paid: u128, share: u128 },
    /// A sum past 128 bits.
    #[error("the sums pass 128 bits: no such amount of OPEN exists")]
    Overflow,
}

/// Builds the batch of `model` and `epoch` over these receipts, which must account for `income` exactly.
pub fn build(
    model: B256,
    epoch: u64,
    receipts: &[Accounted],
    income: Amount,
    data_share_bps: u16,
) -> Result<SettlementBatch, BatchError> {
    let first = receipts.first().ok_or(BatchError::Empty)?;
    if receipts.len() > MAX_RECEIPTS {
        return Err(BatchError::TooMany(receipts.len()));
    }
    for pair in receipts.windows(2) {
        if pair[1].sequence != pair[0].sequence + 1 || pair[1].previous != pair[0].digest {
            return Err(BatchError::Broken(pair[1].sequence));
        }
    }
    let folds = folds(receipts).ok_or(BatchError::Overflow)?;
    let last = folds.last().ok_or(BatchError::Empty)?;
    if last.fees != income {
        return Err(BatchError::FeesDifferFromIncome { fees: last.fees.0, income: income.0 });
    }
    let share = data_share(income, data_share_bps);
    if last.paid > share {
        return Err(BatchError::PaidAboveShare { paid: last.paid.0, share: share.0 });
    }
    let owed = owed(receipts);
    let payouts: Vec<Payout> = owed
        .iter()
        .flat_map(|(account, owed)| {
            let (liquid, vesting) = halves(*owed);
            [(Kind::Liquid, liquid), (Kind::Vesting, vesting)].map(|(kind, amount)| Payout {
                account: *account,
                kind,
                amount,
            })
        })
        .collect();
    let sums = if owed.is_empty() { None } else { Some(payout_tree(&owed).ok_or(BatchError::Overflow)?) };
    let tree = Tree::new(receipts.iter().map(|receipt| receipt.digest).collect());
    let batch = ISettlement::Batch {
        model,
        epoch,
        firstSequence: first.sequence,
        count: receipts.len() as u64,
        receipts: tree.root(),
        folds: primitives::merkle::root(&folds.iter().map(Fold::digest).collect::<Vec<_>>()),
        fees: income.to_word(),
        payouts: sums.as_ref().map_or(B256::ZERO, SumTree::root),
        payoutTotal: last.paid.to_word(),
        payoutCount: payouts.len() as u64,
    };
    Ok(SettlementBatch { batch, payouts, folds, receipts: tree, sums })
}

fn owed(receipts: &[Accounted]) -> BTreeMap<Address, Amount> {
    let mut owed = BTreeMap::<Address, Amount>::new();
    for (account, pay) in receipts.iter().flat_map(|receipt| &receipt.payouts) {
        let sum = owed.entry(*account).or_default();
        // The folds checked that the total of all fits.
        *sum = sum.checked_add(*pay).expect("a part of a sum that fits");
    }
    owed
}

impl SettlementBatch {
    /// Proof that the receipt with this sequence number is in the batch.
    pub fn prove_receipt(&self, sequence: u64) -> Option<Proof> {
        self.receipts.prove(sequence.checked_sub(self.batch.firstSequence)?)
    }

    /// The leaf that `ISettlement::claim` takes; `None` past the end.
    pub fn claim_leaf(&self, index: u64) -> Option<ISettlement::Leaf> {
        let Payout { account, kind, amount } = *self.payouts.get(usize::try_from(index).ok()?)?;
        let proof = self.sums.as_ref()?.prove(index)?;
        let path = proof
            .path
            .into_iter()
            .map(|node| ISettlement::SumNode { digest: node.digest, sum: U256::from(node.sum) })
            .collect();
        Some(ISettlement::Leaf { index, account, kind, amount: amount.to_word(), path })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn receipts(fees: &[u32], owners: u8) -> Vec<Accounted> {
        let mut previous = B256::ZERO;
        (5u64..)
            .zip(fees)
            .map(|(sequence, fee)| {
                let fee = Amount(u128::from(*fee));
                let share = data_share(fee, 4_000).0;
                let owner = Address::repeat_byte((sequence % u64::from(owners)) as u8 + 1);
                let digest = B256::from(U256::from(sequence + 1));
                let payouts = if share == 0 { Vec::new() } else { vec![(owner, Amount(share))] };
                let receipt = Accounted { sequence, digest, previous, fee, payouts };
                previous = digest;
                receipt
            })
            .collect()
    }

    fn income(receipts: &[Accounted]) -> Amount {
        Amount(receipts.iter().map(|receipt| receipt.fee.0).sum())
    }

    proptest! {
        #[test]
        fn every_receipt_and_every_payout_proves(fees in prop::collection::vec(0u32..10_000, 1..600), owners in 1u8..9) {
            let receipts = receipts(&fees, owners);
            let built = build(B256::ZERO, 3, &receipts, income(&receipts), 4_000).unwrap();
            prop_assert_eq!(built.batch.count, fees.len() as u64);
            for receipt in receipts.iter().step_by(37) {
                let proof = built.prove_receipt(receipt.sequence).unwrap();
                prop_assert!(proof.verify(&built.batch.receipts, &receipt.digest));
            }
            let total: u128 = built.payouts.iter().map(|payout| payout.amount.0).sum();
            prop_assert_eq!(U256::from(total), built.batch.payoutTotal);
            for index in 0..built.payouts.len() as u64 {
                let leaf = built.claim_leaf(index).unwrap();
                let node = primitives::merkle_sum::leaf(
                    &interfaces::settlement::payout_key(leaf.account, leaf.kind),
                    leaf.amount.to(),
                );
                let path = leaf.path.iter().map(|n| primitives::merkle_sum::SumNode { digest: n.digest, sum: n.sum.to() });
                let proof = primitives::merkle_sum::SumProof { index, count: built.batch.payoutCount, path: path.collect() };
                prop_assert!(proof.verify(&built.batch.payouts, total, &node));
            }
            let last = built.folds.last().unwrap();
            prop_assert_eq!(last.receipts, built.batch.count);
            if !built.payouts.is_empty() {
                prop_assert_eq!(last.payouts, built.batch.payouts);
            }
        }
    }

    #[test]
    fn an_omitted_or_swapped_receipt_shows() {
        let all = receipts(&[100; 10], 3);
        let mut omitted = all.clone();
        omitted.remove(4);
        assert_eq!(
            build(B256::ZERO, 0, &omitted, income(&omitted), 4_000).unwrap_err(),
            BatchError::Broken(10)
        );
        let mut changed = all.clone();
        changed[4].digest.0[0] ^= 1;
        assert!(matches!(
            build(B256::ZERO, 0, &changed, income(&changed), 4_000),
            Err(BatchError::Broken(_))
        ));
    }

    #[test]
    fn fees_that_are_not_the_income_and_pay_above_the_share_are_refused() {
        let all = receipts(&[100; 3], 1);
        assert_eq!(
            build(B256::ZERO, 0, &all, Amount(299), 4_000).unwrap_err(),
            BatchError::FeesDifferFromIncome { fees: 300, income: 299 }
        );
        assert!(matches!(
            build(B256::ZERO, 0, &all, Amount(300), 3_999),
            Err(BatchError::PaidAboveShare { .. })
        ));
        assert_eq!(build(B256::ZERO, 0, &[], Amount::ZERO, 4_000).unwrap_err(), BatchError::Empty);
    }

    #[test]
    fn folds_of_a_changed_receipt_differ_from_there_on() {
        let all = receipts(&[100; 1000], 3);
        let mut changed = all.clone();
        changed[600].payouts[0].1 = Amount(39);
        let (honest, wrong) = (folds(&all).unwrap(), folds(&changed).unwrap());
        let differ: Vec<bool> = honest.iter().zip(&wrong).map(|(a, b)| a != b).collect();
        assert_eq!(differ, [false, false, true, true]);
    }
}
