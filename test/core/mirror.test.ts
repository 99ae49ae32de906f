import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { Author, type Digest, limits } from "../../src/core/base/index.ts";
import { encode } from "../../src/core/codec/index.ts";
import { rootOf, type Signer, sha256 } from "../../src/core/crypto/index.ts";
import {
  applyChanges,
  type Change,
  changesDigest,
  DirectoryStore,
  decodeChanges,
  decodeState,
  differences,
  type Executed,
  encodeChanges,
  encodeHeld,
  encodeState,
  execute,
  exportCollisions,
  fingerprint,
  genesisState,
  type Leaf,
  leavesOf,
  type MirrorConfig,
  type MirrorEvent,
  type MirrorState,
  messageKinds,
  type OrderedMessage,
  parsePath,
  signPolicy,
  signUpdate,
} from "../../src/core/mirror/index.ts";
import { fakeSigner, fakeVerifier } from "../support/dag-world.ts";

const group = sha256(Buffer.from("group"));

function file(content: string, executable = false): Leaf {
  return { kind: "file", digest: sha256(Buffer.from(content)), size: content.length, executable };
}

class Memory {
  readonly nodes = new Map<Digest, Uint8Array>();
  readonly store = new DirectoryStore(
    (root) => this.nodes.get(root),
    (root, node) => this.nodes.set(root, node),
  );
}

const nameOf = fc.integer({ min: 0, max: 60 }).map((i) => `n${i}`);

describe("directories", () => {
  test("equal sets of entries have equal roots, whatever the way there", () => {
    const edits = fc.array(
      fc.tuple(nameOf, fc.option(fc.integer({ min: 0, max: 5 }), { nil: undefined })),
      { maxLength: 200 },
    );
    fc.assert(
      fc.property(edits, fc.integer({ min: 1, max: 30 }), (list, batch) => {
        const memory = new Memory();
        const twin = new Map<string, Leaf>();
        let root: Digest | undefined;
        for (let i = 0; i < list.length; i += batch) {
          const changes = new Map(
            list
              .slice(i, i + batch)
              .map(([name, n]) => [name, n === undefined ? undefined : file(`${n}`)]),
          );
          root = memory.store.edit(root, changes)?.root;
          for (const [name, leaf] of changes)
            leaf === undefined ? twin.delete(name) : twin.set(name, leaf);
        }
        const fresh = new Memory().store.edit(undefined, twin);
        assert.equal(root, fresh?.root);
        assert.deepEqual(
          memory.store.list(root).map(({ name, entry }) => [name, entry]),
          [...twin].sort(([a], [b]) => (a < b ? -1 : 1)),
        );
        for (const name of ["n0", "n30", "absent"])
          assert.deepEqual(memory.store.get(root, name), twin.get(name));
      }),
      { numRuns: 300 },
    );
  });

  test("an edit of a large directory writes few nodes, and nodes stay small", () => {
    const memory = new Memory();
    const many = new Map(
      Array.from({ length: 20_000 }, (_, i) => [`file-${i}`, file(`${i}`)] as const),
    );
    const root = memory.store.edit(undefined, many)?.root;
    const before = memory.nodes.size;
    const next = memory.store.edit(root, new Map([["file-777", file("changed")]]));
    assert.equal(next?.count, 20_000);
    assert.ok(memory.nodes.size - before <= 6, `${memory.nodes.size - before} nodes`);
    assert.ok(Math.max(...[...memory.nodes.values()].map((node) => node.length)) < 2048);
  });
});

type Tree = Map<string, Leaf>;

/** Applies changes the dumb way: paths in a map. */
function dumbApply(tree: Tree, changes: readonly Change[]): Tree | "conflict" {
  const next = new Map(tree);
  for (const { path, leaf, expect } of changes) {
    const old = tree.get(path);
    const isDirectory = [...tree.keys()].some((other) => other.startsWith(`${path}/`));
    const isDone =
      leaf === undefined
        ? old === undefined
        : old !== undefined && fingerprint(old) === fingerprint(leaf);
    const isMet =
      expect === "anything" ||
      isDone ||
      (expect === "absent"
        ? old === undefined && !isDirectory
        : old !== undefined && fingerprint(old) === expect);
    if (!isMet) return "conflict";
    if (leaf === undefined) next.delete(path);
    else next.set(path, leaf);
  }
  for (const path of next.keys()) {
    for (let at = path.lastIndexOf("/"); at > 0; at = path.lastIndexOf("/", at - 1)) {
      if (next.has(path.slice(0, at))) return "conflict";
    }
  }
  return next;
}

describe("change lists", () => {
  const path = fc
    .array(fc.constantFrom("a", "b", "c"), { minLength: 1, maxLength: 3 })
    .map((names) => names.join("/"));
  const change = fc.record({
    path,
    leaf: fc.option(fc.constantFrom(file("1"), file("2"), { kind: "link", target: "x" } as Leaf), {
      nil: undefined,
    }),
    expect: fc.constantFrom<Change["expect"]>(
      "anything",
      "absent",
      fingerprint(file("1")),
      fingerprint(file("2")),
    ),
  });

  test("applying equals the dumb twin, or both refuse", () => {
    let applied = 0;
    fc.assert(
      fc.property(
        fc.array(fc.array(change, { minLength: 1, maxLength: 5 }), { maxLength: 12 }),
        (lists) => {
          const memory = new Memory();
          let twin: Tree = new Map();
          let root: Digest | undefined;
          for (const list of lists) {
            const unique = [...new Map(list.map((item) => [item.path, item])).values()].sort(
              (a, b) => (a.path < b.path ? -1 : 1),
            );
            const expected = dumbApply(twin, unique);
            const found = applyChanges(memory.store, root, unique);
            // Deleting a directory as if it were a file is refused; the twin has no directories and sees nothing to do.
            if (found.kind === "conflict" && expected !== "conflict") {
              const isDirectory = found.paths.every((p) =>
                [...twin.keys()].some((other) => other.startsWith(`${p}/`)),
              );
              assert.ok(isDirectory, `${JSON.stringify(unique)} on ${JSON.stringify([...twin])}`);
              continue;
            }
            assert.equal(
              found.kind,
              expected === "conflict" ? "conflict" : "applied",
              JSON.stringify([unique, [...twin]]),
            );
            if (expected === "conflict" || found.kind === "conflict") continue;
            applied++;
            const before = root;
            root = found.root;
            const leaves = [...leavesOf(memory.store, root)].map(
              ({ path: p, leaf }) => [p, leaf] as const,
            );
            assert.deepEqual(new Map(leaves), expected);
            const changed = [...differences(memory.store, { before, after: root })]
              .map((item) => item.path)
              .sort();
            const dumb = [...new Set([...twin.keys(), ...expected.keys()])].filter(
              (p) => JSON.stringify(twin.get(p)) !== JSON.stringify(expected.get(p)),
            );
            assert.deepEqual(changed, dumb.sort());
            twin = expected;
          }
        },
      ),
      { numRuns: 1500 },
    );
    assert.ok(applied > 1000, `only ${applied} lists were applied`);
  });

  const bad: Readonly<Record<string, Change[]>> = {
    "dot-dot": [{ path: "a/../b", leaf: file("1"), expect: "anything" }],
    "an absolute path": [{ path: "/etc/passwd", leaf: file("1"), expect: "anything" }],
    "a NUL": [{ path: "a\0b", leaf: file("1"), expect: "anything" }],
    "a control character": [{ path: "a\u001b[2J", leaf: file("1"), expect: "anything" }],
    "a name over the limit": [{ path: "x".repeat(256), leaf: file("1"), expect: "anything" }],
    "a path over the limit": [
      { path: Array(30).fill("x".repeat(200)).join("/"), leaf: file("1"), expect: "anything" },
    ],
    "an empty name": [{ path: "a//b", leaf: file("1"), expect: "anything" }],
    "a lone dot": [{ path: "./a", leaf: file("1"), expect: "anything" }],
    "no change": [],
    "a path twice": [
      { path: "a", leaf: file("1"), expect: "anything" },
      { path: "a", leaf: file("2"), expect: "anything" },
    ],
  };
  for (const [name, changes] of Object.entries(bad)) {
    test(`refuses ${name}`, () => {
      assert.equal(decodeChanges(encodeChanges({ tree: "t", baseHeight: 0, changes })).ok, false);
    });
  }

  test("names that differ by case or normalisation only are told", () => {
    const groups = exportCollisions(["README", "readme", "caf\u00e9/x", "cafe\u0301/y", "plain"]);
    assert.deepEqual(
      groups.map((names) => [...names].sort()),
      [["README", "readme"], ["cafe\u0301", "caf\u00e9"].sort()],
    );
    assert.equal(exportCollisions(["a/b", "a/c"]).length, 0);
    assert.equal(parsePath("dir/file.txt").ok, true);
  });
});

/** Executes batches upon memory, with all change lists at hand unless told otherwise. */
class Replica {
  readonly data = new Map<string, Uint8Array>();
  readonly changes = new Map<Digest, Uint8Array>();
  readonly events: MirrorEvent[] = [];
  readonly config: MirrorConfig = { group, verifier: fakeVerifier, heldQuorum: 3 };
  state: MirrorState;

  constructor(admin: Signer, publishers: readonly Signer[]) {
    this.state = genesisState({
      policy: {
        version: 0,
        administrators: [admin.publicKey],
        publishers: publishers.map((signer) => ({
          key: signer.publicKey,
          name: "p",
          trees: ["t*"],
        })),
      },
      commit: group,
      timeMs: 1000,
    });
  }

  run(messages: readonly OrderedMessage[], tsMs = this.state.tsMs + 1): Executed {
    const index = this.state.commit.index + 1;
    const batch = {
      index,
      digest: sha256(Buffer.from(`${index}`)),
      tsMs,
      applications: 0,
      messages,
    };
    const view = {
      get: (key: string) => this.data.get(key),
      changes: (digest: Digest) => this.changes.get(digest),
    };
    const done = execute(this.state, batch, { view, config: this.config });
    if (done.kind === "needs") return done;
    this.state = done.state;
    for (const [key, value] of done.writes) this.data.set(key, value);
    this.events.push(...done.events);
    return done;
  }

  outcomes(): string[] {
    return this.events.flatMap((event) => (event.type === "finished" ? [event.outcome] : []));
  }
}

let nonce = 0;
function update(
  replica: Replica,
  signer: Signer,
  changes: readonly Change[],
  tree = "tree",
): { id: Digest; message: OrderedMessage } {
  const bytes = encodeChanges({ tree, baseHeight: 0, changes });
  replica.changes.set(changesDigest(bytes), bytes);
  const record = {
    group,
    publisher: signer.publicKey,
    tree,
    changes: { digest: changesDigest(bytes), bytes: bytes.length },
    nonce: (nonce++).toString(16).padStart(32, "0"),
  };
  const signed = signUpdate(record, signer);
  return {
    id: signed.id,
    message: { author: Author(0), kind: messageKinds.update, bytes: signed.wire },
  };
}

function held(author: number, ...ids: Digest[]): OrderedMessage {
  return { author: Author(author), kind: messageKinds.held, bytes: encodeHeld(ids) };
}

function put(path: string, content: string, expect: Change["expect"] = "absent"): Change {
  return { path, leaf: file(content), expect };
}

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
    const wrongTree = update(replica, alice, [put("a", "1")], "other");
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
    const slow = update(replica, alice, [put("a", "1")]);
    replica.run([slow.message]);
    replica.run([], replica.state.tsMs + limits.pendingUpdateMs);
    assert.equal(replica.state.pending.size, 1);
    replica.run([], replica.state.tsMs + 1);
    assert.deepEqual(replica.outcomes(), ["malformed", "expired"]);
    replica.run([held(0, slow.id), held(1, slow.id), held(2, slow.id)]);
    assert.equal(replica.state.height, 0);
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
});
