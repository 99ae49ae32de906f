import type { Digest } from "../../core/base/index.ts";
import { type Change, type Difference, fingerprint } from "../../core/mirror/index.ts";

/** What publishing would change. */
export interface Plan {
  readonly tree: string;
  readonly baseHeight: number;
  readonly added: readonly string[];
  readonly changed: readonly string[];
  readonly deleted: readonly string[];
  /** Paths that are in the tree and not in the directory, and stay. */
  readonly kept: number;
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
 * stay.
 */
export function planPublish(options: {
  readonly tree: string;
  readonly baseHeight: number;
  readonly differences: Iterable<Difference>;
  readonly delete: boolean;
}): Plan {
  const { tree, baseHeight } = options;
  const added: string[] = [];
  const changed: string[] = [];
  const deleted: string[] = [];
  const changes: Change[] = [];
  const bases = new Map<Digest, Digest>();
  let kept = 0;
  const listOf = ({ before, after }: Difference): string[] => {
    if (after === undefined) return deleted;
    return before === undefined ? added : changed;
  };
  for (const difference of options.differences) {
    const { path, before, after } = difference;
    if (after === undefined && !options.delete) {
      kept++;
      continue;
    }
    listOf(difference).push(path);
    const expect = before === undefined ? "absent" : fingerprint(before);
    changes.push({ path, leaf: after, expect });
    if (after?.kind === "file" && before?.kind === "file") bases.set(after.digest, before.digest);
  }
  return { tree, baseHeight, added, changed, deleted, kept, changes, bases };
}
