//! Revert data in words: the module's custom error with its arguments.

use alloy_sol_types::SolInterface;
use interfaces::{
    channels::IChannels, datanets::IDatanets, errors::ILedger, models::IModels, operators::IOperators,
    settlement::ISettlement, token::IToken, treasury::ITreasury,
};

/// The custom error that the bytes are, as `Name { argument: value }`, or `None` when no module has it.
pub fn describe(data: &[u8]) -> Option<String> {
    fn try_one<E: SolInterface + std::fmt::Debug>(data: &[u8]) -> Option<String> {
        E::abi_decode(data).ok().map(|error| inner(&format!("{error:?}")))
    }
    try_one::<ILedger::ILedgerErrors>(data)
        .or_else(|| try_one::<IToken::ITokenErrors>(data))
        .or_else(|| try_one::<IDatanets::IDatanetsErrors>(data))
        .or_else(|| try_one::<IModels::IModelsErrors>(data))
        .or_else(|| try_one::<IOperators::IOperatorsErrors>(data))
        .or_else(|| try_one::<ISettlement::ISettlementErrors>(data))
        .or_else(|| try_one::<ITreasury::ITreasuryErrors>(data))
        .or_else(|| try_one::<IChannels::IChannelsErrors>(data))
}

/// `Name(Name { .. })` as `Name { .. }`.
fn inner(debug: &str) -> String {
    debug.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')')).unwrap_or(debug).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::{Address, U256};
    use alloy_sol_types::SolError;

    #[test]
    fn a_custom_error_is_shown_by_name() {
        let error = IToken::ERC20InsufficientBalance {
            sender: Address::ZERO,
            balance: U256::from(1),
            needed: U256::from(2),
        };
        let shown = describe(&error.abi_encode()).expect("known");
        assert!(shown.starts_with("ERC20InsufficientBalance { sender"), "{shown}");
        assert_eq!(describe(&[1, 2, 3]), None);
    }
}
