import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, test } from "node:test";
import { open } from "lmdb";
import { StorageError } from "../../src/io/ports/index.ts";
import { type LmdbStateStore, openStateStore } from "../../src/io/storage/index.ts";

const isDamaged = (error: unknown): boolean =>
  error instanceof StorageError &&
  error.code === "STORAGE_STATE_CORRUPT" &&
  error.message.includes("key a/2");

describe("state store", () => {
  let directory: string;
  let store: LmdbStateStore;

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "smalti-state-"));
    store = await openStateStore(directory);
    const entries = ["a/1", "a/2", "a/3", "a/4", "b/1"].map((key): [string, Uint8Array] => [
      key,
      Buffer.from(`value of ${key}`),
    ]);
    store.write(entries);
  });
  afterEach(async () => {
    await store.close();
    await rm(directory, { recursive: true, force: true });
  });

  const keys = (range: Parameters<LmdbStateStore["range"]>[0]): string[] =>
    [...store.range(range)].map(([key]) => key);

  test("ranges: start included, end not, both ways, with limits", () => {
    const rows: readonly [Parameters<typeof keys>[0], readonly string[]][] = [
      [{ start: "a/", end: "a/~" }, ["a/1", "a/2", "a/3", "a/4"]],
      [{ start: "a/2", end: "a/4" }, ["a/2", "a/3"]],
      [{ start: "a/2", end: "a/4", reverse: true }, ["a/3", "a/2"]],
      [{ start: "a/", end: "b/1", reverse: true }, ["a/4", "a/3", "a/2", "a/1"]],
      [{ start: "a/", end: "z", reverse: true, limit: 2 }, ["b/1", "a/4"]],
      [{ start: "a/", end: "z", limit: 2 }, ["a/1", "a/2"]],
      [{ start: "a/", end: "z", limit: 0 }, []],
      [{ start: "c", end: "d" }, []],
      [{ start: "a/3", end: "a/3" }, []],
      [{ start: "0", end: "a/0", reverse: true }, []],
    ];
    for (const [range, expected] of rows)
      assert.deepEqual(keys(range), expected, JSON.stringify(range));
  });

  test("a batch is seen at once and is there after reopening", async () => {
    store.write([
      ["a/1", Buffer.from("new")],
      ["c", new Uint8Array(0)],
    ]);
    await store.close();
    store = await openStateStore(directory);
    assert.equal(Buffer.from(store.get("a/1") ?? []).toString(), "new");
    assert.equal(store.get("c")?.length, 0);
    assert.equal(store.get("d"), undefined);
  });

  test("a value that the disk changed, or that belongs to another key, is refused by name", async () => {
    for (const wrong of ["changed", "moved"]) {
      await store.close();
      const raw = open<Buffer, string>({ path: directory, encoding: "binary" });
      const value = Buffer.from(raw.get(wrong === "moved" ? "a/3" : "a/2") ?? []);
      if (wrong === "changed")
        value.writeUInt8(value.readUInt8(value.length - 1) ^ 4, value.length - 1);
      await raw.put("a/2", value);
      await raw.close();
      store = await openStateStore(directory);
      assert.throws(() => store.get("a/2"), isDamaged);
      assert.throws(() => keys({ start: "a/", end: "b/" }), isDamaged);
      assert.throws(() => keys({ start: "a/", end: "b/", reverse: true }), isDamaged);
      assert.ok(store.get("a/3"));
    }
  });
});
