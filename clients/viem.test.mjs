// viem 2.48.11, unmodified.

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  BaseError,
  ContractFunctionRevertedError,
  encodeFunctionData,
  parseEther,
  parseEventLogs,
  parseSignature,
} from "viem";
import { CHAIN_ID, CHANNELS, TOKEN, account, channelsAbi, publicClient, tokenAbi, until, walletOf, webSocketClient } from "./scene.mjs";

const [alice, bob] = [walletOf(0), walletOf(1)];
const [from, to] = [alice.account.address, bob.account.address];
const token = { address: TOKEN, abi: tokenAbi };

const mined = (hash) => publicClient.waitForTransactionReceipt({ hash });

/** The custom error that a promise is refused with. */
async function refusal(promise) {
  try {
    await promise;
  } catch (error) {
    assert(error instanceof BaseError, error);
    const revert = error.walk((e) => e instanceof ContractFunctionRevertedError);
    assert(revert?.data, error.message);
    return revert.data;
  }
  assert.fail("accepted");
}

test("the node tells its chain, version, head and fees", async () => {
  assert.equal(await publicClient.getChainId(), CHAIN_ID);
  assert.equal(await publicClient.request({ method: "net_version" }), String(CHAIN_ID));
  assert.match(await publicClient.request({ method: "web3_clientVersion" }), /openledger/i);
  const block = await publicClient.getBlock();
  assert(block.number >= 0n && block.hash && block.baseFeePerGas >= 0n);
  assert.equal((await publicClient.getBlock({ blockHash: block.hash })).number, block.number);
  const fees = await publicClient.estimateFeesPerGas();
  assert(fees.maxFeePerGas >= fees.maxPriorityFeePerGas);
  const history = await publicClient.getFeeHistory({ blockCount: 2, rewardPercentiles: [50] });
  assert(history.baseFeePerGas.length >= 2);
});

test("a transfer moves OPEN and has a receipt", async () => {
  const before = await publicClient.getBalance({ address: to });
  const hash = await alice.sendTransaction({ to, value: parseEther("1.5") });
  const receipt = await mined(hash);
  assert.equal(receipt.status, "success");
  assert.equal(receipt.gasUsed, 21_000n);
  assert.equal(await publicClient.getBalance({ address: to }), before + parseEther("1.5"));
  const transaction = await publicClient.getTransaction({ hash });
  assert.equal(transaction.blockNumber, receipt.blockNumber);
  assert.equal(transaction.from.toLowerCase(), from.toLowerCase());
  const block = await publicClient.getBlock({ blockNumber: receipt.blockNumber });
  assert(block.transactions.includes(hash));
});

test("OPEN is an ERC-20 over the same balance, with a Transfer log", async () => {
  assert.equal(await publicClient.readContract({ ...token, functionName: "symbol" }), "OPEN");
  assert.equal(await publicClient.readContract({ ...token, functionName: "decimals" }), 18);
  const native = await publicClient.getBalance({ address: to });
  assert.equal(await publicClient.readContract({ ...token, functionName: "balanceOf", args: [to] }), native);
  const hash = await alice.writeContract({ ...token, functionName: "transfer", args: [to, 7n] });
  const receipt = await mined(hash);
  const [log] = parseEventLogs({ abi: tokenAbi, eventName: "Transfer", logs: receipt.logs });
  assert.deepEqual([log.args.from, log.args.to, log.args.value], [from, to, 7n]);
  assert.equal(await publicClient.getBalance({ address: to }), native + 7n);
  assert.notEqual((await publicClient.getCode({ address: TOKEN })) ?? "0x", "0x");
  assert.equal((await publicClient.getCode({ address: to })) ?? "0x", "0x");
});

test("a permit signed by viem becomes an allowance that is spent", async () => {
  const nonce = await publicClient.readContract({ ...token, functionName: "nonces", args: [from] });
  const [value, deadline] = [1_000n, BigInt(Math.floor(Date.now() / 1000) + 3600)];
  const address = (name) => ({ name, type: "address" });
  const word = (name) => ({ name, type: "uint256" });
  const signature = await alice.signTypedData({
    domain: { name: "OpenLedger", version: "1", chainId: CHAIN_ID, verifyingContract: TOKEN },
    types: { Permit: [address("owner"), address("spender"), word("value"), word("nonce"), word("deadline")] },
    primaryType: "Permit",
    message: { owner: from, spender: to, value, nonce, deadline },
  });
  const { v, r, s } = parseSignature(signature);
  const args = [from, to, value, deadline, Number(v), r, s];
  await mined(await bob.writeContract({ ...token, functionName: "permit", args }));
  assert.equal(await publicClient.readContract({ ...token, functionName: "allowance", args: [from, to] }), value);
  await mined(await bob.writeContract({ ...token, functionName: "transferFrom", args: [from, to, value] }));
  assert.equal(await publicClient.readContract({ ...token, functionName: "allowance", args: [from, to] }), 0n);
  const again = publicClient.simulateContract({ ...token, functionName: "permit", args, account: to });
  assert.equal((await refusal(again)).errorName, "ERC2612InvalidSigner");
});

test("a refused call decodes to the module's custom error", async () => {
  const pauper = account(9_999).address;
  const call = { ...token, functionName: "transfer", args: [to, 5n], account: pauper };
  const error = await refusal(publicClient.simulateContract(call));
  assert.equal(error.errorName, "ERC20InsufficientBalance");
  assert.deepEqual(error.args, [pauper, 0n, 5n]);
  const model = `0x${"11".repeat(32)}`;
  const register = { address: CHANNELS, abi: channelsAbi, functionName: "registerEscrow", args: [from, model] };
  const { result } = await publicClient.simulateContract({ ...register, account: from });
  await mined(await alice.writeContract(register));
  const escrowOf = { address: CHANNELS, abi: channelsAbi, functionName: "escrowOf", args: [result] };
  assert.deepEqual(await publicClient.readContract(escrowOf), [from, model]);
});

test("a transaction that is refused in its block has a receipt that says so", async () => {
  const data = encodeFunctionData({ abi: tokenAbi, functionName: "transferFrom", args: [to, from, 5n] });
  const receipt = await mined(await alice.sendTransaction({ to: TOKEN, data, gas: 100_000n }));
  assert.equal(receipt.status, "reverted");
  assert.equal(receipt.logs.length, 0);
});

test("what cannot stand in a block is refused with a reason", async () => {
  await assert.rejects(alice.sendTransaction({ to, value: 1n, nonce: 0, gas: 21_000n }), /nonce/i);
  await assert.rejects(alice.sendTransaction({ data: "0x6000", gas: 100_000n }), /contract/i);
  await assert.rejects(walletOf(9_998).sendTransaction({ to, value: 1n, gas: 21_000n }), /fund|balance/i);
  await assert.rejects(publicClient.request({ method: "eth_sendRawTransaction", params: ["0x02c0"] }));
  const request = await alice.prepareTransactionRequest({ to, value: 1n });
  const elsewhere = await alice.account.signTransaction({ ...request, chainId: CHAIN_ID + 1 });
  const send = publicClient.sendRawTransaction({ serializedTransaction: elsewhere });
  await assert.rejects(send, /chain/i);
});

test("Multicall3 reads many values at once, failures apart", async () => {
  const results = await publicClient.multicall({
    contracts: [
      { ...token, functionName: "name" },
      { ...token, functionName: "transfer", args: [to, 2n ** 255n] },
      { ...token, functionName: "totalSupply" },
    ],
  });
  assert.equal(results[0].result, "OpenLedger");
  assert.equal(results[1].status, "failure");
  assert(results[2].result <= parseEther("1000000000"));
});

test("logs are found by address, topic and range, and by filters that poll", async () => {
  const event = tokenAbi.find((item) => item.type === "event" && item.name === "Transfer");
  const filter = await publicClient.createEventFilter({ address: TOKEN, event, args: { to } });
  const receipt = await mined(await alice.writeContract({ ...token, functionName: "transfer", args: [to, 11n] }));
  const range = { fromBlock: receipt.blockNumber, toBlock: receipt.blockNumber };
  const logs = await publicClient.getLogs({ address: TOKEN, event, args: { from, to }, ...range });
  assert.deepEqual(logs.map((log) => log.args.value), [11n]);
  assert.equal(logs[0].transactionHash, receipt.transactionHash);
  const none = await publicClient.getLogs({ address: CHANNELS, event, args: { from, to }, ...range });
  assert.equal(none.length, 0);
  const changes = [];
  await until(async () => {
    changes.push(...(await publicClient.getFilterChanges({ filter })));
    return changes.length > 0;
  }, "the filter's log");
  assert.equal(changes.at(-1).args.value, 11n);
  assert.equal(await publicClient.uninstallFilter({ filter }), true);
});

test("subscriptions bring heads and logs over WebSocket", async () => {
  const client = webSocketClient();
  const [heads, logs] = [[], []];
  const event = tokenAbi.find((item) => item.type === "event" && item.name === "Transfer");
  const stopHeads = client.watchBlocks({ onBlock: (block) => heads.push(block.number) });
  const stopLogs = client.watchEvent({ address: TOKEN, event, args: { to }, onLogs: (seen) => logs.push(...seen) });
  await client.getChainId();
  await new Promise((resolve) => setTimeout(resolve, 500));
  await mined(await alice.writeContract({ ...token, functionName: "transfer", args: [to, 13n] }));
  await until(() => heads.length > 0, "a head");
  await until(() => logs.some((log) => log.args.value === 13n), "the log");
  stopHeads();
  stopLogs();
  (await client.transport.getRpcClient()).close();
});
