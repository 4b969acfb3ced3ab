//! Claims: leaves of a final batch's payouts, paid to whom they name.

use super::{
    state::{BatchRecord, load_in},
    vesting,
};
use crate::{
    context::Context,
    error::{Error, Result, ensure},
    gas,
    tables::{BATCHES, CLAIMED_LEAVES},
};
use alloy_primitives::{B256, U256};
use interfaces::settlement::{ISettlement, ISettlement::Kind, ISettlement::Status, payout_key};
use primitives::{
    Amount,
    merkle::MAX_DEPTH,
    merkle_sum::{SumNode, SumProof, leaf},
};

/// Most leaves in one call.
pub const MAX_LEAVES_PER_CLAIM: usize = 256;
/// Words hashed for one step of a path: two digests, two sums, rounded up.
const STEP_WORDS: u64 = 4;

pub(super) fn claim(ctx: &mut Context, call: ISettlement::claimCall) -> Result<U256> {
    let ISettlement::claimCall { id, leaves } = call;
    let mut batch = load_in(ctx.state, id, Status::Finalised)?;
    ensure(leaves.len() <= MAX_LEAVES_PER_CLAIM, || {
        Error::rejected(ISettlement::LimitExceeded {
            what: "leaves".into(),
            value: U256::from(leaves.len()),
            limit: U256::from(MAX_LEAVES_PER_CLAIM),
        })
    })?;
    let mut paid = Amount::ZERO;
    for claimed in &leaves {
        let amount = check_leaf(ctx, id, &batch, claimed)?;
        ensure(CLAIMED_LEAVES.set(ctx.state, &id, claimed.index)?, || {
            Error::rejected(ISettlement::AlreadyClaimed { id, index: claimed.index })
        })?;
        paid = paid.checked_add(amount).ok_or_else(Error::overflow)?;
    }
    batch.claimed = batch
        .claimed
        .checked_add(paid)
        .filter(|claimed| *claimed <= batch.payout_total)
        .ok_or(Error::Inconsistent("a batch's leaves exceed its total"))?;
    BATCHES.put(ctx.state, &id, &batch)?;
    for claimed in leaves {
        pay_leaf(ctx, id, &batch, claimed)?;
    }
    Ok(paid.to_word())
}

/// The leaf's amount, once its path leads to the batch's payouts.
fn check_leaf(
    ctx: &mut Context,
    id: B256,
    batch: &BatchRecord,
    claimed: &ISettlement::Leaf,
) -> Result<Amount> {
    let ISettlement::Leaf { index, account, kind, amount, path } = claimed;
    let bad = || Error::rejected(ISettlement::BadProof { id, index: *index });
    ensure(path.len() <= MAX_DEPTH, bad)?;
    ctx.state.charge(gas::HASH_WORD * STEP_WORDS * (path.len() as u64 + 2))?;
    let amount = Amount::from_word(*amount).ok_or_else(bad)?;
    let step = |step: &ISettlement::SumNode| {
        Some(SumNode { digest: step.digest, sum: Amount::from_word(step.sum)?.0 })
    };
    let path = path.iter().map(step).collect::<Option<Vec<_>>>().ok_or_else(bad)?;
    let proof = SumProof { index: *index, count: batch.payout_count, path };
    let leaf = leaf(&payout_key(*account, *kind), amount.0);
    ensure(proof.verify(&batch.payouts, batch.payout_total.0, &leaf), bad)?;
    Ok(amount)
}

fn pay_leaf(ctx: &mut Context, id: B256, batch: &BatchRecord, claimed: ISettlement::Leaf) -> Result<()> {
    let ISettlement::Leaf { index, account, kind, amount, path: _ } = claimed;
    let units = Amount::from_word(amount).ok_or_else(Error::overflow)?;
    match kind {
        Kind::Liquid => ctx.pay(account, units)?,
        Kind::Vesting => vesting::grant(ctx, account, batch.finalised_at, units)?,
        Kind::__Invalid => return Err(Error::rejected(ISettlement::BadProof { id, index })),
    }
    ctx.emit(ISettlement::PayoutClaimed { id, account, index, kind, amount })
}
