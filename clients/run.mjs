// Starts a node, runs every stock client against it, stops the node. `npm test` is this.
//
// OPENLEDGER_BIN       the binary (default: the first there is of ../target/{debug,release}/openledger and the chain crate's
//                      example ../target/debug/examples/node)
// OPENLEDGER_RPC_URL   a node that already runs; none is started
// OPENLEDGER_REQUIRE_ALL=1   fail, and not skip, when Python is missing
//
// Arguments are names of tests to run (`npm test -- x402 viem web3`); none means all.

import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { basename, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const here = fileURLToPath(new URL(".", import.meta.url));
const START_SECONDS = 30;
/** Parameters of the test network. */
const SHORT_TIMES = { least_withdraw_delay_seconds: 2 };
/** Accounts that the tests pay from, and what each needs. */
const [ACCOUNTS, NEEDED] = [10, 2_000n * 10n ** 18n];

const wanted = process.argv.slice(2);
const isWanted = (name) => wanted.length === 0 || wanted.includes(name);

const BINARIES = ["../target/debug/openledger", "../target/release/openledger", "../target/debug/examples/node"];

function binary() {
  const given = process.env.OPENLEDGER_BIN;
  if (given) return resolve(given);
  const found = BINARIES.map((path) => join(here, path)).find(existsSync);
  if (!found) throw new Error("no node binary: run `cargo build` at the repository's root, or set OPENLEDGER_BIN");
  return found;
}

/** How a binary makes a network of one validator, and how it runs it. */
function commands(binary, directory, port, rpcPort) {
  if (basename(binary) !== "openledger") return { init: ["init", directory, "1", port, rpcPort], run: ["run", directory] };
  const init = ["init", "--dev", "--data-dir", directory, "--port", port, "--rpc-port", rpcPort];
  return { init, run: ["node", "--data-dir", directory] };
}

const freePort = () =>
  new Promise((done, reject) => {
    const server = createServer().once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => done(port));
    });
  });

/** Starts a development node on a fresh directory and free ports, with times short enough to wait for. */
async function startNode() {
  const parent = mkdtempSync(join(tmpdir(), "openledger-clients-"));
  const directory = join(parent, "node");
  const [port, rpcPort] = [await freePort(), await freePort()].map(String);
  const [program, { init, run }] = [binary(), commands(binary(), directory, port, rpcPort)];
  const made = spawnSync(program, init, { encoding: "utf8" });
  if (made.status !== 0) throw new Error(`${program} ${init.join(" ")}: ${made.stderr}`);
  const file = join(directory, "genesis.json");
  const genesis = JSON.parse(readFileSync(file, "utf8"));
  genesis.parameters = { ...genesis.parameters, ...SHORT_TIMES };
  writeFileSync(file, JSON.stringify(genesis));
  const child = spawn(program, run, { stdio: ["ignore", "ignore", "pipe"] });
  let said = "";
  child.stderr.on("data", (text) => (said = (said + text).slice(-4000)));
  const stop = () =>
    new Promise((done) => {
      const remove = () => done(rmSync(parent, { recursive: true, force: true }));
      if (child.exitCode !== null) return remove();
      child.once("exit", remove);
      child.kill("SIGTERM");
      setTimeout(() => child.kill("SIGKILL"), 10_000).unref();
    });
  return { url: `http://127.0.0.1:${rpcPort}`, stop, failure: () => (child.exitCode === null ? null : `the node ended: ${said}`), said: () => said };
}

async function answers(url) {
  try {
    const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method: "eth_blockNumber", params: [] });
    const response = await fetch(url, { method: "POST", headers: { "content-type": "application/json" }, body });
    return BigInt((await response.json()).result) > 0n;
  } catch {
    return false;
  }
}

async function waitFor(node) {
  for (const end = Date.now() + START_SECONDS * 1000; Date.now() < end; ) {
    if (await answers(node.url)) return;
    if (node.failure()) throw new Error(node.failure());
    await new Promise((done) => setTimeout(done, 100));
  }
  throw new Error(`no block from ${node.url} within ${START_SECONDS} s. It said: ${node.said()}`);
}

/** Gives every test account something, so that any development genesis will do. */
async function fund() {
  const { account, publicClient, walletOf } = await import("./scene.mjs");
  for (let index = 1; index < ACCOUNTS; index++) {
    const to = account(index).address;
    if ((await publicClient.getBalance({ address: to })) >= NEEDED) continue;
    const hash = await walletOf(0).sendTransaction({ to, value: NEEDED });
    await publicClient.waitForTransactionReceipt({ hash });
  }
}

const run = (command, args) =>
  new Promise((done) => {
    const child = spawn(command, args, { cwd: here, stdio: "inherit" });
    child.once("error", () => done(127));
    child.once("exit", (code) => done(code ?? 1));
  });

/** The Python with web3.py in it; made on first use. */
function python() {
  const inside = join(here, ".venv/bin/python");
  if (spawnSync(inside, ["-c", "import web3"]).status === 0) return inside;
  const made = spawnSync("python3", ["-m", "venv", join(here, ".venv")]).status === 0;
  const install = ["-m", "pip", "install", "--quiet", "-r", join(here, "requirements.txt")];
  return made && spawnSync(inside, install).status === 0 ? inside : null;
}

async function runAll() {
  const tests = readdirSync(here).filter((name) => name.endsWith(".test.mjs") && isWanted(name.split(".")[0]));
  let failed = 0;
  if (tests.length > 0) failed += (await run(process.execPath, ["--test", "--test-reporter=spec", ...tests])) === 0 ? 0 : 1;
  if (!isWanted("web3")) return failed;
  const interpreter = python();
  if (interpreter) return failed + ((await run(interpreter, ["web3_client.py"])) === 0 ? 0 : 1);
  process.stderr.write("skipped: web3.py (Python 3 with venv, or the package index, is missing)\n");
  return failed + (process.env.OPENLEDGER_REQUIRE_ALL ? 1 : 0);
}

const given = process.env.OPENLEDGER_RPC_URL;
const node = given ? { url: given, stop: async () => {}, failure: () => null, said: () => "" } : await startNode();
let failed = 1;
try {
  process.env.OPENLEDGER_RPC_URL = node.url;
  await waitFor(node);
  await fund();
  failed = await runAll();
  if (failed > 0 && node.said()) process.stderr.write(`the node said: ${node.said()}\n`);
} finally {
  await node.stop();
}
process.exit(failed === 0 ? 0 : 1);
