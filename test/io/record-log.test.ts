import assert from "node:assert/strict";
import { appendFile, mkdtemp, open, readFile, rm, stat, truncate, unlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, test } from "node:test";
import { SimDisk } from "../../sim/index.ts";
import { Prng } from "../../src/core/base/index.ts";
import { type Position, StorageError } from "../../src/io/ports/index.ts";
import { openRecordLog } from "../../src/io/storage/index.ts";
import { FileRecordLog } from "../../src/io/storage/record-log.ts";
import { FailingHandle, failures } from "../support/failing-handle.ts";
import { flipByte } from "../support/signed-blocks.ts";

const start: Position = { segment: 0, offset: 0 };
const bytesOf = (i: number): Buffer => Buffer.from(`record ${i} `.repeat(1 + (i % 5)));

async function texts(log: FileRecordLog, from: Position = start): Promise<string[]> {
  const found: string[] = [];
  for await (const { bytes } of log.scan(from)) found.push(Buffer.from(bytes).toString());
  return found;
}

function isCorrupt(path: string): (error: unknown) => boolean {
  return (error) =>
    error instanceof StorageError &&
    error.code === "STORAGE_LOG_CORRUPT" &&
    error.message.includes(path);
}

test("what is read back after a crash is durable before anybody builds upon it", async () => {
  for (let seed = 0; seed < 20; seed++) {
    const hung = new Promise<void>(() => undefined);
    let sync: Promise<void> = Promise.resolve();
    const disk = new SimDisk(() => sync);
    const open = (durable: Position): Promise<FileRecordLog> =>
      openRecordLog({ directory: "/data/log", durable, files: disk });
    const first = await open(start);
    first.append(1, bytesOf(1));
    // The process is killed when all is written and the sync has only begun.
    sync = hung;
    void first.sync();
    await new Promise((done) => setImmediate(done));
    disk.kill();
    sync = Promise.resolve();
    const second = await open(start);
    const { end } = second;
    assert.ok(end.offset > 0, "the system still has it");
    disk.powerCut(new Prng(seed));
    assert.deepEqual((await open(end)).end, end);
  }
});

describe("record log", () => {
  let directory: string;
  const file = (segment: number): string =>
    join(directory, `${segment.toString(16).padStart(8, "0")}.log`);
  const reopen = (durable: Position = start, segmentBytes = 1 << 20): Promise<FileRecordLog> =>
    openRecordLog({ directory, durable, segmentBytes });

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "smalti-log-"));
  });
  afterEach(() => rm(directory, { recursive: true, force: true }));

  async function filled(count: number, segmentBytes = 1 << 20): Promise<Position[]> {
    const log = await reopen(start, segmentBytes);
    const positions: Position[] = [];
    for (let i = 0; i < count; i++) {
      positions.push(log.append(1, bytesOf(i)));
      await log.sync();
    }
    positions.push(log.end);
    await log.close();
    return positions;
  }

  test("records come back in order, over rotated segments and after reopening", async () => {
    const positions = await filled(100, 300);
    const log = await reopen(positions.at(-1), 300);
    const expected = Array.from({ length: 100 }, (_, i) => bytesOf(i).toString());
    assert.deepEqual(await texts(log), expected);
    assert.ok((positions.at(-1)?.segment ?? 0) > 10);
    for (const [i, position] of positions.slice(0, -1).entries()) {
      assert.deepEqual(Buffer.from((await log.read(position)).bytes), bytesOf(i));
      assert.deepEqual(await texts(log, position), expected.slice(i));
    }
    await log.close();
  });

  test("a reader finds the same in any order, also what was appended or was not whole when it read along", async () => {
    const positions = await filled(100, 3000);
    const log = await reopen(positions.at(-1), 3000);
    const reader = log.reader();
    const found = async (i: number): Promise<Buffer> =>
      Buffer.from((await reader.read(positions[i] ?? start)).bytes);
    for (const i of [...Array(100).keys(), 99, 0, 50, 49, 51, 3])
      assert.deepEqual(await found(i), bytesOf(i));
    const large = Buffer.alloc(300_000, "large");
    const [at, next] = [log.append(1, large), log.append(1, bytesOf(7))];
    await log.sync();
    assert.deepEqual(Buffer.from((await reader.read(at)).bytes), large);
    assert.deepEqual(Buffer.from((await reader.read(next)).bytes), bytesOf(7));
    const { segment, offset } = positions[8] ?? start;
    await flipByte(file(segment), offset + 12, 1);
    await found(7);
    await flipByte(file(segment), offset + 12, 1);
    assert.deepEqual(await found(8), bytesOf(8));
    await flipByte(file(segment), offset + 12, 1);
    await found(99);
    await assert.rejects(found(8), isCorrupt(file(segment)));
    assert.deepEqual(await found(9), bytesOf(9));
    await log.close();
  });

  test("a tail torn at any byte is cut off to the last whole record, and appending goes on", async () => {
    const positions = await filled(6);
    const size = (await stat(file(0))).size;
    const whole = await readFile(file(0));
    const last = positions[5]?.offset ?? 0;
    for (let cut = last + 1; cut < size; cut += 3) {
      await truncate(file(0), cut);
      const log = await reopen(positions[3]);
      assert.deepEqual(log.end, positions[5]);
      log.append(2, Buffer.from("new"));
      await log.sync();
      assert.equal((await texts(log)).at(-1), "new");
      await log.close();
      const handle = await open(file(0), "w");
      await handle.writeFile(whole);
      await handle.close();
    }
  });

  test("what stood behind a torn record never comes back, though new records end where it begins", async () => {
    const positions = await filled(4);
    const [, second, third] = positions;
    assert.ok(second !== undefined && third !== undefined);
    await flipByte(file(0), second.offset + 12, 1);
    const log = await reopen();
    assert.equal((await texts(log)).length, 1);
    // As long as the torn one was: the next record would stand just where the third one stood.
    log.append(1, Buffer.alloc(bytesOf(1).length, "x"));
    assert.deepEqual(log.end, third);
    await log.sync();
    await log.close();
    const again = await reopen();
    assert.deepEqual(await texts(again), [bytesOf(0).toString(), "x".repeat(bytesOf(1).length)]);
    await again.close();
  });

  test("garbage and zeros after the end are cut off", async () => {
    for (const garbage of [
      Buffer.alloc(100),
      Buffer.alloc(5000, 0xff),
      Buffer.from([0, 0, 0, 1]),
    ]) {
      const positions = await filled(4);
      await appendFile(file(0), garbage);
      const log = await reopen(positions[4]);
      assert.deepEqual(log.end, positions[4]);
      await log.close();
      await unlink(file(0));
    }
  });

  test("damage below the durable mark is an error that names file and byte, and cuts nothing", async () => {
    const positions = await filled(8);
    const size = (await stat(file(0))).size;
    await flipByte(file(0), (positions[2]?.offset ?? 0) + 12, 1);
    const log = await reopen(positions[8]);
    await assert.rejects(
      texts(log),
      isCorrupt(`${file(0)} is damaged at byte ${positions[2]?.offset}`),
    );
    await assert.rejects(log.read(positions[2] ?? start), isCorrupt(file(0)));
    await log.close();
    assert.equal((await stat(file(0))).size, size);
  });

  test("a file shorter than the durable mark, and a missing segment in the middle, are refused", async () => {
    const positions = await filled(40, 300);
    const end = positions.at(-1) ?? start;
    await unlink(file(1));
    await assert.rejects(reopen(end, 300), isCorrupt("lacks segment 00000001.log"));
    await rm(directory, { recursive: true });
    const [, , third] = (await filled(8)).slice(-3);
    await truncate(file(0), (third?.offset ?? 0) - 1);
    await assert.rejects(reopen(third), isCorrupt("shorter than it once was"));
  });

  test("a missing last segment that the durable mark knows of is refused", async () => {
    const positions = await filled(40, 300);
    const end = positions.at(-1) ?? start;
    assert.ok(end.offset > 0, "the last segment has records");
    await unlink(file(end.segment));
    await assert.rejects(reopen(end, 300), isCorrupt(directory));
  });

  test("after a rotation and a crash, what is appended next stands behind the mark", async () => {
    const log = await reopen(start, 100);
    log.append(1, Buffer.alloc(200));
    await log.sync();
    const mark = log.end;
    assert.deepEqual(mark, { segment: 1, offset: 0 });
    await log.close();
    const again = await reopen(mark, 100);
    again.append(1, Buffer.from("after the crash"));
    await again.sync();
    await again.close();
    const third = await reopen(mark, 100);
    assert.deepEqual(await texts(third, mark), ["after the crash"]);
    await third.close();
  });

  test("syncs that overlap rotate all the same, and lose nothing", async () => {
    const log = await reopen(start, 2000);
    const work = async (worker: number): Promise<void> => {
      for (let i = 0; i < 50; i++) {
        log.append(1, Buffer.from(`${worker}-${i} ${"x".repeat(300)}`));
        await log.sync();
      }
    };
    await Promise.all([work(0), work(1), work(2)]);
    const end = log.end;
    assert.equal((await texts(log)).length, 150);
    await log.close();
    const again = await reopen(end, 2000);
    assert.equal((await texts(again)).length, 150, "all records are there after reopening");
    await again.close();
    assert.ok(
      end.segment >= 10,
      `150 records of 300 bytes make segments of 2000: ${end.segment + 1}`,
    );
    for (let i = 0; i < end.segment; i++) assert.ok((await stat(file(i))).size < 4000);
  });

  for (const kind of failures) {
    test(`the n-th ${kind} fails, for every n: what was synced is there, and nothing is tried again`, async () => {
      for (let n = 1; n <= 8; n++) await failAt(kind, n);
    });
  }

  async function failAt(kind: (typeof failures)[number], n: number): Promise<void> {
    await rm(directory, { recursive: true, force: true });
    await (await reopen()).close();
    const handle = new FailingHandle(await open(file(0), "r+"), { kind, n });
    const segment = { number: 0, path: file(0), handle: handle.asFileHandle() };
    const log = new FileRecordLog({ directory, durable: start }, [segment]);
    let synced = 0;
    let failed: unknown;
    for (let i = 0; i < 24 && failed === undefined; i++) {
      log.append(1, bytesOf(i));
      if (i % 3 !== 2) continue;
      await log.sync().then(
        () => (synced = i + 1),
        (error: unknown) => (failed = error),
      );
    }
    assert.ok(
      failed instanceof StorageError && failed.code === "STORAGE_WRITE_FAILED",
      String(failed),
    );
    const calls = handle.calls;
    await assert.rejects(log.sync(), (error) => error === failed);
    assert.equal(handle.calls, calls, "a failed sync is never tried again");
    await log.close();
    const again = await reopen();
    const found = await texts(again);
    await again.close();
    assert.ok(found.length >= synced, `${found.length} of ${synced} synced records`);
    assert.deepEqual(
      found,
      Array.from({ length: found.length }, (_, i) => bytesOf(i).toString()),
    );
  }
});
