// Starts a gateway with a small model (crates/gateway/examples/stand.rs) and lets stock clients at it, unmodified: the openai packages for JavaScript and Python,
// litellm and curl, directly at a free gateway and through the signer of a prepaid key. STAND_BIN names the built example. Python's packages
// are installed into clients/gateway/.venv; without Python they are skipped, and that is said, unless OPENLEDGER_REQUIRE_ALL=1.

import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const program = process.env.STAND_BIN ?? join(here, "../../target/debug/examples/stand");

const run = async (command, args, env) => {
  const child = spawn(command, args, { cwd: here, stdio: "inherit", env: { ...process.env, ...env } });
  const [code] = await Promise.race([once(child, "exit"), once(child, "error").then(() => [127])]);
  return code === 0;
};

/** The Python with openai and litellm in it; made on first use. */
function python() {
  const inside = process.env.PYTHON ?? join(here, ".venv/bin/python");
  if (spawnSync(inside, ["-c", "import openai, litellm"]).status === 0) return inside;
  const made = spawnSync("python3", ["-m", "venv", join(here, ".venv")]).status === 0;
  const install = ["-m", "pip", "install", "--quiet", "-r", join(here, "requirements.txt")];
  return made && spawnSync(inside, install).status === 0 ? inside : null;
}

function curl({ gateway, key, model }) {
  const body = JSON.stringify({ model, prompt: "lorem ip", max_tokens: 8, temperature: 0 });
  const args = ["-sS", "--fail-with-body", "-H", `Authorization: Bearer ${key}`, "-H", "content-type: application/json", "-d", body];
  const whole = spawnSync("curl", [...args, `${gateway}/v1/completions`], { encoding: "utf8" });
  if (whole.error) return process.stderr.write("skipped: curl is missing\n") > 0 && !process.env.OPENLEDGER_REQUIRE_ALL;
  const good = whole.status === 0 && JSON.parse(whole.stdout).openledger.receipt.startsWith("0x");
  console.log(good ? "curl: passes" : `curl: ${whole.stdout}${whole.stderr}`);
  return good;
}

const stand = spawn(program, [], { stdio: ["pipe", "pipe", "inherit"] });
const [line] = await once(createInterface({ input: stand.stdout }), "line");
const { free, proxy, key, model } = JSON.parse(line);
const interpreter = python();
if (!interpreter) process.stderr.write("skipped: openai and litellm for Python (Python 3 with venv, or the package index, is missing)\n");
let good = Boolean(interpreter) || !process.env.OPENLEDGER_REQUIRE_ALL;
for (const scene of [
  { gateway: free, model, key: "unused", free: true },
  { gateway: proxy, model, key, free: false, signed: true },
]) {
  // litellm would fetch a list of prices first.
  const env = { GATEWAY: JSON.stringify(scene), LITELLM_LOCAL_MODEL_COST_MAP: "True" };
  console.log(scene.free ? "directly, free:" : "through the signer of a prepaid key:");
  good = (await run(process.execPath, ["--test", "--test-reporter=spec", "openai.test.mjs"], env)) && good;
  if (interpreter) good = (await run(interpreter, ["openai_client.py"], env)) && good;
  good = curl(scene) && good;
}
// It settles everything and adds up every unit before it ends.
stand.stdin.end();
const [code] = await once(stand, "exit");
process.exit(good && code === 0 ? 0 : 1);
