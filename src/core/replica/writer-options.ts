import type { Author } from "../base/index.ts";
import type { Network } from "../committee/index.ts";
import type { Consensus, Pacing } from "../consensus/index.ts";
import type { Signer, Verifier } from "../crypto/index.ts";
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

/** A writer's part in the order as it starts. */
export function consensusOf(options: WriterOptions): Consensus {
  const { network, recovery, author, pacing, verifier, seed } = options;
  const { records, guard, maySign } = recovery;
  return network.consensus.participant({
    author,
    sign: (message) => options.blockSigner.sign(message),
    verifier,
    pacing,
    records,
    guard: guard.place,
    maySign,
    hasLeft: guard.joined !== undefined,
    seed,
  });
}
