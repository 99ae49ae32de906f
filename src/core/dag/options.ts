import type { Pacing } from "../consensus/index.ts";
import type { DagConfig, VerifiedBlock } from "./block.ts";
import type { Commit } from "./commit.ts";
import type { DagSigner } from "./proposer.ts";

/** What a restart found on disk. `blocks` in the order they were written, parents before children. */
export interface DagRecovery {
  readonly blocks: readonly VerifiedBlock[];
  /** Commits whose leaders stand above the horizon, oldest first. */
  readonly commits: readonly Commit[];
  /** Highest round this identity ever signed, from the guard; 0 if none. */
  readonly signedRound: number;
  /** False where the guard or the log cannot vouch for what was signed (`dag.md` §12). */
  readonly maySign: boolean;
}

export interface DagOptions {
  readonly config: DagConfig;
  readonly pacing: Pacing;
  /** Absent for hosts that follow and never sign. */
  readonly signer: DagSigner | undefined;
  readonly recovery: DagRecovery;
}
