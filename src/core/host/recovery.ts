import { defined } from "../base/index.ts";
import type { AcceptedBatch, Commit, VerifiedBlock } from "../consensus/index.ts";
import { refKey } from "../consensus/index.ts";
import type { DueRecord, MirrorState } from "../mirror/index.ts";
import type { CosignGuard } from "./cosigning.ts";
import type { CertifiedPoint, JoinRecord } from "./splitting.ts";

/** The guard file: the last things this host signed, durable before they left it (`dag.md` §2, §12). */
export interface Guard {
  readonly round: number;
  readonly checkpoint: CosignGuard;
  /** The group that this host joined after a split, if it did. */
  readonly joined?: JoinRecord | undefined;
}

/** What a host finds on its disk. */
export interface HostRecovery {
  /** Blocks in the order they were written, from the horizon (or the last executed commit) on. */
  readonly blocks: readonly VerifiedBlock[];
  readonly commits: readonly RecoveredCommit[];
  readonly state: MirrorState;
  /** The last checkpoint that was due. */
  readonly due: DueRecord | undefined;
  /** The newest checkpoint that was certified. */
  readonly certified?: CertifiedPoint | undefined;
  readonly guard: Guard;
  /** False if guard and log cannot vouch for what was signed: the host follows until it is safe. */
  readonly maySign: boolean;
}

export interface RecoveredCommit {
  readonly commit: Commit;
  readonly digest: AcceptedBatch["digest"];
}

/** The batches of recovered commits that the state has not executed yet. */
export function batchesToReplay(recovery: HostRecovery): AcceptedBatch[] {
  const blocks = new Map(recovery.blocks.map((block) => [refKey(block.ref), block]));
  const batches: AcceptedBatch[] = [];
  for (const { commit, digest } of recovery.commits) {
    if (commit.index <= recovery.state.commit.index) continue;
    const ordered = commit.blocks.map((ref) =>
      defined(blocks.get(refKey(ref)), "a committed block is in the log before its commit"),
    );
    batches.push(batchOf({ commit, digest }, ordered));
  }
  return batches;
}

/** What a commit orders, from its blocks in their order; without tickets, since nobody waits for what is read back. */
export function batchOf(
  { commit, digest }: RecoveredCommit,
  blocks: readonly VerifiedBlock[],
): AcceptedBatch {
  const payloads = blocks
    .filter((block) => block.segments.length > 0)
    .map((block) => ({ author: block.ref.author, segments: block.segments, tickets: [] }));
  return { index: commit.index, digest, tsMs: commit.tsMs, payloads };
}
