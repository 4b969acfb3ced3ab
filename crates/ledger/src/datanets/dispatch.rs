//! Calls of the Datanets' module to their handlers.

use super::{contribution, creation, curation, duplicates, versions, views};
use crate::{
    context::{Context, decode},
    error::Result,
    tables::{CONTRIBUTION_LISTS, DATANET_LIST, WITHDRAWN_LISTS},
};
use alloy_primitives::Bytes;
use alloy_sol_types::SolCall;
use interfaces::datanets::{IDatanets, IDatanets::IDatanetsCalls as Calls};

pub(crate) fn dispatch(ctx: &mut Context, data: &[u8]) -> Result<Bytes> {
    let call = decode::<Calls>(data)?;
    if !matches!(call, Calls::commit(_) | Calls::reveal(_)) {
        ctx.not_payable()?;
    }
    let output = match call {
        Calls::create(c) => IDatanets::createCall::abi_encode_returns(&creation::create(ctx, c)?),
        Calls::setCurator(c) => creation::set_curator(ctx, c).map(|()| Vec::new())?,
        Calls::commit(c) => IDatanets::commitCall::abi_encode_returns(&contribution::commit(ctx, c)?),
        Calls::reveal(c) => contribution::reveal(ctx, c).map(|()| Vec::new())?,
        Calls::expire(c) => contribution::expire(ctx, c).map(|()| Vec::new())?,
        Calls::accept(c) => curation::accept(ctx, c).map(|()| Vec::new())?,
        Calls::reject(c) => curation::reject(ctx, c).map(|()| Vec::new())?,
        Calls::withdraw(c) => contribution::withdraw(ctx, c).map(|()| Vec::new())?,
        Calls::releaseBond(c) => contribution::release_bond(ctx, c).map(|()| Vec::new())?,
        Calls::reportDuplicate(c) => duplicates::report(ctx, c).map(|()| Vec::new())?,
        Calls::freeze(c) => IDatanets::freezeCall::abi_encode_returns(&versions::freeze(ctx, c)?),
        Calls::datanet(c) => IDatanets::datanetCall::abi_encode_returns(&views::datanet(ctx, c.datanet)?),
        Calls::isCurator(c) => {
            let stands = curation::is_curator(ctx, c.datanet, c.account)?;
            IDatanets::isCuratorCall::abi_encode_returns(&stands)
        }
        Calls::commitment(c) => IDatanets::commitmentCall::abi_encode_returns(&views::commitment(ctx, c)?),
        Calls::contribution(c) => {
            let contribution = views::contribution(ctx, c.contribution)?;
            IDatanets::contributionCall::abi_encode_returns(&contribution)
        }
        Calls::contributionAt(c) => {
            let id = CONTRIBUTION_LISTS.get(ctx.state, &c.datanet, c.index)?.unwrap_or_default();
            IDatanets::contributionAtCall::abi_encode_returns(&id)
        }
        Calls::withdrawnAt(c) => {
            let id = WITHDRAWN_LISTS.get(ctx.state, &c.datanet, c.index)?.unwrap_or_default();
            IDatanets::withdrawnAtCall::abi_encode_returns(&id)
        }
        Calls::version(c) => IDatanets::versionCall::abi_encode_returns(&views::version(ctx, c)?),
        Calls::duplicateOf(c) => {
            IDatanets::duplicateOfCall::abi_encode_returns(&views::duplicate_of(ctx, c)?)
        }
        Calls::count(_) => IDatanets::countCall::abi_encode_returns(&DATANET_LIST.len(ctx.state, &())?),
        Calls::datanetAt(c) => {
            let id = DATANET_LIST.get(ctx.state, &(), c.index)?.unwrap_or_default();
            IDatanets::datanetAtCall::abi_encode_returns(&id)
        }
    };
    Ok(output.into())
}
