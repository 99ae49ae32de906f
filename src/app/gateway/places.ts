import { type Entry, parsePath } from "../../core/mirror/index.ts";
import type { PinnedTrees } from "../store/index.ts";
import { pinnedState } from "./pinned.ts";
import type { Refusal } from "./refuse.ts";
import type { TreeHost } from "./tree-host.ts";

const linkHopsMax = 8;

/** A place that a URL names. */
export interface Place {
  /** Paths whose changes show here: the one asked for and every link on the way. */
  readonly via: readonly string[];
  readonly record: PinnedTrees;
  readonly isPinned: boolean;
  /** What stands there never changes. */
  readonly isForEver: boolean;
  readonly tree: string;
  readonly names: readonly string[];
  readonly hasSlash: boolean;
}

/** The place that a decoded path names, whether anything stands there or not. */
export async function placeOf(host: TreeHost, path: string): Promise<Place | Refusal> {
  const pinned = await pinnedState(host, path);
  if (pinned !== undefined && "status" in pinned) return pinned;
  const record = pinned?.record ?? host.archive.height(host.servedHeight);
  if (record === undefined)
    return { status: 404, code: "NOTHING_PUBLISHED", message: "nothing is published yet" };
  const rest = (pinned?.rest ?? path).replace(/^\//, "");
  const [isPinned, isForEver] = [pinned !== undefined, pinned?.isForEver === true];
  const hasSlash = rest === "" || rest.endsWith("/");
  const trimmed = rest.replace(/\/$/, "");
  const at = { via: [], record, isPinned, isForEver, hasSlash };
  if (trimmed === "") return { ...at, tree: "", names: [] };
  const parsed = parsePath(trimmed);
  if (!parsed.ok) return { status: 400, code: parsed.error.code, message: parsed.error.detail };
  const [tree = "", ...names] = parsed.value;
  return { ...at, tree, names };
}

interface Resolved {
  readonly entry: Entry;
  /** Where it really stands. */
  readonly names: readonly string[];
  readonly via: readonly string[];
}

/**
 * Walks a path component by component, following symbolic links (of files and of directories) inside the tree. A link
 * that leads out is refused, as is a chain without end.
 */
export function resolvePath(host: TreeHost, place: Place): Resolved | Refusal {
  let todo = [...place.names];
  let names: readonly string[] = [];
  const via: string[] = [];
  for (let hops = 0; hops <= linkHopsMax; ) {
    const entry = entryAt(host, place, names);
    if (entry === undefined) {
      const message = `not in height ${place.record.height}`;
      return { status: 404, code: "NOT_FOUND", message, isAbsent: via.length === 0 };
    }
    if (entry.kind === "link") {
      hops++;
      via.push(names.join("/"));
      const target = follow(names.slice(0, -1), entry.target);
      if (target === undefined)
        return { status: 403, code: "LINK_OUTSIDE", message: "a link leads out of its tree" };
      todo = [...target, ...todo];
      names = [];
      continue;
    }
    const [next, ...rest] = todo;
    if (next === undefined) return { entry, names, via: [...via, names.join("/")] };
    if (entry.kind !== "directory")
      return { status: 404, code: "NOT_FOUND", message: "a file is on the way" };
    names = [...names, next];
    todo = rest;
  }
  return { status: 404, code: "LINK_LOOP", message: `more than ${linkHopsMax} links in a row` };
}

function entryAt(host: TreeHost, place: Place, names: readonly string[]): Entry | undefined {
  return host.archive.entry(place.record, place.tree, names);
}

function follow(directory: readonly string[], target: string): readonly string[] | undefined {
  if (target.startsWith("/")) return undefined;
  const names = [...directory];
  for (const part of target.split("/")) {
    if (part === "" || part === ".") continue;
    if (part !== "..") names.push(part);
    else if (names.pop() === undefined) return undefined;
  }
  return names;
}
