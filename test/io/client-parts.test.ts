import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { lstatSync } from "node:fs";
import { chmod, mkdir, mkdtemp, readdir, rm, symlink, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { crc32 } from "node:zlib";
import fc from "fast-check";
import {
  HashPool,
  isLikeLocal,
  overlapOf,
  type Plan,
  planPublish,
  rootOfLeaves,
  ScanCache,
  scanDirectory,
} from "../../src/app/client/index.ts";
import { ServerPool } from "../../src/app/client/server-pool.ts";
import { type Digest, limits, Prng } from "../../src/core/base/index.ts";
import { sha256 } from "../../src/core/crypto/index.ts";
import {
  chunksDigest,
  DirectoryStore,
  differences,
  type Leaf,
} from "../../src/core/mirror/index.ts";

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
    // Few different bytes, or one alone, so that chunks repeat.
    const some = fc.uint8Array({ maxLength: 300, max: 1 });
    const bytes = fc.oneof(
      some,
      fc.nat(300).map((length) => new Uint8Array(length)),
    );
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
    cache.noteFile("file", stat, {
      kind: "file",
      digest,
      size: stat.size,
      executable: false,
    });
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
    const known = cache.leafOf("file", lstatSync(join(directory, "file")));
    assert.equal(known?.digest, wrong);
    const [name = ""] = await readdir(caches);
    for (const text of ["", "{", "[]", "null", '{"version":1}', '{"version":1,"writtenMs":9e15}']) {
      await writeFile(join(caches, name), text);
      assert.equal(await digestNow(), sha256(Buffer.from("one")), text);
      await rm(join(caches, name), { force: true });
    }
  });

  type Leaves = Awaited<ReturnType<typeof scanDirectory>>;

  /** Scans and saves as a run would that comes ten seconds after the last change. */
  async function nextRun(
    keepsRoot: boolean,
  ): Promise<{ readonly cache: ScanCache; readonly local: Leaves }> {
    const cache = await ScanCache.open(caches, directory);
    const local = await scanDirectory(directory, { cache });
    const now = Date.now;
    Date.now = () => now() + 10_000;
    try {
      await cache.save();
      if (keepsRoot) await cache.saveRoot(local);
    } finally {
      Date.now = now;
    }
    return { cache, local };
  }

  const change: readonly ((path: string, text: string) => Promise<unknown>)[] = [
    (path, text) => rm(path, { force: true }).then(() => writeFile(path, text)),
    (path) => rm(path, { force: true }),
    (path, text) => rm(path, { force: true }).then(() => symlink(text, path)),
    (path) => chmod(path, 0o755).catch(() => undefined),
    (path) => utimes(path, longAgo(), longAgo()).catch(() => undefined),
  ];

  test("against the tree that the last run left, it tells what changed as trees do", async () => {
    const random = new Prng(7);
    for (const name of ["a", "b"]) await mkdir(join(directory, name));
    let before: Leaves = new Map();
    const counts = { told: 0, changed: 0 };
    for (let run = 0; run < 60; run++) {
      for (let i = random.below(6); i > 0; i--) {
        const path = join(directory, ["a", "b"][random.below(2)] ?? "", `${random.below(6)}`);
        await change[random.below(change.length)]?.(path, `text ${random.below(3)}`);
      }
      const { cache, local } = await nextRun(true);
      const nodes = new Map<Digest, Uint8Array>();
      const [from, to] = [rootOfLeaves(before, nodes), rootOfLeaves(local, nodes)];
      const store = new DirectoryStore(
        (root) => nodes.get(root),
        () => undefined,
      );
      const told = cache.differencesTo(from, local);
      if (from !== undefined) {
        assert.deepEqual(told, [...differences(store, { before: from, after: to })], `run ${run}`);
        counts.told++;
        counts.changed += told?.length ?? 0;
      }
      assert.equal(cache.differencesTo(to === from ? undefined : to, local), undefined);
      before = local;
    }
    assert.ok(counts.told > 40 && counts.changed > 40, JSON.stringify(counts));
  });

  test("of a root it knows only with the very rows that it is the root of", async () => {
    await writeFile(join(directory, "file"), "one");
    const { local } = await nextRun(true);
    const root = rootOfLeaves(local);
    assert.deepEqual((await nextRun(true)).cache.differencesTo(root, local), []);
    await writeFile(join(directory, "file"), "three");
    // This run was cut short: its rows are kept, its root is not.
    await nextRun(false);
    const { cache, local: now } = await nextRun(false);
    assert.equal(cache.differencesTo(root, now), undefined);
    assert.equal(cache.differencesTo(rootOfLeaves(now), now), undefined);
  });

  test("nor if a file grew while it was read: it is among the leaves, and not among the rows", async () => {
    await writeFile(join(directory, "file"), "one");
    const { local } = await nextRun(false);
    const grown: Leaf = { kind: "file", digest: wrong, size: 9, executable: false };
    const all = new Map([...local, ["grown", { leaf: grown, file: "" }] as const]);
    await (await nextRun(false)).cache.saveRoot(all);
    assert.equal((await nextRun(false)).cache.differencesTo(rootOfLeaves(all), local), undefined);
    await (await nextRun(false)).cache.saveRoot(local);
    assert.deepEqual((await nextRun(false)).cache.differencesTo(rootOfLeaves(local), local), []);
  });

  test("large files are hashed alike with threads and without; what is wrong with one is told", async () => {
    const bytes = Buffer.alloc(20 * 1024 * 1024, "large ");
    for (const name of ["a", "b", "c"]) await writeFile(join(directory, name), bytes);
    await writeFile(join(directory, "d"), bytes.subarray(0, 600_000));
    const local = await scanDirectory(directory);
    const chunks = (content: Buffer): Digest => {
      const sums: Uint8Array[] = [];
      for (let at = 0; at < content.length; at += limits.blobChunkBytes) {
        const chunk = content.subarray(at, at + limits.blobChunkBytes);
        sums.push(createHash("sha256").update(chunk).digest());
      }
      return chunksDigest(Buffer.concat(sums));
    };
    for (const [path, { leaf }] of local) {
      const content = path === "d" ? bytes.subarray(0, 600_000) : bytes;
      const of = { size: content.length, executable: false, chunks: chunks(content) };
      assert.deepEqual(leaf, { kind: "file", digest: sha256(content), ...of }, path);
    }
    const pool = new HashPool();
    await assert.rejects(pool.hash(join(directory, "absent"), bytes.length), /ENOENT/);
    await pool.close();
  });

  test("a plan makes a tree what the directory is only if nothing stays and nobody was between", () => {
    const before: Leaf = { kind: "link", target: "there" };
    const plan = (isDelete: boolean): Plan =>
      planPublish({
        tree: "t",
        baseHeight: 6,
        differences: [{ path: "gone", before, after: undefined }],
        delete: isDelete,
      });
    assert.equal(isLikeLocal(plan(true), 7), true);
    assert.equal(isLikeLocal(plan(true), 8), false);
    assert.equal(isLikeLocal(plan(true), undefined), false);
    assert.equal(isLikeLocal(plan(false), 7), false);
  });

  test("the directory in which one stands is read as any other", async () => {
    await mkdir(join(directory, "sub"));
    for (const path of ["x", "sub/x", "sub/only"]) await writeFile(join(directory, path), path);
    const before = process.cwd();
    process.chdir(directory);
    try {
      for (const way of [".", "./", "./sub/..", directory, `${directory}/`]) {
        const found = await scanDirectory(way);
        assert.deepEqual([...found.keys()], ["sub/only", "sub/x", "x"], way);
        for (const [path, { leaf }] of found)
          assert.equal(leaf.kind === "file" && leaf.digest, sha256(Buffer.from(path)), way);
      }
    } finally {
      process.chdir(before);
    }
  });
});

test("an answer that is there is not held up by a server that hangs", async () => {
  const servers = ["http://a.invalid", "http://b.invalid"];
  const pool = new ServerPool({ servers });
  const answer = async (server: string): Promise<{ ok: true; value: string }> => {
    await sleep(server.includes("//a.") ? 3000 : 300, undefined, { ref: false });
    return { ok: true, value: server };
  };
  const startedMs = performance.now();
  const keepAlive = setInterval(() => undefined, 1000);
  const value = await pool.first("a thing", answer, { hedgeMs: 100 });
  clearInterval(keepAlive);
  assert.equal(value, servers[1]);
  assert.ok(performance.now() - startedMs < 2000, "it waited for the other one");
});
