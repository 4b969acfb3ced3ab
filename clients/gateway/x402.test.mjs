// @x402/fetch and @x402/evm 2.27.0, unmodified, paying the gateway: `exact`; `batch-settlement` by deposit, vouchers, over SSE, and refund.
// And the openai package paying through x402's fetch. Any gateway will do: GATEWAY is JSON with `gateway` and `rpc` (addresses), `chainId`,
// `model` and `payer` (the private key of an account with OPEN).

import assert from "node:assert/strict";
import { test } from "node:test";
import { decodePaymentResponseHeader } from "@x402/core/http";
import { ExactEvmScheme } from "@x402/evm/exact/client";
import { BatchSettlementEvmScheme } from "@x402/evm/batch-settlement/client";
import OpenAI from "openai";
import { newSalt, paying, signerOf } from "./paying.mjs";

const scene = JSON.parse(process.env.GATEWAY);
const { gateway, model } = scene;
const signer = signerOf(scene);
const salt = newSalt();
const exactFetch = () => paying(scene, new ExactEvmScheme(signer));
const channelScheme = () => new BatchSettlementEvmScheme(signer, { salt });
const channelFetch = (scheme = channelScheme()) => paying(scene, scheme);
const CHAT = `${gateway}/v1/chat/completions`;
const ask = (content, more = {}) => ({
  method: "POST",
  headers: { "content-type": "application/json" },
  body: JSON.stringify({ model, messages: [{ role: "user", content }], temperature: 0, max_tokens: 64, ...more }),
});
const settled = (response) => decodePaymentResponseHeader(response.headers.get("PAYMENT-RESPONSE"));

test("without payment the gateway says what it costs", async () => {
  const response = await fetch(CHAT, ask("lorem ip"));
  assert.equal(response.status, 402);
  assert.equal((await response.json()).error.type, "payment_required");
});

test("exact: one transfer, one answer", async () => {
  const response = await exactFetch()(CHAT, ask("lorem ip"));
  assert.equal(response.status, 200);
  const body = await response.json();
  const payment = settled(response);
  assert.ok(payment.success && payment.transaction.startsWith("0x"));
  assert.equal(payment.amount, body.openledger.fee);
  assert.equal(typeof body.choices[0].message.content, "string");
});

test("batch-settlement: deposit, vouchers, SSE, forgetting, refund", async () => {
  const scheme = channelScheme();
  const paid = channelFetch(scheme);
  let sum = 0n;
  for (const [round, prompt] of ["lorem ip", "the quick", "lorem ipsum d"].entries()) {
    const response = await paid(CHAT, ask(prompt));
    assert.equal(response.status, 200, await response.clone().text());
    const body = await response.json();
    const { extra, transaction } = settled(response);
    sum += BigInt(body.openledger.fee);
    assert.equal(extra.chargedAmount, body.openledger.fee);
    assert.equal(extra.channelState.chargedCumulativeAmount, sum.toString());
    assert.equal(transaction === "", round > 0, "one deposit serves many answers");
  }
  // Over SSE what it costs is known at the end; the next request resynchronises by the corrective 402.
  const stream = await paid(CHAT, ask("lorem ip", { stream: true }));
  assert.equal(stream.status, 200);
  const events = (await stream.text()).split("\n\n").filter((e) => e.startsWith("data: {")).map((e) => JSON.parse(e.slice(6)));
  sum += BigInt(events.at(-1).openledger.fee);
  const after = await paid(CHAT, ask("the lazy"));
  assert.equal(after.status, 200, await after.clone().text());
  sum += BigInt((await after.clone().json()).openledger.fee);
  assert.equal(settled(after).extra.channelState.chargedCumulativeAmount, sum.toString());
  // A client that lost its memory finds its sum again.
  const forgetful = await channelFetch()(CHAT, ask("fox"));
  assert.equal(forgetful.status, 200, await forgetful.clone().text());
  sum += BigInt((await forgetful.clone().json()).openledger.fee);
  assert.equal(settled(forgetful).extra.channelState.chargedCumulativeAmount, sum.toString());
  const refund = await scheme.refund(`${CHAT}?model=${model}`);
  assert.ok(refund.success && BigInt(refund.amount) > 0n);
});

test("the openai package pays through x402's fetch", async () => {
  const client = new OpenAI({ baseURL: `${gateway}/v1`, apiKey: "unused", maxRetries: 0, fetch: exactFetch() });
  const answer = await client.chat.completions.create({ model, messages: [{ role: "user", content: "lorem ip" }], temperature: 0, max_tokens: 32 });
  assert.equal(typeof answer.choices[0].message.content, "string");
  assert.notEqual(answer.usage.cost, "0");
});
