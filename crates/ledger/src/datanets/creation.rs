//! Making a Datanet and naming its curators.

use super::state::{DatanetRecord, ShareRecord, load};
use crate::{
    context::Context,
    error::{Error, Result, ensure},
    storage::MAX_TEXT_BYTES,
    tables::{CURATORS, DATANET_LICENCES, DATANET_LIST, DATANET_NAMES, DATANET_SHARES, DATANETS},
    treasury::Parameter,
};
use alloy_primitives::{B256, U256};
use interfaces::datanets::{IDatanets, datanet_id};
use primitives::Amount;

/// Longest name, in bytes.
pub const MAX_NAME_BYTES: usize = 64;
/// Most licences a Datanet allows.
pub const MAX_LICENCES: usize = 8;
/// Most shares.
pub const MAX_SHARES: usize = 8;

fn within(what: &str, value: usize, least: usize, limit: usize) -> Result<()> {
    ensure((least..=limit).contains(&value), || {
        Error::rejected(IDatanets::LimitExceeded {
            what: what.into(),
            value: U256::from(value),
            limit: U256::from(limit),
        })
    })
}

pub(super) fn create(ctx: &mut Context, call: IDatanets::createCall) -> Result<B256> {
    let IDatanets::createCall { salt, name, policy, licences, bondPerByte, metadata, shares } = call;
    let creator = ctx.caller;
    let datanet = datanet_id(creator, salt);
    let taken = DATANETS.get(ctx.state, &datanet)?.is_some();
    ensure(!taken, || Error::rejected(IDatanets::DatanetExists { datanet }))?;
    within("name bytes", name.len(), 1, MAX_NAME_BYTES)?;
    within("licences", licences.len(), 1, MAX_LICENCES)?;
    for licence in &licences {
        within("licence bytes", licence.len(), 1, MAX_TEXT_BYTES)?;
    }
    check_shares(ctx, &shares)?;
    let bond_per_byte = Amount::from_word(bondPerByte).ok_or_else(Error::overflow)?;
    let record = DatanetRecord {
        creator,
        policy: policy as u8,
        licences: licences.len() as u8,
        shares: shares.len() as u8,
        created_at: ctx.now(),
        bond_per_byte,
        metadata,
        contributions: 0,
        items: 0,
        size: 0,
        versions: 0,
    };
    DATANETS.put(ctx.state, &datanet, &record)?;
    DATANET_NAMES.set(ctx.state, &datanet, &name)?;
    for (number, licence) in licences.iter().enumerate() {
        DATANET_LICENCES.set(ctx.state, &(datanet, number as u8), licence)?;
    }
    for (number, IDatanets::Share { account, bps }) in shares.into_iter().enumerate() {
        DATANET_SHARES.put(ctx.state, &(datanet, number as u8), &ShareRecord { account, bps })?;
    }
    CURATORS.set(ctx.state, &(datanet, creator), U256::from(1))?;
    DATANET_LIST.push(ctx.state, &(), datanet)?;
    ctx.emit(IDatanets::DatanetCreated { datanet, creator, policy, bondPerByte, metadata, name })?;
    Ok(datanet)
}

fn check_shares(ctx: &mut Context, shares: &[IDatanets::Share]) -> Result<()> {
    within("shares", shares.len(), 0, MAX_SHARES)?;
    let limit = Parameter::DatanetShareBps.get(ctx.state)?;
    let bps: u64 = shares.iter().map(|share| u64::from(share.bps)).sum();
    ensure(bps <= limit, || {
        Error::rejected(IDatanets::SharesTooLarge { bps: U256::from(bps), limit: U256::from(limit) })
    })
}

pub(super) fn set_curator(ctx: &mut Context, call: IDatanets::setCuratorCall) -> Result<()> {
    let IDatanets::setCuratorCall { datanet, curator, allowed } = call;
    let record = load(ctx.state, datanet)?;
    ensure(record.creator == ctx.caller, || {
        Error::rejected(IDatanets::NotCreator { datanet, sender: ctx.caller })
    })?;
    // The creator stays a curator, so that a Datanet always has one.
    let stands = U256::from(allowed || curator == record.creator);
    CURATORS.set(ctx.state, &(datanet, curator), stands)?;
    ctx.emit(IDatanets::CuratorSet { datanet, curator, allowed: !stands.is_zero() })
}
