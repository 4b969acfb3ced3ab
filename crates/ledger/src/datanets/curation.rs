//! Admission.

use super::{
    state::{ContributionRecord, load, load_contribution, require_status},
    versions::contribution_leaf,
};
use crate::{
    context::Context,
    error::{Error, Result, ensure},
    tables::{ACCEPTED_RANGES, CONTRIBUTIONS, CURATORS, DATANETS, LICENCE_USES},
};
use alloy_primitives::{Address, B256, U256};
use interfaces::datanets::{IDatanets, IDatanets::Status};
use primitives::Amount;

/// Whether `account` may accept and reject.
pub(super) fn is_curator(ctx: &mut Context, datanet: B256, account: Address) -> Result<bool> {
    Ok(!CURATORS.get(ctx.state, &(datanet, account))?.is_zero())
}

/// The pending contribution, if the caller may decide on it.
fn load_pending(ctx: &mut Context, contribution: B256) -> Result<ContributionRecord> {
    let record = load_contribution(ctx.state, contribution)?;
    let (datanet, sender) = (record.datanet, ctx.caller);
    ensure(is_curator(ctx, datanet, sender)?, || Error::rejected(IDatanets::NotCurator { datanet, sender }))?;
    require_status(contribution, &record, Status::Pending)?;
    Ok(record)
}

pub(super) fn accept(ctx: &mut Context, call: IDatanets::acceptCall) -> Result<()> {
    let IDatanets::acceptCall { contribution } = call;
    let record = load_pending(ctx, contribution)?;
    admit(ctx, contribution, record, ctx.caller)
}

/// Makes a contribution count from the next version on.
pub(super) fn admit(
    ctx: &mut Context,
    id: B256,
    mut record: ContributionRecord,
    curator: Address,
) -> Result<()> {
    record.status = Status::Accepted as u8;
    CONTRIBUTIONS.put(ctx.state, &id, &record)?;
    let mut datanet = load(ctx.state, record.datanet)?;
    datanet.items = datanet.items.checked_add(record.count).ok_or_else(Error::overflow)?;
    datanet.size = datanet.size.checked_add(record.size).ok_or_else(Error::overflow)?;
    DATANETS.put(ctx.state, &record.datanet, &datanet)?;
    let key = (record.datanet, record.licence);
    let uses = LICENCE_USES.get(ctx.state, &key)?;
    LICENCE_USES.set(ctx.state, &key, uses + U256::from(1))?;
    ACCEPTED_RANGES.append(ctx.state, &record.datanet, contribution_leaf(id, record.root, record.count))?;
    ctx.emit(IDatanets::Accepted { datanet: record.datanet, contribution: id, curator })
}

pub(super) fn reject(ctx: &mut Context, call: IDatanets::rejectCall) -> Result<()> {
    let IDatanets::rejectCall { contribution, reason } = call;
    let mut record = load_pending(ctx, contribution)?;
    record.status = Status::Rejected as u8;
    let bond = std::mem::replace(&mut record.bond, Amount::ZERO);
    CONTRIBUTIONS.put(ctx.state, &contribution, &record)?;
    if bond > Amount::ZERO {
        ctx.pay(record.owner, bond)?;
    }
    ctx.emit(IDatanets::Rejected { datanet: record.datanet, contribution, curator: ctx.caller, reason })
}
