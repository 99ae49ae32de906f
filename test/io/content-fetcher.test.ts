import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { ContentFetcher } from "../../src/app/node/content.ts";
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
