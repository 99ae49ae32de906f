import assert from "node:assert/strict";
import { appendFile, cp, readdir, rename, rm, stat, truncate } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { Prng } from "../../src/core/base/index.ts";
import { appendVia, checkHistory, Load, readOrder, seedOf } from "../support/load.ts";
import { type HostProcess, type Net, startNet, until } from "../support/net.ts";
import { publishText } from "../support/publishing.ts";
import { flipByte, logFiles, noEvidence, signedBlocks } from "../support/signed-blocks.ts";

const large = Buffer.alloc(600_000, "large content ");
const small = Buffer.from("small content\n");
const files: readonly (readonly [string, Buffer])[] = [
  ["small.txt", small],
  ["large.bin", large],
];

/** Files of a host whose path holds `part`. */
async function filesWith(home: string, part: string): Promise<string[]> {
  const entries = await readdir(home, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((path) => path.includes(part) && !path.endsWith("lock.mdb"));
}

/** Where a host says that it serves: a flipped bit may send it to another port or loopback address. */
function servedAt(host: HostProcess): string {
  return /"http":"([^"]+)".*"msg":"host started"/.exec(host.log)?.[1] ?? host.http;
}

/** Whatever a host answers, what it gives out as content is the honest one. */
async function servesNothingWrong(host: HostProcess, honest: HostProcess): Promise<void> {
  const at = servedAt(host);
  for (const [name, bytes] of files) {
    const response = await fetch(`${at}/tree/${name}`).catch(() => undefined);
    if (response?.status !== 200) continue;
    const got = await response.arrayBuffer().catch(() => undefined);
    if (got === undefined) continue;
    assert.ok(bytes.equals(Buffer.from(got)), `${host.host.name} serves another ${name}`);
  }
  const [ours, theirs] = [await host.tryStatus(at), await honest.status()];
  if (ours === undefined || ours.height !== theirs.height || ours.logSize !== theirs.logSize)
    return;
  assert.deepEqual([ours.stateDigest, ours.root], [theirs.stateDigest, theirs.root]);
}

/** Starts a damaged host: it runs, or it ends with a code of its own and words that say why. */
async function startDamaged(host: HostProcess): Promise<"runs" | "refuses"> {
  host.log = "";
  host.spawn();
  const deadline = Date.now() + 12_000;
  while (host.isRunning && (await host.tryStatus(servedAt(host))) === undefined) {
    assert.ok(Date.now() < deadline, `neither runs nor ends:\n${host.log}`);
    await sleep(50);
  }
  return host.isRunning ? "runs" : "refuses";
}

async function endedWell(host: HostProcess, file: string): Promise<void> {
  const code = await host.exited();
  assert.ok([1, 2, 8].includes(code), `exit code ${code}:\n${host.log}`);
  assert.doesNotMatch(host.log, /Unhandled|uncaught|^\s+at .*\.js:\d+/m, "no stack trace");
  const named = file.includes("data.mdb") ? "/state" : file;
  assert.ok(host.log.includes(named), `the error names ${named}:\n${host.log}`);
}

/** Flipped bits for each kind of file; more with SMALTI_FLIPS. */
const flips = Number(process.env["SMALTI_FLIPS"] ?? 1);

describe("damaged files", () => {
  let net: Net;
  const seed = seedOf("damage");
  const parts = ["/log/", "/guard", "data.mdb", "/packs/", "/large/", ".chunks", "/keys/node"];

  before(async () => {
    net = await startNet({ writers: 4, readers: 1 });
    for (const [name, text] of files) await publishText(net, { tree: "tree", name, text });
    for (let i = 0; i < 20; i++) await appendVia(net.host("w0"), `message ${i}`);
    await net.agree(2);
  });
  after(() => net.stop());

  for (const name of ["w3", "r0"]) {
    for (const part of [...parts, "genesis.json", "config.toml"]) {
      test(`${name}: ${part}`, (t) => damaged(name, part, (text) => t.diagnostic(text)));
    }
  }

  async function damaged(name: string, part: string, say: (text: string) => void): Promise<void> {
    const host = net.host(name);
    const random = new Prng(seed + part.length);
    await host.end();
    const kept = join(net.directory, `kept-${name}`);
    await cp(host.host.home, kept, { recursive: true });
    const found = (await filesWith(host.host.home, part)).filter(
      (path) => part !== "/large/" || !path.endsWith(".chunks"),
    );
    const outcomes: string[] = [];
    for (let i = 0; i < flips; i++) {
      const file = found[random.below(found.length)];
      if (file === undefined) break;
      const offset = random.below((await stat(file)).size);
      await flipByte(file, offset, 1 << random.below(8));
      try {
        outcomes.push(`${offset} ${await bearsDamage(host, file)}`);
      } finally {
        await host.end("SIGKILL");
        await rm(host.host.home, { recursive: true });
        await cp(kept, host.host.home, { recursive: true });
        if (i === flips - 1) await host.start();
      }
    }
    await rm(kept, { recursive: true });
    say(outcomes.join(", "));
  }

  async function bearsDamage(host: HostProcess, file: string): Promise<string> {
    const outcome = await startDamaged(host);
    if (outcome === "refuses") await endedWell(host, file);
    else await sleep(300);
    await servesNothingWrong(host, net.host("w0"));
    if (outcome === "runs") assert.doesNotMatch(host.log, /Unhandled|uncaught/);
    return outcome;
  }

  test("the state removed, as the error advises: rebuilt from the log, and the messages are served", async () => {
    for (const name of ["r0", "w3"]) {
      const host = net.host(name);
      const { messages } = await net.host("w0").status();
      await host.end();
      await rm(join(host.host.home, "data", "state"), { recursive: true });
      await host.start();
      await until(async () => (await host.status()).messages === messages, 10_000, "state rebuilt");
      const order = await readOrder(net.host("w0"), messages);
      assert.deepEqual(await readOrder(host, messages, 4000), order, name);
    }
  });

  test("log tails that a crash tore", async () => {
    const random = new Prng(seed);
    const host = net.host("w2");
    const load = new Load(net, { seed, name: "torn" });
    load.start({ clients: 3 });
    for (let i = 0; i < 4; i++) {
      await sleep(700);
      await host.end("SIGKILL");
      const file = (await logFiles(host.host.home)).at(-1) ?? "";
      const { size } = await stat(file);
      if (i % 2 === 0) await truncate(file, size - random.below(200));
      else await appendFile(file, Buffer.alloc(1 + random.below(500), random.below(256)));
      if ((await startDamaged(host)) === "runs") continue;
      assert.match(host.log, /shorter than it once was/);
      await rename(join(host.host.home, "data"), join(net.directory, `torn-${i}`));
      await host.start();
    }
    await load.stop();
    for (let i = 0; i < 20; i++) await appendVia(net.host("w0"), `on ${i}`);
    await until(async () => (await host.status()).isSigning === true, 20_000, "it signs again");
    await checkHistory(net, [load]);
    await noEvidence(net);
    assert.deepEqual((await signedBlocks(net)).twins, []);
  });
});
