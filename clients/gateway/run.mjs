// Starts a development gateway and runs stock clients against it, unmodified. `npm run gateway` is this.
//
// GATEWAY_BIN                the program (default: ../target/debug/examples/development, built by
//                            `cargo build -p gateway --example development`)
// OPENLEDGER_REQUIRE_ALL=1   fail, and not skip, when Python is missing
//
// Against a gateway that already runs: GATEWAY='{"gateway": …}' node --test gateway/*.test.mjs (see x402.test.mjs).
//
// Arguments are names of tests to run (`npm run gateway -- openai x402 python`); none means all.

import { spawn, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const here = fileURLToPath(new URL(".", import.meta.url));
const wanted = process.argv.slice(2);
const isWanted = (name) => wanted.length === 0 || wanted.includes(name);
const program = process.env.GATEWAY_BIN ?? join(here, "../../target/debug/examples/development");
if (!existsSync(program)) throw new Error("no gateway: run `cargo build -p gateway --example development`, or set GATEWAY_BIN");

/** Starts a gateway; it ends when its standard input does. */
function start(...args) {
  const child = spawn(program, args, { stdio: ["pipe", "pipe", "inherit"] });
  return new Promise((resolve, reject) => {
    child.once("exit", (code) => reject(new Error(`the gateway ended with ${code}`)));
    createInterface({ input: child.stdout }).once("line", (line) => {
      const stop = () => new Promise((done) => child.once("exit", done) && child.stdin.end());
      resolve({ ...JSON.parse(line), stop });
    });
  });
}

const run = (command, args, env) =>
  new Promise((resolve) => {
    const child = spawn(command, args, { cwd: here, stdio: "inherit", env: { ...process.env, ...env } });
    child.once("error", () => resolve(127));
    child.once("exit", (code) => resolve(code ?? 1));
  });

/** The Python with the openai package in it; made on first use. */
function python() {
  const inside = join(here, ".venv/bin/python");
  if (spawnSync(inside, ["-c", "import openai"]).status === 0) return inside;
  const made = spawnSync("python3", ["-m", "venv", join(here, ".venv")]).status === 0;
  const install = ["-m", "pip", "install", "--quiet", "-r", join(here, "requirements.txt")];
  return made && spawnSync(inside, install).status === 0 ? inside : null;
}

let failed = 0;
for (const free of [true, false]) {
  const gateway = await start(...(free ? ["--free"] : []));
  const env = { GATEWAY: JSON.stringify(gateway) };
  const tests = free ? ["openai"] : ["x402", "openai"];
  for (const name of tests.filter(isWanted)) {
    failed += (await run(process.execPath, ["--test", "--test-reporter=spec", `${name}.test.mjs`], env)) === 0 ? 0 : 1;
  }
  if (free && isWanted("python")) {
    const interpreter = python();
    if (interpreter) failed += (await run(interpreter, ["openai_client.py"], env)) === 0 ? 0 : 1;
    else {
      process.stderr.write("skipped: openai for Python (Python 3 with venv, or the package index, is missing)\n");
      failed += process.env.OPENLEDGER_REQUIRE_ALL ? 1 : 0;
    }
  }
  await gateway.stop();
}
process.exit(failed === 0 ? 0 : 1);
