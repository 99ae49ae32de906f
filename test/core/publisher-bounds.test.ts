import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import {
  Author,
  type Digest,
  type Height,
  limits,
  type PublicKey,
} from "../../src/core/base/index.ts";
import { sha256 } from "../../src/core/crypto/index.ts";
import {
  applyChanges,
  type Change,
  DirectoryStore,
  decodeChanges,
  decodeState,
  encodeChanges,
  encodeState,
  genesisState,
  type Leaf,
  type MirrorState,
  type PendingUpdate,
} from "../../src/core/mirror/index.ts";
import { roomFor } from "../../src/core/mirror/pending.ts";
import { changePolicy } from "../../src/core/mirror/policy.ts";
import { fakeSigner } from "../support/dag-world.ts";

const leaf: Leaf = {
  kind: "file",
  digest: sha256(Buffer.from("x")),
  size: 1,
  executable: false,
};

function listOf(paths: readonly string[], change: Partial<Change> = {}): Uint8Array {
  const changes = paths.map((path) => ({ path, leaf, expect: "absent" as const, ...change }));
  return encodeChanges({ tree: "t", baseHeight: 0, changes });
}

function codeOf(list: Uint8Array): string {
  const read = decodeChanges(list);
  return read.ok ? "ok" : read.error.code;
}

const count = (n: number, path: (i: string) => string): string[] =>
  Array.from({ length: n }, (_, i) => path(i.toString(36)));

describe("what a change list may cost is bounded by its length", () => {
  const deep = Array(120).fill("a").join("/");

  test("a list of many deep paths is refused before anything is made of it; a few deep ones are fine", () => {
    assert.equal(codeOf(listOf(count(2000, (i) => `${i}/${deep}/x`))), "TOO_DENSE");
    assert.equal(codeOf(listOf(count(2, (i) => `${i}/${deep}/x`))), "ok");
    assert.equal(codeOf(listOf(count(2000, (i) => `${deep}/${i}`))), "ok", "one way to all");
  });

  test("trees as people have them are not refused", () => {
    const layouts: readonly ((i: string) => string)[] = [
      (i) => `usr/share/doc/package-${i}/copyright`,
      (i) => `org/example/group/artifact-${i}/1.0.${i}/artifact-${i}-1.0.${i}.jar`,
      (i) => `${sha256(Buffer.from(i)).replace(/^(..)(..)(..)/, "$1/$2/$3/")}`,
      (i) => `node_modules/p${i}/node_modules/q/lib/index.js`,
      (i) => i,
    ];
    for (const layout of layouts) assert.equal(codeOf(listOf(count(20_000, layout))), "ok");
  });

  test("a list of many changes that say nothing is refused", () => {
    const nothing = { leaf: undefined, expect: "anything" } as const;
    assert.equal(
      codeOf(
        listOf(
          count(20_000, (i) => i),
          nothing,
        ),
      ),
      "TOO_DENSE",
    );
    assert.equal(
      codeOf(
        listOf(
          count(60, (i) => i),
          nothing,
        ),
      ),
      "ok",
    );
    const seen = { leaf: undefined, expect: sha256(Buffer.from("seen")) } as const;
    assert.equal(
      codeOf(
        listOf(
          count(20_000, (i) => i),
          seen,
        ),
      ),
      "ok",
      "an honest deletion",
    );
  });

  test("property: no list that is taken makes more nodes than its length allows", () => {
    const name = fc.constantFrom("a", "b", "c", "dd", "e-e");
    const path = fc.array(name, { minLength: 1, maxLength: 100 }).map((names) => names.join("/"));
    fc.assert(
      fc.property(fc.uniqueArray(path, { minLength: 1, maxLength: 300 }), (paths) => {
        const list = listOf(paths, { expect: "anything" });
        const read = decodeChanges(list);
        if (!read.ok) return read.error.code === "TOO_DENSE";
        const nodes = new Map<Digest, Uint8Array>();
        let made = 0;
        const store = new DirectoryStore(
          (root) => nodes.get(root),
          (root, node) => {
            made++;
            nodes.set(root, node);
          },
        );
        applyChanges(store, undefined, read.value.changes);
        const directories = 257 + list.length / limits.bytesPerDirectoryMin;
        return made <= directories + (2 * paths.length) / limits.nodeEntriesMax + 16;
      }),
    );
  });

  test("80 000 conflicts are found in one pass, and a hundred of them named", () => {
    const store = new DirectoryStore(
      () => undefined,
      () => undefined,
    );
    const paths = count(80_000, (i) => `d/${i}`);
    const read = decodeChanges(listOf(paths, { expect: sha256(Buffer.from("other")) }));
    assert.ok(read.ok);
    // Comparing each with each would be 3.2 thousand million comparisons: the test would not end.
    const applied = applyChanges(store, undefined, read.value.changes);
    assert.equal(applied.kind, "conflict");
    assert.equal(applied.kind === "conflict" && applied.paths.length, limits.conflictPathsMax);
  });
});

describe("a publisher's share", () => {
  const key = (name: string): PublicKey => fakeSigner(name).publicKey;
  const open = (publishers: readonly string[]): MirrorState["pending"] =>
    new Map(
      publishers.map((name, i): [Digest, PendingUpdate] => {
        const id = sha256(Buffer.from(`${name} ${i}`));
        const wire = new Uint8Array(1);
        return [id, { id, publisher: key(name), wire, acceptedMs: i, heldBy: new Set() }];
      }),
    );
  const of = (name: string, n: number): string[] => Array<string>(n).fill(name);

  test("who has his share open waits; nobody else does", () => {
    const pending = open(of("greedy", limits.pendingPerPublisherMax));
    assert.deepEqual(roomFor(key("greedy"), pending), { isThere: false });
    assert.deepEqual(roomFor(key("alice"), pending), { isThere: true });
  });

  test("where all room is taken, who has most of it gives up its newest; among equals nobody does", () => {
    const many = Array.from({ length: 16 }, (_, i) => of(`greedy ${i}`, 256)).flat();
    const pending = open(many);
    assert.equal(pending.size, limits.pendingUpdatesMax);
    const { isThere, leaves } = roomFor(key("alice"), pending);
    assert.ok(isThere && leaves !== undefined);
    assert.equal(leaves.acceptedMs, 255, "the newest of the first of those that have most");
    const fair = open(Array.from({ length: limits.pendingUpdatesMax }, (_, i) => `p${i}`));
    assert.deepEqual(roomFor(key("p7"), fair), { isThere: false });
    assert.deepEqual(roomFor(key("alice"), fair), { isThere: false });
  });
});

describe("the replicated state", () => {
  const administrator = fakeSigner("admin").publicKey;
  const publisherOf = (i: number, trees: number) => ({
    key: sha256(Buffer.from(`key ${i}`)) as unknown as PublicKey,
    name: `publisher ${i}`,
    trees: Array.from({ length: trees }, (_, j) => `tree-${i}-${j}*`),
  });

  test("the largest that the limits allow is read back as it was written", () => {
    const each = Math.floor(limits.grantsTotalMax / limits.publishersMax);
    const publishers = Array.from({ length: limits.publishersMax }, (_, i) => publisherOf(i, each));
    const state = genesisState({
      policy: { version: 1, administrators: [administrator], publishers },
      commit: sha256(Buffer.from("genesis")),
      timeMs: 1,
    });
    const heldBy = new Set(Array.from({ length: limits.committeeWritersMax }, (_, i) => Author(i)));
    const pending = new Map(
      Array.from({ length: limits.pendingUpdatesMax }, (_, i): [Digest, PendingUpdate] => {
        const id = sha256(Buffer.from(`${i}`));
        const wire = new Uint8Array(300);
        return [id, { id, publisher: administrator, wire, acceptedMs: i, heldBy }];
      }),
    );
    const full = { ...state, height: 7 as Height, pending };
    const read = decodeState(encodeState(full));
    assert.ok(read.ok, read.ok ? "" : read.error.detail);
    assert.deepEqual(read.value, full);
  });

  test("grants are bounded together: one more is refused, in words", () => {
    const publishers = Array.from({ length: 256 }, (_, i) => publisherOf(i, limits.grantsMax));
    const policy = { version: 1, administrators: [administrator], publishers };
    const record = {
      group: sha256(Buffer.from("group")),
      administrator,
      version: 1,
      publisher: key("new"),
      name: "new",
      trees: ["one"],
    };
    const changed = changePolicy(policy, record);
    assert.equal(changed.ok ? "" : changed.error.detail, "too many grants");
    assert.ok(changePolicy({ ...policy, publishers: publishers.slice(1) }, record).ok);
  });

  const key = (name: string): PublicKey => fakeSigner(name).publicKey;
});
