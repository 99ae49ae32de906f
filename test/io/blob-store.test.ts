import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  type FileHandle,
  mkdtemp,
  open,
  readdir,
  rm,
  stat,
  utimes,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, test } from "node:test";
import { type Digest, limits } from "../../src/core/base/index.ts";
import { sha256 } from "../../src/core/crypto/index.ts";
import {
  BlobError,
  type FileBlobStore,
  type LmdbStateStore,
  openBlobStore,
  openStateStore,
} from "../../src/io/storage/index.ts";
import { flipByte } from "../support/signed-blocks.ts";

const small = Buffer.from("a small blob");
const large = Buffer.alloc(700_000, "large ");
const digestOf = (bytes: Uint8Array): Digest => sha256(bytes);

async function* pieces(bytes: Uint8Array, size = 65_536): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

const isCode =
  (code: BlobError["code"]) =>
  (error: unknown): boolean =>
    error instanceof BlobError && error.code === code;

describe("blob store", () => {
  let directory: string;
  let index: LmdbStateStore;
  let store: FileBlobStore;

  const openAll = async (): Promise<void> => {
    index = await openStateStore(join(directory, "state"));
    store = await openBlobStore(join(directory, "blobs"), index);
  };
  const closeAll = async (): Promise<void> => {
    await store.close();
    await index.close();
  };
  const putSmall = (bytes: Uint8Array): Promise<void> =>
    store.putSmall([{ digest: digestOf(bytes), bytes }]);
  const putLarge = (offset = 0, bytes: Uint8Array = large): Promise<boolean> =>
    store.putLarge({ digest: digestOf(large), size: large.length, offset }, pieces(bytes));
  const largeFile = (suffix = ""): string =>
    join(directory, "blobs", "large", `${digestOf(large)}${suffix}`);

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "smalti-blobs-"));
    await openAll();
  });
  afterEach(async () => {
    await closeAll();
    await rm(directory, { recursive: true, force: true });
  });

  test("small and large ones come back whole and in ranges, also after reopening", async () => {
    await putSmall(small);
    assert.equal(await putLarge(), true);
    for (const turn of [1, 2]) {
      assert.deepEqual(Buffer.from(await store.read(digestOf(small))), small, `turn ${turn}`);
      assert.deepEqual(Buffer.from(await store.read(digestOf(large))), large);
      const parts: Uint8Array[] = [];
      for await (const part of store.stream(digestOf(large), 262_100, 524_300)) parts.push(part);
      assert.deepEqual(Buffer.concat(parts), large.subarray(262_100, 524_300));
      await closeAll();
      await openAll();
    }
  });

  test("a lent piece is whole until the one after the next is asked for, and then its room is used again", async () => {
    await putSmall(small);
    // Seven chunks: two stretches, the second of three.
    const long = Buffer.from(
      Array.from({ length: 1_800_000 }, (_, i) => (i * 37 + (i >> 8)) % 251),
    );
    await store.putLarge({ digest: digestOf(long), size: long.length, offset: 0 }, pieces(long));
    for (const [start, end] of [
      [0, long.length],
      [262_100, 1_500_000],
      [1_799_999, 1_800_000],
      [5, 5],
    ] as const) {
      let [at, before]: [number, Uint8Array] = [start, new Uint8Array(0)];
      const rooms = new Set<ArrayBufferLike>();
      for await (const piece of store.lend(digestOf(long), { start, end })) {
        assert.deepEqual(
          Buffer.from(before),
          long.subarray(at - before.length, at),
          "the one before",
        );
        assert.deepEqual(Buffer.from(piece), long.subarray(at, at + piece.length));
        before = piece;
        at += piece.length;
        rooms.add(piece.buffer);
      }
      assert.equal(at, end);
      assert.ok(rooms.size <= 2);
    }
    for await (const piece of store.lend(digestOf(small), { start: 2, end: 7 }))
      assert.deepEqual(Buffer.from(piece), small.subarray(2, 7));
  });

  test("the same blob again takes no room", async () => {
    await putSmall(small);
    const packs = join(directory, "blobs", "packs", "00000000.log");
    const { size } = await stat(packs);
    await putSmall(small);
    await store.putSmall([small, small].map((bytes) => ({ digest: digestOf(bytes), bytes })));
    assert.equal((await stat(packs)).size, size);
  });

  test("bytes that are not their digest are refused and leave nothing", async () => {
    const wrong = { digest: digestOf(Buffer.from("other")), bytes: small };
    await assert.rejects(store.putSmall([wrong]), isCode("BLOB_CORRUPT"));
    const changed = Buffer.from(large);
    changed.writeUInt8(1, 300_000);
    await assert.rejects(putLarge(0, changed), isCode("BLOB_CORRUPT"));
    assert.equal(store.has(digestOf(large)), false);
    assert.equal(await store.partialSize(digestOf(large)), 0);
    await assert.rejects(putLarge(0, Buffer.concat([large, small])), isCode("BLOB_CORRUPT"));
    assert.equal(await putLarge(), true);
  });

  test("an interrupted upload goes on where it stopped", async () => {
    assert.equal(await putLarge(0, large.subarray(0, 300_001)), false);
    await closeAll();
    await openAll();
    assert.equal(await store.partialSize(digestOf(large)), 300_001);
    await assert.rejects(putLarge(300_002, large.subarray(300_002)), isCode("BLOB_MISSING"));
    assert.equal(await putLarge(300_001, large.subarray(300_001)), true);
    assert.deepEqual(Buffer.from(await store.read(digestOf(large))), large);
  });

  test("damage is noticed before a wrong byte is handed out; the blob is forgotten and can come again", async () => {
    for (const damage of ["chunk", "outboard", "missing", "cut"]) {
      assert.equal(await putLarge(), true);
      if (damage === "chunk") await flipByte(largeFile(), 400_000, 8);
      else if (damage === "outboard") await flipByte(largeFile(".chunks"), 33, 8);
      else if (damage === "missing") await rm(largeFile());
      else await (await open(largeFile(), "r+")).truncate(2 * limits.blobChunkBytes);
      await assert.rejects(store.read(digestOf(large)), isCode("BLOB_CORRUPT"), damage);
      assert.equal(store.has(digestOf(large)), false, damage);
    }
    await putSmall(small);
    await flipByte(join(directory, "blobs", "packs", "00000000.log"), 12, 8);
    await assert.rejects(store.read(digestOf(small)), isCode("BLOB_CORRUPT"));
    assert.equal(store.has(digestOf(small)), false);
    await putSmall(small);
    assert.deepEqual(Buffer.from(await store.read(digestOf(small))), small);
  });

  test("after the index was lost, everything that was said to be durable is found again", async () => {
    await putSmall(small);
    assert.equal(await putLarge(), true);
    await closeAll();
    await rm(join(directory, "state"), { recursive: true });
    await openAll();
    assert.equal(store.has(digestOf(small)), true, "small");
    assert.equal(store.has(digestOf(large)), true, "large");
  });

  test("a shortage of file handles makes nobody forget a blob", async () => {
    assert.equal(await putLarge(), true);
    const pid = String(process.pid);
    const limit = execFileSync("prlimit", ["--pid", pid, "--nofile", "--raw", "--noheadings"]);
    const [, soft = "1024", hard = "1024"] = /NOFILE.*?(\d+)\s+(\d+)/.exec(limit.toString()) ?? [];
    execFileSync("prlimit", ["--pid", pid, `--nofile=200:${hard}`]);
    const handles: FileHandle[] = [];
    try {
      for (;;) handles.push(await open("/dev/null"));
    } catch {
      await assert.rejects(store.read(digestOf(large)), "without file handles there is no reading");
    } finally {
      for (const handle of handles) await handle.close();
      execFileSync("prlimit", ["--pid", pid, `--nofile=${soft}:${hard}`]);
    }
    assert.equal(store.has(digestOf(large)), true);
  });

  test("who begins a blob and leaves is in nobody else's way", async () => {
    const digest = digestOf(large);
    const by = (name: string, offset: number, bytes: Uint8Array): Promise<boolean> =>
      store.putLarge({ digest, size: large.length, offset, by: name }, pieces(bytes));
    let leave = (): void => undefined;
    const stalled = store.putLarge(
      { digest, size: large.length, offset: 0, by: "mallory" },
      (async function* () {
        yield Buffer.from("rubbish");
        await new Promise<void>((done) => {
          leave = done;
        });
      })(),
    );
    assert.equal(await by("alice", 0, large.subarray(0, 300_001)), false);
    assert.equal(await store.partialSize(digest, "alice"), 300_001);
    assert.equal(await store.partialSize(digest), 0, "nor of what this host fetches itself");
    assert.equal(await by("alice", 300_001, large.subarray(300_001)), true);
    leave();
    assert.equal(await stalled, false);
    // Whoever brings the whole of it afterwards, or ends with what it is not, changes nothing.
    const rest = large.subarray("rubbish".length);
    assert.equal(await by("mallory", "rubbish".length, rest), true);
    assert.ok(Buffer.from(await store.read(digest)).equals(large));
    const partial = join(directory, "blobs", "partial");
    assert.deepEqual(await readdir(partial), [`${digest}.mallory`]);
    const old = new Date(Date.now() - 8 * 86_400_000);
    await utimes(join(partial, `${digest}.mallory`), old, old);
    await store.compact();
    assert.deepEqual(await readdir(partial), [], "what nobody goes on with is given up");
  });

  test("nothing is left behind in partial after a blob is complete, and foreign files do not matter", async () => {
    await writeFile(join(directory, "blobs", "partial", "rubbish"), "rubbish");
    assert.equal(await putLarge(), true);
    assert.deepEqual(await readdir(join(directory, "blobs", "partial")), ["rubbish"]);
  });

  test("what is removed is gone at once and for good, its room is given back, and the rest is whole", async () => {
    await closeAll();
    index = await openStateStore(join(directory, "state"));
    store = await openBlobStore(join(directory, "blobs"), index, { segmentBytes: 200_000 });
    const blobs = Array.from({ length: 60 }, (_, i) => Buffer.alloc(20_000, `blob ${i} `));
    // A segment is closed by a sync.
    for (const blob of blobs) await putSmall(blob);
    await putLarge();
    const used = async (): Promise<number> => {
      const packs = join(directory, "blobs", "packs");
      const sizes = (await readdir(packs)).map(
        async (name) => (await stat(join(packs, name))).size,
      );
      return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
    };
    const before = await used();
    const kept = blobs.filter((_, i) => i % 5 === 0);
    const gone = blobs.filter((_, i) => i % 5 !== 0).map(digestOf);
    // A stream that has begun before goes on to its end.
    const begun = store.stream(digestOf(large), 0, large.length);
    const first = await begun.next();
    await store.remove([...gone, digestOf(large)]);
    const rest: Uint8Array[] = first.done === true ? [] : [first.value];
    for await (const piece of begun) rest.push(piece);
    assert.ok(Buffer.concat(rest).equals(large));
    for (const digest of [...gone, digestOf(large)]) assert.ok(!store.has(digest));
    await assert.rejects(stat(largeFile()), { code: "ENOENT" });
    await assert.rejects(stat(largeFile(".chunks")), { code: "ENOENT" });
    // While they are moved they can be read.
    const reading = (async () => {
      for (let i = 0; i < 200; i++) {
        const blob = kept[i % kept.length] ?? small;
        assert.ok(Buffer.from(await store.read(digestOf(blob))).equals(blob));
      }
    })();
    const freed = await store.compact();
    await reading;
    assert.ok(freed > 700_000, `${freed} bytes given back of ${before}`);
    assert.ok((await used()) < before / 2, `${await used()} of ${before} bytes are used`);
    assert.equal(await store.compact(), 0);
    const listed = async (): Promise<Digest[]> => {
      const found: Digest[] = [];
      for await (const { digest } of store.all()) found.push(digest);
      return found.sort();
    };
    assert.deepEqual(await listed(), kept.map(digestOf).sort());
    await closeAll();
    index = await openStateStore(join(directory, "state"));
    store = await openBlobStore(join(directory, "blobs"), index, { segmentBytes: 200_000 });
    assert.deepEqual(await listed(), kept.map(digestOf).sort());
    for (const blob of kept) assert.ok(Buffer.from(await store.read(digestOf(blob))).equals(blob));
    // What was removed can come again.
    await store.putSmall([{ digest: gone[0] ?? digestOf(small), bytes: blobs[1] ?? small }]);
    assert.ok(await putLarge());
    assert.ok(Buffer.from(await store.read(digestOf(large))).equals(large));
  });

  test("the segment that is written to is given back too, once most of it is gone", async () => {
    const blobs = Array.from({ length: 40 }, (_, i) => Buffer.alloc(100_000, `now ${i} `));
    await closeAll();
    index = await openStateStore(join(directory, "state"));
    store = await openBlobStore(join(directory, "blobs"), index, { segmentBytes: 8_000_000 });
    await store.putSmall(blobs.map((bytes) => ({ digest: digestOf(bytes), bytes })));
    const packs = join(directory, "blobs", "packs");
    const used = async (): Promise<readonly number[]> =>
      Promise.all((await readdir(packs)).map(async (name) => (await stat(join(packs, name))).size));
    assert.equal(await store.compact(), 0, "all of it is asked for");
    assert.equal((await used()).length, 1);
    const kept = blobs.slice(0, 3);
    await store.remove(blobs.slice(3).map(digestOf));
    // What comes meanwhile is not lost.
    const late = Array.from({ length: 20 }, (_, i) => Buffer.alloc(50_000, `late ${i} `));
    const coming = (async () => {
      for (const bytes of late) await store.putSmall([{ digest: digestOf(bytes), bytes }]);
    })();
    const freed = await store.compact();
    await coming;
    assert.ok(freed > 3_600_000, `${freed} bytes given back`);
    assert.equal((await used())[0], 0);
    await closeAll();
    index = await openStateStore(join(directory, "state"));
    store = await openBlobStore(join(directory, "blobs"), index, { segmentBytes: 8_000_000 });
    for (const blob of [...kept, ...late])
      assert.ok(Buffer.from(await store.read(digestOf(blob))).equals(blob));
    assert.equal(await store.compact(), 0);
    // Where nothing at all is left.
    await store.remove([...kept, ...late].map(digestOf));
    assert.ok((await store.compact()) > 1_000_000);
    assert.deepEqual(
      (await used()).filter((size) => size > 0),
      [],
    );
    await putSmall(small);
    assert.ok(Buffer.from(await store.read(digestOf(small))).equals(small));
  });

  test("of many that are asked for together, those that the disk changed are left out", async () => {
    const blobs = Array.from({ length: 20 }, (_, i) => Buffer.alloc(20_000, `one ${i} `));
    await store.putSmall(blobs.map((bytes) => ({ digest: digestOf(bytes), bytes })));
    const packs = join(directory, "blobs", "packs", "00000000.log");
    // In the bytes of the first, and in the heads of the third and the fifth: checksum and length.
    for (const at of [5000, 2 * 20_009 + 8, 4 * 20_009 + 3]) await flipByte(packs, at, 1);
    const given: Buffer[] = [];
    for await (const { digest, bytes } of store.readMany([...blobs, large].map(digestOf))) {
      assert.equal(digestOf(bytes), digest);
      given.push(Buffer.from(bytes));
    }
    assert.deepEqual(
      given,
      blobs.filter((_, i) => ![0, 2, 4].includes(i)),
    );
  });

  test("a damaged blob is no reason to lose the others of its segment", async () => {
    await closeAll();
    index = await openStateStore(join(directory, "state"));
    store = await openBlobStore(join(directory, "blobs"), index, { segmentBytes: 100_000 });
    const blobs = Array.from({ length: 20 }, (_, i) => Buffer.alloc(20_000, `one ${i} `));
    for (const blob of blobs) await putSmall(blob);
    await closeAll();
    const [bad = small, good = small] = blobs;
    await flipByte(join(directory, "blobs", "packs", "00000000.log"), 5000, 1);
    index = await openStateStore(join(directory, "state"));
    store = await openBlobStore(join(directory, "blobs"), index, { segmentBytes: 100_000 });
    await store.remove(blobs.slice(2).map(digestOf));
    await store.compact();
    assert.ok(Buffer.from(await store.read(digestOf(good))).equals(good));
    await assert.rejects(store.read(digestOf(bad)));
    await putSmall(bad);
    assert.ok(Buffer.from(await store.read(digestOf(bad))).equals(bad));
  });
});
