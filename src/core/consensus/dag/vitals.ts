import { limits } from "../../base/index.ts";
import type { Asking } from "./asking.ts";
import type { CrashRecovery } from "./crash-recovery.ts";
import type { DagAcceptance } from "./machine.ts";

/** How a writer's part in the DAG is, for status pages and metrics. */
export interface DagVitals {
  readonly round: number;
  readonly lastCommit: number;
  readonly quorumCommit: number;
  readonly isSigning: boolean;
  /** Just started, and peers say that the order is far beyond: it signs nothing until it has caught up. */
  readonly isHeld: boolean;
  readonly returning: { readonly answers: number; readonly needed: number } | undefined;
  readonly pendingBytes: number;
  readonly waitingBlocks: number;
  readonly graphBlocks: number;
  /** What each collection holds that others can fill, and the most that it may. */
  readonly bounds: Readonly<Record<string, { readonly size: number; readonly most: number }>>;
}

/** Indexes of votes beyond the newest certificate, of each writer. */
const votesPerWriter = 2000;

export function vitalsOf({
  n,
  dag,
  asking,
  crashRecovery,
}: {
  readonly n: number;
  readonly dag: DagAcceptance;
  readonly asking: Asking;
  readonly crashRecovery: CrashRecovery;
}): DagVitals {
  const { waiting, graph, pendingBytes, fullness, votes } = dag.sizes;
  return {
    round: dag.round,
    lastCommit: dag.lastCommit.index,
    quorumCommit: dag.endorsedIndex,
    isSigning: dag.isSigning,
    isHeld: dag.isHeld,
    returning: crashRecovery.isOpen ? crashRecovery.progress : undefined,
    pendingBytes,
    waitingBlocks: waiting,
    graphBlocks: graph,
    bounds: {
      waitingRoom: { size: fullness, most: 1 },
      commitVotes: { size: votes, most: n * votesPerWriter },
      namers: { size: asking.gaps.size, most: (n + 1) * 4 * limits.fetchRefsMax + n },
    },
  };
}
