import { allAtOnce, compareText, type Digest, limits, type Steps, utf8 } from "../base/index.ts";
import type { Change } from "./changes.ts";
import type { DirectoryStore } from "./directory.ts";
import { type Entry, fingerprint, type Leaf, sameLeaf } from "./entry.ts";

/** The entry at a path of a tree, or `undefined`; the empty path is the tree's root directory. */
export function lookup(
  store: DirectoryStore,
  root: Digest | undefined,
  names: readonly string[],
): Entry | undefined {
  let entry: Entry | undefined =
    root === undefined ? undefined : { kind: "directory", root, count: 0 };
  for (const name of names) {
    if (entry?.kind !== "directory") return undefined;
    entry = store.get(entry.root, name);
  }
  return entry;
}

/** All leaves below a directory, depth first in name order, with their paths. */
export function* leavesOf(
  store: DirectoryStore,
  root: Digest | undefined,
  prefix = "",
): Generator<{ readonly path: string; readonly leaf: Leaf }> {
  for (const { name, entry } of store.list(root)) {
    if (entry.kind === "directory") yield* leavesOf(store, entry.root, `${prefix}${name}/`);
    else yield { path: prefix + name, leaf: entry };
  }
}

/** What differs between two directories: `before` and `after` are `undefined` where the path is absent. */
export interface Difference {
  readonly path: string;
  readonly before: Leaf | undefined;
  readonly after: Leaf | undefined;
}

/** Differences between two trees in path order; equal subtrees are not visited. */
export function* differences(
  store: DirectoryStore,
  roots: { readonly before: Digest | undefined; readonly after: Digest | undefined },
  prefix = "",
): Generator<Difference> {
  if (roots.before === roots.after) return;
  const before = new Map(store.list(roots.before).map(({ name, entry }) => [name, entry]));
  const after = new Map(store.list(roots.after).map(({ name, entry }) => [name, entry]));
  for (const name of [...new Set([...before.keys(), ...after.keys()])].sort(compareText)) {
    const [old, now] = [before.get(name), after.get(name)];
    const leaves = { before: leafOf(old), after: leafOf(now) };
    if (!sameOrBothAbsent(leaves.before, leaves.after)) yield { path: prefix + name, ...leaves };
    yield* differences(
      store,
      { before: rootOfEntry(old), after: rootOfEntry(now) },
      `${prefix}${name}/`,
    );
  }
}

function leafOf(entry: Entry | undefined): Leaf | undefined {
  return entry === undefined || entry.kind === "directory" ? undefined : entry;
}

function rootOfEntry(entry: Entry | undefined): Digest | undefined {
  return entry?.kind === "directory" ? entry.root : undefined;
}

function sameOrBothAbsent(a: Leaf | undefined, b: Leaf | undefined): boolean {
  return a === undefined || b === undefined ? a === b : sameLeaf(a, b);
}

export type Applied =
  | { readonly kind: "applied"; readonly root: Digest | undefined; readonly count: number }
  | { readonly kind: "conflict"; readonly paths: readonly string[] };

/** As many of the paths in conflict as a leaf of the log names. */
function namedConflicts(paths: readonly string[]): readonly string[] {
  let bytes = 0;
  return paths.slice(0, limits.conflictPathsMax).filter((path) => {
    bytes += utf8(path).length;
    return bytes <= limits.conflictBytesMax;
  });
}

/**
 * Makes all changes or none. A change conflicts if its path does not hold what the publisher saw there
 * (unless it already holds what he wants), or if a file would stand where a directory is needed. All changes of a list
 * count at once: a directory whose entries it deletes makes room for a file, and a file that it deletes for a directory.
 */
export function applyChanges(
  store: DirectoryStore,
  root: Digest | undefined,
  changes: readonly Change[],
): Applied {
  return allAtOnce(applyingChanges(store, root, changes));
}

/** {@link applyChanges} in steps. */
export function* applyingChanges(
  store: DirectoryStore,
  root: Digest | undefined,
  changes: readonly Change[],
): Steps<Applied> {
  const work = new Application(store);
  const steps: Step[] = [];
  for (const change of changes) {
    yield stepWork;
    steps.push({ change, names: change.path.split("/") });
  }
  const child = yield* work.directory(root, steps, 0);
  if (work.conflicts.length > 0) return { kind: "conflict", paths: namedConflicts(work.conflicts) };
  return { kind: "applied", root: child?.root, count: child?.count ?? 0 };
}

/** What taking a change apart costs, as steps count it. */
const stepWork = 0.2;

interface Step {
  readonly change: Change;
  readonly names: readonly string[];
}

class Application {
  readonly conflicts: string[] = [];
  readonly #store: DirectoryStore;

  constructor(store: DirectoryStore) {
    this.#store = store;
  }

  *directory(
    root: Digest | undefined,
    steps: readonly Step[],
    depth: number,
  ): Steps<{ root: Digest; count: number } | undefined> {
    const groups = new Map<string, { direct: Change | undefined; nested: Step[] }>();
    for (const step of steps) {
      yield stepWork;
      const name = step.names[depth] ?? "";
      const group = groups.get(name) ?? { direct: undefined, nested: [] };
      if (step.names.length === depth + 1) group.direct = step.change;
      else group.nested.push(step);
      groups.set(name, group);
    }
    const edits = new Map<string, Entry | undefined>();
    yield groups.size;
    const present = yield* this.#store.getMany(root, groups.keys());
    for (const [name, group] of groups) {
      const old = present.get(name);
      const now = yield* this.#entry(old, group, depth);
      if (old !== undefined || now !== undefined) edits.set(name, now);
    }
    return yield* this.#store.editing(root, edits);
  }

  *#entry(
    old: Entry | undefined,
    { direct, nested }: { readonly direct: Change | undefined; readonly nested: readonly Step[] },
    depth: number,
  ): Steps<Entry | undefined> {
    const isMet = direct === undefined || meetsExpectation(leafOf(old), direct);
    if (!isMet) this.conflicts.push(direct.path);
    if (old !== undefined && old.kind !== "directory" && direct === undefined)
      return this.#below(old, nested);
    const below = yield* this.#directoryAfter(old, nested, depth + 1);
    if (below === undefined) return direct?.leaf;
    if (direct?.leaf !== undefined && isMet) this.conflicts.push(direct.path);
    return below;
  }

  /** What is a directory once the changes below it are made; `undefined` if nothing is below it. */
  *#directoryAfter(
    old: Entry | undefined,
    nested: readonly Step[],
    depth: number,
  ): Steps<Entry | undefined> {
    if (nested.length === 0) return old?.kind === "directory" ? old : undefined;
    const root = old?.kind === "directory" ? old.root : undefined;
    const child = yield* this.directory(root, nested, depth);
    return child && { kind: "directory", ...child };
  }

  /** A file is in the way of what should come below it; that nothing is below it, it does not mind. */
  #below(old: Leaf, nested: readonly Step[]): Entry {
    for (const { change } of nested)
      if (change.leaf !== undefined) this.conflicts.push(change.path);
    return old;
  }
}

/** Optimistic concurrency, path by path: what the publisher saw must still be so, or be what he wants. */
function meetsExpectation(seen: Leaf | undefined, change: Change): boolean {
  if (change.expect === "anything" || sameOrBothAbsent(seen, change.leaf)) return true;
  if (change.expect === "absent") return seen === undefined;
  return seen !== undefined && fingerprint(seen) === change.expect;
}
