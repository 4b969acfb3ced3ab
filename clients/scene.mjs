// What every client test starts from: the node's address, the development accounts, the modules and their ABI.
//
// The ABI is written here by hand, from the standards and the npm packages, and not generated from the ledger: a test that
// reads the ledger's own description could not notice that the ledger left the standard.

import { createPublicClient, createWalletClient, defineChain, getAddress, http, parseAbi, webSocket } from "viem";
import { mnemonicToAccount } from "viem/accounts";

/** JSON-RPC over HTTP; WebSocket is served at the same address. */
export const rpcUrl = process.env.OPENLEDGER_RPC_URL ?? "http://127.0.0.1:8545";
export const webSocketUrl = process.env.OPENLEDGER_WS_URL ?? rpcUrl.replace(/^http/, "ws");

export const MNEMONIC = "test test test test test test test test test test test junk";
/** Development account `index` of the well-known mnemonic. */
export const account = (index) => mnemonicToAccount(MNEMONIC, { addressIndex: index });

export const CHAIN_ID = Number(process.env.OPENLEDGER_CHAIN_ID ?? 31337);
/** The same as CAIP-2. */
export const network = `eip155:${CHAIN_ID}`;

export const TOKEN = getAddress("0x4f50454e00000000000000000000000000000001");
export const CHANNELS = getAddress("0x4020074e9dF2ce1deE5A9C1b5c3f541D02a10003");
export const COLLECTOR = getAddress("0x4020806089470a89826cB9fB1f4059150b550004");
export const MULTICALL3 = getAddress("0xcA11bde05977b3631167028862bE2a173976CA11");

export const tokenAbi = parseAbi([
  "function name() view returns (string)",
  "function symbol() view returns (string)",
  "function version() view returns (string)",
  "function decimals() view returns (uint8)",
  "function totalSupply() view returns (uint256)",
  "function balanceOf(address account) view returns (uint256)",
  "function allowance(address owner, address spender) view returns (uint256)",
  "function transfer(address to, uint256 value) returns (bool)",
  "function approve(address spender, uint256 value) returns (bool)",
  "function transferFrom(address from, address to, uint256 value) returns (bool)",
  "function nonces(address owner) view returns (uint256)",
  "function permit(address owner, address spender, uint256 value, uint256 deadline, uint8 v, bytes32 r, bytes32 s)",
  "function authorizationState(address authorizer, bytes32 nonce) view returns (bool)",
  "event Transfer(address indexed from, address indexed to, uint256 value)",
  "event Approval(address indexed owner, address indexed spender, uint256 value)",
  "error ERC20InsufficientBalance(address sender, uint256 balance, uint256 needed)",
  "error ERC20InsufficientAllowance(address spender, uint256 allowance, uint256 needed)",
  "error ERC2612InvalidSigner(address signer, address owner)",
]);

const CONFIG =
  "(address payer, address payerAuthorizer, address receiver, address receiverAuthorizer, address token, uint40 withdrawDelay, bytes32 salt)";
/** Functions as @x402/evm 2.27.0 has them, and this ledger's additions. */
export const channelsAbi = parseAbi([
  `function deposit(${CONFIG} config, uint128 amount, address collector, bytes collectorData)`,
  `function initiateWithdraw(${CONFIG} config, uint128 amount)`,
  `function finalizeWithdraw(${CONFIG} config)`,
  `function getChannelId(${CONFIG} config) view returns (bytes32)`,
  "function channels(bytes32 channelId) view returns (uint128 balance, uint128 totalClaimed)",
  "function pendingWithdrawals(bytes32 channelId) view returns (uint128 amount, uint40 initiatedAt)",
  "function receivers(address receiver, address token) view returns (uint128 totalClaimed, uint128 totalSettled)",
  "function refundNonce(bytes32 channelId) view returns (uint256)",
  "function MIN_WITHDRAW_DELAY() view returns (uint40)",
  "function registerEscrow(address operator, bytes32 model) returns (address escrow)",
  "function escrowOf(address escrow) view returns (address operator, bytes32 model)",
  "event WithdrawInitiated(bytes32 indexed channelId, uint128 amount, uint40 finalizeAfter)",
  "event EscrowRegistered(address indexed escrow, address indexed operator, bytes32 indexed model)",
  "error WithdrawDelayNotElapsed()",
  "error WithdrawalNotPending()",
  "error ReceiverIsNotEscrow(address receiver)",
]);

export const MODELS = getAddress("0x4f50454e00000000000000000000000000000003");
export const OPERATORS = getAddress("0x4f50454e00000000000000000000000000000004");
/** What an operator calls before it can be paid: a model that may be served, a stake, an offer. */
export const servingAbi = parseAbi([
  "struct Registration { bytes32 manifest; bytes32 base; uint16 baseShareBps; uint32 uses; string licence; string name; }",
  "struct Cache { bytes32 root; bytes32 curvature; uint64 floor; uint64 cap; uint64 damping; }",
  "struct Rates { uint256 rateIn; uint256 rateOut; uint256 platformFee; }",
  "function register(Registration what) returns (bytes32 model)",
  "function finalise(bytes32 model, bytes32 finalRoot, Cache cache, Rates rates)",
  "function register(string endpoint) payable",
  "function offer(bytes32 model, uint256 rateIn, uint256 rateOut, uint256 platformFee)",
  "function escrow(address operator, bytes32 model) view returns (address)",
  "error ModelExists(bytes32 model)",
  "error AlreadyOperator(address account)",
]);

/** The ledger as a viem chain. */
export const chain = defineChain({
  id: CHAIN_ID,
  name: "OpenLedger",
  nativeCurrency: { name: "OpenLedger", symbol: "OPEN", decimals: 18 },
  rpcUrls: { default: { http: [rpcUrl], webSocket: [webSocketUrl] } },
  contracts: { multicall3: { address: MULTICALL3 } },
});

const pollingInterval = 100;
export const publicClient = createPublicClient({ chain, transport: http(), pollingInterval });
export const webSocketClient = () => createPublicClient({ chain, transport: webSocket(webSocketUrl, { reconnect: false }) });
export const walletOf = (index) =>
  createWalletClient({ chain, account: account(index), transport: http(), pollingInterval });

/** Waits until `condition` holds; fails after `seconds`. */
export async function until(condition, what, seconds = 10) {
  for (const end = Date.now() + seconds * 1000; Date.now() < end; ) {
    if (await condition()) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`${what}: not within ${seconds} s`);
}
