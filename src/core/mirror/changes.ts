import {
  compareText,
  type Digest,
  fail,
  fromHex,
  limits,
  ok,
  type Result,
  toHex,
} from "../base/index.ts";
import {
  bytes,
  encode,
  fields,
  list,
  natural,
  optional,
  read,
  require,
  type Shape,
  text,
  type Value,
} from "../codec/index.ts";
import { sha256 } from "../crypto/index.ts";
import { type Leaf, leafShape, leafValue } from "./entry.ts";
import { isTreeName, parsePath } from "./path.ts";

/** One path's change. `leaf: undefined` deletes. `expect` is what the publisher saw there. */
export interface Change {
  readonly path: string;
  readonly leaf: Leaf | undefined;
  readonly expect: "anything" | "absent" | Digest;
}

/** An atomic list of changes to one tree, in path order, each path once. */
export interface ChangeList {
  readonly tree: string;
  /** The height at which the publisher looked. */
  readonly baseHeight: number;
  readonly changes: readonly Change[];
}

function expectValue(expect: Change["expect"]): Value {
  if (expect === "anything") return null;
  return expect === "absent" ? new Uint8Array(0) : fromHex(expect);
}

function expectOf(value: Uint8Array | null, what: string): Change["expect"] {
  if (value === null) return "anything";
  if (value.length === 0) return "absent";
  require(value.length === 32, `${what} is a fingerprint`);
  return toHex(value) as Digest;
}

/** Canonical bytes of a change list; its SHA-256 is what an update record names. */
export function encodeChanges(changes: ChangeList): Uint8Array {
  const sorted = changes.changes.toSorted((a, b) => compareText(a.path, b.path));
  return encode([
    changes.tree,
    changes.baseHeight,
    sorted.map((change) => [
      change.path,
      change.leaf === undefined ? null : leafValue(change.leaf),
      expectValue(change.expect),
    ]),
  ]);
}

const changeShape: Shape<Change> = (value, what) => {
  const [path, leaf, expect] = fields(3)(value, what);
  return {
    path: text(limits.pathBytesMax)(path, `${what}.path`),
    leaf: optional(leafShape)(leaf, `${what}.leaf`) ?? undefined,
    expect: expectOf(optional(bytes(32))(expect, `${what}.expect`), `${what}.expect`),
  };
};

const changesShape: Shape<ChangeList> = (value, what) => {
  const [tree, baseHeight, changes] = fields(3)(value, what);
  return {
    tree: text(limits.treeNameBytesMax)(tree, `${what}.tree`),
    baseHeight: natural()(baseHeight, `${what}.baseHeight`),
    changes: list(changeShape, limits.changesMax)(changes, `${what}.changes`),
  };
};

/** Lists longer than this are read anew each time: what was read takes ten times the room. */
const rememberedBytesMax = 4 * 1024 * 1024;
const remembered = new WeakMap<Uint8Array, Result<ChangeList>>();

/**
 * Reads a change list of any origin: the same answer on every host. Faults: MALFORMED_*, BAD_TREE, BAD_PATH, BAD_ORDER,
 * TOO_DENSE, WRONG_SIZE.
 * The answer is remembered for as long as the caller keeps `encoded`, which nobody may change.
 */
export function decodeChanges(encoded: Uint8Array): Result<ChangeList> {
  let changes = remembered.get(encoded);
  if (changes !== undefined) return changes;
  changes = readChanges(encoded);
  if (encoded.length <= rememberedBytesMax) remembered.set(encoded, changes);
  return changes;
}

function readChanges(encoded: Uint8Array): Result<ChangeList> {
  if (encoded.length > limits.changeListBytesMax)
    return fail("MALFORMED_SHAPE", "the change list is too long");
  const decoded = read(encoded, changesShape, "changes", 16 * limits.changesMax);
  if (!decoded.ok) return decoded;
  const { tree, changes } = decoded.value;
  if (!isTreeName(tree)) return fail("BAD_TREE", `${JSON.stringify(tree)} is not a tree's name`);
  if (changes.length === 0) return fail("BAD_ORDER", "no change in the list");
  for (const [i, { path }] of changes.entries()) {
    const names = parsePath(path);
    if (!names.ok) return names;
    const before = changes[i - 1]?.path;
    if (before !== undefined && compareText(before, path) >= 0)
      return fail("BAD_ORDER", "paths rise, each once");
  }
  if (isTooDense(changes, encoded.length))
    return fail(
      "TOO_DENSE",
      `so short a list makes too much work: at least ${limits.bytesPerChangeMin} bytes a change and ${limits.bytesPerDirectoryMin} a directory; publish less deep paths at once`,
    );
  return hasTwoSizes(changes)
    ? fail("WRONG_SIZE", "one content with two sizes")
    : ok(decoded.value);
}

/** What a short list, or one of few paths, may cost beyond. */
const freeOf = { changes: 64, directories: 256 };

/**
 * What a list costs every host grows with its changes, and with the directories on the way to their paths: each is a node
 * that is made anew. Both are bounded by the list's length, so that no list costs many times what another of its length
 * does.
 */
function isTooDense(changes: readonly Change[], listBytes: number): boolean {
  if (changes.length > freeOf.changes + listBytes / limits.bytesPerChangeMin) return true;
  const directoriesMax = freeOf.directories + listBytes / limits.bytesPerDirectoryMin;
  let [directories, before] = [0, ""];
  for (const { path } of changes) {
    // Paths rise: those below one directory stand together.
    for (let at = sharedPrefix(before, path); at < path.length; at++)
      if (path.charCodeAt(at) === slash) directories++;
    if (directories > directoriesMax) return true;
    before = path;
  }
  return false;
}

const slash = 0x2f;

function sharedPrefix(a: string, b: string): number {
  let length = 0;
  while (length < a.length && a.charCodeAt(length) === b.charCodeAt(length)) length++;
  return length;
}

function hasTwoSizes(changes: readonly Change[]): boolean {
  const sizes = new Map<Digest, number>();
  for (const { leaf } of changes) {
    if (leaf?.kind !== "file") continue;
    if ((sizes.get(leaf.digest) ?? leaf.size) !== leaf.size) return true;
    sizes.set(leaf.digest, leaf.size);
  }
  return false;
}

export function changesDigest(encoded: Uint8Array): Digest {
  return sha256(encoded);
}

/** The blobs that an update's changes name, each once, with their sizes. */
export function blobsOf(changes: ChangeList): ReadonlyMap<Digest, number> {
  const blobs = new Map<Digest, number>();
  for (const { leaf } of changes.changes)
    if (leaf?.kind === "file") blobs.set(leaf.digest, leaf.size);
  return blobs;
}
