// ethers 6, unmodified.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { Contract, HDNodeWallet, JsonRpcProvider, Mnemonic, NonceManager, Signature, WebSocketProvider, isError, parseEther } from "ethers";
import { CHAIN_ID, CHANNELS, MNEMONIC, TOKEN, rpcUrl, until, webSocketUrl } from "./scene.mjs";

const provider = new JsonRpcProvider(rpcUrl, undefined, { pollingInterval: 100, cacheTimeout: -1 });
after(() => provider.destroy());
const wallet = (index) =>
  HDNodeWallet.fromMnemonic(Mnemonic.fromPhrase(MNEMONIC), `m/44'/60'/0'/0/${index}`).connect(provider);
const [carol, dave] = [wallet(2), wallet(3)];

const abi = [
  "function name() view returns (string)",
  "function balanceOf(address) view returns (uint256)",
  "function allowance(address, address) view returns (uint256)",
  "function nonces(address) view returns (uint256)",
  "function transfer(address to, uint256 value) returns (bool)",
  "function permit(address owner, address spender, uint256 value, uint256 deadline, uint8 v, bytes32 r, bytes32 s)",
  "event Transfer(address indexed from, address indexed to, uint256 value)",
  "error ERC20InsufficientBalance(address sender, uint256 balance, uint256 needed)",
];
const token = new Contract(TOKEN, abi, carol);

test("the node tells its chain and its head", async () => {
  assert.equal((await provider.getNetwork()).chainId, BigInt(CHAIN_ID));
  const block = await provider.getBlock("latest");
  assert(block.number >= 0 && block.timestamp > 1_700_000_000);
  assert((await provider.getFeeData()).maxFeePerGas > 0n);
});

test("a transfer moves OPEN and has a receipt", async () => {
  const before = await provider.getBalance(dave.address);
  const sent = await carol.sendTransaction({ to: dave.address, value: parseEther("2") });
  const receipt = await sent.wait();
  assert.equal(receipt.status, 1);
  assert.equal(receipt.gasUsed, 21_000n);
  assert.equal(await provider.getBalance(dave.address), before + parseEther("2"));
});

test("an ERC-20 transfer has its log, which a filter finds", async () => {
  assert.equal(await token.name(), "OpenLedger");
  const receipt = await (await token.transfer(dave.address, 17n)).wait();
  const log = token.interface.parseLog(receipt.logs[0]);
  assert.deepEqual([log.name, log.args.to, log.args.value], ["Transfer", dave.address, 17n]);
  const found = await token.queryFilter(token.filters.Transfer(carol.address, dave.address), receipt.blockNumber);
  assert(found.some((event) => event.transactionHash === receipt.hash));
});

test("a permit signed by ethers becomes an allowance", async () => {
  const deadline = Math.floor(Date.now() / 1000) + 3600;
  const message = { owner: carol.address, spender: dave.address, value: 99n, nonce: await token.nonces(carol.address), deadline };
  const word = (name) => ({ name, type: "uint256" });
  const types = {
    Permit: [{ name: "owner", type: "address" }, { name: "spender", type: "address" }, word("value"), word("nonce"), word("deadline")],
  };
  const domain = { name: "OpenLedger", version: "1", chainId: CHAIN_ID, verifyingContract: TOKEN };
  const { v, r, s } = Signature.from(await carol.signTypedData(domain, types, message));
  await (await token.connect(dave).permit(carol.address, dave.address, 99n, deadline, v, r, s)).wait();
  assert.equal(await token.allowance(carol.address, dave.address), 99n);
});

test("a refused call decodes to the module's custom error", async () => {
  const pauper = wallet(9_997);
  await assert.rejects(token.connect(pauper).transfer.staticCall(dave.address, 3n), (error) => {
    assert(isError(error, "CALL_EXCEPTION"));
    assert.equal(error.revert.name, "ERC20InsufficientBalance");
    assert.deepEqual([...error.revert.args], [pauper.address, 0n, 3n]);
    return true;
  });
});

test("a module call of the channels answers", async () => {
  const channels = new Contract(CHANNELS, ["function MAX_WITHDRAW_DELAY() view returns (uint40)"], provider);
  assert.equal(await channels.MAX_WITHDRAW_DELAY(), 2_592_000n);
});

test("many transactions of one account land in order", async () => {
  const manager = new NonceManager(carol);
  const sent = await Promise.all(Array.from({ length: 10 }, () => manager.sendTransaction({ to: dave.address, value: 1n })));
  const receipts = await Promise.all(sent.map((transaction) => transaction.wait()));
  assert(receipts.every((receipt) => receipt.status === 1));
  const nonces = sent.map((transaction) => transaction.nonce).sort((a, b) => a - b);
  assert.deepEqual(nonces, Array.from({ length: 10 }, (_, i) => nonces[0] + i));
});

test("subscriptions bring heads and logs over WebSocket", async () => {
  const socket = new WebSocketProvider(webSocketUrl);
  const [heads, values] = [[], []];
  await socket.on("block", (number) => heads.push(number));
  await new Contract(TOKEN, abi, socket).on("Transfer", (from, to, value) => values.push(value));
  await new Promise((resolve) => setTimeout(resolve, 500));
  await (await token.transfer(dave.address, 19n)).wait();
  await until(() => heads.length > 0, "a head");
  await until(() => values.includes(19n), "the log");
  await socket.destroy();
});
