import { DagAcceptance, type Pacing } from "../acceptance/index.ts";
import type { Author } from "../base/index.ts";
import type { Signer, Verifier } from "../crypto/index.ts";
import { dagConfigOf } from "../evidence/index.ts";
import type { Network } from "../membership/index.ts";
import type { MirrorView } from "../mirror/index.ts";
import type { DetectorChoice } from "../opinion/index.ts";
import type { HostRecovery } from "./recovery.ts";

export interface WriterOptions {
  readonly network: Network;
  readonly author: Author;
  readonly blockSigner: Signer;
  readonly cosignSigner: Signer;
  /** Signs with the host's own key, the one of its links. */
  readonly hostSigner: Pick<Signer, "sign">;
  readonly verifier: Verifier;
  readonly view: MirrorView;
  readonly pacing: Pacing;
  readonly detector?: DetectorChoice;
  /** Whether this host tells others what it thinks of them; true by default. */
  readonly isPublishing?: boolean;
  readonly recovery: HostRecovery;
  /** The newest checkpoint is cosigned anew after so long, milliseconds; a minute by default. */
  readonly leaseEveryMs?: number;
  /** For choosing whom to ask; of no influence on safety. */
  readonly seed: number;
}

/** The acceptance machine of a writer as it starts; who has joined a group that splits off signs nothing of this one. */
export function acceptanceOf(options: WriterOptions): DagAcceptance {
  const { network, recovery, author, pacing } = options;
  const { blocks, commits, guard, maySign } = recovery;
  return new DagAcceptance({
    config: dagConfigOf(network),
    pacing,
    signer: { author, sign: (message) => options.blockSigner.sign(message) },
    recovery: {
      blocks,
      commits: commits.map(({ commit }) => commit),
      signedRound: guard.round,
      maySign: maySign && guard.joined === undefined,
    },
  });
}
