import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { Author, limits } from "../../src/core/base/index.ts";
import { encode } from "../../src/core/codec/index.ts";
import { rootOf } from "../../src/core/crypto/index.ts";
import {
  DirectoryStore,
  decodeLeaf,
  decodeState,
  encodeState,
  leavesOf,
  messageKinds,
  signPolicy,
  stateKeys,
  type UpdateSource,
} from "../../src/core/mirror/index.ts";
import { fakeSigner } from "../support/dag-world.ts";
import { group, held, noise, put, Replica, update } from "../support/mirror-replica.ts";

describe("the mirror state machine", () => {
  const [admin, alice, bob] = [fakeSigner("admin"), fakeSigner("alice"), fakeSigner("bob")];

  test("an update is published once a quorum of distinct writers holds it, and not before", () => {
    const replica = new Replica(admin, [alice]);
    const { id, message } = update(replica, alice, [put("a", "1")]);
    replica.run([message, held(0, id), held(0, id)]);
    replica.run([held(1, id), held(1, id)]);
    assert.equal(replica.state.height, 0);
    assert.equal(replica.state.pending.size, 1);
    replica.run([held(2, id)]);
    assert.deepEqual([replica.state.height, replica.outcomes()], [1, ["published"]]);
    replica.run([held(3, id), message]);
    assert.equal(replica.state.height, 1, "the same update is not applied again");
  });

  test("an update that asks for more observers waits for them; fewer than a quorum are never enough", () => {
    const replica = new Replica(admin, [alice]);
    const from = (observers: number): UpdateSource => ({
      kind: "http",
      url: "http://a",
      observers,
    });
    const many = update(replica, alice, [put("a", "1")], { source: from(4) });
    const few = update(replica, alice, [put("b", "1")], { source: from(1) });
    replica.run([many.message, few.message]);
    for (const author of [0, 1]) replica.run([held(author, many.id, few.id)]);
    assert.deepEqual(replica.outcomes(), []);
    replica.run([held(2, many.id, few.id)]);
    assert.deepEqual(replica.outcomes(), ["published"]);
    assert.ok(replica.state.pending.has(many.id));
    replica.run([held(3, many.id)]);
    assert.deepEqual(replica.outcomes(), ["published", "published"]);
    const leaves = [...replica.data]
      .filter(([key]) => key.startsWith("l/"))
      .map(([, bytes]) => decodeLeaf(bytes));
    const sources = leaves.flatMap((leaf) =>
      leaf.ok && leaf.value.kind === "update" ? [leaf.value.source] : [],
    );
    assert.deepEqual(sources, ["http http://a", "http http://a"]);
  });

  test("a grant of imports lets nobody publish his own word", () => {
    const replica = new Replica(admin, [alice]);
    const publishers = [{ key: alice.publicKey, name: "a", trees: ["import:t*", "own"] }];
    replica.state = { ...replica.state, policy: { ...replica.state.policy, publishers } };
    const source = { kind: "apt", url: "http://a", observers: 3 };
    const cases = [
      [update(replica, alice, [put("a", "1")]), "not-permitted"],
      [update(replica, alice, [put("a", "1")], { source }), "published"],
      [update(replica, alice, [put("a", "1")], { tree: "own" }), "published"],
      [update(replica, alice, [put("a", "1")], { tree: "other", source }), "not-permitted"],
    ] as const;
    for (const [{ id, message }] of cases) {
      replica.run([message]);
      for (const author of [0, 1, 2]) replica.run([held(author, id)]);
    }
    assert.deepEqual(
      replica.outcomes(),
      cases.map(([, outcome]) => outcome),
    );
  });

  test("two updates of the same path: one is published, the other conflicts and names the path", () => {
    const replica = new Replica(admin, [alice, bob]);
    const a = update(replica, alice, [put("same", "alice"), put("of-alice", "x")]);
    const b = update(replica, bob, [put("same", "bob"), put("of-bob", "y")]);
    const c = update(replica, bob, [put("elsewhere", "z")]);
    replica.run([a.message, b.message, c.message]);
    replica.run([0, 1, 2].map((author) => held(author, b.id, a.id, c.id)));
    assert.deepEqual(replica.outcomes(), ["published", "conflict", "published"]);
    assert.equal(replica.state.height, 2);
    const store = new DirectoryStore(
      (root) => replica.data.get(`n/${root}`),
      () => undefined,
    );
    const [tree] = store.list(replica.state.trees);
    const root = tree?.entry.kind === "directory" ? tree.entry.root : undefined;
    assert.deepEqual(
      [...leavesOf(store, root)].map(({ path }) => path),
      ["elsewhere", "of-bob", "same"],
    );
  });

  test("who may write is asked when it is accepted and when it is published", () => {
    const replica = new Replica(admin, [alice]);
    const stranger = update(replica, bob, [put("a", "1")]);
    replica.run([stranger.message]);
    assert.deepEqual(replica.outcomes(), ["not-permitted"]);
    const wrongTree = update(replica, alice, [put("a", "1")], { tree: "other" });
    replica.run([wrongTree.message]);
    const { id, message } = update(replica, alice, [put("a", "1")]);
    replica.run([message]);
    const revoke = signPolicy(
      {
        group,
        administrator: admin.publicKey,
        version: 0,
        publisher: alice.publicKey,
        name: "",
        trees: [],
      },
      admin,
    );
    replica.run([{ author: Author(1), kind: messageKinds.policy, bytes: revoke.wire }]);
    replica.run([held(0, id), held(1, id), held(2, id)]);
    assert.deepEqual(replica.outcomes(), [
      "not-permitted",
      "not-permitted",
      "published",
      "not-permitted",
    ]);
    replica.run([{ author: Author(1), kind: messageKinds.policy, bytes: revoke.wire }]);
    const stale = signPolicy(
      {
        group,
        administrator: admin.publicKey,
        version: 0,
        publisher: bob.publicKey,
        name: "b",
        trees: ["*"],
      },
      admin,
    );
    replica.run([{ author: Author(1), kind: messageKinds.policy, bytes: stale.wire }]);
    assert.equal(replica.outcomes().at(-1), "stale-policy");
    const usurper = signPolicy(
      {
        group,
        administrator: bob.publicKey,
        version: 1,
        publisher: bob.publicKey,
        name: "b",
        trees: ["*"],
      },
      bob,
    );
    replica.run([{ author: Author(1), kind: messageKinds.policy, bytes: usurper.wire }]);
    assert.equal(replica.state.policy.publishers.length, 0);
  });

  test("a batch that lacks a change list changes nothing and can be run again", () => {
    const replica = new Replica(admin, [alice]);
    const { id, message } = update(replica, alice, [put("a", "1")]);
    const bytes = [...replica.changes];
    replica.changes.clear();
    replica.run([message, held(0, id), held(1, id)]);
    const before = encodeState(replica.state);
    const needs = replica.run([held(2, id)]);
    assert.equal(needs.kind, "needs");
    assert.deepEqual(encodeState(replica.state), before);
    for (const [digest, list] of bytes) replica.changes.set(digest, list);
    assert.equal(replica.run([held(2, id)]).kind, "executed");
    assert.equal(replica.state.height, 1);
  });

  test("a malformed change list is refused by all; an update that nobody completes expires", () => {
    const replica = new Replica(admin, [alice]);
    const bad = update(replica, alice, [put("../x", "1")]);
    replica.run([bad.message, held(0, bad.id), held(1, bad.id), held(2, bad.id)]);
    assert.deepEqual(replica.outcomes(), ["malformed"]);
    const wrong = update(replica, alice, [put("x", "1")], { tooLong: 1 });
    replica.run([wrong.message, held(0, wrong.id), held(1, wrong.id), held(2, wrong.id)]);
    assert.deepEqual(replica.outcomes(), ["malformed", "malformed"], "a list of another length");
    const slow = update(replica, alice, [put("a", "1")]);
    replica.run([slow.message]);
    replica.run([noise], replica.state.tsMs + limits.pendingUpdateMs);
    assert.equal(replica.state.pending.size, 1);
    replica.run([noise], replica.state.tsMs + 1);
    assert.deepEqual(replica.outcomes(), ["malformed", "malformed", "expired"]);
    replica.run([held(0, slow.id), held(1, slow.id), held(2, slow.id)]);
    assert.equal(replica.state.height, 0);
  });

  test("a commit that orders nothing does nothing, however late: no reader may have to follow it", () => {
    const replica = new Replica(admin, [alice]);
    const { id, message } = update(replica, alice, [put("a", "1")]);
    const other = update(replica, alice, [put("b", "1")]);
    replica.run([message, other.message, held(0, id), held(1, id), held(2, id)]);
    // What came after the checkpoint waits for the next one.
    replica.run([held(3, id)]);
    const { log, checkpointMs } = replica.state;
    const { length } = replica.events;
    for (const laterMs of [1, 2000, 2 * limits.pendingUpdateMs]) {
      const done = replica.run([], replica.state.tsMs + laterMs);
      assert.ok(done.kind === "executed" && done.writes.size === 0);
    }
    assert.deepEqual([replica.state.log, replica.state.checkpointMs], [log, checkpointMs]);
    assert.equal(replica.events.length, length);
    replica.run([noise]);
    const due = replica.events.findLast((event) => event.type === "checkpoint-due");
    assert.ok(due?.type === "checkpoint-due" && due.due.size === replica.state.log.size);
    assert.deepEqual(replica.outcomes(), ["published", "expired"]);
  });

  test("bad messages are ignored and counted, and never throw", () => {
    const replica = new Replica(admin, [alice]);
    const { message } = update(replica, alice, [put("a", "1")]);
    const forged = Uint8Array.from(message.bytes);
    forged[forged.length - 1] = (forged.at(-1) ?? 0) ^ 1;
    replica.run([{ ...message, bytes: forged }]);
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 80 }),
        fc.integer({ min: 0, max: 9 }),
        (bytes, kind) => {
          replica.run([{ author: Author(1), kind, bytes }]);
        },
      ),
    );
    assert.equal(replica.state.height, 0);
    assert.ok(
      replica.events.some((event) => event.type === "ignored" && event.code === "BAD_SIGNATURE"),
    );
  });

  test("the state survives its encoding, and checkpoints are due where something finished", () => {
    const replica = new Replica(admin, [alice]);
    const { id, message } = update(replica, alice, [put("a", "1")]);
    replica.run([message, held(0, id), held(1, id)]);
    const decoded = decodeState(encodeState(replica.state));
    assert.ok(decoded.ok);
    assert.deepEqual(
      encode([...encodeState(decoded.value)]),
      encode([...encodeState(replica.state)]),
    );
    replica.run([held(2, id)]);
    const due = replica.events.findLast((event) => event.type === "checkpoint-due");
    assert.ok(due?.type === "checkpoint-due");
    assert.equal(due.due.size, replica.state.log.size);
    assert.deepEqual(due.due.root, rootOf(replica.state.log));
  });

  test("whatever is certified ends with the leaf of its state", () => {
    const replica = new Replica(admin, [alice, bob]);
    const kinds = (): string[] => {
      const sizes = replica.events.flatMap((event) =>
        event.type === "checkpoint-due" ? [event.due.size] : [],
      );
      return sizes.map((size) => {
        const leaf = decodeLeaf(replica.data.get(stateKeys.leaf(size - 1)) ?? new Uint8Array(0));
        return leaf.ok && leaf.value.kind === "state" ? `state ${leaf.value.height}` : "other";
      });
    };
    const first = update(replica, alice, [put("a", "1")]);
    replica.run([first.message, ...[0, 1, 2].map((writer) => held(writer, first.id))]);
    const refused = update(replica, bob, [put("a", "2")]);
    replica.run([refused.message, ...[0, 1, 2].map((writer) => held(writer, refused.id))]);
    assert.deepEqual(replica.outcomes(), ["published", "conflict"]);
    assert.deepEqual(kinds(), ["state 1", "state 1"], "after a refusal too, which makes no height");
  });
});
