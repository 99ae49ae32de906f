import { limits } from "../base/index.ts";
import type { ConsensusVitals } from "../consensus/index.ts";
import type { Accountability } from "./accountability.ts";
import type { WriterVitals } from "./effects.ts";
import type { Peers } from "./peers.ts";
import type { Replica } from "./replica.ts";

/** Plans of each peer and of the operator. */
const plansPerTeller = 4;

/** How a writer is, for status pages and metrics. */
export function vitalsOf(
  consensus: ConsensusVitals,
  parts: {
    readonly n: number;
    readonly replica: Replica;
    readonly peers: Peers;
    readonly accountability: Accountability | undefined;
  },
): WriterVitals {
  const { n, replica, peers, accountability } = parts;
  return {
    ...consensus,
    backlog: replica.backlog,
    bounds: {
      ...consensus.bounds,
      proofs: {
        size: accountability?.proofs.found.length ?? 0,
        most: n * limits.evidencePerHostMax + (n + 1) * limits.strangerProofsMax,
      },
      plans: {
        size: accountability?.splitting.plans.length ?? 0,
        most: plansPerTeller * (n + 1),
      },
      backlogBytes: { size: replica.backlogBytes, most: 2 * limits.commitBytesMax },
    },
    peers: [...peers.greeted],
    opinions: accountability?.views ?? [],
  };
}
