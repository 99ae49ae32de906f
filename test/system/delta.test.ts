import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { sha256 } from "../../src/core/crypto/index.ts";
import { type HostProcess, type Net, startNet, until } from "../support/net.ts";
import { type Publisher, publisherOf } from "../support/publisher.ts";

const wholeBytes = 24 * 1024 * 1024;
const moved = 1024 * 1024;

describe("large files of which a part changed", () => {
  let net: Net;
  let publisher: Publisher;
  let directory: string;
  let hosts: readonly HostProcess[];
  before(async () => {
    net = await startNet({ writers: 4, readers: 1 });
    hosts = [...net.writers, ...net.readers];
    publisher = await publisherOf(net);
    directory = await mkdtemp(join(tmpdir(), "smalti-delta-"));
  });
  after(async () => {
    await net.stop();
    await rm(directory, { recursive: true, force: true });
  });

  const file = (): string => join(directory, "data.bin");

  /** Bytes of content that a host fetched from all others. */
  async function fetched(host: HostProcess): Promise<number> {
    let sum = 0;
    const text = await (await fetch(`${host.host.admin}/metrics`)).text();
    for (const [, value] of text.matchAll(/^smalti_sync_bytes_total\{.*\} (\S+)$/gm))
      sum += Number(value);
    return sum;
  }

  async function publish(): Promise<void> {
    await net.agree(await publisher.publish(directory, "delta"), 30_000);
  }

  async function isEverywhere(): Promise<void> {
    const expected = sha256(await readFile(file()));
    for (const host of hosts) {
      const response = await fetch(`${host.http}/delta/data.bin`);
      assert.equal(sha256(Buffer.from(await response.arrayBuffer())), expected, host.host.name);
    }
  }

  test("an insertion, an append, a cut and a patch move little and arrive whole", async (t) => {
    await writeFile(file(), randomBytes(wholeBytes));
    await publish();
    await isEverywhere();
    const edits: Record<string, (bytes: Buffer) => Buffer> = {
      insertion: (bytes) =>
        Buffer.concat([
          bytes.subarray(0, wholeBytes / 2),
          randomBytes(1024),
          bytes.subarray(wholeBytes / 2),
        ]),
      append: (bytes) => Buffer.concat([bytes, randomBytes(5000)]),
      cut: (bytes) => Buffer.from(bytes.subarray(1_000_000)),
      patch: (bytes) =>
        Buffer.concat([bytes.subarray(0, 7_000_000), randomBytes(10), bytes.subarray(7_000_010)]),
    };
    for (const [name, edit] of Object.entries(edits)) {
      const before = await Promise.all(hosts.map(fetched));
      await writeFile(file(), edit(await readFile(file())));
      await publish();
      await isEverywhere();
      const bytes = (await Promise.all(hosts.map(fetched))).map((sum, i) => sum - (before[i] ?? 0));
      t.diagnostic(`${name}: ${bytes.join(", ")} bytes fetched`);
      for (const sum of bytes) assert.ok(sum < moved, `${name}: a host fetched ${sum} bytes`);
    }
  });

  test("a patch upon the wrong base, or with wrong ends, is refused, and the whole is taken after it", async () => {
    const old = sha256(await readFile(file()));
    const bytes = randomBytes(500_000);
    const digest = sha256(bytes);
    const { update, bytes: list } = publisher.sign({
      tree: "delta",
      baseHeight: 0,
      changes: [
        {
          path: "other.bin",
          leaf: { kind: "file", digest, size: bytes.length, executable: false },
          expect: "absent",
        },
      ],
    });
    const at = `${net.writers[0]?.http}/.smalti/v1/updates`;
    const stream = { "content-type": "application/vnd.smalti.stream" };
    const call = (path: string, method: string, body?: Uint8Array, headers = stream) =>
      fetch(`${at}${path}`, {
        method,
        headers,
        ...(body === undefined ? {} : { body: Buffer.from(body) }),
      });
    const binary = { "content-type": "application/octet-stream" };
    assert.equal((await call("", "POST", update.wire, binary)).status, 200);
    assert.equal((await call(`/${update.id}/changes`, "PUT", list)).status, 200);
    const put = (query: string, body: Uint8Array) =>
      call(`/${update.id}/blobs/${digest}?${query}`, "PUT", body);
    const cases: readonly (readonly [string, Uint8Array, string])[] = [
      [`base=${old}&prefix=1000&suffix=0`, bytes.subarray(1000), "BLOB_CORRUPT"],
      [`base=${old}&prefix=0&suffix=99999999999`, bytes, "INCOMPLETE"],
      [`base=${digest}&prefix=1&suffix=0`, bytes.subarray(1), "INCOMPLETE"],
      [`base=${old}&prefix=-1&suffix=0`, bytes, "BAD_REQUEST"],
      ["base=zz&prefix=1&suffix=0", bytes, "BAD_REQUEST"],
    ];
    for (const [query, body, code] of cases) {
      const response = await put(query, body);
      assert.ok(response.status >= 400, query);
      assert.equal(((await response.json()) as { code: string }).code, code, query);
    }
    assert.equal((await put("offset=0", bytes)).status, 200);
    assert.equal((await fetch(`${at}/${update.id}/submit`, { method: "POST" })).status, 200);
    await until(
      async () => (await fetch(`${net.writers[3]?.http}/delta/other.bin`)).status === 200,
      20_000,
      "it is published",
    );
  });
});
