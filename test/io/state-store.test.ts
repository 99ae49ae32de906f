import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, test } from "node:test";
import fc from "fast-check";
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

  test("a batch too large for one turn is written beside the loop: seen at once, whole after reopening", async () => {
    const many = 60_000;
    const expected = new Map<string, string>();
    const entries: [string, Uint8Array | undefined][] = [["a/2", undefined]];
    for (let index = 0; index < many; index++) {
      const key = `c/${index.toString(16).padStart(6, "0")}`;
      expected.set(key, `value ${index}`);
      entries.push([key, Buffer.from(`value ${index}`)]);
    }
    store.write(entries);
    // What is written while the thread writes is newer than what it writes, in every answer.
    store.write([
      ["c/000001", undefined],
      ["c/000002", Buffer.from("newer")],
    ]);
    expected.delete("c/000001");
    expected.set("c/000002", "newer");
    const isAsExpected = (): void => {
      assert.equal(store.get("a/2"), undefined);
      assert.equal(store.get("c/000001"), undefined);
      assert.equal(Buffer.from(store.get("c/000002") ?? []).toString(), "newer");
      const ends = { start: "a/2", end: "c/000005" };
      const names = ["a/3", "a/4", "b/1", "c/000000", "c/000002", "c/000003", "c/000004"];
      assert.deepEqual(keys(ends), names);
      assert.deepEqual(keys({ ...ends, reverse: true }), names.toReversed());
      assert.deepEqual(keys({ ...ends, limit: 3 }), names.slice(0, 3));
    };
    isAsExpected();
    let turns = 0;
    const timer = setInterval(() => turns++, 1);
    await store.flushed();
    clearInterval(timer);
    assert.ok(turns > 10, `the loop went on, ${turns} times`);
    isAsExpected();
    await store.close();
    store = await openStateStore(directory);
    isAsExpected();
    const all = [...store.range({ start: "c/", end: "c0" })];
    assert.deepEqual(
      new Map(all.map(([key, value]) => [key, Buffer.from(value).toString()])),
      expected,
    );
  });

  test("like a map, whatever is written, read, waited for and reopened", async () => {
    const key = fc.integer({ min: 0, max: 30 }).map((number) => `k/${number.toString(36)}`);
    const step = fc.oneof(
      {
        weight: 6,
        arbitrary: fc.record({ write: fc.array(fc.tuple(key, fc.option(fc.nat(255)))) }),
      },
      { weight: 1, arbitrary: fc.record({ many: fc.integer({ min: 20_000, max: 40_000 }) }) },
      { weight: 4, arbitrary: fc.record({ range: fc.tuple(key, key, fc.boolean(), fc.nat(9)) }) },
      { weight: 1, arbitrary: fc.constantFrom("wait", "reopen") },
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
        const twin = new Map<string, number>();
        store.write(
          Array.from({ length: 31 }, (_, index) => [`k/${index.toString(36)}`, undefined]),
        );
        for (const each of steps) {
          if (each === "wait") await store.flushed();
          else if (each === "reopen") {
            await store.close();
            store = await openStateStore(directory);
          } else if ("write" in each) {
            for (const [name, value] of each.write)
              if (value === null) twin.delete(name);
              else twin.set(name, value);
            store.write(
              each.write.map(([name, value]) => [
                name,
                value === null ? undefined : Uint8Array.of(value),
              ]),
            );
          } else if ("many" in each) {
            const empty = new Uint8Array(3);
            store.write(Array.from({ length: each.many }, (_, index) => [`m/${index}`, empty]));
          } else {
            const [start, end, reverse, limit] = each.range;
            const names = [...twin.keys()].filter((name) => name >= start && name < end).sort();
            if (reverse) names.reverse();
            assert.deepEqual(
              [...store.range({ start, end, reverse, limit })].map(([name, value]) => [
                name,
                ...value,
              ]),
              names.slice(0, limit).map((name) => [name, twin.get(name)]),
            );
          }
        }
        for (let index = 0; index < 31; index++) {
          const name = `k/${index.toString(36)}`;
          const value = twin.get(name);
          assert.deepEqual([...(store.get(name) ?? [-1])], [value ?? -1]);
        }
      }),
      { numRuns: 25 },
    );
  });

  test("what the thread cannot write is told by the next write, and nothing is called durable", async () => {
    await store.flushed();
    const value = new Uint8Array(8);
    // The store refuses keys of more than some 2 kB.
    const entries = Array.from({ length: 20_000 }, (_, index): [string, Uint8Array] => [
      `d/${index}`,
      value,
    ]);
    store.write([...entries, ["d/".padEnd(9000, "x"), value]]);
    const isRefused = (error: unknown): boolean =>
      error instanceof StorageError && error.code === "STORAGE_WRITE_FAILED";
    await assert.rejects(store.flushed(), isRefused);
    assert.throws(() => store.write([["a/9", value]]), isRefused);
    assert.ok(store.get("d/1"), "what was said to be there is read as before");
    await store.close();
    store = await openStateStore(directory);
    assert.equal(store.get("d/1"), undefined, "all or nothing");
    assert.ok(store.get("a/1"));
  });
});
