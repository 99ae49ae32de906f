import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { afterEach, beforeEach, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { crc32 } from "node:zlib";
import { ContentFetcher } from "../../src/app/replication/content.ts";
import { sha256 } from "../../src/core/crypto/index.ts";
import { changesDigest, encodeChanges } from "../../src/core/mirror/index.ts";
import {
  type FileBlobStore,
  type LmdbStateStore,
  openBlobStore,
  openStateStore,
} from "../../src/io/storage/index.ts";

const silent = (): void => undefined;
const quiet = { debug: silent, info: silent, warn: silent, error: silent };
const content = Buffer.from("what nobody has");
const leaf = {
  kind: "file",
  digest: sha256(content),
  size: content.length,
  executable: false,
} as const;
const list = encodeChanges({
  tree: "t",
  baseHeight: 0,
  changes: [{ path: "a", leaf, expect: "absent" }],
});
const ref = { digest: changesDigest(list), bytes: list.length };

describe("a large file of which a part changed", () => {
  let directory: string;
  let index: LmdbStateStore;
  let blobs: FileBlobStore;
  let server: Server;
  let fetcher: ContentFetcher;
  /** What the source was asked for, in order: paths, and ranges where there are any. */
  let asked: string[];
  /** How often it says that it does not have the blob. */
  let lacksFor: number;
  const old = randomBytes(3_000_000);
  const changed = Buffer.concat([
    old.subarray(0, 1_500_000),
    randomBytes(100),
    old.subarray(1_500_000),
  ]);
  const [oldDigest, digest] = [sha256(old), sha256(changed)];
  const patch = encodeChanges({
    tree: "t",
    baseHeight: 0,
    changes: [
      {
        path: "a",
        leaf: { kind: "file", digest, size: changed.length, executable: false },
        expect: "anything",
      },
    ],
  });
  const patchRef = { digest: changesDigest(patch), bytes: patch.length };

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "smalti-content-"));
    index = await openStateStore(join(directory, "state"));
    blobs = await openBlobStore(join(directory, "blobs"), index);
    await blobs.putSmall([{ digest: patchRef.digest, bytes: patch }]);
    await blobs.putLarge({ digest: oldDigest, size: old.length, offset: 0 }, Readable.from([old]));
    asked = [];
    server = createServer((request, response) => answer(request, response));
    await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
    const source = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    fetcher = new ContentFetcher({ blobs, sources: () => [source], log: quiet, onBytes: silent });
  });
  afterEach(async () => {
    fetcher.stop();
    server.closeAllConnections();
    server.close();
    await blobs.close();
    await index.close();
    await rm(directory, { recursive: true, force: true });
  });

  function answer(request: IncomingMessage, response: ServerResponse): void {
    const range = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "");
    asked.push(
      `${request.url?.endsWith("/sums") ? "sums" : "bytes"}${range === null ? "" : " of a part"}`,
    );
    if (lacksFor-- > 0) {
      response.statusCode = 404;
      return void response.end(JSON.stringify({ code: "NOT_FOUND", message: "not yet" }));
    }
    if (request.url?.endsWith("/sums")) return void response.end(JSON.stringify(sumsOf(changed)));
    const [start, end] =
      range === null ? [0, changed.length] : [Number(range[1]), Number(range[2]) + 1];
    response.statusCode = range === null ? 200 : 206;
    response.end(changed.subarray(start, end));
  }

  function sumsOf(bytes: Buffer): object {
    const chunkBytes = 65_536;
    const sums = Buffer.alloc(4 * Math.ceil(bytes.length / chunkBytes));
    for (let at = 0; at < bytes.length; at += chunkBytes)
      sums.writeUInt32BE(crc32(bytes.subarray(at, at + chunkBytes)), (4 * at) / chunkBytes);
    return { size: bytes.length, chunkBytes, sums: sums.toString("base64") };
  }

  const bring = (): Promise<Uint8Array | undefined> =>
    fetcher.ensure(patchRef, { before: () => oldDigest });

  test("a source that gets it between two questions is not asked for the whole", async () => {
    lacksFor = 1;
    assert.ok((await bring()) !== undefined);
    assert.deepEqual(asked, ["sums", "sums", "bytes of a part"]);
    assert.equal(blobs.size(digest), changed.length);
  });

  test("what is wanted twice comes once", async () => {
    lacksFor = 0;
    const again = fetcher.ifThere(new Map([[digest, changed.length]]));
    await Promise.all([bring(), again]);
    assert.equal(asked.filter((what) => what.startsWith("bytes")).length, 1, asked.join());
    assert.equal(blobs.size(digest), changed.length);
  });

  test("where nobody ever says what is alike, the whole is fetched", async () => {
    lacksFor = 3;
    assert.ok((await bring()) !== undefined);
    assert.deepEqual(asked, ["sums", "sums", "sums", "bytes"]);
    assert.equal(blobs.size(digest), changed.length);
  });
});

describe("content that no source has", () => {
  let directory: string;
  let index: LmdbStateStore;
  let blobs: FileBlobStore;
  let server: Server;
  let asked = 0;
  let fetcher: ContentFetcher;

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "smalti-content-"));
    index = await openStateStore(join(directory, "state"));
    blobs = await openBlobStore(join(directory, "blobs"), index);
    await blobs.putSmall([{ digest: ref.digest, bytes: list }]);
    asked = 0;
    // A source that answers at once and has nothing.
    server = createServer((request, response) => {
      asked++;
      request.resume();
      response.end();
    });
    await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
    const source = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    fetcher = new ContentFetcher({
      blobs,
      sources: () => [source],
      log: quiet,
      onBytes: () => undefined,
    });
  });
  afterEach(async () => {
    fetcher.stop();
    server.closeAllConnections();
    server.close();
    await blobs.close();
    await index.close();
    await rm(directory, { recursive: true, force: true });
  });

  const until = async (isTrue: () => boolean): Promise<void> => {
    for (let i = 0; i < 500 && !isTrue(); i++) await sleep(10);
    assert.ok(isTrue());
  };

  test("is not looked for any more once nobody wants it", async () => {
    let isWanted = true;
    const brought = fetcher.ensure(ref, { isWanted: () => isWanted });
    await until(() => asked > 0);
    isWanted = false;
    assert.equal(await brought, undefined);
    const before = asked;
    await sleep(700);
    assert.equal(asked, before);
  });

  test("is looked for on behalf of another one who wants it still", async () => {
    let isWanted = true;
    const first = fetcher.ensure(ref, { isWanted: () => isWanted });
    const second = fetcher.ensure(ref, {});
    await until(() => asked > 0);
    isWanted = false;
    assert.equal(await first, undefined);
    const before = asked;
    await until(() => asked > before);
    await blobs.putSmall([{ digest: leaf.digest, bytes: content }]);
    assert.ok(Buffer.from((await second) ?? []).equals(list));
  });

  test("is noticed when a publisher brings it here", async () => {
    const brought = fetcher.ensure(ref, {});
    await until(() => asked > 0);
    await blobs.putSmall([{ digest: leaf.digest, bytes: content }]);
    assert.ok(Buffer.from((await brought) ?? []).equals(list));
  });

  test("two updates with one list wait for the same", async () => {
    const both = [fetcher.ensure(ref, {}), fetcher.ensure(ref, {})];
    await until(() => asked > 0);
    await blobs.putSmall([{ digest: leaf.digest, bytes: content }]);
    for (const brought of await Promise.all(both)) assert.ok(brought !== undefined);
  });
});
