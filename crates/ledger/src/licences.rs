//! Licence checks as refusals that name what is forbidden; the table is [`primitives::licence`]'s.

use crate::error::{Error, Result, ensure};
use alloy_primitives::B256;
use interfaces::{datanets::IDatanets, models::IModels};
use primitives::licence;

/// Refuses a model offered for `uses` under `target` that would take in what stands under `licence`. `source` is the Datanet, or
/// zero for a base model.
pub fn require(source: B256, licence: &str, uses: u32, target: &str) -> Result<()> {
    licence::check(licence, uses, target).map_err(|forbidden| {
        Error::rejected(IModels::LicenceForbids {
            datanet: source,
            licence: licence.into(),
            r#use: forbidden.what.name().into(),
            reason: forbidden.reason.into(),
        })
    })
}

/// Refuses an owner who declares uses that the licence does not grant.
pub fn require_granted(licence: &str, uses: u32) -> Result<()> {
    let granted = licence::granted(licence);
    ensure(uses & !granted == 0, || {
        Error::rejected(IDatanets::UseNotGranted { licence: licence.into(), uses, granted })
    })
}
