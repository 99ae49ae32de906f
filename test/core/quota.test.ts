import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { limits, type PublicKey } from "../../src/core/base/index.ts";
import { sha256 } from "../../src/core/crypto/index.ts";
import {
  decodeState,
  encodeState,
  type OrderedMessage,
  quotaOf,
  signPolicy,
} from "../../src/core/mirror/index.ts";
import { fakeSigner } from "../support/dag-world.ts";
import { group, put, Replica, update } from "../support/mirror-replica.ts";

const hourMs = 3_600_000;

describe("updates of a publisher in an hour", () => {
  const [admin, alice, bob] = [fakeSigner("admin"), fakeSigner("alice"), fakeSigner("bob")];

  /** A replica at the beginning of an hour, with three updates an hour for alice. */
  function limited(): Replica {
    const replica = new Replica(admin, [alice, bob]);
    const record = {
      group,
      administrator: admin.publicKey,
      version: 0,
      publisher: alice.publicKey,
      name: "alice",
      trees: ["t*"],
      perHour: 3,
    };
    const bytes = signPolicy(record, admin).wire;
    replica.run([{ author: 0, kind: 3, bytes } as OrderedMessage], 10 * hourMs);
    assert.deepEqual(replica.outcomes(), ["published"]);
    return replica;
  }

  const open = (replica: Replica): number => replica.state.pending.size;

  test("one more is refused, whatever batches they come in; others and the next hour are free", () => {
    const replica = limited();
    const of = (signer = alice) => update(replica, signer, [put("a", "1")]).message;
    replica.run([of(), of()]);
    replica.run([of()]);
    assert.equal(open(replica), 3);
    replica.run([of(), of(bob)]);
    assert.equal(open(replica), 4);
    assert.deepEqual(replica.outcomes().slice(1), ["over-quota"]);
    replica.run([of()], 11 * hourMs - 1);
    assert.deepEqual(replica.outcomes().slice(1), ["over-quota", "over-quota"]);
    replica.run([of(), of(), of(), of()], 11 * hourMs);
    assert.equal(open(replica), 7);
    assert.equal(replica.outcomes().length, 4);
  });

  test("what was taken is known after a restart, and refused ones do not count", () => {
    const replica = limited();
    const of = () => update(replica, alice, [put("a", "1")]).message;
    replica.run([of(), of(), of(), of(), of()]);
    const read = decodeState(encodeState(replica.state));
    assert.ok(read.ok);
    assert.deepEqual(encodeState(read.value), encodeState(replica.state));
    assert.deepEqual([...read.value.taken.updates.values()], [3]);
    replica.state = read.value;
    replica.run([of()]);
    assert.equal(open(replica), 3);
  });

  test("publishers that were let in and out one after the other leave a state that can be read", () => {
    const replica = limited();
    replica.run([update(replica, bob, [put("a", "1")]).message]);
    const gone = Array.from({ length: limits.publishersMax }, (_, i) =>
      sha256(Buffer.from(`${i}`)),
    );
    const updates = new Map(replica.state.taken.updates);
    for (const key of gone.slice(1)) updates.set(key as unknown as PublicKey, 1);
    replica.state = { ...replica.state, taken: { hour: 10, updates } };
    assert.equal(updates.size, limits.publishersMax);
    replica.run([update(replica, alice, [put("a", "1")]).message]);
    assert.deepEqual([...replica.state.taken.updates.keys()], [bob.publicKey, alice.publicKey]);
    assert.ok(decodeState(encodeState(replica.state)).ok);
  });

  test("what has no room does not count", () => {
    const replica = new Replica(admin, [alice]);
    const all = limits.pendingPerPublisherMax + 5;
    const messages = Array.from(
      { length: all },
      () => update(replica, alice, [put("a", "1")]).message,
    );
    replica.run(messages);
    assert.equal(replica.outcomes().filter((outcome) => outcome === "busy").length, 5);
    assert.deepEqual([...replica.state.taken.updates.values()], [limits.pendingPerPublisherMax]);
  });

  test("a state from before there were quotas is read, and nobody has had anything", () => {
    const { taken, ...rest } = limited().state;
    const old = encodeState({ ...rest, taken: { hour: 0, updates: new Map() } });
    assert.equal(taken.hour, 0);
    // The last of 14 fields is [0, []]: without it there are 13.
    const bytes = Uint8Array.from([0x8d, ...old.slice(1, -3)]);
    assert.deepEqual([...old.slice(0, 1), ...old.slice(-3)], [0x8e, 0x82, 0, 0x80]);
    const read = decodeState(bytes);
    assert.ok(read.ok, read.ok ? "" : read.error.detail);
    assert.deepEqual(read.value.taken, { hour: 0, updates: new Map() });
  });

  test("whoever is told nothing else has a hundred thousand", () => {
    const { policy } = limited().state;
    assert.equal(quotaOf(policy, alice.publicKey), 3);
    assert.equal(quotaOf(policy, bob.publicKey), limits.updatesPerHour);
  });
});
