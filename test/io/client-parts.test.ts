import assert from "node:assert/strict";
import { lstatSync } from "node:fs";
import { chmod, mkdtemp, readdir, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, test } from "node:test";
import { crc32 } from "node:zlib";
import fc from "fast-check";
import { overlapOf, ScanCache, scanDirectory } from "../../src/app/client/index.ts";
import type { Digest } from "../../src/core/base/index.ts";
import { sha256 } from "../../src/core/crypto/index.ts";

const chunkBytes = 8;

function sumsOf(bytes: Uint8Array): number[] {
  const sums: number[] = [];
  for (let at = 0; at < bytes.length; at += chunkBytes)
    sums.push(crc32(bytes.subarray(at, at + chunkBytes)));
  return sums;
}

describe("what a changed file has in common with what it was", () => {
  const overlap = (remote: Uint8Array, local: Uint8Array) =>
    overlapOf(
      { size: remote.length, chunkBytes, sums: sumsOf(remote) },
      {
        size: local.length,
        read: async (start, end) => {
          assert.ok(start >= 0 && end <= local.length && start <= end, `${start} to ${end}`);
          return local.subarray(start, end);
        },
      },
    );

  test("the ends that are said to be equal are equal and do not meet", async () => {
    // Few different bytes, so that chunks repeat.
    const bytes = fc.uint8Array({ maxLength: 100, max: 1 });
    await fc.assert(
      fc.asyncProperty(bytes, bytes, async (remote, local) => {
        const { prefix, suffix } = await overlap(remote, local);
        assert.ok(prefix + suffix <= Math.min(remote.length, local.length));
        assert.deepEqual(remote.subarray(0, prefix), local.subarray(0, prefix));
        assert.deepEqual(
          remote.subarray(remote.length - suffix),
          local.subarray(local.length - suffix),
        );
      }),
      { numRuns: 500 },
    );
  });

  test("an insertion, an append, a cut and a patch leave less than two chunks to bring", async () => {
    const whole = Buffer.from(Array.from({ length: 300 }, (_, i) => (i * 37 + (i >> 3)) % 251));
    const changes: Record<string, Buffer> = {
      insertion: Buffer.concat([whole.subarray(0, 150), Buffer.from("new"), whole.subarray(150)]),
      append: Buffer.concat([whole, Buffer.from("more")]),
      cut: whole.subarray(0, 200),
      patch: Buffer.concat([whole.subarray(0, 100), Buffer.from("x"), whole.subarray(101)]),
      same: whole,
    };
    for (const [name, changed] of Object.entries(changes)) {
      const { prefix, suffix } = await overlap(whole, changed);
      const added = Math.max(0, changed.length - whole.length);
      assert.ok(changed.length - prefix - suffix <= added + 2 * chunkBytes, name);
    }
  });
});

describe("what is remembered of files that were read", () => {
  let directory: string;
  let caches: string;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "smalti-scan-"));
    caches = await mkdtemp(join(tmpdir(), "smalti-caches-"));
  });
  afterEach(async () => {
    for (const path of [directory, caches]) await rm(path, { recursive: true, force: true });
  });

  const wrong = sha256(Buffer.from("never in a file"));
  const longAgo = (): Date => new Date(Date.now() - 60_000);

  /** A cache that says `digest` of `file` as it is now, written `laterMs` after its last change. */
  async function remember(digest: Digest, laterMs: number): Promise<void> {
    const cache = await ScanCache.open(caches, directory);
    const stat = lstatSync(join(directory, "file"));
    cache.note("file", stat, { digest });
    const now = Date.now;
    Date.now = () => stat.ctimeMs + laterMs;
    await cache.save().finally(() => {
      Date.now = now;
    });
  }

  async function digestNow(): Promise<string> {
    const cache = await ScanCache.open(caches, directory);
    const { leaf } = (await scanDirectory(directory, { cache })).get("file") ?? assert.fail();
    assert.equal(leaf.kind, "file");
    return leaf.kind === "file" ? leaf.digest : "";
  }

  test("a file that is as it was is not read again", async () => {
    await writeFile(join(directory, "file"), "one");
    await remember(wrong, 10_000);
    assert.equal(await digestNow(), wrong);
  });

  test("one that changed in any way is, and one that may have changed after it was read", async () => {
    const file = join(directory, "file");
    const right = sha256(Buffer.from("two"));
    await writeFile(file, "one");
    await utimes(file, longAgo(), longAgo());
    await remember(wrong, 10_000);
    await writeFile(file, "two");
    await utimes(file, longAgo(), longAgo());
    assert.equal(await digestNow(), right, "same size, times set back");

    await remember(wrong, 10_000);
    await chmod(file, 0o755);
    assert.equal(await digestNow(), right, "another mode");

    await remember(wrong, 100);
    assert.equal(await digestNow(), right, "read right after it was written");
  });

  test("a cache that is no cache is as good as none", async () => {
    await writeFile(join(directory, "file"), "one");
    await remember(wrong, 10_000);
    const cache = await ScanCache.open(caches, directory);
    const known = cache.contentOf("file", lstatSync(join(directory, "file")));
    assert.deepEqual(known, { digest: wrong });
    const [name = ""] = await readdir(caches);
    for (const text of ["", "{", "[]", "null", '{"version":1}', '{"version":1,"writtenMs":9e15}']) {
      await writeFile(join(caches, name), text);
      assert.equal(await digestNow(), sha256(Buffer.from("one")), text);
      await rm(join(caches, name), { force: true });
    }
  });
});
