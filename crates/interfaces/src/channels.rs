//! x402 `batch-settlement` channels and their ERC-3009 deposit collector, at the addresses the scheme fixes.
//!
//! Calls, events and parameterless errors are those of the scheme's contract as the npm packages at 2.27.0 call
//! and sign them, so selectors and topics agree with other chains. What this ledger adds (escrow receivers, one
//! token, limits) has errors of its own, with arguments. `docs/X402.md` tells the protocol.

use alloy_primitives::{Address, B256};
use alloy_sol_types::{Eip712Domain, SolStruct, sol};

sol! {
    /// What a channel is: fixed at the first deposit, hashed into the channel's id.
    #[derive(Debug, PartialEq, Eq)]
    struct ChannelConfig {
        address payer;
        address payerAuthorizer;
        address receiver;
        address receiverAuthorizer;
        address token;
        uint40 withdrawDelay;
        bytes32 salt;
    }

    /// Unidirectional payment channels (x402 `batch-settlement` for EVM).
    #[derive(Debug, PartialEq, Eq)]
    #[sol(abi)]
    interface IChannels {
        /// A channel and the ceiling its payer signed.
        struct ClaimVoucher {
            ChannelConfig channel;
            uint128 maxClaimableAmount;
        }

        /// A signed voucher and the cumulative amount the receiver side takes under it.
        struct VoucherClaim {
            ClaimVoucher voucher;
            bytes signature;
            uint128 totalClaimed;
        }

        event ChannelCreated(bytes32 indexed channelId, ChannelConfig config);
        event ChannelClosed(bytes32 indexed channelId, ChannelConfig config);
        event Deposited(bytes32 indexed channelId, address indexed sender, uint128 amount, uint128 newBalance);
        event Claimed(bytes32 indexed channelId, address indexed sender, uint128 claimAmount, uint128 newTotalClaimed);
        event Settled(address indexed receiver, address indexed token, address indexed sender, uint128 amount);
        event Refunded(bytes32 indexed channelId, address indexed sender, uint128 amount);
        event WithdrawInitiated(bytes32 indexed channelId, uint128 amount, uint40 finalizeAfter);
        event WithdrawFinalized(bytes32 indexed channelId, address indexed sender, uint128 amount);
        /// An escrow can receive from now on.
        event EscrowRegistered(address indexed escrow, address indexed operator, bytes32 indexed model);

        /// A party of the channel is the zero address, or the caller is not its payer side.
        error InvalidChannel();
        error ZeroDeposit();
        error DepositOverflow();
        /// The signature is malformed, has a high s, or is another account's.
        error InvalidSignature();
        /// A row of the batch has another `receiverAuthorizer` than the first.
        error NotReceiverAuthorizer();
        error NotAuthorizedToClaim();
        error NotAuthorizedToRefund();
        /// `totalClaimed` is above the ceiling that the payer signed.
        error ClaimExceedsCeiling();
        /// `totalClaimed` is above what the channel holds.
        error ClaimExceedsBalance();
        error WithdrawalAlreadyPending();
        error WithdrawalNotPending();
        error NotAuthorizedToFinalizeWithdraw();
        error WithdrawDelayNotElapsed();
        error NothingToWithdraw();
        error WithdrawAmountExceedsAvailable();
        error WithdrawDelayOutOfRange();
        error EmptyBatch();
        error DepositCollectionFailed();
        /// The collector is not the ERC-3009 deposit collector, the only one here.
        error InvalidCollector();
        error InvalidRefundNonce();
        error ZeroRefund();

        /// `receiver` is no registered escrow: take `payTo` from the operator's 402, or register it first.
        error ReceiverIsNotEscrow(address receiver);
        /// The operator of the escrow `receiver` is not `receiverAuthorizer`.
        error AuthorizerIsNotOperator(address receiverAuthorizer, address operator);
        /// Channels hold OPEN only.
        error UnsupportedToken(address token);
        /// More rows or calls than one transaction may carry.
        error BatchTooLarge(uint256 given, uint256 allowed);

        function deposit(ChannelConfig calldata config, uint128 amount, address collector, bytes calldata collectorData) external;
        function claim(VoucherClaim[] calldata voucherClaims) external;
        function claimWithSignature(VoucherClaim[] calldata voucherClaims, bytes calldata authorizerSignature) external;
        function settle(address receiver, address token) external;
        function initiateWithdraw(ChannelConfig calldata config, uint128 amount) external;
        function finalizeWithdraw(ChannelConfig calldata config) external;
        function refund(ChannelConfig calldata config, uint128 amount) external;
        function refundWithSignature(ChannelConfig calldata config, uint128 amount, uint256 nonce, bytes calldata receiverAuthorizerSignature) external;
        /// Several of the calls above, all or none.
        function multicall(bytes[] calldata data) external returns (bytes[] memory results);

        function getChannelId(ChannelConfig calldata config) external view returns (bytes32);
        function getVoucherDigest(bytes32 channelId, uint128 maxClaimableAmount) external view returns (bytes32);
        function getRefundDigest(bytes32 channelId, uint256 nonce, uint128 amount) external view returns (bytes32);
        function getClaimBatchDigest(VoucherClaim[] calldata voucherClaims) external view returns (bytes32);
        function channels(bytes32 channelId) external view returns (uint128 balance, uint128 totalClaimed);
        function pendingWithdrawals(bytes32 channelId) external view returns (uint128 amount, uint40 initiatedAt);
        function receivers(address receiver, address token) external view returns (uint128 totalClaimed, uint128 totalSettled);
        function refundNonce(bytes32 channelId) external view returns (uint256);
        function eip712Domain() external view returns (bytes1 fields, string memory name, string memory version, uint256 chainId, address verifyingContract, bytes32 salt, uint256[] memory extensions);
        function MIN_WITHDRAW_DELAY() external view returns (uint40);
        function MAX_WITHDRAW_DELAY() external view returns (uint40);
        function CHANNEL_CONFIG_TYPEHASH() external view returns (bytes32);
        function VOUCHER_TYPEHASH() external view returns (bytes32);
        function REFUND_TYPEHASH() external view returns (bytes32);
        function CLAIM_ENTRY_TYPEHASH() external view returns (bytes32);
        function CLAIM_BATCH_TYPEHASH() external view returns (bytes32);

        /// Makes the escrow of `operator` and `model` known, so that channels can name it as receiver. Anyone
        /// may: the address is a hash of both. Doing it again changes nothing.
        function registerEscrow(address operator, bytes32 model) external returns (address escrow);
        /// Whose escrow an address is; zeros when it is none.
        function escrowOf(address escrow) external view returns (address operator, bytes32 model);
    }

    /// The collector that pulls a deposit by ERC-3009 `receiveWithAuthorization`.
    #[derive(Debug, PartialEq, Eq)]
    #[sol(abi)]
    interface IDepositCollector {
        /// Only the channels module may collect.
        error OnlyX402BatchSettlement();

        function collect(address payer, address token, uint256 amount, bytes32 channelId, bytes calldata collectorData) external;
        function x402BatchSettlement() external view returns (address);
    }

    /// `collectorData` of the ERC-3009 collector.
    #[derive(Debug, PartialEq, Eq)]
    struct CollectorData {
        uint256 validAfter;
        uint256 validBefore;
        uint256 salt;
        bytes signature;
    }
}

/// EIP-712 types that payers and authorizers sign under the channels' `domain`.
pub mod signed {
    use alloy_sol_types::sol;

    sol! {
        /// The payer's side: "up to this much in all".
        #[derive(Debug, PartialEq, Eq)]
        struct Voucher { bytes32 channelId; uint128 maxClaimableAmount; }
        /// The receiver authorizer returns unclaimed money.
        #[derive(Debug, PartialEq, Eq)]
        struct Refund { bytes32 channelId; uint256 nonce; uint128 amount; }
        /// One row of a claim batch.
        #[derive(Debug, PartialEq, Eq)]
        struct ClaimEntry { bytes32 channelId; uint128 maxClaimableAmount; uint128 totalClaimed; }
        /// The receiver authorizer takes what vouchers allow.
        #[derive(Debug, PartialEq, Eq)]
        struct ClaimBatch { ClaimEntry[] claims; }
    }
}

/// EIP-712 domain name of the channels.
pub const DOMAIN_NAME: &str = "x402 Batch Settlement";
/// EIP-712 domain version of the channels.
pub const DOMAIN_VERSION: &str = "1";
/// Shortest `withdrawDelay` of the scheme, in seconds; a development network may allow shorter ones.
pub const MIN_WITHDRAW_DELAY_SECONDS: u64 = 900;
/// Longest `withdrawDelay` of the scheme, in seconds.
pub const MAX_WITHDRAW_DELAY_SECONDS: u64 = 2_592_000;
/// `withdrawDelay` that operators should ask for, in seconds (RULEBOOK R13).
pub const DEFAULT_WITHDRAW_DELAY_SECONDS: u64 = 86_400;

/// The domain under which channel ids, vouchers, refunds and claim batches are hashed.
pub fn domain(chain_id: u64) -> Eip712Domain {
    Eip712Domain::new(
        Some(DOMAIN_NAME.into()),
        Some(DOMAIN_VERSION.into()),
        Some(alloy_primitives::U256::from(chain_id)),
        Some(crate::addresses::CHANNELS),
        None,
    )
}

/// The id of a channel: the EIP-712 hash of its configuration.
pub fn channel_id(config: &ChannelConfig, chain_id: u64) -> B256 {
    config.eip712_signing_hash(&domain(chain_id))
}

/// The ERC-3009 nonce of a deposit: `keccak256(abi.encode(channelId, salt))`, so that an authorization pays into
/// one channel only.
pub fn deposit_nonce(channel_id: B256, salt: alloy_primitives::U256) -> B256 {
    let mut preimage = [0u8; 64];
    preimage[..32].copy_from_slice(channel_id.as_slice());
    preimage[32..].copy_from_slice(&salt.to_be_bytes::<32>());
    alloy_primitives::keccak256(preimage)
}

impl ChannelConfig {
    /// Whether `account` may act for the payer: the payer or the signer of its vouchers.
    pub fn is_payer_side(&self, account: Address) -> bool {
        account == self.payer || account == self.payerAuthorizer
    }

    /// Whether `account` may act for the receiver.
    pub fn is_receiver_side(&self, account: Address) -> bool {
        account == self.receiver || account == self.receiverAuthorizer
    }

    /// Who signs vouchers: the authorizer, or the payer where none is named.
    pub fn voucher_signer(&self) -> Address {
        if self.payerAuthorizer.is_zero() { self.payer } else { self.payerAuthorizer }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::{U256, address, b256, hex};
    use alloy_sol_types::SolCall;

    fn config() -> ChannelConfig {
        ChannelConfig {
            payer: address!("f39Fd6e51aad88F6F4ce6aB8827279cffFb92266"),
            payerAuthorizer: address!("f39Fd6e51aad88F6F4ce6aB8827279cffFb92266"),
            receiver: Address::repeat_byte(0x11),
            receiverAuthorizer: Address::repeat_byte(0x22),
            token: crate::addresses::TOKEN,
            withdrawDelay: alloy_primitives::Uint::from(86_400u64),
            salt: B256::repeat_byte(7),
        }
    }

    /// Vectors computed with @x402/evm 2.27.0 (`computeChannelId`) and viem 2.48.11 (`hashTypedData`).
    #[test]
    fn ids_and_digests_are_those_of_the_stock_client() {
        let id = channel_id(&config(), 31337);
        assert_eq!(id, b256!("557f2256689ae04a19a3807b22b3e1bfca21ad6db42f4972f8d8f0b588b52680"));
        let domain = domain(31337);
        assert_eq!(
            signed::Voucher { channelId: id, maxClaimableAmount: 5000 }.eip712_signing_hash(&domain),
            b256!("2ce0b5c2ce03d48c26e2772a8eb608e6fd4a246ff97be82d031062f0e0409eb3")
        );
        assert_eq!(
            signed::Refund { channelId: id, nonce: U256::from(3), amount: 1500 }.eip712_signing_hash(&domain),
            b256!("894d583f4d0a64098dd363dea3451e425aed903193dd1b7457fc1424378c520f")
        );
        let claims = vec![signed::ClaimEntry { channelId: id, maxClaimableAmount: 5000, totalClaimed: 4000 }];
        assert_eq!(
            signed::ClaimBatch { claims }.eip712_signing_hash(&domain),
            b256!("225115b897a40708c5fa5a3f2f2dcf0618f62d3c906753512974f3aa5ca7b226")
        );
        assert_eq!(
            deposit_nonce(id, U256::from(42)),
            b256!("4c5c5918cafc2e864a59608b23af941c4328e728985ab76bc045a785e0e90ef0")
        );
    }

    /// Selectors computed by viem from the ABI that @x402/evm 2.27.0 carries.
    #[test]
    fn selectors_are_those_of_the_stock_abi() {
        use IChannels::*;
        let selectors: [([u8; 4], [u8; 4]); 19] = [
            (multicallCall::SELECTOR, hex!("ac9650d8")),
            (depositCall::SELECTOR, hex!("140f1e75")),
            (claimCall::SELECTOR, hex!("29237b0c")),
            (claimWithSignatureCall::SELECTOR, hex!("e43ce1f2")),
            (settleCall::SELECTOR, hex!("9db32a8f")),
            (initiateWithdrawCall::SELECTOR, hex!("cf5cf3dc")),
            (finalizeWithdrawCall::SELECTOR, hex!("e88377b1")),
            (refundCall::SELECTOR, hex!("dce4bfae")),
            (refundWithSignatureCall::SELECTOR, hex!("b77433e9")),
            (getChannelIdCall::SELECTOR, hex!("5e5e0b87")),
            (CHANNEL_CONFIG_TYPEHASHCall::SELECTOR, hex!("8e4a68ac")),
            (channelsCall::SELECTOR, hex!("7a7ebd7b")),
            (pendingWithdrawalsCall::SELECTOR, hex!("b7f06ebe")),
            (receiversCall::SELECTOR, hex!("21ff6389")),
            (getVoucherDigestCall::SELECTOR, hex!("862bb199")),
            (getRefundDigestCall::SELECTOR, hex!("e25cf189")),
            (refundNonceCall::SELECTOR, hex!("f0dc792e")),
            (getClaimBatchDigestCall::SELECTOR, hex!("488ccc3b")),
            // Multicall3's, from its published ABI.
            (crate::multicall3::IMulticall3::tryAggregateCall::SELECTOR, hex!("bce38bd7")),
        ];
        for (ours, theirs) in selectors {
            assert_eq!(ours, theirs);
        }
    }

    #[test]
    fn bytes_after_the_arguments_are_allowed() {
        // Facilitators append an attribution suffix to the call data.
        let call =
            IChannels::settleCall { receiver: Address::repeat_byte(1), token: Address::repeat_byte(2) };
        let mut data = call.abi_encode();
        data.extend_from_slice(b"suffix");
        assert_eq!(IChannels::settleCall::abi_decode_validate(&data), Ok(call));
    }
}
