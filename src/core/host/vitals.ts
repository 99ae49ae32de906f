import type { DagAcceptance } from "../acceptance/index.ts";
import { limits } from "../base/index.ts";
import type { Asking } from "./asking.ts";
import type { WriterVitals } from "./effects.ts";
import type { Peers } from "./peers.ts";
import type { Replica } from "./replica.ts";
import type { Repute } from "./repute.ts";
import type { SafeReturn } from "./safe-return.ts";

interface Parts {
  readonly n: number;
  readonly dag: DagAcceptance;
  readonly replica: Replica;
  readonly asking: Asking;
  readonly safeReturn: SafeReturn;
  readonly peers: Peers;
  readonly repute: Repute | undefined;
}

/** How a writer is, for status pages and metrics. */
export function vitalsOf(parts: Parts): WriterVitals {
  const { dag, replica, safeReturn, peers, repute } = parts;
  const { waiting, graph, pendingBytes } = dag.sizes;
  return {
    round: dag.round,
    lastCommit: dag.lastCommit.index,
    quorumCommit: dag.endorsedIndex,
    isSigning: dag.isSigning,
    isHeld: dag.isHeld,
    returning: safeReturn.isOpen ? safeReturn.progress : undefined,
    pendingBytes,
    waitingBlocks: waiting,
    graphBlocks: graph,
    backlog: replica.backlog,
    bounds: boundsOf(parts),
    peers: [...peers.greeted],
    opinions: repute?.views ?? [],
  };
}

/** Indexes of votes beyond the newest certificate, of each writer; plans of each peer and of the operator. */
const most = { votesPerWriter: 2000, plansPerTeller: 4 };

/** What the collections hold that others can fill, and the most that each may. */
function boundsOf({ n, dag, replica, asking, repute }: Parts): WriterVitals["bounds"] {
  const { fullness, votes } = dag.sizes;
  return {
    waitingRoom: { size: fullness, most: 1 },
    commitVotes: { size: votes, most: n * most.votesPerWriter },
    namers: { size: asking.gaps.size, most: (n + 1) * 4 * limits.fetchRefsMax + n },
    proofs: {
      size: repute?.proofs.found.length ?? 0,
      most: n * limits.evidencePerHostMax + (n + 1) * limits.strangerProofsMax,
    },
    plans: {
      size: repute?.splitting.plans.length ?? 0,
      most: most.plansPerTeller * (n + 1),
    },
    backlogBytes: { size: replica.backlogBytes, most: 2 * limits.commitBytesMax },
  };
}
