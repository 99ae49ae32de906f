import { limits } from "../base/index.ts";
import type { ConsensusVitals } from "../consensus/index.ts";
import type { Asking } from "./asking.ts";
import type { CrashRecovery } from "./crash-recovery.ts";
import type { DagMachine } from "./machine.ts";

/** Indexes of votes beyond the newest certificate, of each writer. */
const votesPerWriter = 2000;

export function vitalsOf({
  n,
  dag,
  asking,
  crashRecovery,
}: {
  readonly n: number;
  readonly dag: DagMachine;
  readonly asking: Asking;
  readonly crashRecovery: CrashRecovery;
}): ConsensusVitals {
  const { waiting, graph, pendingBytes, fullness, votes } = dag.sizes;
  return {
    round: dag.round,
    lastCommit: dag.lastCommit.index,
    quorumCommit: dag.endorsedIndex,
    isSigning: dag.isSigning,
    isPaused: dag.isPaused,
    returning: crashRecovery.isOpen ? crashRecovery.progress : undefined,
    pendingBytes,
    own: { waitingBlocks: waiting, graphBlocks: graph },
    bounds: {
      waitingRoom: { size: fullness, most: 1 },
      commitVotes: { size: votes, most: n * votesPerWriter },
      namers: { size: asking.gaps.size, most: (n + 1) * 4 * limits.fetchRefsMax + n },
    },
  };
}
