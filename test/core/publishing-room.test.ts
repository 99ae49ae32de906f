import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { limits } from "../../src/core/base/index.ts";
import type { Signer } from "../../src/core/crypto/index.ts";
import { PublishingRoom } from "../../src/core/mirror/publishing-room.ts";
import { fakeSigner } from "../support/dag-world.ts";
import { held, put, Replica, update } from "../support/mirror-replica.ts";

describe("what one commit may publish", () => {
  const [admin, alice, bob] = [fakeSigner("admin"), fakeSigner("alice"), fakeSigner("bob")];

  test("one commit publishes of one publisher what his longest list may hold; what has no room is busy", () => {
    const replica = new Replica(admin, [alice, bob]);
    // A list may be of 256 MiB: these say that they are, and what has room would be malformed.
    const tooLong = limits.changeListBytesMax - 1000;
    const of = (signer: Signer, count: number) =>
      Array.from({ length: count }, () => update(replica, signer, [put("a", "1")], { tooLong }));
    const all = [...of(alice, 3), ...of(bob, 2)];
    replica.run(all.map(({ message }) => message));
    const ids = all.map(({ id }) => id);
    replica.run([held(0, ...ids), held(1, ...ids)]);
    replica.run([held(2, ...ids)]);
    assert.deepEqual(replica.outcomes(), ["malformed", "busy", "busy", "malformed", "busy"]);
    const later = update(replica, alice, [put("a", "1")]);
    replica.run([later.message, ...[0, 1, 2].map((author) => held(author, later.id))]);
    assert.equal(replica.outcomes().at(-1), "published", "the next commit has room again");
  });

  test("many publishers at once have the room of two; the next commit has room for others", () => {
    const signers = Array.from({ length: 4 }, (_, i) => fakeSigner(`p${i}`));
    const replica = new Replica(admin, signers);
    const tooLong = limits.changeListBytesMax - 1000;
    const all = signers.map((signer) => update(replica, signer, [put("a", "1")], { tooLong }));
    replica.run(all.map(({ message }) => message));
    const ids = all.map(({ id }) => id);
    for (const author of [0, 1, 2]) replica.run([held(author, ...ids)]);
    assert.deepEqual(replica.outcomes(), ["malformed", "malformed", "busy", "busy"]);
  });

  test("changes count too, not bytes alone", () => {
    const room = new PublishingRoom();
    assert.ok(room.takeChanges(alice.publicKey, limits.changesMax));
    assert.ok(!room.takeChanges(alice.publicKey, 1));
    assert.ok(room.takeChanges(bob.publicKey, limits.changesMax));
    assert.ok(!room.takeChanges(admin.publicKey, 1));
    assert.ok(room.takeBytes(alice.publicKey, 7));
  });

  test("a list that will be needed is missed before anything is done; one that liars alone hold is not", () => {
    const replica = new Replica(admin, [alice]);
    const first = update(replica, alice, [put("a", "1")]);
    const second = update(replica, alice, [put("b", "2")]);
    const alone = update(replica, alice, [put("c", "3")]);
    replica.run([first.message, second.message, alone.message]);
    const lists = new Map(replica.changes);
    replica.changes.clear();
    const done = replica.run([
      held(0, first.id, second.id, alone.id),
      held(1, first.id, second.id),
      held(2, first.id, second.id),
    ]);
    assert.equal(done.kind, "needs");
    // What the first needs is here, but it is not begun before the second's is.
    const reads: string[] = [];
    const wanted = done.kind === "needs" ? done.changes : "";
    for (const [digest, bytes] of lists) if (digest === wanted) replica.changes.set(digest, bytes);
    const get = replica.data.get.bind(replica.data);
    replica.data.get = (key) => {
      reads.push(key);
      return get(key);
    };
    const again = replica.run([
      held(0, first.id, second.id, alone.id),
      held(1, first.id, second.id),
      held(2, first.id, second.id),
    ]);
    assert.ok(again.kind === "needs" && again.changes !== wanted);
    assert.deepEqual(reads, []);
    replica.data.get = get;
    const [, secondList] = [...lists];
    if (secondList !== undefined) replica.changes.set(...secondList);
    const last = replica.run([
      held(0, first.id, second.id, alone.id),
      held(1, first.id, second.id),
      held(2, first.id, second.id),
    ]);
    assert.equal(last.kind, "executed");
    assert.deepEqual(replica.outcomes(), ["published", "published"]);
  });
});
