import { limits } from "../base/index.ts";
import type { DagConfig } from "../consensus/index.ts";
import type { Verifier } from "../crypto/index.ts";
import type { Network } from "../membership/index.ts";

/** What evidence is judged by: the genesis, and what follows from it. */
export interface Court {
  readonly network: Network;
  readonly dag: DagConfig;
  readonly verifier: Verifier;
}

export function courtOf(network: Network, verifier: Verifier): Court {
  return { network, dag: dagConfigOf(network), verifier };
}

/** What acceptance knows of a network. */
export function dagConfigOf(network: Network): DagConfig {
  return {
    group: network.group,
    epoch: network.epoch,
    keys: network.writers.map((writer) => writer.blockKey),
    rule: network.rule,
    leadersPerRound: network.leadersPerRound,
    genesisTimeMs: network.startMs,
    commitsBefore: network.parent?.at.commit.index ?? 0,
    gcRounds: limits.gcRounds,
  };
}
