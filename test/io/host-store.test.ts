import assert from "node:assert/strict";
import { beforeEach, describe, test } from "node:test";
import { planOf, SimBlobStore, SimDisk, SimStateStore, World } from "../../sim/index.ts";
import { type HostStore, openHostStore } from "../../src/app/store/index.ts";
import { Author, limits } from "../../src/core/base/index.ts";
import { blockRecord, nameOf } from "../../src/core/dag/index.ts";
import { type HostRecovery, initialState } from "../../src/core/replica/index.ts";
import { createGuard } from "../../src/io/files/index.ts";
import type { BlobStore } from "../../src/io/ports/index.ts";
import { configOf, fullRounds } from "../support/dag-forge.ts";
import { ruleOf } from "../support/dag-world.ts";

const { network } = new World(planOf(1, { n: 4 }));
const checkpoint = (size: number) => ({ size, root: Buffer.alloc(32, size) });

/** What a writer may still sign, by what its disk says. */
describe("a host's disk and what it says of what was signed", () => {
  let disk: SimDisk;
  let state: SimStateStore;

  beforeEach(async () => {
    disk = new SimDisk(async () => undefined);
    state = new SimStateStore((work) => queueMicrotask(work));
    await disk.mkdir("/data");
    await createGuard("/data/guard", disk);
  });

  async function opened(): Promise<{ readonly store: HostStore; readonly found: HostRecovery }> {
    const { store, isGuardWhole } = await openHostStore("/data", {
      files: disk,
      openState: async () => state,
      openBlobs: async () => new SimBlobStore() as unknown as BlobStore,
      removeAll: async () => state.clear(),
    });
    const self = Author(0);
    const found = await store.recover(network, { isGuardWhole, self, genesisFile: "genesis.json" });
    return { store, found };
  }

  const signed = async (store: HostStore, round: number): Promise<void> => {
    store.append({ type: "guard", place: round });
    await store.sync();
  };
  const cosigned = async (store: HostStore, size: number): Promise<void> => {
    store.append({ type: "guard-checkpoint", guard: checkpoint(size) });
    await store.sync();
  };

  test("a fresh one has signed nothing, and may", async () => {
    const { found } = await opened();
    assert.deepEqual([found.guard.place, found.maySign], [0, true]);
  });

  test("a cosigned checkpoint is remembered, and no reason for doubt", async () => {
    const { store } = await opened();
    await cosigned(store, 3);
    const { found } = await opened();
    assert.deepEqual([found.guard.checkpoint.size, found.maySign], [3, true]);
  });

  test("a round that the guard knows and the log does not: the log was lost", async () => {
    const { store } = await opened();
    await signed(store, 5);
    disk.remove("/data/log");
    const { found } = await opened();
    assert.deepEqual([found.guard.place, found.maySign], [5, false]);
  });

  test("no guard, or a damaged one: nobody knows what was signed", async () => {
    for (const harm of ["lost", "rotten"]) {
      if (harm === "lost") disk.remove("/data/guard");
      else for (let at = 0; at < 1024; at += 64) await flip(at);
      assert.equal((await opened()).found.maySign, false, harm);
    }
  });

  async function flip(at: number): Promise<void> {
    const file = await disk.open("/data/guard", 2);
    await file.write(Buffer.from([0xff]), 0, 1, at);
  }

  test("a host that returns stays in doubt over restarts, whatever it cosigns, until it signs", async () => {
    disk.remove("/data/guard");
    const { store } = await opened();
    for (const size of [3, 4, 5]) await cosigned(store, size);
    const { found, store: again } = await opened();
    assert.deepEqual([found.guard.checkpoint.size, found.maySign], [5, false]);
    await signed(again, 0);
    assert.equal((await opened()).found.maySign, true);
  });

  test("after a storage error likewise", async () => {
    const { store } = await opened();
    await store.markFailed("a test");
    const { found, store: again } = await opened();
    assert.equal(found.maySign, false);
    await cosigned(again, 3);
    const { found: still, store: third } = await opened();
    assert.equal(still.maySign, false);
    await signed(third, 0);
    assert.equal((await opened()).found.maySign, true);
  });

  test("blocks are given to others however old they are, after restarts too", async () => {
    let store: HostStore = (await opened()).store;
    const config = configOf(ruleOf("three", 4, 1));
    const [block] = fullRounds(config, 1)[0] ?? [];
    assert.ok(block !== undefined);
    store.append({ type: "log", record: blockRecord(block) });
    await store.sync();
    const names = [nameOf(block.ref), { place: block.ref.round, digest: "ab".repeat(32) }];
    for (const horizon of [1, limits.gcRounds, limits.gcRounds + 1, 1000]) {
      store.writeState([], initialState(network), horizon);
      const wires: readonly Uint8Array[] = await store.records(names, () => undefined);
      const given = wires.map((wire): boolean => Buffer.compare(wire, block.wire) === 0);
      assert.deepEqual(given, [true], `at horizon ${horizon}`);
      store = (await opened()).store;
    }
  });
});
