import assert from "node:assert/strict";
import { constants } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { SimBlobStore, SimDisk, SimStateStore } from "../../sim/index.ts";
import { sha256 } from "../../src/core/crypto/index.ts";
import { createGuard, nodeFiles, openGuard } from "../../src/io/files/index.ts";
import type { BlobStore, FileSystem, StateStore } from "../../src/io/ports/index.ts";
import { openBlobStore, openRecordLog, openStateStore } from "../../src/io/storage/index.ts";

/** The ports of one kind of world, below `root`. */
interface Ports {
  readonly root: string;
  readonly files: FileSystem;
  readonly state: StateStore;
  readonly blobs: Pick<BlobStore, "has" | "size" | "putSmall" | "read">;
  readonly close: () => Promise<void>;
}

async function realPorts(): Promise<Ports> {
  const root = await mkdtemp(join(tmpdir(), "smalti-ports-"));
  const state = await openStateStore(join(root, "state"));
  const blobs = await openBlobStore(join(root, "blobs"), state);
  const close = async (): Promise<void> => {
    await blobs.close();
    await state.close();
    await rm(root, { recursive: true, force: true });
  };
  return { root, files: nodeFiles, state, blobs, close };
}

async function simulatedPorts(): Promise<Ports> {
  const files = new SimDisk(async () => undefined);
  await files.mkdir("/data/x");
  const state = new SimStateStore((work) => queueMicrotask(work));
  return { root: "/data/x", files, state, blobs: new SimBlobStore(), close: async () => undefined };
}

const { O_RDWR, O_CREAT, O_EXCL, O_TRUNC } = constants;
const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString();

async function contentOf(files: FileSystem, path: string): Promise<string> {
  const file = await files.open(path, O_RDWR);
  const into = Buffer.alloc((await file.stat()).size);
  await file.read(into, 0, into.length, 0);
  await file.close();
  return into.toString();
}

type Rule = (ports: Ports) => Promise<void>;

/** What the programs above rely on, whatever is below. */
const rules: Readonly<Record<string, Rule>> = {
  "files: opening what is not there, and making what is there": async ({ files, root }) => {
    await assert.rejects(files.open(join(root, "f"), O_RDWR), { code: "ENOENT" });
    await (await files.open(join(root, "f"), O_RDWR | O_CREAT)).close();
    await assert.rejects(files.open(join(root, "f"), O_RDWR | O_CREAT | O_EXCL), {
      code: "EEXIST",
    });
    await assert.rejects(files.unlink(join(root, "g")), { code: "ENOENT" });
    await assert.rejects(files.readdir(join(root, "nowhere")), { code: "ENOENT" });
  },
  "files: bytes stand where they were written, for every handle": async ({ files, root }) => {
    const path = join(root, "f");
    const file = await files.open(path, O_RDWR | O_CREAT);
    const { bytesWritten } = await file.writev([Buffer.from("hello "), Buffer.from("world")], 0);
    assert.equal(bytesWritten, 11);
    await file.write(Buffer.from("xxJAY"), 2, 3, 6);
    assert.equal((await file.stat()).size, 11);
    await file.datasync();
    assert.equal(await contentOf(files, path), "hello JAYld");
    const short = Buffer.alloc(20, ".");
    assert.equal((await file.read(short, 2, 18, 6)).bytesRead, 5);
    assert.equal(short.subarray(0, 8).toString(), "..JAYld.");
    assert.equal((await file.read(short, 0, 5, 100)).bytesRead, 0);
    await file.close();
  },
  "files: a gap reads as zeros, a cut end is gone": async ({ files, root }) => {
    const path = join(root, "f");
    const file = await files.open(path, O_RDWR | O_CREAT);
    await file.write(Buffer.from("far"), 0, 3, 1000);
    assert.equal(await contentOf(files, path), `${"\0".repeat(1000)}far`);
    await file.truncate(1001);
    await file.write(Buffer.from("!"), 0, 1, 1004);
    assert.equal((await contentOf(files, path)).slice(1000), "f\0\0\0!");
    await file.close();
    const again = await files.open(path, O_RDWR | O_CREAT | O_TRUNC);
    assert.equal((await again.stat()).size, 0);
    await again.close();
  },
  "files: names come and go; a directory may be made twice": async ({ files, root }) => {
    const directory = join(root, "names");
    await files.mkdir(directory);
    await files.mkdir(directory);
    for (const name of ["b", "a"])
      await (await files.open(join(directory, name), O_RDWR | O_CREAT)).close();
    await files.syncDirectory(directory);
    assert.deepEqual([...(await files.readdir(directory))].sort(), ["a", "b"]);
    await files.unlink(join(directory, "a"));
    assert.deepEqual(await files.readdir(directory), ["b"]);
  },
  "a log over them: what is appended is read again, a torn end is cut off": async (ports) => {
    const { files } = ports;
    const directory = join(ports.root, "log");
    const options = { directory, durable: { segment: 0, offset: 0 }, segmentBytes: 200, files };
    const log = await openRecordLog(options);
    for (let i = 0; i < 9; i++) {
      log.append(1, Buffer.from(`record ${i} ${"-".repeat(40)}`));
      await log.sync();
    }
    const { end } = log;
    await log.close();
    assert.ok(end.segment > 0, "it went on in a second file");
    const name = `${end.segment.toString(16).padStart(8, "0")}.log`;
    const torn = await files.open(join(directory, name), O_RDWR);
    await torn.truncate(end.offset - 1);
    await torn.close();
    const again = await openRecordLog(options);
    const records: string[] = [];
    for await (const { bytes } of again.scan({ segment: 0, offset: 0 })) records.push(text(bytes));
    await again.close();
    assert.deepEqual(
      records.map((record) => record.split(" ")[1]),
      Array.from({ length: end.offset === 0 ? 9 : 8 }, (_, i) => `${i}`),
    );
  },
  "a guard over them: the newest row is read": async ({ files, root }) => {
    const path = join(root, "guard");
    await createGuard(path, files);
    const { guard } = await openGuard(path, files);
    const row = { isReturning: false, checkpointSize: 3, checkpointRoot: Buffer.alloc(32, 7) };
    for (const round of [1, 2, 3]) await guard.write({ ...row, round });
    await guard.close();
    const opened = await openGuard(path, files);
    await opened.guard.close();
    assert.deepEqual([opened.row.round, opened.isWhole], [3, true]);
  },
  "state: a batch is there at once; ranges in key order, both ways, limited": async ({ state }) => {
    assert.equal(state.get("a/1"), undefined);
    state.write(["b", "a/2", "a/10", "a/1", "A"].map((key) => [key, Buffer.from(key)] as const));
    state.write([["a/2", Buffer.from("new")]]);
    assert.equal(text(state.get("a/2") ?? Buffer.alloc(0)), "new");
    const keys = (range: Parameters<StateStore["range"]>[0]): string[] =>
      [...state.range(range)].map(([key]) => key);
    assert.deepEqual(keys({ start: "a/", end: "a0" }), ["a/1", "a/10", "a/2"]);
    assert.deepEqual(keys({ start: "a/1", end: "a/2" }), ["a/1", "a/10"]);
    assert.deepEqual(keys({ start: "a/", end: "b", reverse: true, limit: 2 }), ["a/2", "a/10"]);
    assert.deepEqual(keys({ start: "A", end: "c", limit: 1 }), ["A"]);
    assert.deepEqual(keys({ start: "x", end: "z" }), []);
    await state.flushed();
    assert.equal(text(state.get("b") ?? Buffer.alloc(0)), "b");
  },
  "blobs: kept by hash, and only if they are it": async ({ blobs }) => {
    const bytes = Buffer.from("content");
    const digest = sha256(bytes);
    assert.deepEqual([blobs.has(digest), blobs.size(digest)], [false, undefined]);
    await assert.rejects(blobs.read(digest));
    await assert.rejects(blobs.putSmall([{ digest, bytes: Buffer.from("contents") }]));
    assert.equal(blobs.has(digest), false);
    await blobs.putSmall([{ digest, bytes }]);
    assert.deepEqual([blobs.has(digest), blobs.size(digest)], [true, 7]);
    assert.equal(text(await blobs.read(digest)), "content");
  },
};

const kinds = { "the real ports": realPorts, "the simulated ports": simulatedPorts } as const;
for (const [kind, make] of Object.entries(kinds)) {
  describe(kind, () => {
    for (const [name, rule] of Object.entries(rules)) {
      test(name, async () => {
        const ports = await make();
        try {
          await rule(ports);
        } finally {
          await ports.close();
        }
      });
    }
  });
}
