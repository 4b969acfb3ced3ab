//! Commit, reveal, expiry, withdrawal.

use super::{
    curation::admit,
    state::{CommitRecord, ContributionRecord, DatanetRecord, load, load_contribution, require_status},
    versions::contribution_leaf,
};
use crate::{
    context::Context,
    error::{Error, Result, ensure},
    licences,
    tables::{
        COMMIT_SEQUENCE, COMMITS, CONTRIBUTION_LISTS, CONTRIBUTIONS, DATANET_LICENCES, DATANETS,
        LICENCE_USES, WITHDRAWN_LISTS, WITHDRAWN_RANGES,
    },
    treasury::Parameter,
};
use alloy_primitives::{Address, B256, U256};
use interfaces::datanets::{IDatanets, IDatanets::Policy, IDatanets::Status};
use primitives::{Amount, Domain, hash::hash_parts};

/// Most items of one contribution.
pub const MAX_ITEMS: u64 = 1 << 32;
/// Most bytes of one contribution.
pub const MAX_SIZE_BYTES: u64 = 1 << 48;

/// The commitment of a contribution (R4): `BLAKE3(Contribution; root ‖ salt ‖ owner)`.
pub fn commitment(root: B256, salt: B256, owner: Address) -> B256 {
    hash_parts(Domain::Contribution, &[root.as_slice(), salt.as_slice(), owner.as_slice()])
}

pub(super) fn commit(ctx: &mut Context, call: IDatanets::commitCall) -> Result<u64> {
    let IDatanets::commitCall { datanet, commitment } = call;
    let owner = ctx.caller;
    load(ctx.state, datanet)?;
    let waits = COMMITS.get(ctx.state, &(owner, commitment))?.is_some();
    // A revealed contribution's id is its commitment, so the same one cannot be opened again.
    let opened = CONTRIBUTIONS.get(ctx.state, &commitment)?.is_some();
    ensure(!waits && !opened, || Error::rejected(IDatanets::AlreadyCommitted { commitment }))?;
    let sequence: u64 = COMMIT_SEQUENCE.get(ctx.state, &())?.saturating_to();
    COMMIT_SEQUENCE.set(ctx.state, &(), U256::from(sequence) + U256::from(1))?;
    let (height, time, bond) = (ctx.block.number, ctx.now(), ctx.value);
    let record = CommitRecord { datanet, sequence, height, time, bond };
    COMMITS.put(ctx.state, &(owner, commitment), &record)?;
    ctx.emit(IDatanets::Committed { datanet, owner, commitment, sequence, bond: bond.to_word() })?;
    Ok(sequence)
}

fn load_commit(ctx: &mut Context, owner: Address, commitment: B256) -> Result<CommitRecord> {
    let record = COMMITS.get(ctx.state, &(owner, commitment))?;
    record.ok_or_else(|| Error::rejected(IDatanets::UnknownCommitment { owner, commitment }))
}

pub(super) fn reveal(ctx: &mut Context, call: IDatanets::revealCall) -> Result<()> {
    let IDatanets::revealCall { commitment: id, what } = call;
    let owner = ctx.caller;
    let commit = load_commit(ctx, owner, id)?;
    let mut datanet = load(ctx.state, commit.datanet)?;
    let computed = commitment(what.root, what.salt, owner);
    ensure(computed == id, || Error::rejected(IDatanets::CommitmentMismatch { committed: id, computed }))?;
    check_window(ctx, &commit)?;
    check_size("items", what.count, MAX_ITEMS)?;
    check_size("bytes", what.size, MAX_SIZE_BYTES)?;
    let licence = licence_number(ctx, commit.datanet, &datanet, &what.licence)?;
    licences::require_granted(&what.licence, what.uses)?;
    let (bond, refund) = settle_bond(ctx, &commit, &datanet, what.size)?;

    let IDatanets::Reveal { root, count, size, salt: _, uses, signatures, licence: licence_text } = what;
    let record = ContributionRecord {
        datanet: commit.datanet,
        owner,
        status: Status::Pending as u8,
        licence,
        sequence: commit.sequence,
        commit_height: commit.height,
        commit_time: commit.time,
        root,
        count,
        size,
        uses,
        signatures,
        bond,
        duplicates: 0,
        bond_free_at: 0,
    };
    COMMITS.remove(ctx.state, &(owner, id))?;
    CONTRIBUTIONS.put(ctx.state, &id, &record)?;
    CONTRIBUTION_LISTS.push(ctx.state, &commit.datanet, id)?;
    datanet.contributions = datanet.contributions.checked_add(1).ok_or_else(Error::overflow)?;
    DATANETS.put(ctx.state, &commit.datanet, &datanet)?;
    if refund > Amount::ZERO {
        ctx.pay(owner, refund)?;
    }
    ctx.emit(IDatanets::Revealed {
        datanet: commit.datanet,
        owner,
        contribution: id,
        root,
        count,
        size,
        licence: licence_text,
    })?;
    match datanet.policy() {
        Policy::Open => admit(ctx, id, record, Address::ZERO),
        Policy::Curated | Policy::__Invalid => Ok(()),
    }
}

fn check_window(ctx: &mut Context, commit: &CommitRecord) -> Result<()> {
    let time = ctx.now();
    let open_at = commit.time.saturating_add(Parameter::RevealDelaySeconds.get(ctx.state)?);
    // A commit and its reveal never share a block, whatever the delay is.
    ensure(time >= open_at && ctx.block.number > commit.height, || {
        Error::rejected(IDatanets::RevealTooEarly { openAt: open_at, time })
    })?;
    let closed_at = closes_at(ctx, commit)?;
    ensure(time < closed_at, || Error::rejected(IDatanets::RevealTooLate { closedAt: closed_at, time }))
}

fn closes_at(ctx: &mut Context, commit: &CommitRecord) -> Result<u64> {
    Ok(commit.time.saturating_add(Parameter::RevealWindowSeconds.get(ctx.state)?))
}

fn check_size(what: &str, value: u64, limit: u64) -> Result<()> {
    ensure(value > 0 && value <= limit, || {
        Error::rejected(IDatanets::LimitExceeded {
            what: what.into(),
            value: U256::from(value),
            limit: U256::from(limit),
        })
    })
}

fn licence_number(ctx: &mut Context, id: B256, datanet: &DatanetRecord, licence: &str) -> Result<u8> {
    for number in 0..datanet.licences {
        if DATANET_LICENCES.get(ctx.state, &(id, number))?.as_deref() == Some(licence) {
            return Ok(number);
        }
    }
    Err(Error::rejected(IDatanets::LicenceNotAllowed { datanet: id, licence: licence.into() }))
}

/// The bond to hold and what returns to the owner, of what came with commit and reveal.
fn settle_bond(
    ctx: &mut Context,
    commit: &CommitRecord,
    datanet: &DatanetRecord,
    size: u64,
) -> Result<(Amount, Amount)> {
    let sent = commit.bond.checked_add(ctx.value).ok_or_else(Error::overflow)?;
    let required = datanet.bond_per_byte.mul_div(size.into(), 1).ok_or_else(Error::overflow)?;
    let refund = sent.checked_sub(required).ok_or_else(|| {
        Error::rejected(IDatanets::BondTooSmall { bond: sent.to_word(), required: required.to_word() })
    })?;
    Ok((required, refund))
}

pub(super) fn expire(ctx: &mut Context, call: IDatanets::expireCall) -> Result<()> {
    let IDatanets::expireCall { owner, commitment } = call;
    let commit = load_commit(ctx, owner, commitment)?;
    let (time, expires_at) = (ctx.now(), closes_at(ctx, &commit)?);
    ensure(time >= expires_at, || Error::rejected(IDatanets::NotExpired { expiresAt: expires_at, time }))?;
    COMMITS.remove(ctx.state, &(owner, commitment))?;
    if commit.bond > Amount::ZERO {
        ctx.pay(owner, commit.bond)?;
    }
    let (datanet, bond) = (commit.datanet, commit.bond.to_word());
    ctx.emit(IDatanets::Expired { datanet, owner, commitment, bond })
}

pub(super) fn withdraw(ctx: &mut Context, call: IDatanets::withdrawCall) -> Result<()> {
    let IDatanets::withdrawCall { contribution: id } = call;
    let mut record = load_contribution(ctx.state, id)?;
    ensure(record.owner == ctx.caller, || {
        Error::rejected(IDatanets::NotOwner { contribution: id, sender: ctx.caller })
    })?;
    let counted = match record.status() {
        Status::Accepted => true,
        Status::Pending => false,
        status @ (Status::None | Status::Rejected | Status::Withdrawn | Status::__Invalid) => {
            return Err(Error::rejected(IDatanets::WrongStatus { contribution: id, status }));
        }
    };
    if counted {
        take_out(ctx, id, &record)?;
    }
    record.status = Status::Withdrawn as u8;
    record.bond_free_at = ctx.now().saturating_add(Parameter::UnbondingSeconds.get(ctx.state)?);
    CONTRIBUTIONS.put(ctx.state, &id, &record)?;
    let (datanet, free_at) = (record.datanet, record.bond_free_at);
    ctx.emit(IDatanets::Withdrawn { datanet, contribution: id, bondFreeAt: free_at })
}

/// Takes an accepted contribution out of what the next version freezes.
fn take_out(ctx: &mut Context, id: B256, record: &ContributionRecord) -> Result<()> {
    let mut datanet = load(ctx.state, record.datanet)?;
    let short = || Error::Inconsistent("a Datanet counts less than one contribution has");
    datanet.items = datanet.items.checked_sub(record.count).ok_or_else(short)?;
    datanet.size = datanet.size.checked_sub(record.size).ok_or_else(short)?;
    DATANETS.put(ctx.state, &record.datanet, &datanet)?;
    let key = (record.datanet, record.licence);
    let uses = LICENCE_USES.get(ctx.state, &key)?.checked_sub(U256::from(1)).ok_or_else(short)?;
    LICENCE_USES.set(ctx.state, &key, uses)?;
    WITHDRAWN_LISTS.push(ctx.state, &record.datanet, id)?;
    WITHDRAWN_RANGES.append(ctx.state, &record.datanet, contribution_leaf(id, record.root, record.count))?;
    Ok(())
}

pub(super) fn release_bond(ctx: &mut Context, call: IDatanets::releaseBondCall) -> Result<()> {
    let IDatanets::releaseBondCall { contribution: id } = call;
    let mut record = load_contribution(ctx.state, id)?;
    require_status(id, &record, Status::Withdrawn)?;
    let time = ctx.now();
    let free = time >= record.bond_free_at && record.bond > Amount::ZERO;
    ensure(free, || {
        Error::rejected(IDatanets::BondLocked { contribution: id, freeAt: record.bond_free_at, time })
    })?;
    let bond = std::mem::replace(&mut record.bond, Amount::ZERO);
    CONTRIBUTIONS.put(ctx.state, &id, &record)?;
    ctx.pay(record.owner, bond)?;
    ctx.emit(IDatanets::BondReleased { contribution: id, owner: record.owner, amount: bond.to_word() })
}
