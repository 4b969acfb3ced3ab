//! What the ledger holds, as `compute::evidence` asks for it.

use crate::light::Snapshot;
use alloy_primitives::B256;
use compute::evidence::Anchors;
use interfaces::{
    addresses::{MODELS, SETTLEMENT, TREASURY},
    models::IModels,
    settlement::ISettlement,
    treasury::ITreasury,
};
use ledger::treasury::Parameter;

/// Proven state.
pub struct Proven<'a>(pub &'a Snapshot);

impl Anchors for Proven<'_> {
    fn batch(&self, id: B256) -> Result<Option<ISettlement::Record>, String> {
        self.0.view(SETTLEMENT, &ISettlement::batchCall { id })
    }

    fn model(&self, id: B256) -> Result<Option<IModels::Model>, String> {
        self.0.view(MODELS, &IModels::modelCall { model: id })
    }

    fn data_share_bps(&self) -> Result<u16, String> {
        let call = ITreasury::parameterCall { id: Parameter::DataBps as u16 };
        let parameter = self.0.view(TREASURY, &call)?.ok_or("the ledger has no data share")?;
        u16::try_from(parameter.value).map_err(|_| "the data share is past its bounds".into())
    }
}

/// Nothing was proven, for this reason.
pub struct Unproven(pub String);

impl Anchors for Unproven {
    fn batch(&self, _: B256) -> Result<Option<ISettlement::Record>, String> {
        Err(self.0.clone())
    }

    fn model(&self, _: B256) -> Result<Option<IModels::Model>, String> {
        Err(self.0.clone())
    }

    fn data_share_bps(&self) -> Result<u16, String> {
        Err(self.0.clone())
    }
}
