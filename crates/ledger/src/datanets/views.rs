//! What can be asked about Datanets.

use super::{
    state::{self, CommitRecord, ContributionRecord, DatanetRecord, ShareRecord, VersionRecord},
    versions::version_root,
};
use crate::{
    context::Context,
    error::{Error, Result},
    tables::{
        ACCEPTED_RANGES, COMMITS, DATANET_LICENCES, DATANET_NAMES, DATANET_SHARES, DUPLICATES, VERSIONS,
        WITHDRAWN_RANGES,
    },
};
use alloy_primitives::B256;
use interfaces::datanets::IDatanets;

/// Copies of copies that [`duplicate_of`] follows before it stops.
const MAX_DUPLICATE_CHAIN: usize = 32;

pub(super) fn datanet(ctx: &mut Context, id: B256) -> Result<IDatanets::Datanet> {
    let record = state::load(ctx.state, id)?;
    let policy = record.policy();
    let DatanetRecord {
        creator,
        policy: _,
        licences,
        shares,
        created_at,
        bond_per_byte,
        metadata,
        contributions,
        items,
        size,
        versions,
    } = record;
    let mut licence_texts = Vec::new();
    for number in 0..licences {
        licence_texts.push(DATANET_LICENCES.get(ctx.state, &(id, number))?.unwrap_or_default());
    }
    let mut share_list = Vec::new();
    for number in 0..shares {
        if let Some(ShareRecord { account, bps }) = DATANET_SHARES.get(ctx.state, &(id, number))? {
            share_list.push(IDatanets::Share { account, bps });
        }
    }
    Ok(IDatanets::Datanet {
        creator,
        policy,
        createdAt: created_at,
        bondPerByte: bond_per_byte.to_word(),
        metadata,
        contributions,
        accepted: ACCEPTED_RANGES.get(ctx.state, &id)?.count(),
        withdrawn: WITHDRAWN_RANGES.get(ctx.state, &id)?.count(),
        items,
        size,
        versions,
        name: DATANET_NAMES.get(ctx.state, &id)?.unwrap_or_default(),
        licences: licence_texts,
        shares: share_list,
    })
}

/// The commitment that waits; all zero when none does.
pub(super) fn commitment(
    ctx: &mut Context,
    call: IDatanets::commitmentCall,
) -> Result<IDatanets::Commitment> {
    let IDatanets::commitmentCall { owner, commitment } = call;
    let record = COMMITS.get(ctx.state, &(owner, commitment))?;
    let record = record.ok_or_else(|| Error::rejected(IDatanets::UnknownCommitment { owner, commitment }))?;
    let CommitRecord { datanet, sequence, height, time, bond } = record;
    Ok(IDatanets::Commitment { datanet, sequence, height, time, bond: bond.to_word() })
}

pub(super) fn contribution(ctx: &mut Context, id: B256) -> Result<IDatanets::Contribution> {
    let record = state::load_contribution(ctx.state, id)?;
    let status = record.status();
    let ContributionRecord {
        datanet,
        owner,
        status: _,
        licence,
        sequence,
        commit_height,
        commit_time,
        root,
        count,
        size,
        uses,
        signatures,
        bond,
        duplicates,
        bond_free_at,
    } = record;
    Ok(IDatanets::Contribution {
        datanet,
        owner,
        status,
        sequence,
        commitHeight: commit_height,
        commitTime: commit_time,
        root,
        count,
        size,
        uses,
        signatures,
        bond: bond.to_word(),
        duplicates,
        bondFreeAt: bond_free_at,
        licence: DATANET_LICENCES.get(ctx.state, &(datanet, licence))?.unwrap_or_default(),
    })
}

pub(super) fn version(ctx: &mut Context, call: IDatanets::versionCall) -> Result<IDatanets::Version> {
    let IDatanets::versionCall { datanet, number } = call;
    let record = VERSIONS.get(ctx.state, &(datanet, number))?;
    let record =
        record.ok_or_else(|| Error::rejected(IDatanets::UnknownVersion { datanet, version: number }))?;
    let VersionRecord {
        accepted,
        accepted_count,
        withdrawn,
        withdrawn_count,
        items,
        size,
        frozen_at,
        licences,
    } = record;
    Ok(IDatanets::Version {
        root: version_root(datanet, accepted, withdrawn),
        accepted,
        acceptedCount: accepted_count,
        withdrawn,
        withdrawnCount: withdrawn_count,
        items,
        size,
        frozenAt: frozen_at,
        licences,
    })
}

/// The first of the cluster that an item is a copy in, following copies of copies.
pub(super) fn duplicate_of(
    ctx: &mut Context,
    call: IDatanets::duplicateOfCall,
) -> Result<IDatanets::duplicateOfReturn> {
    let IDatanets::duplicateOfCall { contribution, index } = call;
    let mut found = IDatanets::duplicateOfReturn { original: B256::ZERO, originalIndex: 0 };
    let mut at = (contribution, index);
    for _ in 0..MAX_DUPLICATE_CHAIN {
        let Some(next) = DUPLICATES.get(ctx.state, &at)? else { break };
        at = (next.contribution, next.index);
        found = IDatanets::duplicateOfReturn { original: at.0, originalIndex: at.1 };
    }
    Ok(found)
}
