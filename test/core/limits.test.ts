import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { limits } from "../../src/core/base/index.ts";
import { decode, encode } from "../../src/core/codec/index.ts";
import { sha256 } from "../../src/core/crypto/index.ts";
import {
  applyChanges,
  type Change,
  DirectoryStore,
  decodeChanges,
  encodeChanges,
  isTreeName,
  isTreePattern,
  type Leaf,
  nameFault,
  parsePath,
  readPardon,
  readPolicy,
  readUpdate,
  signPardon,
  signPolicy,
  signUpdate,
} from "../../src/core/mirror/index.ts";
import { fakeSigner, fakeVerifier } from "../support/dag-world.ts";

const group = sha256(Buffer.from("group"));
const alice = fakeSigner("alice");
const file = (size: number): Leaf => ({
  kind: "file",
  digest: sha256(Buffer.from("x")),
  size,
  executable: false,
});

function listOf(change: Partial<Change>, tree = "t"): boolean {
  const whole: Change = { path: "a", leaf: file(1), expect: "absent", ...change };
  return decodeChanges(encodeChanges({ tree, baseHeight: 0, changes: [whole] })).ok;
}

function updateOf(source: { kind: string; url: string; observers: number }, bytes = 1): boolean {
  const { publicKey: publisher } = alice;
  const changes = { digest: group, bytes };
  const record = { group, publisher, tree: "t", changes, nonce: "00".repeat(16), source };
  return readUpdate(signUpdate(record, alice).wire, new Set([group]), fakeVerifier).ok;
}

function policyOf(trees: readonly string[]): boolean {
  const { publicKey } = alice;
  const who = { group, administrator: publicKey, publisher: publicKey, version: 0, name: "a" };
  return readPolicy(signPolicy({ ...who, trees }, alice).wire, group, fakeVerifier).ok;
}

function pardonOf(reason: string): boolean {
  const { publicKey } = alice;
  const record = { group, administrator: publicKey, culprit: publicKey, evidence: group, reason };
  return readPardon(signPardon(record, alice).wire, group, fakeVerifier).ok;
}

const x = (count: number): string => "x".repeat(count);
const source = { kind: "http", url: "http://a", observers: 1 };

/** Whether something of a size is taken: it is at the limit, and not one beyond it. */
const rows: readonly (readonly [name: string, most: number, isTaken: (size: number) => boolean])[] =
  [
    ["a name", limits.nameBytesMax, (size) => nameFault(x(size)) === undefined],
    // Counted in bytes, not in characters.
    ["a name of é", limits.nameBytesMax >> 1, (size) => nameFault("é".repeat(size)) === undefined],
    ["depth", limits.pathDepthMax, (size) => parsePath(Array(size).fill("d").join("/")).ok],
    ["a tree's name", limits.treeNameBytesMax, (size) => isTreeName(x(size))],
    ["a tree's name in a list", limits.treeNameBytesMax, (size) => listOf({}, x(size))],
    ["a grant", limits.treeNameBytesMax, (size) => isTreePattern(`${x(size)}*`)],
    ["a grant's bytes", limits.grantBytesMax, (size) => policyOf([x(size)])],
    ["grants", limits.grantsMax, (size) => policyOf(Array(size).fill("t"))],
    [
      "a link's target",
      limits.symlinkBytesMax,
      (size) => listOf({ leaf: { kind: "link", target: x(size) } }),
    ],
    ["a file", limits.blobBytesMax, (size) => listOf({ leaf: file(size) })],
    ["a list's length", limits.changeListBytesMax, (size) => updateOf(source, size)],
    [
      "a source's kind",
      limits.sourceKindBytesMax,
      (size) => updateOf({ ...source, kind: x(size) }),
    ],
    ["a source's url", limits.sourceUrlBytesMax, (size) => updateOf({ ...source, url: x(size) })],
    ["observers", limits.committeeWritersMax, (size) => updateOf({ ...source, observers: size })],
    ["a reason", limits.reasonBytesMax, (size) => pardonOf(x(size))],
    [
      "items",
      limits.decodeItemsMax,
      // The list itself is an item too.
      (size) => decode(encode(Array<number>(size - 1).fill(0))).ok,
    ],
  ];

describe("what is named is taken up to its limit, and not beyond", () => {
  for (const [name, most, isTaken] of rows)
    test(name, () => {
      assert.ok(isTaken(1) || most > 1, name);
      assert.ok(isTaken(most), `${most}`);
      assert.ok(!isTaken(most + 1), `${most + 1}`);
    });

  test("a path", () => {
    // Names of 255 bytes and a slash each: 4096 bytes are 16 of them.
    const full = Array(16).fill(x(255)).join("/");
    assert.equal(full.length + 1, limits.pathBytesMax);
    assert.ok(parsePath(full).ok);
    assert.ok(!parsePath(`${full}/a`).ok);
  });

  test("conflicts are named up to so many and so many bytes", () => {
    const store = new DirectoryStore(
      (root) => nodes.get(root),
      (root, node) => nodes.set(root, node),
    );
    const nodes = new Map<string, Uint8Array>();
    const conflicting = (name: (i: number) => string, count: number): readonly string[] => {
      const changes = Array.from({ length: count }, (_, i): Change => {
        return { path: name(i), leaf: file(1), expect: sha256(Buffer.from("other")) };
      }).sort((a, b) => (a.path < b.path ? -1 : 1));
      const made = applyChanges(store, undefined, changes);
      return made.kind === "conflict" ? made.paths : [];
    };
    assert.equal(conflicting((i) => `${i}`, 500).length, limits.conflictPathsMax);
    const long = conflicting(
      (i) => `${String(i).padStart(3, "0")}${x(250)}/${x(255)}/${x(255)}`,
      90,
    );
    const bytes = long.reduce((sum, path) => sum + path.length, 0);
    assert.ok(
      bytes <= limits.conflictBytesMax && bytes > limits.conflictBytesMax - 800,
      `${bytes}`,
    );
  });
});
