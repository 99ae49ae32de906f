import assert from "node:assert/strict";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { homeOf } from "../../src/app/config/index.ts";
import type { MirrorRow } from "../../src/app/gateway/index.ts";
import { appendVia } from "../support/load.ts";
import { type HostProcess, type Net, type Ran, smalti, until } from "../support/net.ts";
import {
  convictedAt,
  evidenceOf,
  opinionsOf,
  publishFiles,
  startTuned,
} from "../support/repute.ts";

const asked = { headers: { "accept-signature": 'sig1=();nonce="abcdefgh12345678"' } };

describe("readers that answer wrongly under their own signature", () => {
  let net: Net;
  let work: string;
  const url = (name: string, path: string): string => `${net.host(name).http}/demo/${path}`;

  before(async () => {
    const liars = new Map([["r0", "corrupt"] as const, ["r1", "stale"] as const]);
    net = await startTuned({ writers: 4, readers: 4, liars }, ({ host }, { testnet }) => {
      if (host.name !== "r3") return "";
      const [first, second] = ["r0", "w0"].map((name) =>
        testnet.hosts.find((one) => one.name === name),
      );
      return `\n[sync]\nfrom = ["${first?.http}", "${second?.http}"]\n`;
    });
    work = join(net.directory, "work");
    await mkdir(work);
    await publishFiles(net, "demo", { "a.txt": "old\n", "sub/b.txt": "b\n" });
    await publishFiles(net, "demo", { "a.txt": "new and right\n", "sub/b.txt": "b\n" });
    await net.agree(2);
  });
  after(() => net.stop());

  const collect = (...args: string[]): Promise<Ran> =>
    smalti(["evidence", "collect", ...args], { home: net.directory, cwd: work });

  test("an answer is signed for who asks, and for nobody else", async () => {
    for (const path of ["a.txt", "none.txt"]) {
      const signed = await fetch(url("r2", path), asked);
      assert.match(signed.headers.get("signature") ?? "", /^sig1=:[\w+/=]{88}:$/, path);
      const input = signed.headers.get("signature-input") ?? "";
      assert.match(input, /^sig1=\(.*\);.*nonce="abcdefgh12345678"/);
      assert.equal(signed.headers.get("smalti-height"), "2");
      const plain = await fetch(url("r2", path));
      assert.equal(plain.headers.get("signature"), null);
      assert.equal(plain.headers.get("signature-input"), null);
    }
    for (const bad of ["=", 'sig1=();nonce="\u00e9"', "sig1=();nonce=7", "=".repeat(2000)]) {
      const headers = { "accept-signature": bad };
      const odd = await fetch(url("r2", "a.txt"), { headers });
      assert.equal(odd.headers.get("signature"), null, bad.slice(0, 30));
      assert.ok(odd.ok, bad.slice(0, 30));
    }
  });

  test("an honest reader's answers are right: a file, none, an escaped path", async () => {
    for (const path of ["a.txt", "sub/b.txt", "none", "sub/none/x", "a%2Etxt"]) {
      const ran = await collect(url("r2", path));
      assert.equal(ran.code, 0, `${path}: ${ran.stdout}${ran.stderr}`);
      assert.match(ran.stdout, /^right/, path);
    }
  });

  test("where nothing is signed, nothing is proven", async () => {
    for (const path of ["", "sub/", "../.smalti/head"]) {
      const ran = await collect(url("r2", path));
      assert.notEqual(ran.code, 0, path);
      assert.notEqual(ran.code, 6, path);
    }
  });

  for (const name of ["r0", "r1"]) {
    test(`${name} is convicted everywhere by its own signature`, async () => {
      const out = join(work, `${name}.evidence`);
      const ran = await collect(url(name, "a.txt"), "--submit", "--out", out);
      assert.equal(ran.code, 6, ran.stdout + ran.stderr);
      const { nodeKey } = await net.host(name).status();
      for (const row of await convictedAt([...net.hosts.values()], nodeKey)) {
        assert.deepEqual([row.role, row.kind, row.count], ["reader", "wrong-answer", 1]);
      }
      const ids = (await evidenceOf(net.host("w2"))).map(({ id }) => id);
      const verified = await net.must("evidence", "verify", out, "-o", "json");
      assert.ok(ids.includes((JSON.parse(verified) as { id: string }).id));
      assert.ok((await readFile(out)).length < 32_768);
      const told = await net.must("opinion", "explain", nodeKey.slice(0, 16));
      assert.match(told, /^corrupt: .*wrong-answer/);
    });
  }

  test("a client avoids a convicted reader, says so, and succeeds", async () => {
    for (const name of ["r0", "r1"]) {
      const liar = net.host(name).http;
      const out = join(work, `out-${name}`);
      const ran = await net.run("get", "demo", out, "--from", liar, net.host("r2").http);
      assert.equal(ran.code, 0, ran.stderr);
      assert.match(ran.stderr, new RegExp(`refused ${liar}`));
      assert.equal(await readFile(join(out, "a.txt"), "utf8"), "new and right\n");
      assert.equal(ran.stderr.split(`refused ${liar}`).length, 2, "said once");
    }
  });

  test("a reader that has it among its sources stops using it", async () => {
    const r3 = net.host("r3");
    const from = net.host("r0").http;
    const isAvoided = async (): Promise<boolean> =>
      (await opinionsOf(r3)).own.some(
        ({ about, opinion }) => about === from && opinion === "corrupt",
      );
    await until(isAvoided, 15_000, "r3 thinks that r0 is corrupt");
    const fetchedBefore = await r3.metric(`smalti_sync_bytes_total{peer="${from}"}`);
    // It may still wait for the last answer that it asked for.
    await publishFiles(net, "demo", { "a.txt": "newer\n" });
    await publishFiles(net, "demo", { "a.txt": "newest\n" });
    await net.agree(4);
    const { upstream } = await r3.status();
    assert.equal(upstream, net.host("w0").http);
    assert.equal(await r3.metric(`smalti_sync_bytes_total{peer="${from}"}`), fetchedBefore);
    assert.equal(await (await fetch(url("r3", "a.txt"))).text(), "newest\n");
  });

  test("the list of mirrors says who is convicted, and its short form leaves them out", async () => {
    const [host, liar, honest] = ["w2", "r0", "r2"].map((name) => net.host(name));
    assert.ok(host !== undefined && liar !== undefined && honest !== undefined);
    await host.end();
    const { configFile } = homeOf(host.host.home);
    const text = await readFile(configFile, "utf8");
    const mirrors = `[http]\nmirrors = ["${liar.http}", "${honest.http}/"]\n`;
    await writeFile(configFile, text.replace("[http]\n", mirrors));
    await host.start();
    const rows = async (): Promise<readonly MirrorRow[]> => {
      const response = await fetch(`${host.http}/.smalti/mirrors.json`);
      return ((await response.json()) as { mirrors: readonly MirrorRow[] }).mirrors;
    };
    const problemOf = async ({ http }: HostProcess): Promise<string | undefined> =>
      (await rows()).find(({ url: at }) => at === http)?.problem;
    await until(
      async () => (await problemOf(honest)) === undefined,
      10_000,
      "the honest one is asked",
    );
    assert.equal(await problemOf(liar), "convicted");
    const short = await (await fetch(`${host.http}/.smalti/mirrors.txt`)).text();
    assert.ok(short.includes(`${honest.http}/\n`) && !short.includes(liar.http), short);
    assert.ok(short.includes(net.host("w0").http), "writers serve too");
  });

  test("nobody honest is accused of anything", async () => {
    const { convicted } = await opinionsOf(net.host("w1"));
    const keys = await Promise.all(
      ["r0", "r1"].map(async (name) => (await net.host(name).status()).nodeKey as string),
    );
    assert.deepEqual(new Set(convicted.map(({ key }) => key as string)), new Set(keys));
  });
});

/** A network of four writers, the last of which lies. */
async function withLiar(lie: "withhold" | "corrupt"): Promise<Net> {
  return startTuned({ writers: 4, readers: 1, liars: new Map([["w3", lie]]) }, () => "");
}

describe("a writer that withholds its blocks", () => {
  let net: Net;
  before(async () => {
    net = await withLiar("withhold");
  });
  after(() => net.stop());

  test("the network goes on, and nobody is convicted", async () => {
    const writers: HostProcess[] = net.writers;
    for (const writer of writers) await appendVia(writer, `through ${writer.host.name}`);
    const startedMs = Date.now();
    for (let i = 0; i < 40; i++) await appendVia(net.host("w1"), `m ${i}`);
    // It is no measurement: each would take seconds if it were waited for.
    assert.ok(Date.now() - startedMs < 60_000, "40 appends in a minute");
    await publishFiles(net, "demo", { "a.txt": "a\n" });
    await net.agree(1);
    for (const at of net.hosts.values()) assert.deepEqual((await opinionsOf(at)).convicted, []);
  });
});

describe("a writer that says it has what it cannot show", () => {
  let net: Net;
  before(async () => {
    net = await withLiar("corrupt");
  });
  after(() => net.stop());

  test("its wrong answer to a challenge convicts it", async () => {
    const honest = ["w0", "w1", "w2", "r0"].map((name) => net.host(name));
    const isConvicted = async (): Promise<boolean> =>
      (await opinionsOf(net.host("w0"))).convicted.length > 0;
    // One of the others is asked by chance: each publish convicts it with a chance of 19 in 27.
    for (let i = 0; i < 20 && !(await isConvicted()); i++) {
      await publishFiles(net, "demo", { "small.txt": `${i}\n`, "big.bin": "x".repeat(5000 + i) });
      await sleep(1100);
    }
    for (const row of await convictedAt(honest, "w3")) assert.equal(row.kind, "false-possession");
    const { convicted } = await opinionsOf(net.host("r0"));
    assert.deepEqual(
      convicted.map(({ host }) => host),
      ["w3"],
    );
    const [row] = await evidenceOf(net.host("w1"));
    const file = join(net.directory, "possession.evidence");
    await net.must("evidence", "export", row?.id ?? "", "--out", file);
    assert.match(await net.must("evidence", "verify", file), /false-possession/);
  });
});
