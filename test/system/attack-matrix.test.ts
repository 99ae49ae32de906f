import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { appendFile, mkdtemp, readFile, rm } from "node:fs/promises";
import type { IncomingMessage } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { markOf } from "../../src/app/client/high-water.ts";
import {
  exportTree,
  type HighWaterMark,
  type MarkStore,
  MirrorClient,
} from "../../src/app/client/index.ts";
import { put } from "../support/ecosystem.ts";
import { drip, HostileServer, pour, type Trick } from "../support/hostile-server.ts";
import { type Net, startNet, until } from "../support/net.ts";
import { type Publisher, publisherOf } from "../support/publisher.ts";
import { startTuned } from "../support/repute.ts";

/** The attacks of the TUF specification (§1.5.2) on a client of mirrors. */
const attacks = [
  "rollback",
  "freeze",
  "mix-and-match",
  "split view",
  "endless data",
  "slow drip",
  "fast-forward",
] as const;
type Attack = (typeof attacks)[number];

/** What they are played on, by the requests that ask for it. */
const resources = {
  root: /\/\.smalti\/head/,
  checkpoint: /\/\.smalti\/head/,
  manifest: /\/\.smalti\/v1\/nodes/,
  proof: /\/\.smalti\/proof\//,
  chunk: /\/\.smalti\/(v1\/blobs|blob\/)/,
  tile: /\/\.smalti\/tile\//,
} as const;
type Resource = keyof typeof resources;

const mib = 1024 * 1024;
/** More than any answer may have. */
const endlessBytes = 512 * mib;
const patienceMs = 1500;
/** Writers vouch each second here; what is older is stale. */
const maxAgeS = 12;
/** In a case nothing waits for longer than a few patiences one after the other. */
const caseMs = 60_000;

type Head = Record<string, unknown>;

/** Where the reason must be the one, and not some other. */
const reasons: Readonly<Record<string, RegExp>> = {
  "rollback × root": /this client has seen height 2: they are behind, or hold it back/,
  "freeze × root": /vouched/,
};

describe("every attack on everything that a client asks for", { concurrency: 8 }, () => {
  let net: Net;
  let elsewhere: Net;
  let work: string;
  let publisher: Publisher;
  /** A reader that stands still at height 1. */
  let frozen: string;
  let honest: string;
  let memory: HighWaterMark;
  let newest: HighWaterMark;
  /** Honest answers by resource, of which each is right for one request only. */
  const recorded = new Map<Resource, Buffer[]>();
  const evils: HostileServer[] = [];
  const large = randomBytes(mib);
  const outcomes = new Map<string, string>();

  before(async () => {
    net = await startTuned({ writers: 4, readers: 1, logLevel: "warn" }, ({ host }) =>
      host.role === "writer" ? "\n[consensus]\nlease_every_s = 1\n" : "",
    );
    elsewhere = await startNet({ writers: 1, readers: 0, logLevel: "warn" });
    publisher = await publisherOf(net);
    work = await mkdtemp(join(tmpdir(), "smalti-attacks-"));
    const source = join(work, "source");
    for (const name of ["small", "a/one", "b/two"]) await put(join(source, name), `${name}\n`);
    await put(join(source, "large"), large);
    await net.agree(await publisher.publish(source, "demo"));
    const reader = net.host("r0");
    const home = join(reader.host.home, "config", "config.toml");
    await reader.end();
    await appendFile(home, '\n[sync]\nfrom = ["http://127.0.0.1:9"]\n');
    await reader.start();
    [frozen, honest] = [reader.http, net.host("w1").http];
    const frozenMs = Date.now();
    const first = new MirrorClient({ trust: publisher.trust, servers: [honest] });
    memory = markOf(await first.newestHead());
    await put(join(source, "small"), "small, newer\n");
    await publisher.publish(source, "demo");
    const other = await publisherOf(elsewhere);
    await put(join(source, "small"), "small, elsewhere\n");
    await other.publish(source, "demo");
    const recorder = await HostileServer.open(honest);
    evils.push(recorder);
    recorder.trick = async (request, response) => {
      const { bytes, status, headers } = await recorder.pass(request);
      for (const [resource, url] of Object.entries(resources) as [Resource, RegExp][])
        if (url.test(request.url ?? ""))
          recorded.set(resource, [...(recorded.get(resource) ?? []), bytes]);
      response.writeHead(status, headers).end(bytes);
      return true;
    };
    assert.equal(await outcome([recorder.url], "rollback"), "right bytes");
    newest = markOf(
      await new MirrorClient({ trust: publisher.trust, servers: [honest] }).newestHead(),
    );
    // Old heads, for whoever wants to mix.
    await fetch(`${recorder.url}/.smalti/head?height=1`);
    await fetch(`${recorder.url}/.smalti/proof/2/demo/large`);
    const old = Buffer.from(await (await fetch(`${frozen}/.smalti/head`)).arrayBuffer());
    recorded.set("checkpoint", [...(recorded.get("checkpoint") ?? []), old]);
    await until(
      () => Date.now() > frozenMs + (maxAgeS + 2) * 1000,
      30_000,
      "the frozen one is stale",
    );
    for (const resource of Object.keys(resources))
      assert.ok(recorded.has(resource as Resource), `${resource} was asked for`);
  });
  after(async () => {
    for (const evil of evils) await evil.close();
    await elsewhere?.stop();
    await net?.stop();
    await rm(work, { recursive: true, force: true });
  });

  /** All that a client does with the newest state: finds it, compares it with what it saw, reads it, takes a proof. */
  async function outcome(
    servers: readonly string[],
    attack: Attack,
    hasSeenNewest = false,
  ): Promise<string> {
    // Who was never there before has only the lease to tell him what is old.
    const isNewcomer = attack === "freeze";
    let mark = isNewcomer ? undefined : attack === "rollback" && hasSeenNewest ? newest : memory;
    const marks: MarkStore = {
      read: async () => mark,
      write: async (next) => {
        mark = next;
      },
    };
    const { trust } = publisher;
    const client = new MirrorClient({
      trust,
      servers,
      marks,
      patienceMs,
      ...(isNewcomer ? { maxAgeS } : {}),
    });
    try {
      const head = await client.newestHead();
      const out = await mkdtemp(join(work, "out-"));
      await exportTree(client, await client.leaves(head, "demo"), { directory: out });
      await client.proof("demo/small", head.height);
      const text = await readFile(join(out, "small"), "utf8");
      const isWhole = (await readFile(join(out, "large"))).equals(large);
      return isWhole && text === "small, newer\n" ? "right bytes" : `WRONG BYTES: ${text}`;
    } catch (error) {
      return `refused: ${error instanceof Error ? error.message : String(error)}`;
    }
  }

  const isOf = (resource: Resource, request: IncomingMessage): boolean =>
    resources[resource].test(request.url ?? "");

  const headOf = (bytes: Buffer): Head => JSON.parse(bytes.toString()) as Head;

  /** What an answer of the kind speaks of: the same may be signed by others, or later. */
  function subject(resource: Resource, answer: Buffer): string {
    if (resource === "root") return String(headOf(answer)["height"]);
    if (resource === "checkpoint") return String(headOf(answer)["checkpoint"]).split("\n")[1] ?? "";
    return resource === "proof" ? (answer.toString().split("\n")[1] ?? "") : answer.toString("hex");
  }

  /** Another honest answer than the one to this request, of its kind; parts of it where there is only one. */
  function mixed(resource: Resource, right: Buffer): Buffer {
    const about = subject(resource, right);
    const others = recorded.get(resource) ?? [];
    const other = others.find((one) => one.length > 0 && subject(resource, one) !== about);
    if (other === undefined) return Buffer.concat([right.subarray(right.length >> 1), right]);
    return exchanged(resource, "mix-and-match", right, other);
  }

  /** In a head two resources are parts of one answer. Who rolls back or freezes it does so as a whole. */
  function exchanged(resource: Resource, attack: Attack, right: Buffer, other: Buffer): Buffer {
    const isWhole = resource === "root" && attack !== "mix-and-match";
    if ((resource !== "root" && resource !== "checkpoint") || isWhole) return other;
    const [kept, bent] = [headOf(right), headOf(other)];
    return Buffer.from(
      JSON.stringify(
        resource === "root"
          ? { ...bent, checkpoint: kept["checkpoint"] }
          : { ...kept, checkpoint: bent["checkpoint"] },
      ),
    );
  }

  /** The same, but further on than anything that there is. */
  function forwarded(resource: Resource, bytes: Buffer): Buffer {
    if (resource === "root") {
      const head = headOf(bytes);
      const far = {
        height: Number(head["height"]) + 1e6,
        leafIndex: Number(head["leafIndex"]) + 1e6,
      };
      return Buffer.from(JSON.stringify({ ...head, ...far }));
    }
    if (resource === "checkpoint") {
      const head = headOf(bytes);
      const note = String(head["checkpoint"]).replace(/^(.*\n)(\d+)\n/, "$1999999999\n");
      return Buffer.from(JSON.stringify({ ...head, checkpoint: note }));
    }
    return Buffer.concat([bytes, bytes]);
  }

  /** What another server says to the same request. */
  async function same(base: string, request: IncomingMessage, body: Buffer): Promise<Buffer> {
    const { method = "GET", headers } = request;
    const type = headers["content-type"];
    const answer = await fetch(`${base}${request.url}`, {
      method,
      ...(type === undefined ? {} : { headers: { "content-type": type } }),
      ...(method === "GET" ? {} : { body }),
    });
    return Buffer.from(await answer.arrayBuffer());
  }

  function trickOf(resource: Resource, attack: Attack): Trick {
    return async (request, response) => {
      if (!isOf(resource, request)) return false;
      if (attack === "endless data") {
        response.writeHead(200);
        const sent = await pour(response, Buffer.alloc(65_536, "["), endlessBytes);
        assert.ok(sent < endlessBytes, `a client took ${sent} bytes of ${resource}`);
        return true;
      }
      if (attack === "slow drip") {
        response.writeHead(200);
        drip(response);
        return true;
      }
      const pieces: Buffer[] = [];
      for await (const piece of request) pieces.push(piece as Buffer);
      const right = await same(honest, request, Buffer.concat(pieces));
      const other = async (base: string): Promise<Buffer> =>
        exchanged(resource, attack, right, await same(base, request, Buffer.concat(pieces)));
      const bytes =
        attack === "fast-forward"
          ? forwarded(resource, right)
          : attack === "split view"
            ? await other(elsewhere.host("w0").http)
            : attack === "mix-and-match"
              ? mixed(resource, right)
              : await other(frozen);
      response.writeHead(200).end(bytes);
      return true;
    };
  }

  for (const attack of attacks)
    for (const resource of Object.keys(resources) as Resource[])
      test(`${attack} × ${resource}`, { timeout: caseMs }, async () => {
        const evil = await HostileServer.open(honest);
        evils.push(evil);
        evil.trick = trickOf(resource, attack);
        const memoryBefore = process.memoryUsage().rss;
        const [alone, beside] = [
          await outcome([evil.url], attack, resource !== "tile"),
          await outcome([evil.url, net.host("w2").http], attack, resource !== "tile"),
        ];
        const grown = process.memoryUsage().rss - memoryBefore;
        outcomes.set(`${attack} × ${resource}`, alone);
        // Who has never been there compares nothing, and asks for no tile.
        if (attack === "freeze" && resource === "tile") assert.equal(alone, "right bytes");
        else assert.match(alone, reasons[`${attack} × ${resource}`] ?? /^refused: ./);
        assert.equal(beside, "right bytes", "an honest server beside it");
        assert.ok(grown < 512 * mib, `memory grew by ${grown} bytes`);
      });
});
