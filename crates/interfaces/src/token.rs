//! OPEN as ERC-20 with ERC-2612 permits and ERC-3009 authorizations, over the native balance.

use alloy_sol_types::sol;

sol! {
    /// OPEN (ERC-20, ERC-2612, ERC-3009, ERC-5267; errors after ERC-6093).
    #[derive(Debug, PartialEq, Eq)]
    #[sol(abi)]
    interface IToken {
        event Transfer(address indexed from, address indexed to, uint256 value);
        event Approval(address indexed owner, address indexed spender, uint256 value);
        event AuthorizationUsed(address indexed authorizer, bytes32 indexed nonce);
        event AuthorizationCanceled(address indexed authorizer, bytes32 indexed nonce);

        error ERC20InsufficientBalance(address sender, uint256 balance, uint256 needed);
        error ERC20InvalidReceiver(address receiver);
        error ERC20InvalidSpender(address spender);
        error ERC20InsufficientAllowance(address spender, uint256 allowance, uint256 needed);
        error ERC2612ExpiredSignature(uint256 deadline);
        error ERC2612InvalidSigner(address signer, address owner);
        /// The authorization's `validAfter` has not passed.
        error AuthorizationNotYetValid(uint256 validAfter, uint256 now);
        /// The authorization's `validBefore` has passed.
        error AuthorizationExpired(uint256 validBefore, uint256 now);
        /// This nonce was used or cancelled before.
        error AuthorizationUsedOrCanceled(address authorizer, bytes32 nonce);
        /// The signature is malformed, has a high s, or is another account's.
        error InvalidSignature(address expected);
        /// `receiveWithAuthorization` was not called by the payee.
        error CallerMustBePayee(address caller, address payee);

        function name() external view returns (string memory);
        function symbol() external view returns (string memory);
        function version() external view returns (string memory);
        function decimals() external view returns (uint8);
        function totalSupply() external view returns (uint256);
        function balanceOf(address account) external view returns (uint256);
        function allowance(address owner, address spender) external view returns (uint256);
        function transfer(address to, uint256 value) external returns (bool);
        function approve(address spender, uint256 value) external returns (bool);
        function transferFrom(address from, address to, uint256 value) external returns (bool);

        function nonces(address owner) external view returns (uint256);
        function DOMAIN_SEPARATOR() external view returns (bytes32);
        function eip712Domain() external view returns (bytes1 fields, string memory name, string memory version, uint256 chainId, address verifyingContract, bytes32 salt, uint256[] memory extensions);
        function permit(address owner, address spender, uint256 value, uint256 deadline, uint8 v, bytes32 r, bytes32 s) external;

        function authorizationState(address authorizer, bytes32 nonce) external view returns (bool);
        function transferWithAuthorization(address from, address to, uint256 value, uint256 validAfter, uint256 validBefore, bytes32 nonce, uint8 v, bytes32 r, bytes32 s) external;
        function transferWithAuthorization(address from, address to, uint256 value, uint256 validAfter, uint256 validBefore, bytes32 nonce, bytes memory signature) external;
        function receiveWithAuthorization(address from, address to, uint256 value, uint256 validAfter, uint256 validBefore, bytes32 nonce, uint8 v, bytes32 r, bytes32 s) external;
        function receiveWithAuthorization(address from, address to, uint256 value, uint256 validAfter, uint256 validBefore, bytes32 nonce, bytes memory signature) external;
        function cancelAuthorization(address authorizer, bytes32 nonce, uint8 v, bytes32 r, bytes32 s) external;
        function cancelAuthorization(address authorizer, bytes32 nonce, bytes memory signature) external;
    }

    /// EIP-712 types the token's holders sign.
    #[derive(Debug)]
    struct Permit { address owner; address spender; uint256 value; uint256 nonce; uint256 deadline; }
    #[derive(Debug)]
    struct TransferWithAuthorization { address from; address to; uint256 value; uint256 validAfter; uint256 validBefore; bytes32 nonce; }
    #[derive(Debug)]
    struct ReceiveWithAuthorization { address from; address to; uint256 value; uint256 validAfter; uint256 validBefore; bytes32 nonce; }
    #[derive(Debug)]
    struct CancelAuthorization { address authorizer; bytes32 nonce; }
}

/// EIP-712 domain name of the token, also its ERC-20 name.
pub const NAME: &str = "OpenLedger";
/// EIP-712 domain version of the token.
pub const VERSION: &str = "1";
/// ERC-20 symbol.
pub const SYMBOL: &str = "OPEN";
