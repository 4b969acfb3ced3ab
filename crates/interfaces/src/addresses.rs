//! Where each module stands, and the escrow of an operator and model.

use alloy_primitives::{Address, B256, address, keccak256};

/// OPEN: native coin and ERC-20.
pub const TOKEN: Address = address!("4f50454e00000000000000000000000000000001");
/// Datanets and contributions.
pub const DATANETS: Address = address!("4f50454e00000000000000000000000000000002");
/// Models, training descriptors and checkpoints.
pub const MODELS: Address = address!("4f50454e00000000000000000000000000000003");
/// Operators, their stakes and offers.
pub const OPERATORS: Address = address!("4f50454e00000000000000000000000000000004");
/// Settlement batches and claims.
pub const SETTLEMENT: Address = address!("4f50454e00000000000000000000000000000005");
/// Treasury and parameters.
pub const TREASURY: Address = address!("4f50454e00000000000000000000000000000006");
/// x402 `batch-settlement` channels.
pub const CHANNELS: Address = address!("4020074e9dF2ce1deE5A9C1b5c3f541D02a10003");
/// x402 deposit collector for ERC-3009.
pub const DEPOSIT_COLLECTOR: Address = address!("4020806089470a89826cB9fB1f4059150b550004");
/// Multicall3, as deployed on other chains.
pub const MULTICALL3: Address = address!("cA11bde05977b3631167028862bE2a173976CA11");

/// Every module, for `eth_getCode` and dispatch.
pub const ALL: [Address; 9] =
    [TOKEN, DATANETS, MODELS, OPERATORS, SETTLEMENT, TREASURY, CHANNELS, DEPOSIT_COLLECTOR, MULTICALL3];

/// The account that receives every payment for `model` served by `operator` (RULEBOOK R1). It is the tail of a
/// hash, so nobody holds its key; only settlement spends it.
pub fn escrow(operator: Address, model: B256) -> Address {
    const PREFIX: &[u8] = b"openledger escrow v1";
    let mut preimage = [0u8; PREFIX.len() + 20 + 32];
    preimage[..PREFIX.len()].copy_from_slice(PREFIX);
    preimage[PREFIX.len()..PREFIX.len() + 20].copy_from_slice(operator.as_slice());
    preimage[PREFIX.len() + 20..].copy_from_slice(model.as_slice());
    Address::from_slice(&keccak256(preimage)[12..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_escrow() {
        let escrow = escrow(address!("f39Fd6e51aad88F6F4ce6aB8827279cffFb92266"), B256::repeat_byte(7));
        assert_eq!(escrow, address!("0x65b37f9b137b39ffac50f7be15e2210035e0de95"));
    }

    #[test]
    fn no_two_modules_share_an_address() {
        let mut all = ALL.to_vec();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), ALL.len());
    }
}
