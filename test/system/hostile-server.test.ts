import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import {
  exportTree,
  MirrorClient,
  planPublish,
  publishChanges,
  scanDirectory,
} from "../../src/app/client/index.ts";
import { drip, HostileServer, on, pour } from "../support/hostile-server.ts";
import { type Net, startNet } from "../support/net.ts";
import { type Publisher, publisherOf } from "../support/publisher.ts";

const mib = 1024 * 1024;

async function within<T>(ms: number, work: Promise<T>, what: string): Promise<T> {
  const late = sleep(ms, undefined, { ref: false }).then(() => {
    throw new Error(`${what} took more than ${ms} ms`);
  });
  return Promise.race([work, late]);
}

describe("hostile servers against the client", () => {
  let net: Net;
  let work: string;
  let publisher: Publisher;
  let evil: HostileServer;
  let oldHead: string;
  const large = randomBytes(2 * mib);
  const honest = (): string => net.host("w1").http;
  const client = (...servers: string[]): MirrorClient =>
    new MirrorClient({
      trust: publisher.trust,
      servers: servers.length > 0 ? servers : [evil.url, honest()],
    });
  /** The whole tree through a hostile server and an honest one: right, or not at all. */
  const download = async (): Promise<{ client: MirrorClient; out: string }> => {
    const reading = client();
    const head = await client(honest()).head();
    const out = await mkdtemp(join(work, "out-"));
    await exportTree(reading, await reading.leaves(head, "demo"), { directory: out });
    assert.ok((await readFile(join(out, "large"))).equals(large));
    assert.equal(await readFile(join(out, "small"), "utf8"), "small, newer\n");
    return { client: reading, out };
  };

  before(async () => {
    net = await startNet({ writers: 4, readers: 0, logLevel: "warn" });
    publisher = await publisherOf(net);
    work = await mkdtemp(join(tmpdir(), "smalti-evil-"));
    await mkdir(join(work, "src", "sub"), { recursive: true });
    for (const name of ["small", "sub/a", "sub/b"])
      await writeFile(join(work, "src", name), `${name}\n`);
    await writeFile(join(work, "src", "large"), large);
    await net.agree(await publisher.publish(join(work, "src"), "demo"));
    oldHead = await (await fetch(`${honest()}/.smalti/head`)).text();
    await writeFile(join(work, "src", "small"), "small, newer\n");
    await net.agree(await publisher.publish(join(work, "src"), "demo"));
    evil = await HostileServer.open(honest());
  });
  afterEach(() => {
    evil.trick = () => false;
  });
  after(async () => {
    await evil.close();
    await net.stop();
    await rm(work, { recursive: true, force: true });
  });

  /** Bends the proof of the newest state. */
  const bendHead = (bend: (proof: Record<string, unknown>) => unknown): void => {
    evil.trick = on(/head/, async (request, response) => {
      const { bytes } = await evil.pass(request);
      response.end(JSON.stringify(bend(JSON.parse(bytes.toString()) as Record<string, unknown>)));
    });
  };

  test("false proofs are refused, the server is named, and the honest one is used", async () => {
    const checkpoint =
      (edit: (lines: string[]) => string[]) => (proof: Record<string, unknown>) => ({
        ...proof,
        checkpoint: edit(String(proof["checkpoint"]).split("\n")).join("\n"),
      });
    const bends: Readonly<Record<string, (proof: Record<string, unknown>) => unknown>> = {
      "two signatures of three": checkpoint((lines) => [...lines.slice(0, 6), ""]),
      "one signature thrice": checkpoint((lines) => [
        ...lines.slice(0, 4),
        lines[4] ?? "",
        lines[4] ?? "",
        lines[4] ?? "",
        "",
      ]),
      "forged signatures": checkpoint((lines) =>
        lines.map((line) => (line.startsWith("—") ? line.replace(/.{8}$/, "AAAAAAA=") : line)),
      ),
      "another network": checkpoint((lines) => [`${lines[0]}x`, ...lines.slice(1)]),
      "another size": checkpoint((lines) => [lines[0] ?? "", "999", ...lines.slice(2)]),
      "another index": (proof) => ({ ...proof, leafIndex: Number(proof["leafIndex"]) - 1 }),
      "another time's body": (proof) => ({ ...proof, body: JSON.parse(oldHead).body }),
      "no proof": (proof) => ({ ...proof, proof: [] }),
      "a long proof": (proof) => ({ ...proof, proof: Array(64).fill(`${"A".repeat(43)}=`) }),
      "an array": () => [],
      null: () => null,
      "a number": () => 5,
    };
    for (const [name, bend] of Object.entries(bends)) {
      bendHead(bend);
      const reading = client();
      const head = await within(5000, reading.head(), name);
      assert.equal(head.height, 2, name);
      assert.deepEqual(
        reading.lies.map(({ server }) => server),
        [evil.url],
        name,
      );
      await assert.rejects(client(evil.url).head(), { code: "VERIFICATION_FAILED" }, name);
    }
  });

  test("an old state under the newest checkpoint is not taken for the newest", async () => {
    evil.trick = on(/\.smalti\/head$/, async (_, response) => {
      const old = await fetch(`${honest()}/.smalti/head?height=1`);
      response.end(await old.text());
    });
    await assert.rejects(client(evil.url).head(), /not the newest under its checkpoint/);
    const reading = client();
    assert.equal((await reading.newestHead()).height, 2);
    assert.deepEqual(
      reading.lies.map(({ code }) => code),
      ["NOT_NEWEST"],
    );
    assert.equal((await client(evil.url).head(1)).height, 1, "asked for, it is right");
  });

  test("a proof of something else, a wrong chunk, a wrong list of chunks: refused", async () => {
    const honestly = client(honest());
    const head = await honestly.head(2);
    const file = await honestly.entry(head, "demo", "large");
    assert.ok(file.kind === "file" && file.chunks !== undefined);
    const chunked = { ...file, chunks: file.chunks };
    const list = await honestly.chunkList(chunked);
    assert.equal((await honestly.chunks(chunked, list, { first: 1, count: 2 })).length, 524_288);

    evil.trick = on(/proof\/2\/demo\/small/, async (_, response) => {
      response.end(await (await fetch(`${honest()}/.smalti/proof/2/demo/large`)).text());
    });
    await assert.rejects(client(evil.url).proof("demo/small", 2), { code: "VERIFICATION_FAILED" });
    evil.trick = on(/proof\/2\/demo\/small/, async (_, response) => {
      response.end(await (await fetch(`${honest()}/.smalti/proof/1/demo/small`)).text());
    });
    await assert.rejects(client(evil.url).proof("demo/small", 2), { code: "VERIFICATION_FAILED" });
    evil.trick = on(/blob|chunks/, async (request, response) => {
      const { bytes, status, headers } = await evil.pass(request);
      bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1;
      response.writeHead(status, headers).end(bytes);
    });
    const lied = client(evil.url);
    // A list is its publisher's word: refused, and nobody is called a liar for it yet.
    await assert.rejects(lied.chunkList(chunked), /its list of chunks is not the tree's/);
    const place = { first: 0, count: 3 };
    await assert.rejects(lied.chunks(chunked, list, place), /the bytes are not those in the list/);
    assert.deepEqual(lied.lies, []);
    lied.judgeChunks(chunked.digest, true);
    assert.deepEqual(
      lied.lies.map(({ server }) => server),
      [evil.url],
      "once the whole is known to be right, who sent other bytes lied",
    );
  });

  test("a stale head does not hold back, and the proof of another height is refused", async () => {
    bendHead(() => JSON.parse(oldHead));
    assert.equal((await client().newestHead()).height, 2);
    await assert.rejects(client(evil.url).head(2), { code: "VERIFICATION_FAILED" });
  });

  test("answers without end or form: bounded, then the honest server", async () => {
    const shapes: Readonly<Record<string, Parameters<typeof on>[1]>> = {
      garbage: (_, response) => void response.end("{not json"),
      endless: async (_, response) =>
        void (await pour(response, Buffer.alloc(mib, 0x20), 200 * mib)),
      "an endless error": async (_, response) => {
        response.writeHead(500);
        await pour(response, Buffer.alloc(mib, 0x20), 200 * mib);
      },
      redirect: (_, response) =>
        void response.writeHead(302, { location: "http://127.0.0.1:1/" }).end(),
      cut: (_, response) => {
        response.writeHead(200, { "content-length": "1000" });
        response.write("{");
        response.socket?.resetAndDestroy();
      },
    };
    for (const [name, play] of Object.entries(shapes)) {
      evil.trick = on(/head/, play);
      assert.equal((await within(8000, client().head(), name)).height, 2, name);
    }
  });

  test("a server that drips cannot hold a client for ever", async () => {
    evil.trick = on(/head/, (_, response) => drip(response));
    assert.equal((await within(20_000, client().newestHead(), "a dripping head")).height, 2);
  });

  test("directory nodes that are wrong are refused", async () => {
    evil.trick = on(/nodes/, async (request, response) => {
      const { bytes } = await evil.pass(request);
      bytes.writeUInt8(bytes.readUInt8(bytes.length - 1) ^ 1, bytes.length - 1);
      response.end(bytes);
    });
    const { client: reading } = await within(8000, download(), "download");
    assert.equal(reading.lies[0]?.server, evil.url);
  });

  test("what nobody asked for, again and again, is refused at once", async () => {
    for (const route of [/nodes/, /v1\/blobs/]) {
      let sent = 0;
      evil.trick = on(route, async (request, response) => {
        const { bytes } = await evil.pass(request);
        const many = Buffer.concat(
          Array.from({ length: Math.ceil(mib / bytes.length) }, () => bytes),
        );
        sent += await pour(response, many, 150 * mib);
      });
      await within(20_000, download(), `download (${route})`);
      assert.ok(
        sent < 20 * mib,
        `${route}: the client took ${Math.round(sent / mib)} MiB of the same thing`,
      );
    }
  });

  test("bulk items of an impossible length, or cut short", async () => {
    const head = Buffer.alloc(36, 1);
    head.writeUInt32BE(0xffff_ffff, 32);
    for (const body of [
      head,
      head.subarray(0, 20),
      Buffer.concat([Buffer.alloc(32), Buffer.from([0, 0, 0, 9, 1])]),
    ]) {
      evil.trick = on(/v1\/(blobs|nodes)/, (_, response) => void response.end(body));
      await within(8000, download(), "download");
    }
  });

  test("a large file: wrong, endless, or with an end that is missing", async () => {
    const shapes: Readonly<Record<string, Parameters<typeof on>[1]>> = {
      wrong: (_, response) => void response.end(Buffer.alloc(large.length, 1)),
      endless: async (_, response) => void (await pour(response, Buffer.alloc(mib, 1), 100 * mib)),
      short: (_, response) => void response.end(large.subarray(0, mib)),
    };
    for (const [name, play] of Object.entries(shapes)) {
      evil.trick = on(/blob\/sha256/, play);
      await within(8000, download(), name);
    }
  });

  test("wrong bytes and then a cut: the honest server is not blamed for what another began", async () => {
    evil.trick = on(/blob\/sha256/, (_, response) => {
      response.writeHead(200, { "content-length": String(large.length) });
      response.write(Buffer.alloc(mib, 1), () => response.destroy());
    });
    const { client: reading } = await within(8000, download(), "download");
    assert.ok(
      !reading.lies.some(({ server }) => server === honest()),
      "an honest server is not called a liar",
    );
  });

  /** A new file, through a hostile writer first. */
  const publishThrough = async (writers: readonly string[]): Promise<number> => {
    const directory = await mkdtemp(join(work, "pub-"));
    await writeFile(join(directory, "file"), randomBytes(20));
    const local = await scanDirectory(directory);
    const plan = planPublish({
      tree: "pub",
      baseHeight: 0,
      differences: [...local].map(([path, { leaf }]) => ({ path, before: undefined, after: leaf })),
      delete: false,
    });
    const changes = plan.changes.map((change) => ({ ...change, expect: "anything" as const }));
    const { trust, key } = publisher;
    const published = await publishChanges({
      trust,
      writers,
      signer: key.signer,
      plan: { ...plan, changes },
      local,
    });
    return published.verified.height;
  };

  test("a writer that refuses without reason does not censor: another takes it", async () => {
    for (const status of [400, 403, 409, 413]) {
      evil.trick = on(/updates/, (_, response) => {
        response.writeHead(status).end(JSON.stringify({ code: "NOT_PERMITTED", message: "no" }));
      });
      assert.ok((await within(10_000, publishThrough([evil.url, honest()]), `${status}`)) > 2);
    }
  });

  test("a writer that never has enough does not hold a publisher for ever", async () => {
    evil.trick = on(/missing/, async (request, response) => {
      const { bytes } = await evil.pass(request);
      const { missing } = JSON.parse(bytes.toString()) as { missing: unknown[] };
      if (missing.length > 0) stuck = missing;
      response.end(JSON.stringify({ missing: stuck }));
    });
    let stuck: unknown[] = [];
    assert.ok((await within(10_000, publishThrough([evil.url, honest()]), "a greedy writer")) > 2);
  });

  test("what a server says reaches the terminal without control characters", async () => {
    evil.trick = on(/./, (_, response) => {
      response
        .writeHead(500)
        .end(JSON.stringify({ code: "X", message: "\u001b[2J\u001b]0;owned\u0007" }));
    });
    const ran = await net.run("get", "demo", join(work, "never"), "--from", evil.url);
    assert.notEqual(ran.code, 0);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not reach a terminal
    assert.doesNotMatch(ran.stdout + ran.stderr, /[\u0007\u001b]/);
  });
});
