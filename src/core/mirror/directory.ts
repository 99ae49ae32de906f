import {
  allAtOnce,
  assert,
  compareText,
  type Digest,
  defined,
  fromHex,
  limits,
  type Steps,
} from "../base/index.ts";
import {
  digest,
  encode,
  fields,
  list,
  natural,
  optional,
  read,
  require,
  type Shape,
  type Value,
} from "../codec/index.ts";
import { sha256Text, taggedDigest } from "../crypto/index.ts";
import { type Entry, entryShape, entryValue, type NamedEntry } from "./entry.ts";

/**
 * A directory is a Merkle trie over SHA-256(name), sixteen ways: a subtree of at most
 * `nodeEntriesMax` entries is one bucket, a larger one an inner node. Its shape follows from the set
 * of entries alone, so equal directories have equal hashes, an update touches O(log n) nodes, and a
 * proof for one of a million entries takes a few small nodes.
 */
const bucketEntriesMax = limits.nodeEntriesMax;
const depthMax = 64;
/** What it takes to make a node, as a step counts it. */
const nodeWork = 3;
const namesPerStep = 256;

interface Child {
  readonly root: Digest;
  readonly count: number;
}
/** A node of a directory's trie: sixteen children, or a bucket of entries. */
export type DirectoryNode =
  | { readonly kind: "bucket"; readonly entries: readonly NamedEntry[] }
  | { readonly kind: "inner"; readonly children: readonly (Child | null)[] };

/** Finds nodes by their hash; what it returns has been checked, or is this host's own. */
export type NodeReader = (root: Digest) => Uint8Array | undefined;
/** The same for who keeps nodes as they were read. */
export type NodeSource = (root: Digest) => Uint8Array | DirectoryNode | undefined;
/** Keeps a node that an update made. */
export type NodeWriter = (root: Digest, node: Uint8Array) => void;

const childShape: Shape<Child> = (value, what) => {
  const [root, count] = fields(2)(value, what);
  return { root: digest(root, `${what}.root`), count: natural()(count, `${what}.count`) };
};

const nodeShape: Shape<DirectoryNode> = (value, what) => {
  const [kind, items] = fields(2)(value, what);
  if (kind === 0) {
    const entries = list(entryShape, bucketEntriesMax)(items, what);
    const sorted = entries.every(
      (entry, i) => i === 0 || compareText(entries[i - 1]?.name ?? "", entry.name) < 0,
    );
    require(entries.length > 0 && sorted, `${what} holds entries in name order`);
    return { kind: "bucket", entries };
  }
  const children = list(optional(childShape), 16)(items, what);
  require(kind === 1 && children.length === 16, `${what} is an inner node`);
  return { kind: "inner", children };
};

/** Digest of a node's bytes: the name by which a parent has it. */
export function nodeDigest(node: Uint8Array): Digest {
  return taggedDigest("node", node);
}

/** Decodes node bytes of any origin. Faults: MALFORMED_*. */
export function readNode(bytes: Uint8Array): ReturnType<typeof read<DirectoryNode>> {
  return read(bytes, nodeShape, "node");
}

/** A node that the store must have is missing or unreadable: the store is damaged. */
export class MissingNodeError extends Error {
  override readonly name = "MissingNodeError";
  readonly root: Digest;
  constructor(root: Digest) {
    super(`directory node ${root} is missing or unreadable`);
    this.root = root;
  }
}

function load(root: Digest, source: NodeSource): DirectoryNode {
  const found = source(root);
  if (found !== undefined && "kind" in found) return found;
  const node = found === undefined ? undefined : readNode(found);
  if (node?.ok !== true) throw new MissingNodeError(root);
  return node.value;
}

function nibble(hash: Uint8Array, depth: number): number {
  const byte = defined(hash[depth >> 1], "a nibble of the hash");
  return depth % 2 === 0 ? byte >> 4 : byte & 15;
}

interface Named {
  readonly name: string;
  readonly hash: Uint8Array;
}

interface Edit extends Named {
  /** `undefined` removes the name. */
  readonly entry: Entry | undefined;
}

/** Reads and writes nodes; one for the duration of one operation. */
export class DirectoryStore {
  readonly #read: NodeSource;
  readonly #write: NodeWriter;

  constructor(read: NodeSource, write: NodeWriter) {
    this.#read = read;
    this.#write = write;
  }

  /** The entry called `name`, or `undefined`. Throws {@link MissingNodeError}. */
  get(root: Digest | undefined, name: string): Entry | undefined {
    const hash = sha256Text(name);
    let at = root;
    for (let depth = 0; at !== undefined; depth++) {
      const node = load(at, this.#read);
      if (node.kind === "bucket") return node.entries.find((entry) => entry.name === name)?.entry;
      at = node.children[nibble(hash, depth)]?.root;
    }
    return undefined;
  }

  /** Those of `names` that are there, found in one walk: a node that holds many of them is read once. */
  *getMany(root: Digest | undefined, names: Iterable<string>): Steps<ReadonlyMap<string, Entry>> {
    const found = new Map<string, Entry>();
    if (root === undefined) return found;
    const wanted: Named[] = [];
    for (const name of names) {
      wanted.push({ name, hash: sha256Text(name) });
      if (wanted.length % namesPerStep === 0) yield namesPerStep;
    }
    if (wanted.length > 0) yield* this.#find(root, { wanted, depth: 0 }, found);
    return found;
  }

  *#find(
    root: Digest,
    { wanted, depth }: { readonly wanted: readonly Named[]; readonly depth: number },
    found: Map<string, Entry>,
  ): Steps<void> {
    const node = load(root, this.#read);
    yield nodeWork;
    if (node.kind === "bucket") {
      const names = new Set(wanted.map(({ name }) => name));
      for (const { name, entry } of node.entries) if (names.has(name)) found.set(name, entry);
      return;
    }
    for (const [slot, group] of groupByNibble(wanted, depth)) {
      const child = node.children[slot];
      if (child !== null && child !== undefined)
        yield* this.#find(child.root, { wanted: group, depth: depth + 1 }, found);
    }
  }

  /** All entries of a directory, in name order. */
  list(root: Digest | undefined): NamedEntry[] {
    return allAtOnce(this.listing(root));
  }

  /** {@link list} in steps. */
  *listing(root: Digest | undefined): Steps<NamedEntry[]> {
    const entries: NamedEntry[] = [];
    if (root !== undefined) yield* this.#collecting(root, entries);
    return entries.sort((a, b) => compareText(a.name, b.name));
  }

  *#collecting(root: Digest, into: NamedEntry[]): Steps<void> {
    const node = load(root, this.#read);
    yield nodeWork;
    if (node.kind === "bucket") into.push(...node.entries);
    else
      for (const child of node.children)
        if (child !== null) yield* this.#collecting(child.root, into);
  }

  /** The directory with `edits` made; `undefined` once it is empty. */
  edit(root: Digest | undefined, edits: ReadonlyMap<string, Entry | undefined>): Child | undefined {
    return allAtOnce(this.editing(root, edits));
  }

  /** {@link edit} in steps. */
  *editing(
    root: Digest | undefined,
    edits: ReadonlyMap<string, Entry | undefined>,
  ): Steps<Child | undefined> {
    const list: Edit[] = [];
    for (const [name, entry] of edits) {
      list.push({ name, hash: sha256Text(name), entry });
      if (list.length % namesPerStep === 0) yield namesPerStep;
    }
    if (list.length === 0)
      return root === undefined ? undefined : { root, count: this.count(root) };
    return yield* this.#update(root, list, 0);
  }

  /** Entries of a directory, by its first node. */
  count(root: Digest): number {
    const node = load(root, this.#read);
    if (node.kind === "bucket") return node.entries.length;
    return node.children.reduce((sum, child) => sum + (child?.count ?? 0), 0);
  }

  *#update(
    root: Digest | undefined,
    edits: readonly Edit[],
    depth: number,
  ): Steps<Child | undefined> {
    assert(depth <= depthMax, "the trie is no deeper than the hash");
    const node = root === undefined ? undefined : load(root, this.#read);
    if (node?.kind !== "inner") return yield* this.#rebuild(node?.entries ?? [], edits, depth);
    const groups = groupByNibble(edits, depth);
    const children: (Child | null)[] = [];
    for (const [i, child] of node.children.entries()) {
      const group = groups.get(i);
      const isSame = group === undefined;
      children.push(
        isSame ? child : ((yield* this.#update(child?.root, group, depth + 1)) ?? null),
      );
    }
    yield nodeWork;
    return this.#inner(children);
  }

  *#rebuild(
    entries: readonly NamedEntry[],
    edits: readonly Edit[],
    depth: number,
  ): Steps<Child | undefined> {
    const merged = new Map<string, Edit>();
    for (const { name, entry } of entries)
      merged.set(name, { name, entry, hash: sha256Text(name) });
    for (const edit of edits) merged.set(edit.name, edit);
    const kept = [...merged.values()].filter((edit) => edit.entry !== undefined);
    return yield* this.#build(kept, depth);
  }

  *#build(edits: readonly Edit[], depth: number): Steps<Child | undefined> {
    if (edits.length === 0) return undefined;
    if (edits.length <= bucketEntriesMax) {
      yield nodeWork + edits.length;
      return this.#bucket(
        edits.flatMap(({ name, entry }) => (entry === undefined ? [] : [{ name, entry }])),
      );
    }
    const groups = groupByNibble(edits, depth);
    const children: (Child | null)[] = [];
    for (let i = 0; i < 16; i++)
      children.push((yield* this.#build(groups.get(i) ?? [], depth + 1)) ?? null);
    yield nodeWork;
    return this.#inner(children);
  }

  #bucket(entries: readonly NamedEntry[]): Child {
    const sorted = entries.toSorted((a, b) => compareText(a.name, b.name));
    return { root: this.#put([0, sorted.map(entryValue)]), count: entries.length };
  }

  #inner(children: readonly (Child | null)[]): Child | undefined {
    const count = children.reduce((sum, child) => sum + (child?.count ?? 0), 0);
    if (count === 0) return undefined;
    if (count <= bucketEntriesMax) {
      const entries: NamedEntry[] = [];
      for (const child of children)
        if (child !== null) allAtOnce(this.#collecting(child.root, entries));
      return this.#bucket(entries);
    }
    const value = children.map((child) =>
      child === null ? null : [fromHex(child.root), child.count],
    );
    return { root: this.#put([1, value]), count };
  }

  #put(value: Value): Digest {
    const bytes = encode(value);
    const root = nodeDigest(bytes);
    this.#write(root, bytes);
    return root;
  }
}

function groupByNibble<T extends Named>(items: readonly T[], depth: number): Map<number, T[]> {
  const groups = new Map<number, T[]>();
  for (const item of items) {
    const slot = nibble(item.hash, depth);
    const group = groups.get(slot);
    if (group === undefined) groups.set(slot, [item]);
    else group.push(item);
  }
  return groups;
}
