import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { allAtOnce, type Digest } from "../../src/core/base/index.ts";
import { sha256 } from "../../src/core/crypto/index.ts";
import {
  applyChanges,
  type Change,
  DirectoryStore,
  decodeChanges,
  differences,
  encodeChanges,
  exportCollisions,
  fingerprint,
  type Leaf,
  leavesOf,
  parsePath,
} from "../../src/core/mirror/index.ts";

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
        const asked = Array.from({ length: 40 }, (_, n) => `n${2 * n}`);
        assert.deepEqual(
          new Map(allAtOnce(memory.store.getMany(root, asked))),
          new Map(asked.flatMap((name) => (twin.has(name) ? [[name, twin.get(name)]] : []))),
        );
        for (const name of asked.slice(0, 5))
          assert.deepEqual(memory.store.get(root, name), twin.get(name));
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

/** The root once these leaves are put in. */
function rootAfter(
  memory: Memory,
  root: Digest | undefined,
  leaves: ReadonlyMap<string, Leaf>,
): Digest | undefined {
  const changes = [...leaves].map(([path, leaf]) => ({ path, leaf, expect: "anything" }) as const);
  const applied = applyChanges(memory.store, root, changes);
  assert.ok(applied.kind === "applied");
  return applied.root;
}

/** Applies changes the dumb way: paths in a map. */
function dumbApply(tree: Tree, changes: readonly Change[]): Tree | "conflict" {
  const next = new Map(tree);
  for (const { path, leaf, expect } of changes) {
    const old = tree.get(path);
    const isDone =
      leaf === undefined
        ? old === undefined
        : old !== undefined && fingerprint(old) === fingerprint(leaf);
    const isMet =
      expect === "anything" ||
      isDone ||
      (expect === "absent" ? old === undefined : old !== undefined && fingerprint(old) === expect);
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

  const link: Leaf = { kind: "link", target: "elsewhere" };
  const kinds: Readonly<Record<string, ReadonlyMap<string, Leaf>>> = {
    nothing: new Map(),
    file: new Map([["a", file("1")]]),
    "another file": new Map([["a", file("2")]]),
    link: new Map([["a", link]]),
    directory: new Map([
      ["a/x", file("1")],
      ["a/y", link],
    ]),
    "a deep directory": new Map([["a/b/c", file("1")]]),
    "a directory that is a file inside": new Map([["a/b", file("1")]]),
  };

  for (const [from, before] of Object.entries(kinds))
    for (const [to, after] of Object.entries(kinds))
      test(`${from} becomes ${to} in one list, beside others and nested`, () => {
        for (const prefix of ["", "deep/er/"]) {
          const memory = new Memory();
          const place = (leaves: ReadonlyMap<string, Leaf>): Map<string, Leaf> =>
            new Map([...leaves].map(([p, leaf]) => [prefix + p, leaf]));
          const own = new Map(before).set("z", file("z"));
          const root = rootAfter(memory, undefined, place(own));
          const changes = [...new Set([...before.keys(), ...after.keys()])].sort().map((p) => {
            const old = before.get(p);
            const expect = old === undefined ? "absent" : fingerprint(old);
            return { path: prefix + p, leaf: after.get(p), expect } as const;
          });
          const applied = applyChanges(memory.store, root, changes);
          assert.ok(applied.kind === "applied", JSON.stringify([prefix, applied]));
          const leaves = [...leavesOf(memory.store, applied.root)].map(
            (one) => [one.path, one.leaf] as const,
          );
          assert.deepEqual(new Map(leaves), place(new Map(after).set("z", file("z"))));
        }
      });

  test("a directory of which something stays does not become a file", () => {
    const memory = new Memory();
    const two = new Map([
      ["a/x", file("1")],
      ["a/y", file("2")],
    ]);
    const root = rootAfter(memory, undefined, two);
    const changes: Change[] = [
      { path: "a", leaf: file("3"), expect: "absent" },
      { path: "a/x", leaf: undefined, expect: fingerprint(file("1")) },
    ];
    const applied = applyChanges(memory.store, root, changes);
    assert.deepEqual(applied, { kind: "conflict", paths: ["a"] });
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
