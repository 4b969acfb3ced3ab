//! Copies: which of two equal items was first.

use super::state::{ContributionRecord, DuplicateRecord, load, load_contribution};
use crate::{
    context::Context,
    error::{Error, Result, ensure},
    gas, slashing,
    tables::{CONTRIBUTIONS, DUPLICATES},
};
use alloy_primitives::{B256, U256};
use interfaces::datanets::{IDatanets, IDatanets::Status};
use primitives::{
    Amount, Domain,
    encoding::Writer,
    hash::hash,
    merkle::{MAX_DEPTH, Proof},
};

/// The leaf that hashes these facts of an item, as the vault makes it: the canonical encoding of salt, item, owner,
/// licence, bytes and prompt bytes under [`Domain::ItemLeaf`].
pub fn item_leaf(item: B256, evidence: &IDatanets::ItemEvidence) -> B256 {
    let IDatanets::ItemEvidence {
        contribution: _,
        index: _,
        salt,
        owner,
        licence,
        size,
        promptSize: prompt_size,
        path: _,
    } = evidence;
    let mut w = Writer::new();
    w.hash(salt).hash(&item).address(owner).text(licence).u64(*size).u64(*prompt_size);
    hash(Domain::ItemLeaf, w.as_bytes())
}

pub(super) fn report(ctx: &mut Context, call: IDatanets::reportDuplicateCall) -> Result<()> {
    let IDatanets::reportDuplicateCall { item, earlier, later } = call;
    let original = check_evidence(ctx, item, &earlier)?;
    let mut copy = check_evidence(ctx, item, &later)?;
    check_order(&original, &copy, &earlier, &later)?;
    let known = DUPLICATES.get(ctx.state, &(later.contribution, later.index))?;
    match &known {
        // Already a copy: only an original that is earlier than the known one is news (or one for an original that was
        // refused since), and nothing is slashed again.
        Some(known) => {
            let before = load_contribution(ctx.state, known.contribution)?;
            let earlier_still = (original.sequence, earlier.index) < (before.sequence, known.index);
            ensure(earlier_still || before.status() == Status::Rejected, || {
                Error::rejected(IDatanets::AlreadyDuplicate {
                    contribution: later.contribution,
                    index: later.index,
                })
            })?;
        }
        None => copy.duplicates = copy.duplicates.checked_add(1).ok_or_else(Error::overflow)?,
    }
    let slashed = if known.is_none() { item_bond(ctx, &copy, later.size)? } else { Amount::ZERO };
    copy.bond = copy.bond.checked_sub(slashed).ok_or_else(Error::overflow)?;
    CONTRIBUTIONS.put(ctx.state, &later.contribution, &copy)?;
    let record = DuplicateRecord { contribution: earlier.contribution, index: earlier.index };
    DUPLICATES.put(ctx.state, &(later.contribution, later.index), &record)?;
    let reporter = ctx.caller;
    slashing::distribute(ctx, slashed, reporter, &[])?;
    ctx.emit(IDatanets::DuplicateSettled {
        contribution: later.contribution,
        index: later.index,
        original: earlier.contribution,
        originalIndex: earlier.index,
        slashed: slashed.to_word(),
        reporter,
    })
}

/// The contribution, once the evidence's leaf is in it.
fn check_evidence(
    ctx: &mut Context,
    item: B256,
    evidence: &IDatanets::ItemEvidence,
) -> Result<ContributionRecord> {
    let (contribution, index) = (evidence.contribution, evidence.index);
    let record = load_contribution(ctx.state, contribution)?;
    let bad = || Error::rejected(IDatanets::BadEvidence { contribution, index });
    ensure(
        evidence.path.len() <= MAX_DEPTH && evidence.licence.len() <= crate::storage::MAX_TEXT_BYTES,
        bad,
    )?;
    ctx.state.charge(gas::HASH_WORD * (3 * evidence.path.len() as u64 + 48))?;
    let proof = Proof { index, count: record.count, path: evidence.path.clone() };
    ensure(proof.verify(&record.root, &item_leaf(item, evidence)), bad)?;
    // What was refused never counted: neither as an original nor as a copy.
    let status = record.status();
    ensure(status != Status::Rejected, || Error::rejected(IDatanets::WrongStatus { contribution, status }))?;
    Ok(record)
}

/// The commit decides; inside one contribution, the position.
fn check_order(
    original: &ContributionRecord,
    copy: &ContributionRecord,
    earlier: &IDatanets::ItemEvidence,
    later: &IDatanets::ItemEvidence,
) -> Result<()> {
    let first = (original.sequence, earlier.index) < (copy.sequence, later.index);
    ensure(first, || {
        Error::rejected(IDatanets::NotEarlier {
            earlierSequence: original.sequence,
            laterSequence: copy.sequence,
        })
    })
}

/// The item's part of the bond: its bytes times the bond per byte, at most what is still held.
fn item_bond(ctx: &mut Context, copy: &ContributionRecord, size: u64) -> Result<Amount> {
    let datanet = load(ctx.state, copy.datanet)?;
    let part = datanet.bond_per_byte.to_word().saturating_mul(U256::from(size));
    Ok(Amount::from_word(part).unwrap_or(copy.bond).min(copy.bond))
}
