import type { DagConfig } from "../acceptance/index.ts";
import { genesisCommitDigest } from "../acceptance/index.ts";
import { limits } from "../base/index.ts";
import type { Verifier } from "../crypto/index.ts";
import type { Network } from "../membership/index.ts";
import { genesisState, type MirrorConfig, type MirrorState } from "../mirror/index.ts";

/** What acceptance knows of a network. */
export function dagConfigOf(network: Network): DagConfig {
  return {
    group: network.group,
    epoch: network.epoch,
    keys: network.writers.map((writer) => writer.blockKey),
    rule: network.rule,
    leadersPerRound: network.leadersPerRound,
    genesisTimeMs: network.genesis.timeMs,
    gcRounds: limits.gcRounds,
  };
}

/** What the mirror knows of a network. */
export function mirrorConfigOf(network: Network, verifier: Verifier): MirrorConfig {
  return { group: network.group, verifier, heldQuorum: network.quorum };
}

/** The replicated state before the first commit. */
export function initialState(network: Network): MirrorState {
  const { administrators, publishers, timeMs } = network.genesis;
  return genesisState({
    policy: { version: 0, administrators, publishers },
    commit: genesisCommitDigest(network.group, network.epoch),
    timeMs,
  });
}
