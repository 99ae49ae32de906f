import {
  allAtOnce,
  compareText,
  type Digest,
  fail,
  fromHex,
  limits,
  ok,
  type Result,
  type Steps,
  toHex,
} from "../base/index.ts";
import {
  bytes,
  encode,
  fields,
  natural,
  optional,
  Pieces,
  readValue,
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

/** Lists longer than this are read anew each time: what was read takes ten times the room. */
const rememberedBytesMax = 16 * 1024 * 1024;
const remembered = new WeakMap<Uint8Array, Result<ChangeList>>();

/**
 * Reads a change list of any origin: the same answer on every host. Faults: MALFORMED_*, BAD_TREE, BAD_PATH, BAD_ORDER,
 * TOO_DENSE, WRONG_SIZE. The answer is remembered for as long as the caller keeps `encoded`, which nobody may change.
 */
export function decodeChanges(encoded: Uint8Array): Result<ChangeList> {
  return allAtOnce(readingChanges(encoded));
}

/** {@link decodeChanges} in steps: a long list takes seconds. */
export function* readingChanges(encoded: Uint8Array): Steps<Result<ChangeList>> {
  const known = remembered.get(encoded);
  if (known !== undefined) return known;
  const changes = yield* readList(encoded);
  if (encoded.length <= rememberedBytesMax) remembered.set(encoded, changes);
  return changes;
}

const changesPerStep = 256;
/** A change has eleven items at most. */
const itemsPerChange = 32;

function* readList(encoded: Uint8Array): Steps<Result<ChangeList>> {
  const pieces = new Pieces(encoded, itemsPerChange);
  const head = readHead(pieces, encoded.length);
  if (!head.ok) return head;
  const { tree, baseHeight, count } = head.value;
  const density = new Density(encoded.length);
  if (density.isTooMany(count)) return density.fault;
  const changes: Change[] = [];
  const sizes = new Map<Digest, number>();
  for (let i = 1; i <= count; i++) {
    const change = readChange(pieces, changes.at(-1)?.path);
    if (!change.ok) return change;
    if (density.isTooDeep(change.value.path)) return density.fault;
    if (hasOtherSize(change.value, sizes)) return fail("WRONG_SIZE", "one content with two sizes");
    changes.push(change.value);
    if (i % changesPerStep === 0) yield changesPerStep;
  }
  const end = pieces.end();
  return end.ok ? ok({ tree, baseHeight, changes }) : end;
}

/** True if what a change brings had another size in the list before. */
function hasOtherSize({ leaf }: Change, sizes: Map<Digest, number>): boolean {
  if (leaf?.kind !== "file") return false;
  const before = sizes.get(leaf.digest) ?? leaf.size;
  sizes.set(leaf.digest, before);
  return before !== leaf.size;
}

/** What stands before the changes, and how many of them follow. */
function readHead(
  pieces: Pieces,
  listBytes: number,
): Result<{ readonly tree: string; readonly baseHeight: number; readonly count: number }> {
  if (listBytes > limits.changeListBytesMax)
    return fail("MALFORMED_SHAPE", "the change list is too long");
  const fieldCount = pieces.array();
  if (!fieldCount.ok) return fieldCount;
  if (fieldCount.value !== 3) return fail("MALFORMED_SHAPE", "changes has 3 fields");
  const [tree, baseHeight] = [pieces.value(), pieces.value()];
  if (!tree.ok) return tree;
  if (!baseHeight.ok) return baseHeight;
  const head = readValue([tree.value, baseHeight.value], headShape, "changes");
  const count = pieces.array();
  if (!head.ok) return head;
  if (!count.ok) return count;
  if (count.value > limits.changesMax)
    return fail("MALFORMED_SHAPE", `more than ${limits.changesMax} changes`);
  if (!isTreeName(head.value.tree))
    return fail("BAD_TREE", `${JSON.stringify(head.value.tree)} is not a tree's name`);
  if (count.value === 0) return fail("BAD_ORDER", "no change in the list");
  return ok({ ...head.value, count: count.value });
}

const headShape: Shape<{ readonly tree: string; readonly baseHeight: number }> = (value, what) => {
  const [tree, baseHeight] = fields(2)(value, what);
  return {
    tree: text(limits.treeNameBytesMax)(tree, `${what}.tree`),
    baseHeight: natural()(baseHeight, `${what}.baseHeight`),
  };
};

/** The next change; its path stands behind `before`. */
function readChange(pieces: Pieces, before: string | undefined): Result<Change> {
  const value = pieces.value();
  if (!value.ok) return value;
  const change = readValue(value.value, changeShape, "change");
  if (!change.ok) return change;
  const { path } = change.value;
  const names = parsePath(path);
  if (!names.ok) return names;
  if (before !== undefined && compareText(before, path) >= 0)
    return fail("BAD_ORDER", "paths rise, each once");
  return change;
}

/** What a short list, or one of few paths, may cost beyond. */
const freeOf = { changes: 64, directories: 256 };
const slash = 0x2f;

/**
 * What a list costs every host grows with its changes, and with the directories on the way to their paths: each is a node
 * that is made anew. Both are bounded by the list's length, so that no list costs many times what another of its length
 * does.
 */
class Density {
  readonly #listBytes: number;
  #directories = 0;
  #before = "";

  constructor(listBytes: number) {
    this.#listBytes = listBytes;
  }

  isTooMany(changes: number): boolean {
    return changes > freeOf.changes + this.#listBytes / limits.bytesPerChangeMin;
  }

  /** Counts the directories on the way to a path. Paths rise: those below one directory stand together. */
  isTooDeep(path: string): boolean {
    for (let at = sharedPrefix(this.#before, path); at < path.length; at++)
      if (path.charCodeAt(at) === slash) this.#directories++;
    this.#before = path;
    return this.#directories > freeOf.directories + this.#listBytes / limits.bytesPerDirectoryMin;
  }

  get fault(): Result<never> {
    return fail(
      "TOO_DENSE",
      `so short a list makes too much work: at least ${limits.bytesPerChangeMin} bytes a change and ${limits.bytesPerDirectoryMin} a directory; publish less deep paths at once`,
    );
  }
}

function sharedPrefix(a: string, b: string): number {
  let length = 0;
  while (length < a.length && a.charCodeAt(length) === b.charCodeAt(length)) length++;
  return length;
}

/** Digest of a change list's bytes. */
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
