import assert from "node:assert/strict";
import fs from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { syncBuiltinESMExports } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, test } from "node:test";
import { nodeFiles } from "../../src/io/files/index.ts";
import type { OpenFile } from "../../src/io/ports/index.ts";

const { constants, fdatasyncSync } = fs;

describe("a file of log or guard, and how it is synced", () => {
  let directory: string;
  let file: OpenFile;
  let onTheSpot: number;
  let diskMs: number;

  beforeEach(async () => {
    [onTheSpot, diskMs] = [0, 0];
    fs.fdatasyncSync = (fd) => {
      onTheSpot++;
      const until = performance.now() + diskMs;
      while (performance.now() < until);
      fdatasyncSync(fd);
    };
    syncBuiltinESMExports();
    directory = await mkdtemp(join(tmpdir(), "smalti-file-"));
    file = await nodeFiles.open(join(directory, "log"), constants.O_RDWR | constants.O_CREAT);
  });
  afterEach(async () => {
    fs.fdatasyncSync = fdatasyncSync;
    syncBuiltinESMExports();
    await file.close();
    await rm(directory, { recursive: true, force: true });
  });

  async function record(at: number, bytes = 100): Promise<void> {
    const { bytesWritten } = await file.writev([Buffer.alloc(bytes, 1)], at);
    assert.equal(bytesWritten, bytes);
    await file.datasync();
  }

  test("few bytes on the spot, each time; many in the thread pool", async () => {
    for (let i = 0; i < 5; i++) await record(100 * i);
    assert.equal(onTheSpot, 5);
    await record(500, 100_000);
    assert.equal(onTheSpot, 5);
    assert.equal((await readFile(join(directory, "log"))).length, 100_500);
  });

  test("a disk that is slow is waited for in the thread pool, and tried again at times", async () => {
    diskMs = 50;
    for (let i = 0; i < 20; i++) await record(100 * i);
    assert.equal(onTheSpot, 1, "one slow sync was enough to know");
    diskMs = 0;
    for (let i = 20; i < 1100; i++) await file.datasync();
    assert.ok(onTheSpot > 2, `it was tried again: ${onTheSpot} on the spot`);
  });
});
