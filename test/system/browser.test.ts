import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { type Browser, chromium } from "playwright-core";
import { FaultyMirror } from "../support/faulty-mirror.ts";
import { type Net, startNet } from "../support/net.ts";
import { needTools } from "../support/tools.ts";

const entry = fileURLToPath(new URL("../../src/app/browser/index.js", import.meta.url));
/** What a page has to load to verify, compressed. */
const gzipBytesMax = 48 * 1024;

/** A download page as anybody could write it: its genesis is built in, the mirror is whoever is named. */
const page = `<!doctype html><meta charset="utf-8"><title>download</title><p id="result">…</p>
<script type="module">
import { fetchVerified, genesisOf } from "./client.js";
const network = genesisOf(await (await fetch("./genesis.json")).text());
const mirror = new URLSearchParams(location.search).get("mirror");
let said;
try {
  const got = await fetchVerified(network, mirror, "demo/file.bin");
  said = got.ok ? "right: " + new TextDecoder().decode(got.value.bytes) : "refused: " + got.error.code;
} catch (error) {
  said = "failed: " + error;
}
document.getElementById("result").textContent = said;
</script>
`;

describe("a real browser verifies a download page", () => {
  let net: Net;
  let work: string;
  let mirror: FaultyMirror;
  let browser: Browser;

  before(async () => {
    needTools("chromium");
    work = await mkdtemp(join(tmpdir(), "smalti-browser-"));
    net = await startNet({ writers: 4, readers: 1 });
    const [site, demo] = [await mkdtemp(join(work, "site-")), await mkdtemp(join(work, "demo-"))];
    await build({
      entryPoints: [entry],
      bundle: true,
      format: "esm",
      platform: "browser",
      minify: true,
      outfile: join(site, "client.js"),
      logLevel: "error",
    });
    const genesis = await readFile(join(net.host("w0").host.home, "config", "genesis.json"));
    await writeFile(join(site, "genesis.json"), genesis);
    await writeFile(join(site, "index.html"), page);
    await writeFile(join(demo, "file.bin"), "what was published");
    await net.must("publish", demo, "demo");
    await net.must("publish", site, "site");
    await net.agree(2);
    mirror = await FaultyMirror.open(net.host("r0").http);
    browser = await chromium.launch({
      executablePath: "/usr/bin/chromium",
      args: ["--no-sandbox"],
    });
  });
  after(async () => {
    await browser?.close();
    await mirror?.close();
    await net.stop();
    await rm(work, { recursive: true, force: true });
  });

  async function said(): Promise<string> {
    const tab = await browser.newPage();
    try {
      await tab.goto(`${net.host("r0").http}/site/?mirror=${encodeURIComponent(mirror.url)}`);
      await tab.waitForFunction(
        "document.getElementById('result').textContent !== '…'",
        undefined,
        { timeout: 20_000 },
      );
      return (await tab.textContent("#result")) ?? "";
    } finally {
      await tab.close();
    }
  }

  test("right bytes from an honest mirror, a refusal from one that lies", async () => {
    assert.equal(await said(), "right: what was published");
    mirror.fault = "corrupt";
    assert.match(await said(), /^refused: [A-Z_]+$/);
    mirror.fault = "truncated";
    assert.match(await said(), /^(refused|failed): /);
  });

  test("it is small, and has nothing of Node in it", async () => {
    const [site] = [join(work, "bundle.js")];
    await build({
      entryPoints: [entry],
      bundle: true,
      format: "esm",
      platform: "browser",
      minify: true,
      outfile: site,
      logLevel: "error",
    });
    const bundle = await readFile(site);
    assert.ok(!bundle.includes("node:"), "no built-in of Node");
    const bytes = gzipSync(bundle).length;
    assert.ok(bytes <= gzipBytesMax, `${bytes} bytes`);
  });
});
