// Every page of the explorer in Debian's Chromium: the demo runs on a few short texts, then each page that a link leads to is opened at
// the width of a desk and of a phone, in the light and in the dark. `npm run pages` is this.
//
// OPENLEDGER_BIN     the binary (default: the first there is of ../target/{debug,release}/openledger)
// OPENLEDGER_PAGES   pages that are served already, such as http://127.0.0.1:8080; no demo is started
// CHROMIUM           the browser (default: chromium on the path)
// SHOTS              folder for screenshots of one page of each kind
//
// Fails on: a console error, a page or asset that does not load, a picture without an accessible name, a page without exactly one first
// heading, a control without a name, a page wider than the screen, text too pale to read (contrast below 4.5).

import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";
import { createPublicClient, createWalletClient, http } from "viem";
import { mnemonicToAccount } from "viem/accounts";

const here = fileURLToPath(new URL(".", import.meta.url));
const START_SECONDS = 240;
/** Demos that are started until one's answers owe somebody. */
const DEMOS_MAX = 6;
/** Pages of one kind that are opened. */
const OF_EACH_KIND = 3;
const VIEWS = [
  { name: "desk-light", width: 1280, height: 900, colorScheme: "light" },
  { name: "desk-dark", width: 1280, height: 900, colorScheme: "dark" },
  { name: "phone-light", width: 390, height: 844, colorScheme: "light" },
  { name: "phone-dark", width: 390, height: 844, colorScheme: "dark" },
];
/** Kinds that must be there, so that a page that is no longer linked shows. */
const KINDS = ["/", "/block", "/tx", "/address", "/datanets", "/datanet", "/item", "/models", "/model", "/operators", "/settlements", "/parameters", "/answers", "/answer", "/ask", "/search", "/claims"];

const SENTENCES = {
  gardens: "The compost feeds the seedlings before the frost, and the trellis carries tomatoes until the harvest.",
  kitchens: "The dough rests near the oven while garlic, butter and basil simmer in the saucepan.",
  harbours: "The pilot keeps the ketch in the channel until the tide turns and the anchor holds.",
};

function binary() {
  const given = process.env.OPENLEDGER_BIN;
  if (given) return resolve(given);
  const found = ["../../target/debug/openledger", "../../target/release/openledger"].map((path) => join(here, path)).find(existsSync);
  if (!found) throw new Error("no binary: run `cargo build` at the repository's root, or set OPENLEDGER_BIN");
  return found;
}

/** Runs the demo on a few short texts until it serves; the address of its pages. */
async function startDemo() {
  const parent = mkdtempSync(join(tmpdir(), "openledger-pages-"));
  for (const [name, sentence] of Object.entries(SENTENCES)) {
    mkdirSync(join(parent, "data", name), { recursive: true });
    writeFileSync(join(parent, "data", name, "LICENSE.spdx"), "CC-BY-4.0\n");
    const words = sentence.split(" ");
    for (let part = 0; part < 4; part++) {
      // Each document says the same things in an order of its own, so that none is a copy.
      const lines = Array.from({ length: 10 }, (_, line) => words.map((_, i) => words[(i * (part + 2) + line * 3) % words.length]).join(" ") + ".");
      writeFileSync(join(parent, "data", name, `notes-${part}.md`), `# Notes on ${name}, part ${part}\n\n${lines.join("\n\n")}\n`);
    }
  }
  const zero = "127.0.0.1:0";
  const child = spawn(binary(), ["demo", "--data", join(parent, "data"), "--dir", join(parent, "demo"), "--rpc", zero, "--api", zero, "--pages", zero]);
  let said = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (text) => (said += text));
  const stop = () =>
    new Promise((done) => {
      const end = () => done(rmSync(parent, { recursive: true, force: true }));
      if (child.exitCode !== null) return end();
      child.once("exit", end);
      child.kill("SIGTERM");
      setTimeout(() => child.kill("SIGKILL"), 15_000).unref();
    });
  for (const until = Date.now() + START_SECONDS * 1000; Date.now() < until; ) {
    const found = said.match(/pages +(http:\S+)/);
    const node = said.match(/JSON-RPC +(http:\S+)/);
    if (found && node) {
      const mnemonic = readFileSync(join(parent, "demo", "mnemonic"), "utf8").trim();
      return { url: found[1], stop, node: node[1], mnemonic };
    }
    if (child.exitCode !== null) break;
    await new Promise((done) => setTimeout(done, 200));
  }
  await stop();
  throw new Error(`the demo does not serve: ${said.slice(-4000)}`);
}

const kindOf = (path) => `/${path.split("?")[0].split("/")[1] ?? ""}`;

/** What is wrong with the page that is open, in words. */
function faults() {
  const wrong = [];
  const named = (element) => element.getAttribute("aria-label") || element.getAttribute("aria-labelledby") || element.getAttribute("title");
  for (const picture of document.querySelectorAll("svg, img")) {
    const hidden = picture.closest("[aria-hidden=true]") || picture.getAttribute("alt") === "";
    if (!hidden && !named(picture) && !picture.getAttribute("alt")) wrong.push(`a picture without a name: ${picture.outerHTML.slice(0, 80)}`);
    if (picture.tagName === "svg" && !hidden && picture.getAttribute("role") !== "img") wrong.push("a chart that is no picture to a reader");
  }
  for (const control of document.querySelectorAll("input, textarea, button, a")) {
    const name = named(control) || control.textContent.trim() || control.querySelector("img[alt]:not([alt=''])") || control.labels?.length;
    if (!name) wrong.push(`a control without a name: ${control.outerHTML.slice(0, 80)}`);
  }
  if (document.querySelectorAll("h1").length !== 1) wrong.push(`${document.querySelectorAll("h1").length} first headings`);
  const { scrollWidth, clientWidth } = document.documentElement;
  if (scrollWidth > clientWidth) wrong.push(`wider than the screen: ${scrollWidth} of ${clientWidth}`);
  // Contrast of text against the nearest opaque background (WCAG 2.2, 1.4.3).
  const channel = (c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
  const colour = (text) => text.match(/[\d.]+/g).map(Number);
  const light = ([r, g, b]) => 0.2126 * channel(r / 255) + 0.7152 * channel(g / 255) + 0.0722 * channel(b / 255);
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const back = colour(getComputedStyle(at).backgroundColor);
      if (back.length < 4 || back[3] === 1) return back;
    }
    return [255, 255, 255];
  };
  for (const element of document.querySelectorAll("main *, header *, footer *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!own || element.closest("svg, mark, .skip")) continue;
    const [a, b] = [light(colour(getComputedStyle(element).color)), light(behind(element))];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < 4.5) wrong.push(`pale text (${contrast.toFixed(1)}): ${element.textContent.trim().slice(0, 40)}`);
  }
  return wrong;
}

async function crawl(browser, url, view, shots) {
  const { name, width, height, colorScheme } = view;
  const context = await browser.newContext({ viewport: { width, height }, colorScheme });
  const page = await context.newPage();
  const wrong = [];
  let at = "/";
  page.on("console", (message) => message.type() === "error" && wrong.push(`${at}: console: ${message.text()}`));
  page.on("pageerror", (error) => wrong.push(`${at}: ${error.message}`));
  page.on("requestfailed", (request) => {
    // The stream of blocks ends with its page.
    if (!request.url().endsWith("/live")) wrong.push(`${at}: ${request.url()} failed`);
  });
  const [waiting, seen, opened] = [["/", "/ask", "/search?q=1"], new Set(), new Map()];
  while (waiting.length > 0) {
    at = waiting.shift();
    const kind = kindOf(at);
    if (seen.has(at) || (opened.get(kind) ?? 0) >= OF_EACH_KIND) continue;
    seen.add(at);
    opened.set(kind, (opened.get(kind) ?? 0) + 1);
    const response = await page.goto(url + at, { waitUntil: "load" });
    if (response.status() !== 200) wrong.push(`${at}: status ${response.status()}`);
    wrong.push(...(await page.evaluate(faults)).map((fault) => `${at}: ${fault}`));
    if (shots && opened.get(kind) === 1) {
      await page.screenshot({ path: join(shots, `${kind.slice(1) || "home"}-${name}.png`), fullPage: true });
    }
    const links = await page.$$eval("a[href^='/']", (anchors) => anchors.map((anchor) => anchor.getAttribute("href")));
    waiting.push(...links);
  }
  await context.close();
  const missing = KINDS.filter((kind) => !opened.has(kind));
  if (missing.length > 0) wrong.push(`no link leads to ${missing.join(", ")}`);
  return { wrong, pages: seen.size };
}

/** Live blocks arrive, a question gets an answer's page, and what is not there says so. */
async function use(browser, url) {
  const page = await browser.newPage();
  await page.goto(url);
  const first = await page.textContent("#blocks tbody tr td");
  await page.waitForFunction((before) => document.querySelector("#blocks tbody tr td").textContent !== before, first, { timeout: 20_000 });
  await page.fill("input[name=question]", "The compost feeds the");
  await Promise.all([page.waitForURL("**/answer/**", { timeout: 60_000 }), page.click("main form button")]);
  assert.ok((await page.textContent("h1")).includes("The compost feeds the"));
  assert.ok(await page.$("main table, .badge.warn"), "the answer says what it owes, or that it owes nobody");
  for (const [path, status] of [["/nothing", 404], ["/answer/zz", 404], ["/item/zz", 404], ["/block/999999999", 404], ["/tx/zz", 400], ["/model/zz", 400], ["/address/zz", 400], ["/claims/zz", 400]]) {
    const response = await page.goto(url + path);
    assert.equal(response.status(), status, path);
    assert.equal(await page.$$eval("h1", (headings) => headings.length), 1, path);
  }
  await page.close();
}

/** A contributor's vested pay is claimed through a wallet in the browser: a provider after EIP-1193 that signs with a key of the demo. */
async function claim(browser, { url, node, mnemonic }) {
  const account = mnemonicToAccount(mnemonic);
  const client = createPublicClient({ transport: http(node) });
  const wallet = createWalletClient({ account, transport: http(node) });
  const chain = await client.getChainId();
  const asked = [];
  const page = await browser.newPage();
  const wrong = [];
  page.on("console", (message) => message.type() === "error" && wrong.push(message.text()));
  page.on("pageerror", (error) => wrong.push(error.message));
  await page.exposeFunction("walletRequest", async ({ method, params }) => {
    asked.push(method);
    if (method === "eth_requestAccounts") return [account.address];
    if (method === "eth_sendTransaction") {
      const [{ from, to, data }] = params;
      assert.equal(from, account.address);
      return wallet.sendTransaction({ to, data, chain: { id: chain, name: "demo", nativeCurrency: { name: "OPEN", symbol: "OPEN", decimals: 18 }, rpcUrls: { default: { http: [node] } } } });
    }
    return client.request({ method, params });
  });
  // Who was paid: half of it vests from then on.
  const payee = await payees(page, url);
  // Without a wallet the page says so, and how to do without.
  await page.goto(`${url}/claims/${payee}`);
  assert.ok((await page.textContent("main")).toLowerCase().includes(`openledger claim ${payee.toLowerCase()}`));
  assert.equal(await page.isVisible("#claim button"), false);
  await page.addInitScript(() => {
    window.ethereum = { request: (call) => window.walletRequest(call) };
  });
  await page.reload();
  const before = await client.getBalance({ address: payee });
  await page.click("#claim button");
  await page.waitForFunction(() => /^(Paid|Not)/.test(document.querySelector("#claim [role=status]")?.textContent ?? ""), null, { timeout: 60_000 });
  assert.match(await page.textContent("#claim [role=status]"), /^Paid/);
  assert.ok((await client.getBalance({ address: payee })) > before, "the payee has more than before, the sender paid the gas");
  assert.ok(["eth_requestAccounts", "eth_chainId", "eth_sendTransaction", "eth_getTransactionReceipt"].every((method) => asked.includes(method)), `${asked}`);
  assert.deepEqual(wrong, []);
  // The form leads to the same page.
  await page.goto(`${url}/claims`);
  await page.fill("input[name=account]", payee);
  await Promise.all([page.waitForURL(new RegExp(`/claims/${payee}$`, "i")), page.click("main form button")]);
  await page.close();
}

/** The first account on an answer's page that has something to claim. */
async function payees(page, url) {
  await page.goto(`${url}/answers`);
  const answers = await page.$$eval("a[href^='/answer/']", (anchors) => anchors.map((anchor) => anchor.getAttribute("href")));
  for (const answer of answers) {
    await page.goto(url + answer);
    const accounts = await page.$$eval("main a[href^='/address/']", (anchors) => anchors.map((anchor) => anchor.getAttribute("href").split("/").pop()));
    for (const account of accounts) {
      await page.goto(`${url}/claims/${account}`);
      if (await page.$("#claim")) return account;
    }
  }
  throw new Error("nobody has anything to claim");
}

/** A demo whose answers owe somebody: the seed of its tiny model is drawn, and with some seeds nothing rises above the noise floor. */
async function startOwing() {
  for (let attempt = 1; ; attempt++) {
    const demo = await startDemo();
    const answers = (await (await fetch(`${demo.url}/answers`)).text()).match(/\/answer\/[\w-]+/g) ?? [];
    const pages = await Promise.all(answers.map(async (answer) => (await fetch(demo.url + answer)).text()));
    if (attempt === DEMOS_MAX || pages.some((page) => page.includes('href="/item/'))) return demo;
    await demo.stop();
  }
}

const given = process.env.OPENLEDGER_PAGES;
const demo = given ? { url: given.replace(/\/$/, ""), stop: async () => {} } : await startOwing();
const executablePath = process.env.CHROMIUM ?? spawnSync("which", ["chromium"], { encoding: "utf8" }).stdout.trim();
let failed = 0;
try {
  const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
  const shots = process.env.SHOTS && resolve(process.env.SHOTS);
  if (shots) mkdirSync(shots, { recursive: true });
  for (const view of VIEWS) {
    const { wrong, pages } = await crawl(browser, demo.url, view, shots);
    for (const fault of wrong) process.stderr.write(`${view.name} ${fault}\n`);
    process.stdout.write(`${view.name}: ${pages} pages, ${wrong.length} faults\n`);
    failed += wrong.length;
  }
  await use(browser, demo.url);
  process.stdout.write("live blocks, a question and missing pages: as they should be\n");
  if (demo.node) {
    await claim(browser, demo);
    process.stdout.write("a claim through a wallet in the browser: paid\n");
  }
  await browser.close();
} catch (error) {
  failed += 1;
  process.stderr.write(`${error.stack}\n`);
} finally {
  await demo.stop();
}
process.exit(failed === 0 ? 0 : 1);
