//! Which functions stand at which address.

use crate::{
    addresses,
    channels::{IChannels::IChannelsCalls, IDepositCollector::IDepositCollectorCalls},
    datanets::IDatanets::IDatanetsCalls,
    models::IModels::IModelsCalls,
    multicall3::IMulticall3::IMulticall3Calls,
    operators::IOperators::IOperatorsCalls,
    settlement::ISettlement::ISettlementCalls,
    token::IToken::ITokenCalls,
    treasury::ITreasury::ITreasuryCalls,
};
use alloy_primitives::Address;
use alloy_sol_types::SolInterface;

/// Every module with the selectors of its functions, in the order of [`addresses::ALL`].
pub fn by_module() -> [(Address, Vec<[u8; 4]>); 9] {
    [
        (addresses::TOKEN, ITokenCalls::selectors().collect()),
        (addresses::DATANETS, IDatanetsCalls::selectors().collect()),
        (addresses::MODELS, IModelsCalls::selectors().collect()),
        (addresses::OPERATORS, IOperatorsCalls::selectors().collect()),
        (addresses::SETTLEMENT, ISettlementCalls::selectors().collect()),
        (addresses::TREASURY, ITreasuryCalls::selectors().collect()),
        (addresses::CHANNELS, IChannelsCalls::selectors().collect()),
        (addresses::DEPOSIT_COLLECTOR, IDepositCollectorCalls::selectors().collect()),
        (addresses::MULTICALL3, IMulticall3Calls::selectors().collect()),
    ]
}
