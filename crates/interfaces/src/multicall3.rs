//! Multicall3, as wallets, viem and x402 facilitators call it: several calls in one `eth_call` or transaction.

use alloy_sol_types::sol;

sol! {
    /// Multicall3 (`tryAggregate` is what x402 facilitators call, `aggregate3` what viem calls).
    #[derive(Debug, PartialEq, Eq)]
    #[sol(abi)]
    interface IMulticall3 {
        struct Call { address target; bytes callData; }
        struct Call3 { address target; bool allowFailure; bytes callData; }
        struct Outcome { bool success; bytes returnData; }

        /// The call at this index failed and was not allowed to; `reason` is its revert data.
        error CallFailed(uint256 index, bytes reason);
        /// More calls than one batch may carry.
        error BatchTooLarge(uint256 given, uint256 allowed);

        function aggregate(Call[] calldata calls) external payable returns (uint256 blockNumber, bytes[] memory returnData);
        function tryAggregate(bool requireSuccess, Call[] calldata calls) external payable returns (Outcome[] memory returnData);
        function aggregate3(Call3[] calldata calls) external payable returns (Outcome[] memory returnData);
        function getBlockNumber() external view returns (uint256 blockNumber);
        function getCurrentBlockTimestamp() external view returns (uint256 timestamp);
        function getChainId() external view returns (uint256 chainid);
        function getEthBalance(address addr) external view returns (uint256 balance);
    }
}
