import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { sha256 } from "../../src/core/crypto/index.ts";
import { drip, HostileServer, type Trick } from "../support/hostile-server.ts";
import { LightProcess } from "../support/light.ts";
import { type Net, startNet, until } from "../support/net.ts";
import { convictedAt, startTuned } from "../support/repute.ts";

const mib = 1024 * 1024;
const large = randomBytes(5 * mib + 77);
const middling = randomBytes(200_000);

/** How a mirror fails; the verifying proxy must make each of them invisible. */
const faults: Readonly<Record<string, (evil: HostileServer) => Trick>> = {
  corrupt: (evil) => async (request, response) => {
    const { bytes, status, headers } = await evil.pass(request);
    if (bytes.length > 0) bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1;
    response.writeHead(status, headers).end(bytes);
    return true;
  },
  truncated: (evil) => async (request, response) => {
    const { bytes, status, headers } = await evil.pass(request);
    response.writeHead(status, { ...headers, "content-length": bytes.length });
    response.write(bytes.subarray(0, bytes.length >> 1));
    await sleep(5);
    response.destroy();
    return true;
  },
  slow: () => (_, response) => {
    response.writeHead(200, { "content-type": "application/json" });
    drip(response);
    return true;
  },
  "endless data": () => (_, response) => {
    const pour = (): void => {
      while (!response.destroyed && response.write(Buffer.alloc(65_536, "x")));
      response.once("drain", pour);
    };
    response.writeHead(200, { "content-type": "application/octet-stream" });
    pour();
    return true;
  },
  "errors only": () => (_, response) => {
    response.writeHead(500).end("no");
    return true;
  },
};

describe("smalti light", () => {
  let net: Net;
  let work: string;
  let light: LightProcess | undefined;
  before(async () => {
    net = await startNet({ writers: 4, readers: 1 });
    work = await mkdtemp(join(tmpdir(), "smalti-light-test-"));
    await publish({
      "a.txt": "first\n",
      "deep/er/index.html": "<p>index</p>",
      "deep/list/b": "b",
      "large.bin": large,
      "middling.bin": middling,
      empty: "",
    });
    await net.agree(1);
  });
  afterEach(async () => {
    await light?.end();
    for (const server of hostile.splice(0)) await server.close();
  });
  after(async () => {
    await net.stop();
    await rm(work, { recursive: true, force: true });
  });

  const hostile: HostileServer[] = [];
  async function opened(): Promise<HostileServer> {
    const server = await HostileServer.open(net.host("r0").http);
    hostile.push(server);
    return server;
  }

  async function publish(files: Readonly<Record<string, string | Uint8Array>>): Promise<void> {
    const source = await mkdtemp(join(work, "source-"));
    for (const [name, content] of Object.entries(files)) {
      await mkdir(join(source, name, ".."), { recursive: true });
      await writeFile(join(source, name), content);
    }
    await net.must("publish", source, "demo");
  }

  const at = (path: string, init: RequestInit = {}): Promise<Response> =>
    fetch(`${light?.url}${path}`, { ...init, signal: AbortSignal.timeout(60_000) });
  const digestAt = async (path: string): Promise<string> => {
    const answer = await at(path);
    assert.equal(answer.status, 200, `${path}: ${answer.status}`);
    return sha256(new Uint8Array(await answer.arrayBuffer()));
  };

  /** All kinds of answers, right to the byte. */
  async function isRight(): Promise<void> {
    assert.equal(await (await at("/demo/a.txt")).text(), "first\n");
    assert.equal(await (await at("/@1/demo/a.txt")).text(), "first\n");
    assert.equal(await digestAt("/demo/large.bin"), sha256(large));
    assert.equal(await digestAt("/demo/middling.bin"), sha256(middling));
    assert.equal((await at("/demo/nothing")).status, 404);
  }

  test("answers as a reader does: pages, redirects, ranges, conditions, absence", async () => {
    light = await LightProcess.start(net, [net.host("r0").http]);
    const reader = net.host("r0").http;
    await isRight();
    const requests: readonly (readonly [string, RequestInit])[] = [
      ["/", {}],
      ["/demo", { redirect: "manual" }],
      ["/demo/", {}],
      ["/demo/deep/er/", {}],
      ["/demo/deep/list/", {}],
      ["/demo/empty", {}],
      ["/demo/a.txt/", {}],
      ["/@9/demo/a.txt", {}],
      ["/demo/%ff", {}],
      ["/demo/a.txt", { method: "HEAD" }],
      ["/demo/a.txt", { method: "POST" }],
      ["/demo/a.txt", { headers: { range: "bytes=1-2" } }],
      ["/demo/a.txt", { headers: { range: "bytes=90-" } }],
      ["/demo/large.bin", { headers: { range: "bytes=262140-1048999" } }],
      ["/demo/large.bin", { headers: { range: "bytes=-1000" } }],
      ["/demo/a.txt", { headers: { "if-none-match": `"${sha256(Buffer.from("first\n"))}"` } }],
    ];
    for (const [path, init] of requests) {
      const [ours, theirs] = [await at(path, init), await fetch(`${reader}${path}`, init)];
      assert.equal(ours.status, theirs.status, path);
      for (const name of [
        "etag",
        "content-type",
        "content-range",
        "content-length",
        "location",
        "repr-digest",
      ])
        if (name !== "content-length" || !path.endsWith("/"))
          assert.equal(ours.headers.get(name), theirs.headers.get(name), `${path}: ${name}`);
      const [mine, their] = [await ours.arrayBuffer(), await theirs.arrayBuffer()];
      if (ours.status < 300 && !path.endsWith("/"))
        assert.deepEqual(Buffer.from(mine), Buffer.from(their), path);
    }
    await light.end();
  });

  test("whoever begins with nothing but a genesis has his first bytes after three requests", async () => {
    const server = await opened();
    const asked: string[] = [];
    server.trick = (request) => {
      asked.push(`${request.method} ${request.url}`);
      return false;
    };
    light = await LightProcess.start(net, [server.url], { state: join(work, "newcomer") });
    assert.equal(await (await at("/demo/a.txt")).text(), "first\n");
    assert.ok(asked.length <= 3, asked.join("\n"));
  });

  for (const [name, trick] of Object.entries(faults))
    test(`a first mirror that is ${name} is invisible`, async () => {
      const evil = await opened();
      light = await LightProcess.start(net, [evil.url, net.host("r0").http], {
        state: join(work, `state ${name}`),
      });
      evil.trick = trick(evil);
      await isRight();
      await isRight();
      const { servers, liars } = await light.status();
      assert.deepEqual(
        servers.map(({ url }) => url),
        [net.host("r0").http, evil.url],
        "it is asked last",
      );
      if (name === "corrupt") assert.equal(liars[0]?.server, evil.url);
    });

  test("a dead one too; and a liar is remembered over a restart", async () => {
    const evil = await opened();
    const state = join(work, "state corrupt again");
    const servers = ["http://127.0.0.1:9", evil.url, net.host("r0").http];
    light = await LightProcess.start(net, servers, { state });
    const flip = faults["corrupt"];
    assert.ok(flip);
    evil.trick = flip(evil);
    await isRight();
    await light.end();
    // It does not lie any more, and nothing but the memory speaks against it.
    evil.trick = () => false;
    light = await LightProcess.start(net, servers, { state });
    const { liars, servers: order } = await light.status();
    assert.deepEqual(
      liars.map(({ server }) => server),
      [evil.url],
    );
    assert.equal(order.at(-1)?.url, evil.url);
  });

  test("only liars: refused with the reason, nothing wrong is passed on", async () => {
    const evil = await opened();
    light = await LightProcess.start(net, [evil.url], { state: join(work, "alone") });
    evil.trick = async (request, response) => {
      if (!/blob|demo\/(a|mid)/.test(request.url ?? "") || /proof/.test(request.url ?? ""))
        return false;
      return faults["corrupt"]?.(evil)(request, response) ?? false;
    };
    for (const path of ["/demo/a.txt", "/demo/middling.bin", "/demo/large.bin"]) {
      const answer = await at(path);
      assert.equal(answer.status, 502, path);
      assert.match(await answer.text(), /VERIFICATION_FAILED.*refused/);
      assert.equal(answer.headers.get("etag"), null);
    }
  });

  test("stale mirrors: the newest of all is served; all stale, what was seen is not unseen", async () => {
    const frozen = await opened();
    const old = await (await fetch(`${net.host("r0").http}/.smalti/head`)).text();
    const state = join(work, "stale");
    light = await LightProcess.start(net, [frozen.url, net.host("r0").http], { state });
    frozen.trick = (request, response) => {
      if (!(request.url ?? "").startsWith("/.smalti/head")) return false;
      response.writeHead(200, { "content-type": "application/json" }).end(old);
      return true;
    };
    await publish({ "a.txt": "second\n" });
    await net.agree(2);
    await until(
      async () => (await (await at("/demo/a.txt")).text()) === "second\n",
      20_000,
      "the newest is served",
    );
    await light.end();
    // Its reader has gone on to the second height: it serves the first, and calls nobody a liar.
    light = await LightProcess.start(net, [frozen.url], { state: join(work, "behind") });
    assert.equal(await (await at("/demo/a.txt")).text(), "first\n");
    assert.deepEqual((await light.status()).liars, []);
    await light.end();
    const again = await LightProcess.start(net, [frozen.url], { state }).catch(
      (error: unknown) => error,
    );
    assert.ok(again instanceof Error, "it has seen something newer");
    assert.match(again.message, /ROLLED_BACK/);
    assert.equal((again as { exitCode?: number }).exitCode, 4);
    const limit = { state: join(work, "fresh"), args: ["--max-age", "0s"] };
    await sleep(2500);
    const strict = await LightProcess.start(net, [frozen.url], limit).catch(
      (error: unknown) => error,
    );
    assert.ok(strict instanceof Error);
    assert.match(strict.message, /STALE/);
  });
});

describe("smalti light before a reader that signs its lies", () => {
  test("the lie becomes a proof, and convicts", async () => {
    const net = await startTuned({ writers: 4, readers: 2 }, ({ host }) =>
      host.name === "r1" ? '\n[unsafe]\nlie = "corrupt"\n' : "",
    );
    let light: LightProcess | undefined;
    try {
      const source = await mkdtemp(join(net.directory, "source-"));
      await writeFile(join(source, "a.txt"), "right\n");
      await net.must("publish", source, "demo");
      await net.agree(1);
      light = await LightProcess.start(net, [net.host("r1").http, net.host("r0").http]);
      assert.equal(await (await fetch(`${light.url}/demo/a.txt`)).text(), "right\n");
      const key = (await net.host("r1").status()).nodeKey;
      await convictedAt([net.host("r0"), ...net.writers], key);
      const { liars } = await light.status();
      assert.equal(liars[0]?.isProven, true);
    } finally {
      await light?.end();
      await net.stop();
    }
  });
});
