//! Frozen versions.

use super::state::{VersionRecord, load};
use crate::{
    context::Context,
    error::{Error, Result, ensure},
    storage::State,
    tables::{ACCEPTED_RANGES, DATANET_LICENCES, DATANETS, LICENCE_USES, VERSIONS, WITHDRAWN_RANGES},
};
use alloy_primitives::{B256, keccak256};
use interfaces::datanets::{IDatanets, IDatanets::Policy};

/// The leaf of a contribution in a mountain range:
/// `keccak256("openledger contribution leaf v1" ‖ contribution ‖ root ‖ count)`, the count in eight bytes, big-endian.
pub fn contribution_leaf(contribution: B256, root: B256, count: u64) -> B256 {
    let parts = [
        b"openledger contribution leaf v1".as_slice(),
        contribution.as_slice(),
        root.as_slice(),
        &count.to_be_bytes(),
    ];
    keccak256(parts.concat())
}

/// The root of a version: `keccak256("openledger datanet version v1" ‖ datanet ‖ accepted ‖ withdrawn)` of the ranges' roots,
/// which bind their counts.
pub fn version_root(datanet: B256, accepted: B256, withdrawn: B256) -> B256 {
    let parts = [
        b"openledger datanet version v1".as_slice(),
        datanet.as_slice(),
        accepted.as_slice(),
        withdrawn.as_slice(),
    ];
    keccak256(parts.concat())
}

pub(super) fn freeze(ctx: &mut Context, call: IDatanets::freezeCall) -> Result<u32> {
    let IDatanets::freezeCall { datanet } = call;
    let mut record = load(ctx.state, datanet)?;
    let accepted = ACCEPTED_RANGES.get(ctx.state, &datanet)?;
    let withdrawn = WITHDRAWN_RANGES.get(ctx.state, &datanet)?;
    let last = VERSIONS.get(ctx.state, &(datanet, record.versions))?;
    let before = last.map_or((0, 0), |last| (last.accepted_count, last.withdrawn_count));
    let counts = (accepted.count(), withdrawn.count());
    ensure(counts != before, || Error::rejected(IDatanets::NothingToFreeze { datanet }))?;
    let version = record.versions.checked_add(1).ok_or_else(Error::overflow)?;
    let frozen = VersionRecord {
        accepted: accepted.root(),
        accepted_count: counts.0,
        withdrawn: withdrawn.root(),
        withdrawn_count: counts.1,
        items: record.items,
        size: record.size,
        frozen_at: ctx.now(),
        licences: licences_in_use(ctx.state, datanet, record.licences)?,
    };
    VERSIONS.put(ctx.state, &(datanet, version), &frozen)?;
    record.versions = version;
    let (items, size) = (record.items, record.size);
    DATANETS.put(ctx.state, &datanet, &record)?;
    ctx.emit(IDatanets::VersionFrozen {
        datanet,
        version,
        root: version_root(datanet, frozen.accepted, frozen.withdrawn),
        contributions: counts.0 - counts.1,
        items,
        size,
    })?;
    Ok(version)
}

fn licences_in_use(state: &mut State, datanet: B256, licences: u8) -> Result<u32> {
    let mut bits = 0;
    for number in 0..licences {
        if !LICENCE_USES.get(state, &(datanet, number))?.is_zero() {
            bits |= 1 << number;
        }
    }
    Ok(bits)
}

/// What a training descriptor is checked against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrainingFacts {
    /// The licences that the version's contributions carry.
    pub licences: Vec<String>,
    /// Items in the version.
    pub items: u64,
    /// Whether a curator looked at them.
    pub reviewed: bool,
}

/// The facts of a version; `None` when there is no such version.
pub fn training_facts(state: &mut State, datanet: B256, version: u32) -> Result<Option<TrainingFacts>> {
    let Some(frozen) = VERSIONS.get(state, &(datanet, version))? else { return Ok(None) };
    let Some(record) = DATANETS.get(state, &datanet)? else { return Ok(None) };
    let mut licences = Vec::new();
    for number in (0..record.licences).filter(|number| frozen.licences >> number & 1 == 1) {
        licences.push(DATANET_LICENCES.get(state, &(datanet, number))?.unwrap_or_default());
    }
    let reviewed = record.policy() == Policy::Curated;
    Ok(Some(TrainingFacts { licences, items: frozen.items, reviewed }))
}
