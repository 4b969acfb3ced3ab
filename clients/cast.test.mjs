// cast (Foundry 1.7.1, as npm distributes it), unmodified.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { CHAIN_ID, MNEMONIC, TOKEN, account, rpcUrl } from "./scene.mjs";

// The package's own launcher loses the exit code, so the binary that it would start is started here.
const platform = `cast-${process.platform}-${process.arch === "x64" ? "amd64" : process.arch}`;
const binary = fileURLToPath(new URL(`node_modules/@foundry-rs/${platform}/bin/cast`, import.meta.url));
const run = promisify(execFile);
const cast = async (...args) => (await run(binary, [...args, "--rpc-url", rpcUrl])).stdout.trim();
const key = ["--mnemonic", MNEMONIC, "--mnemonic-index", "8"];
const [erin, frank] = [account(8).address, account(9).address];

test("cast reads the chain, a block, a balance and a module's code", async () => {
  assert.equal(await cast("chain-id"), String(CHAIN_ID));
  assert.equal(await cast("block-number") >= "0", true);
  assert(BigInt(await cast("balance", erin)) > 0n);
  assert.notEqual(await cast("code", TOKEN), "0x");
  assert.match(await cast("block", "latest"), /baseFeePerGas/);
});

test("cast sends OPEN and reads the receipt", async () => {
  const before = BigInt(await cast("balance", frank));
  const receipt = JSON.parse(await cast("send", frank, "--value", "0.25ether", "--json", ...key));
  assert.equal(receipt.status, "0x1");
  assert.equal(BigInt(await cast("balance", frank)), before + 250_000_000_000_000_000n);
  const again = JSON.parse(await cast("receipt", receipt.transactionHash, "--json"));
  assert.equal(again.blockNumber, receipt.blockNumber);
});

test("cast sends the ERC-20 and finds its log", async () => {
  const call = ["transfer(address,uint256)", frank, "23"];
  const receipt = JSON.parse(await cast("send", TOKEN, ...call, "--json", ...key));
  assert.equal(receipt.status, "0x1");
  assert.equal(receipt.logs.length, 1);
  const block = String(BigInt(receipt.blockNumber));
  const logs = await cast(
    "logs", "Transfer(address indexed,address indexed,uint256)", erin, "--address", TOKEN, "--from-block", block, "--to-block", block, "--json",
  );
  assert(JSON.parse(logs).some((log) => log.transactionHash === receipt.transactionHash));
  assert.equal(await cast("call", TOKEN, "symbol()(string)"), '"OPEN"');
});

test("a permit signed by cast becomes an allowance", async () => {
  const word = (name) => ({ name, type: "uint256" });
  const deadline = Math.floor(Date.now() / 1000) + 3600;
  const nonce = await cast("call", TOKEN, "nonces(address)(uint256)", erin);
  const data = JSON.stringify({
    types: {
      EIP712Domain: [{ name: "name", type: "string" }, { name: "version", type: "string" }, word("chainId"), { name: "verifyingContract", type: "address" }],
      Permit: [{ name: "owner", type: "address" }, { name: "spender", type: "address" }, word("value"), word("nonce"), word("deadline")],
    },
    domain: { name: "OpenLedger", version: "1", chainId: CHAIN_ID, verifyingContract: TOKEN },
    primaryType: "Permit",
    message: { owner: erin, spender: frank, value: "41", nonce, deadline: String(deadline) },
  });
  const signature = (await run(binary, ["wallet", "sign", "--data", data, ...key])).stdout.trim();
  const [r, s, v] = [signature.slice(0, 66), `0x${signature.slice(66, 130)}`, String(parseInt(signature.slice(130), 16))];
  const permit = "permit(address,address,uint256,uint256,uint8,bytes32,bytes32)";
  const receipt = JSON.parse(await cast("send", TOKEN, permit, erin, frank, "41", String(deadline), v, r, s, "--json", ...key));
  assert.equal(receipt.status, "0x1");
  assert.equal(await cast("call", TOKEN, "allowance(address,address)(uint256)", erin, frank), "41");
});

test("cast shows a refused call's custom error", async () => {
  const pauper = account(9_995).address;
  const call = cast("call", TOKEN, "transfer(address,uint256)", frank, "1", "--from", pauper);
  // 0xe450d38c is ERC20InsufficientBalance(address,uint256,uint256).
  await assert.rejects(call, (error) => /e450d38c|ERC20InsufficientBalance/.test(error.stderr));
});
