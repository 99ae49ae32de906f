import type { Digest } from "../../core/base/index.ts";
import { type Change, type Difference, fingerprint } from "../../core/mirror/index.ts";

/** A path is a directory in the tree and a file here, or the other way round, and nothing may be deleted. */
class KindChangedError extends Error {
  override readonly name = "KindChangedError";
  readonly code = "KIND_CHANGED";
}

/** So much of a tree would be deleted that an empty or unmounted source is likelier than a wish. */
class TooManyDeletionsError extends Error {
  override readonly name = "TooManyDeletionsError";
  readonly code = "TOO_MANY_DELETIONS";
}

/** So many files may be deleted whatever their share. */
const deletionsAlwaysMost = 10;

/** What publishing would change. */
export interface Plan {
  readonly tree: string;
  readonly baseHeight: number;
  readonly added: readonly string[];
  readonly changed: readonly string[];
  readonly deleted: readonly string[];
  /** Paths that are in the tree and not in the directory, and stay. */
  readonly kept: number;
  /** Files that the tree has. */
  readonly before: number;
  readonly changes: readonly Change[];
  /** By the digest of a file's new content, what it was before: only what differs need be sent. */
  readonly bases: ReadonlyMap<Digest, Digest>;
}

/**
 * True if a tree surely is what the local directory is, once the plan became the state at `height`: nothing stays that
 * the directory lacks, and nobody else published since the plan was made.
 */
export function isLikeLocal(plan: Plan, height: number | undefined): boolean {
  return plan.kept === 0 && height === plan.baseHeight + 1;
}

/**
 * What makes a tree (`before`) what a local directory is (`after`). Without `delete`, paths that are only in the tree
 * stay; where one is in the way, it throws KindChangedError.
 */
export function planPublish(options: {
  readonly tree: string;
  readonly baseHeight: number;
  readonly differences: Iterable<Difference>;
  readonly delete: boolean;
  /** Files that the local directory has. */
  readonly localFiles?: number;
}): Plan {
  const { tree, baseHeight } = options;
  const added: string[] = [];
  const changed: string[] = [];
  const deleted: string[] = [];
  const changes: Change[] = [];
  const bases = new Map<Digest, Digest>();
  const kept = new Set<string>();
  const listOf = ({ before, after }: Difference): string[] => {
    if (after === undefined) return deleted;
    return before === undefined ? added : changed;
  };
  for (const difference of options.differences) {
    const { path, before, after } = difference;
    if (after === undefined && !options.delete) {
      kept.add(path);
      continue;
    }
    listOf(difference).push(path);
    const expect = before === undefined ? "absent" : fingerprint(before);
    changes.push({ path, leaf: after, expect });
    if (after?.kind === "file" && before?.kind === "file") bases.set(after.digest, before.digest);
  }
  refuseInTheWay(tree, kept, added);
  const before = (options.localFiles ?? 0) - added.length + deleted.length + kept.size;
  return { tree, baseHeight, added, changed, deleted, kept: kept.size, before, changes, bases };
}

function refuseInTheWay(tree: string, kept: ReadonlySet<string>, added: readonly string[]): void {
  const directories = new Set([...kept].flatMap(directoriesAbove));
  for (const path of added) {
    const above = directoriesAbove(path).find((one) => kept.has(one));
    const what = directories.has(path)
      ? `${JSON.stringify(path)} is a directory in the tree "${tree}", and a file or a link here`
      : `${JSON.stringify(above)} is a file or a link in the tree "${tree}", and a directory here`;
    if (directories.has(path) || above !== undefined)
      throw new KindChangedError(`${what}; to replace it, publish with --delete`);
  }
}

/** The directories that a path stands in, the outermost first. */
export function directoriesAbove(path: string): string[] {
  const names = path.split("/");
  return names.slice(1).map((_, i) => names.slice(0, i + 1).join("/"));
}

/** Throws {@link TooManyDeletionsError} if more than a `share` of what is there, and more than a few, would go. */
export function refuseMassDeletion(
  deleted: number,
  { of, where, share }: { readonly of: number; readonly where: string; readonly share: number },
): void {
  if (deleted <= deletionsAlwaysMost || deleted <= share * of) return;
  throw new TooManyDeletionsError(
    `${deleted} of ${of} files of ${where} would be deleted, more than ${Math.round(share * 100)} %; nothing was changed. If it is meant: --max-delete ${Math.ceil((100 * deleted) / of)}%`,
  );
}
