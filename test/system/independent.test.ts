import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { networkOf } from "../../src/core/committee/index.ts";
import { dag } from "../../src/core/dag/index.ts";
import { loadGenesis } from "../../src/index.ts";
import { HostileServer, on } from "../support/hostile-server.ts";
import { appendVia } from "../support/load.ts";
import { type Net, startNet, until } from "../support/net.ts";
import { publishFiles } from "../support/repute.ts";
import { needTools, runTool } from "../support/tools.ts";

const source = fileURLToPath(new URL("../../../test/support/verify-log/main.go", import.meta.url));

describe("a verifier that knows nothing of smalti: the Go checksum database's", () => {
  let net: Net;
  let work: string;
  let verifier: string;
  let cosigners: readonly string[];
  const base = (): string => `${net.host("r0").http}/.smalti`;

  before(async () => {
    needTools("go");
    work = await mkdtemp(join(tmpdir(), "smalti-go-"));
    verifier = join(work, "verify-log");
    const env = {
      ...process.env,
      GO111MODULE: "off",
      GOPATH: "/usr/share/gocode",
      GOCACHE: join(work, "cache"),
    };
    const built = await runTool("go", ["build", "-o", verifier, source], {
      env,
      timeoutMs: 300_000,
    });
    assert.equal(built.code, 0, built.stderr);
    net = await startNet({ writers: 4, readers: 1 });
    const network = await loadGenesis(join(net.host("r0").host.home, "config", "genesis.json"));
    assert.ok(networkOf(network.genesis, [dag]).ok);
    cosigners = network.cosigners.map(({ name, key }) => `${name}=${key}`);
  });
  after(async () => {
    await net.stop();
    await rm(work, { recursive: true, force: true });
  });

  const verify = (url: string, ...args: string[]) =>
    runTool(verifier, ["-url", url, "-quorum", "3", ...args, ...cosigners]);

  test("verifies checkpoint, tiles and entries over more than one tile, and that the log only grew", async () => {
    const append = async (times: number): Promise<void> => {
      for (let i = 0; i < times; i++)
        await Promise.all(net.writers.map((writer) => appendVia(writer, `message ${i}`)));
    };
    const sizeOf = async (): Promise<number> => (await net.host("r0").status()).logSize;
    await publishFiles(net, "demo", { "a.txt": "a" });
    await until(async () => (await sizeOf()) > 0, 30_000, "a checkpoint");
    const older = join(work, "older");
    await writeFile(older, await (await fetch(`${base()}/checkpoint`)).text());
    for (let height = 2; (await sizeOf()) <= 300 && height < 30; height++) {
      await append(25);
      await publishFiles(net, "demo", { "a.txt": `${height}` });
      await net.agree(height);
    }
    assert.ok((await sizeOf()) > 256, "a full tile and a partial one");
    const ran = await verify(base(), "-since", older);
    assert.equal(ran.code, 0, ran.stderr);
    assert.match(ran.stdout, /leaves are the beginning of \d+ entries, all in place/);
  });

  test("refuses a lying server: tile, entry, checkpoint", async () => {
    const lies = [
      ["tile/0/", /downloaded inconsistent tile|entry \d+/],
      ["tile/entries/", /entry \d+/],
      ["checkpoint", /checkpoint/],
    ] as const;
    for (const [path, told] of lies) {
      const evil = await HostileServer.open(net.host("r0").http);
      evil.trick = on(new RegExp(path), async (request, response) => {
        const { bytes, status, headers } = await evil.pass(request);
        const at = path === "checkpoint" ? bytes.indexOf("\n") + 1 : bytes.length - 1;
        bytes[at] = (bytes[at] ?? 0) ^ 1;
        response.writeHead(status, headers).end(bytes);
      });
      const ran = await verify(`${evil.url}/.smalti`);
      await evil.close();
      assert.notEqual(ran.code, 0, path);
      assert.match(ran.stderr, told);
    }
    const few = ["-url", base(), "-quorum", "3", ...cosigners.slice(2)];
    assert.match((await runTool(verifier, few)).stderr, /[12] valid cosignatures, 3 are needed/);
  });
});
