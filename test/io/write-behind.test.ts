import assert from "node:assert/strict";
import { type FileHandle, mkdtemp, open, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { sha256 } from "../../src/core/crypto/index.ts";
import { openLargeBlobs } from "../../src/io/storage/large-blobs.ts";
import { WriteBehind } from "../../src/io/storage/write-behind.ts";
import { FailingHandle, failures } from "../support/failing-handle.ts";

const MiB = 2 ** 20;

describe("writing behind what comes", () => {
  let directory: string;
  let path: string;
  let handle: FileHandle;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "smalti-behind-"));
    path = join(directory, "file");
    handle = await open(path, "w");
  });
  afterEach(async () => {
    await handle.close();
    await rm(directory, { recursive: true, force: true });
  });

  /** Writes so many pieces of one mebibyte, each of another byte. */
  async function fill(behind: WriteBehind, pieces: number): Promise<void> {
    for (let i = 0; i < pieces; i++)
      await behind.write([Buffer.alloc(MiB, i)], { at: i * MiB, length: MiB });
    await behind.done();
  }

  test("one write and one sync at a time, and all is there in the end", async () => {
    const running = { writev: 0, datasync: 0 };
    const most = { ...running };
    const calls = { ...running };
    const counted = async <T>(kind: keyof typeof running, work: () => Promise<T>): Promise<T> => {
      calls[kind]++;
      most[kind] = Math.max(most[kind], ++running[kind]);
      return work().finally(() => running[kind]--);
    };
    const watched = {
      writev: (parts: Uint8Array[], at: number) =>
        counted("writev", () => handle.writev(parts, at)),
      // Longer than all writes after it: the end must wait for it.
      datasync: () => counted("datasync", () => sleep(300).then(() => handle.datasync())),
    } as unknown as FileHandle;
    await fill(new WriteBehind(watched), 40);
    assert.deepEqual(running, { writev: 0, datasync: 0 }, "done is when all has ended");
    assert.deepEqual(most, { writev: 1, datasync: 1 });
    assert.equal(calls.writev, 40);
    assert.ok(calls.datasync >= 1 && calls.datasync <= 2, `${calls.datasync} syncs of 40 MiB`);
    const bytes = await readFile(path);
    for (let i = 0; i < 40; i++)
      assert.equal(bytes.compare(Buffer.alloc(MiB, i), 0, MiB, i * MiB, (i + 1) * MiB), 0, `${i}`);
  });

  // How many syncs there are is the disk's affair: the first one there always is.
  for (const kind of failures)
    for (const n of kind === "datasync" ? [1] : [1, 2])
      test(`${kind} ${n} fails: it is told, and no success later hides it`, async () => {
        const failing = new FailingHandle(handle, { kind, n });
        const behind = new WriteBehind(failing.asFileHandle());
        await assert.rejects(fill(behind, 40), /ENOSPC|EIO|short write/);
        await assert.rejects(behind.done());
        await assert.rejects(behind.write([Buffer.alloc(1)], { at: 0, length: 1 }));
      });

  for (const kind of ["writev", "short-writev"] as const)
    test(`the last ${kind} of a large blob fails: it is not there`, async () => {
      const opened = async (name: string, flags: number, mode: number): Promise<FileHandle> =>
        new FailingHandle(await open(name, flags, mode), { kind, n: 2 }).asFileHandle();
      const blobs = await openLargeBlobs(directory, opened as typeof open);
      const bytes = Buffer.alloc(1.5 * MiB, "large ");
      const pieces = (async function* () {
        for (let at = 0; at < bytes.length; at += MiB / 2) yield bytes.subarray(at, at + MiB / 2);
      })();
      const blob = { digest: sha256(bytes), size: bytes.length, offset: 0 };
      await assert.rejects(blobs.put(blob, pieces), /ENOSPC|short write/);
      assert.deepEqual(await blobs.all(), []);
    });
});
