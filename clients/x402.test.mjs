// @x402/* 2.27.0, unmodified, on all sides: client (fetch), resource server (express) and facilitator. The ledger's modules stand where the
// scheme's contracts stand on other chains.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { decodePaymentResponseHeader } from "@x402/core/http";
import { x402Facilitator } from "@x402/core/facilitator";
import { toClientEvmSigner, toFacilitatorEvmSigner } from "@x402/evm";
import { ExactEvmScheme as ExactClient } from "@x402/evm/exact/client";
import { ExactEvmScheme as ExactFacilitator } from "@x402/evm/exact/facilitator";
import { ExactEvmScheme as ExactServer } from "@x402/evm/exact/server";
import { BatchSettlementEvmScheme as ChannelClient, computeChannelId } from "@x402/evm/batch-settlement/client";
import { BatchSettlementEvmScheme as ChannelFacilitator } from "@x402/evm/batch-settlement/facilitator";
import { BatchSettlementEvmScheme as ChannelServer } from "@x402/evm/batch-settlement/server";
import { paymentMiddleware, setSettlementOverrides, x402ResourceServer } from "@x402/express";
import { wrapFetchWithPayment, x402Client } from "@x402/fetch";
import express from "express";
import { BaseError, ContractFunctionRevertedError, encodeAbiParameters, parseEther } from "viem";
import { CHANNELS, COLLECTOR, MODELS, OPERATORS, TOKEN, account, channelsAbi, network, publicClient, servingAbi, tokenAbi, until, walletOf } from "./scene.mjs";

const [PAYER, OPERATOR, FACILITATOR] = [4, 5, 6];
const payer = account(PAYER);
const operator = walletOf(OPERATOR);
const channels = { address: CHANNELS, abi: channelsAbi };

/** Most that an answer can cost, and what it did cost. */
const [QUOTE, COST] = [parseEther("0.001"), parseEther("0.0007")];
/** Answers for 3.3 % of itself in unsettled revenue. */
const STAKE = parseEther("1000");
/** A withdrawal delay that a test waits for. */
const PATIENCE_SECONDS = 30;
/** A channel and a model of its own for every run, so that tests can be repeated on one node. */
const salt = `0x${Date.now().toString(16).padStart(64, "0")}`;

const balanceOf = (address) => publicClient.getBalance({ address });
const channel = (channelId) => publicClient.readContract({ ...channels, functionName: "channels", args: [channelId] });
const mined = (hash) => publicClient.waitForTransactionReceipt({ hash });

/** A stock facilitator that pays gas from its own account. */
function stockFacilitator() {
  const wallet = walletOf(FACILITATOR);
  const signer = toFacilitatorEvmSigner({
    address: wallet.account.address,
    readContract: (args) => publicClient.readContract({ ...args, account: wallet.account }),
    verifyTypedData: (args) => publicClient.verifyTypedData(args),
    writeContract: (args) => wallet.writeContract(args),
    sendTransaction: (args) => wallet.sendTransaction(args),
    waitForTransactionReceipt: (args) => publicClient.waitForTransactionReceipt(args),
    getCode: (args) => publicClient.getCode(args),
  });
  return new x402Facilitator()
    .register(network, new ExactFacilitator(signer))
    .register(network, new ChannelFacilitator(signer));
}

const facilitator = stockFacilitator();
const local = {
  verify: (payload, requirements) => facilitator.verify(payload, requirements),
  settle: (payload, requirements) => facilitator.settle(payload, requirements),
  getSupported: async () => facilitator.getSupported(),
};

/** Registers a model and offers it, with a stake that answers for what the tests sell; the escrow that buyers pay. */
async function serve() {
  const [me, zero, word] = [operator.account.address, 0n, (byte) => `0x${byte.repeat(32)}`];
  const send = async (address, functionName, args, value) => {
    const call = { address, abi: servingAbi, functionName, args, value };
    const { result } = await publicClient.simulateContract({ ...call, account: operator.account });
    assert.equal((await mined(await operator.writeContract(call))).status, "success", functionName);
    return result;
  };
  const what = { manifest: salt, base: word("00"), baseShareBps: 0, uses: 15, licence: "Apache-2.0", name: "fabulist" };
  const model = await send(MODELS, "register", [what]);
  const cache = { root: word("ca"), curvature: word("cb"), floor: 1n, cap: 2n, damping: 3n };
  await send(MODELS, "finalise", [model, word("09"), cache, { rateIn: zero, rateOut: zero, platformFee: zero }]);
  // A second run on one node finds the operator registered.
  await send(OPERATORS, "register", ["https://operator.example"], STAKE).catch((error) => assert.match(error.message, /AlreadyOperator/));
  await send(OPERATORS, "offer", [model, zero, zero, zero]);
  return publicClient.readContract({ address: OPERATORS, abi: servingAbi, functionName: "escrow", args: [me, model] });
}

let escrow, server, url, channelServer;

before(async () => {
  escrow = await serve();
  channelServer = new ChannelServer(escrow, { receiverAuthorizerSigner: operator.account, withdrawDelay: 86_400 });
  const resources = new x402ResourceServer(local)
    .register(network, new ExactServer())
    .register(network, channelServer);
  const price = { amount: QUOTE.toString(), asset: TOKEN, extra: { name: "OpenLedger", version: "1" } };
  const offer = (scheme) => ({ accepts: { scheme, network, payTo: escrow, price, maxTimeoutSeconds: 300 } });
  const app = express();
  app.use(paymentMiddleware({ "GET /flat": offer("exact"), "GET /answer": offer("batch-settlement") }, resources));
  app.get("/flat", (_, response) => response.json({ answer: 42 }));
  app.get("/answer", (_, response) => {
    setSettlementOverrides(response, { amount: COST.toString() });
    response.json({ answer: 42 });
  });
  server = await new Promise((resolve) => {
    const listening = app.listen(0, "127.0.0.1", () => resolve(listening));
  });
  url = `http://127.0.0.1:${server.address().port}`;
});

after(() => server?.close());

const clientSigner = toClientEvmSigner(payer, publicClient);
/** A stock client that knows OPEN, as the quick-start tells users to set it up. */
function stockClient(scheme) {
  const client = new x402Client().register(network, scheme);
  const maxAmountPerPayment = (QUOTE * 2n).toString();
  client.setSpendControls({ allowedAssets: [{ network, asset: TOKEN, maxAmountPerPayment }] });
  return wrapFetchWithPayment(fetch, client);
}
const settlementOf = (response) => decodePaymentResponseHeader(response.headers.get("PAYMENT-RESPONSE"));

test("a client that was not told of OPEN pays nothing", async () => {
  const pay = wrapFetchWithPayment(fetch, new x402Client().register(network, new ExactClient(payer)));
  await assert.rejects(pay(`${url}/flat`), /allowedAssets/);
});

test("exact: one authorization pays one answer into the escrow", async () => {
  const [mine, theirs] = [await balanceOf(payer.address), await balanceOf(escrow)];
  const response = await stockClient(new ExactClient(clientSigner))(`${url}/flat`);
  assert.equal(response.status, 200);
  assert.deepEqual(await response.json(), { answer: 42 });
  const settlement = settlementOf(response);
  assert.equal(settlement.success, true);
  assert.equal((await publicClient.getTransactionReceipt({ hash: settlement.transaction })).status, "success");
  assert.equal(await balanceOf(escrow), theirs + QUOTE);
  assert.equal(await balanceOf(payer.address), mine - QUOTE, "the payer pays no gas");
});

const channelClient = new ChannelClient(clientSigner, { salt });
let channelId;

test("batch-settlement: the first answer opens a channel and is metered", async () => {
  const mine = await balanceOf(payer.address);
  const response = await stockClient(channelClient)(`${url}/answer`);
  assert.equal(response.status, 200, await response.clone().text());
  const { success, transaction, extra } = settlementOf(response);
  assert.equal(success, true);
  assert.equal((await publicClient.getTransactionReceipt({ hash: transaction })).status, "success");
  assert.equal(extra.chargedAmount, COST.toString());
  channelId = extra.channelState.channelId;
  const [balance, claimed] = await channel(channelId);
  assert.equal(balance, QUOTE * 10n, "the server's hint, ten answers");
  assert.equal(claimed, 0n);
  assert.equal(await balanceOf(payer.address), mine - balance, "the payer pays no gas");
});

test("batch-settlement: later answers are paid by vouchers alone", async () => {
  const pay = stockClient(channelClient);
  for (const answer of [2n, 3n]) {
    const { transaction, extra } = settlementOf(await pay(`${url}/answer`));
    assert.equal(transaction, "");
    assert.equal(extra.channelState.chargedCumulativeAmount, (COST * answer).toString());
  }
});

test("batch-settlement: the operator claims what was charged and settles into the escrow", async () => {
  const manager = channelServer.createChannelManager(local, network, TOKEN);
  const before = await balanceOf(escrow);
  const receivers = { ...channels, functionName: "receivers", args: [escrow, TOKEN] };
  const [claimedBefore, settledBefore] = await publicClient.readContract(receivers);
  const [claim] = await manager.claim();
  assert.equal(claim.vouchers, 1);
  assert.equal((await channel(channelId))[1], COST * 3n);
  assert.equal(await balanceOf(escrow), before, "a claim moves nothing");
  await manager.settle();
  assert.equal(await balanceOf(escrow), before + COST * 3n + claimedBefore - settledBefore);
  await assert.rejects(manager.settle(), /nothing_to_settle/);
});

test("batch-settlement: a client that forgot everything recovers from the ledger and the corrective 402", async () => {
  const pay = stockClient(channelClient);
  assert.equal((await pay(`${url}/answer`)).status, 200);
  // The ledger knows three answers, the server four.
  const forgetful = new ChannelClient(clientSigner, { salt });
  const response = await stockClient(forgetful)(`${url}/answer`);
  assert.equal(response.status, 200);
  assert.equal(settlementOf(response).extra.channelState.chargedCumulativeAmount, (COST * 5n).toString());
});

test("batch-settlement: a refund claims what is owed and returns the rest in one transaction", async () => {
  const [mine, [balance]] = [await balanceOf(payer.address), await channel(channelId)];
  const client = new ChannelClient(clientSigner, { salt });
  // The client's own memory is gone again: it asks the ledger, and the server corrects it.
  const settlement = await client.refund(`${url}/answer`);
  assert.equal(settlement.success, true, JSON.stringify(settlement));
  const left = balance - COST * 5n;
  assert.equal(settlement.amount, left.toString());
  assert.equal(await balanceOf(payer.address), mine + left);
  assert.deepEqual(await channel(channelId), [COST * 5n, COST * 5n]);
  const nonce = await publicClient.readContract({ ...channels, functionName: "refundNonce", args: [channelId] });
  assert.equal(nonce, 1n);
});

test("batch-settlement: the refunded channel is topped up and used again", async () => {
  const response = await stockClient(new ChannelClient(clientSigner, { salt }))(`${url}/answer`);
  assert.equal(response.status, 200, await response.clone().text());
  const [balance, claimed] = await channel(channelId);
  assert(balance > claimed);
});

test("a payer starts a withdrawal alone and the ledger holds it back for the delay", async () => {
  const wallet = walletOf(PAYER);
  const receiverAuthorizer = operator.account.address;
  const config = {
    payer: payer.address, payerAuthorizer: payer.address, receiver: escrow, receiverAuthorizer, token: TOKEN, withdrawDelay: 86_400, salt,
  };
  assert.equal(computeChannelId(config, network), channelId);
  assert.equal(await publicClient.readContract({ ...channels, functionName: "getChannelId", args: [config] }), channelId);
  const [balance, claimed] = await channel(channelId);
  const start = { ...channels, functionName: "initiateWithdraw", args: [config, balance - claimed] };
  assert.equal((await mined(await wallet.writeContract(start))).status, "success");
  const pendingCall = { ...channels, functionName: "pendingWithdrawals", args: [channelId] };
  const [amount, since] = await publicClient.readContract(pendingCall);
  assert.equal(amount, balance - claimed);
  assert(Math.abs(Number(since) - Date.now() / 1000) < 60);
  const finish = { ...channels, functionName: "finalizeWithdraw", args: [config], account: payer };
  await assert.rejects(publicClient.simulateContract(finish), (error) => {
    assert(error instanceof BaseError);
    const revert = error.walk((e) => e instanceof ContractFunctionRevertedError);
    assert.equal(revert.data.errorName, "WithdrawDelayNotElapsed");
    return true;
  });
  // The operator answers by claiming its last answer and refunding the rest: of what the payer asked for, only that answer's
  // charge is still pending, and nothing is left in the channel to pay it.
  const manager = channelServer.createChannelManager(local, network, TOKEN);
  await manager.refund([channelId]);
  assert.deepEqual(await publicClient.readContract(pendingCall), [COST, since]);
  const [left, taken] = await channel(channelId);
  assert.equal(left, taken);
});

test("after the delay the payer has its money back without anyone's help", async (t) => {
  const least = Number(await publicClient.readContract({ ...channels, functionName: "MIN_WITHDRAW_DELAY" }));
  if (least > PATIENCE_SECONDS) return t.skip(`the shortest delay of this network is ${least} s`);
  const extra = { name: "OpenLedger", version: "1", receiverAuthorizer: operator.account.address, withdrawDelay: least };
  const requirements = {
    scheme: "batch-settlement", network, asset: TOKEN, amount: QUOTE.toString(), payTo: escrow, maxTimeoutSeconds: 300, extra,
  };
  // Signed by the stock client; sent by the payer itself, since a stock facilitator takes no delay under 900 s.
  const { payload } = await new ChannelClient(clientSigner, { salt }).createPaymentPayload(2, requirements);
  const { channelConfig: config, deposit } = payload;
  const { validAfter, validBefore, salt: nonce, signature } = deposit.authorization.erc3009Authorization;
  const words = [{ type: "uint256" }, { type: "uint256" }, { type: "uint256" }, { type: "bytes" }];
  const collected = encodeAbiParameters(words, [BigInt(validAfter), BigInt(validBefore), BigInt(nonce), signature]);
  const wallet = walletOf(PAYER);
  const send = async (functionName, args) => {
    const receipt = await mined(await wallet.writeContract({ ...channels, functionName, args }));
    assert.equal(receipt.status, "success", functionName);
  };
  const amount = BigInt(deposit.amount);
  await send("deposit", [config, amount, COLLECTOR, collected]);
  await send("initiateWithdraw", [config, amount]);
  const finish = { ...channels, functionName: "finalizeWithdraw", args: [config], account: payer };
  const isOver = () => publicClient.simulateContract(finish).then(() => true, () => false);
  await until(isOver, "the end of the delay", least + PATIENCE_SECONDS);
  await send("finalizeWithdraw", [config]);
  assert.deepEqual(await channel(payload.voucher.channelId), [0n, 0n]);
});

test("a deposit for anyone but a registered escrow is refused by the stock facilitator", async () => {
  const thief = account(7).address;
  const extra = { name: "OpenLedger", version: "1", receiverAuthorizer: thief, withdrawDelay: 86_400 };
  const requirements = {
    scheme: "batch-settlement", network, asset: TOKEN, amount: QUOTE.toString(), payTo: thief, maxTimeoutSeconds: 300, extra,
  };
  const { payload } = await new ChannelClient(clientSigner, { salt }).createPaymentPayload(2, requirements);
  assert.equal(payload.type, "deposit");
  const verdict = await facilitator.verify({ x402Version: 2, accepted: requirements, payload }, requirements);
  assert.equal(verdict.isValid, false);
  assert.equal(verdict.invalidReason, "invalid_batch_settlement_evm_deposit_simulation_failed");
});

test("an exact payment that cannot work is refused with the ledger's reason", async () => {
  const requirements = {
    scheme: "exact", network, asset: TOKEN, amount: QUOTE.toString(), payTo: escrow, maxTimeoutSeconds: 300,
    extra: { name: "OpenLedger", version: "1" },
  };
  const verify = async (signer, wanted = requirements) => {
    const { payload } = await new ExactClient(signer).createPaymentPayload(2, wanted);
    return facilitator.verify({ x402Version: 2, accepted: wanted, payload }, wanted);
  };
  assert.equal((await verify(payer)).isValid, true);
  const poor = await verify(account(9_996));
  assert.equal(poor.invalidReason, "invalid_exact_evm_insufficient_balance");
  const { payload } = await new ExactClient(payer).createPaymentPayload(2, requirements);
  const paid = { x402Version: 2, accepted: requirements, payload };
  assert.equal((await facilitator.settle(paid, requirements)).success, true);
  const again = await facilitator.verify(paid, requirements);
  assert.equal(again.invalidReason, "invalid_exact_evm_nonce_already_used");
  const name = await publicClient.readContract({ address: TOKEN, abi: tokenAbi, functionName: "version" });
  assert.equal(name, "1");
});
