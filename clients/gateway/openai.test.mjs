// The openai package for JavaScript, unmodified: chat, completions and responses, as JSON and as streams, and errors. Where the gateway is not free
// the package pays through x402's fetch, by channel; with `signed` it knows nothing of payment and a signer stands before the gateway. Any gateway will
// do (see x402.test.mjs); `npm run stand` starts one.

import assert from "node:assert/strict";
import { test } from "node:test";
import OpenAI from "openai";
import { paying } from "./paying.mjs";

const scene = JSON.parse(process.env.GATEWAY);
const { gateway, model } = scene;
const client = new OpenAI({ baseURL: `${gateway}/v1`, apiKey: scene.key ?? "unused", maxRetries: 0, fetch: scene.free || scene.signed ? fetch : paying(scene) });
const messages = [{ role: "user", content: "lorem ip" }];
/** The same request gets the same answer, as JSON or as a stream, whichever model it is. */
const first = await client.chat.completions.create({ model, messages, temperature: 0, max_tokens: 64 });
const TEXT = first.choices[0].message.content;
const short = { max_tokens: 64 };

test("chat as JSON carries text, usage with cost, citations and shares", async () => {
  const answer = await client.chat.completions.create({ model, messages, temperature: 0, ...short });
  assert.equal(answer.choices[0].message.content, TEXT);
  assert.ok(["stop", "length"].includes(answer.choices[0].finish_reason));
  assert.equal(answer.usage.cost === "0", Boolean(scene.free));
  const [citation] = answer.choices[0].message.annotations;
  assert.ok(citation.type === "url_citation" && citation.url_citation.end_index > citation.url_citation.start_index);
  const shares = answer.openledger.contributors.map((contributor) => contributor.share);
  assert.ok(shares.length > 0 && shares.reduce((sum, share) => sum + share) <= 1.0001);
});

test("chat as a stream", async () => {
  let text = "";
  let last;
  const stream = await client.chat.completions.create({
    model, messages, temperature: 0, ...short, stream: true, stream_options: { include_usage: true },
  });
  for await (const chunk of stream) {
    text += chunk.choices[0]?.delta?.content ?? "";
    last = chunk;
  }
  assert.equal(text, TEXT);
  assert.deepEqual(last.choices, []);
  assert.ok(last.usage.completion_tokens > 0 && last.openledger.receipt.startsWith("0x"));
});

test("the stream helper puts the message together", async () => {
  const stream = client.chat.completions.stream({ model, messages, temperature: 0, ...short });
  const whole = await stream.finalChatCompletion();
  assert.equal(whole.choices[0].message.content, TEXT);
});

test("completions as JSON and as a stream", async () => {
  const ask = { model, prompt: "the quick", temperature: 0, max_tokens: 10 };
  const whole = (await client.completions.create(ask)).choices[0].text;
  let text = "";
  for await (const chunk of await client.completions.create({ ...ask, stream: true })) text += chunk.choices[0]?.text ?? "";
  assert.equal(text, whole);
});

test("responses as JSON and as a stream", async () => {
  const ask = { model, input: "lorem ip", temperature: 0, max_output_tokens: 64 };
  const response = await client.responses.create(ask);
  assert.equal(response.output_text, TEXT);
  assert.ok(["completed", "incomplete"].includes(response.status));
  assert.equal(response.output[0].content[0].annotations[0].type, "url_citation");
  let text = "";
  const kinds = [];
  for await (const event of await client.responses.create({ ...ask, stream: true })) {
    kinds.push(event.type);
    if (event.type === "response.output_text.delta") text += event.delta;
  }
  assert.equal(text, TEXT);
  assert.deepEqual([kinds[0], kinds.at(-1)], ["response.created", `response.${response.status}`]);
  const helped = await client.responses.stream(ask).finalResponse();
  assert.equal(helped.output_text, TEXT);
});

test("models are listed and errors are the package's own types", async () => {
  const names = [];
  for await (const listed of client.models.list()) names.push(listed.id);
  assert.deepEqual(names, [model]);
  const ask = (change) => client.chat.completions.create({ model, messages, ...change });
  await assert.rejects(ask({ model: "gpt-9" }), OpenAI.NotFoundError);
  await assert.rejects(ask({ temperature: 9 }), (error) => error instanceof OpenAI.BadRequestError && /temperature/.test(error.message));
  await assert.rejects(ask({ max_tokens: 5000 }), (error) => error.code === "context_length_exceeded");
});

test("a reader that stops early does not disturb the next", async () => {
  const stream = await client.chat.completions.create({ model, messages, temperature: 1, stream: true });
  for await (const _ of stream) break;
  await new Promise((resolve) => setTimeout(resolve, 1000));
  const answer = await client.chat.completions.create({ model, messages, temperature: 0, ...short });
  assert.equal(answer.choices[0].message.content, TEXT);
});
