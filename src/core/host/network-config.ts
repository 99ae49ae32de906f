import type { DagConfig } from "../acceptance/index.ts";
import { genesisCommitDigest } from "../acceptance/index.ts";
import { limits, ok } from "../base/index.ts";
import type { Verifier } from "../crypto/index.ts";
import { type Court, evidenceId, evidenceKinds, judge } from "../evidence/index.ts";
import type { Network } from "../membership/index.ts";
import { genesisState, type MirrorConfig, type MirrorState } from "../mirror/index.ts";
import { readStatement } from "../opinion/index.ts";

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
  const court = courtOf(network, verifier);
  return {
    group: network.group,
    verifier,
    heldQuorum: network.quorum,
    court: {
      idOf: evidenceId,
      statement: (wire) => readStatement(wire, network, verifier),
      judge: (wire) => {
        const verdict = judge(wire, court);
        return verdict.ok
          ? ok({ ...verdict.value, of: evidenceKinds.indexOf(verdict.value.kind) })
          : verdict;
      },
    },
    authorOf: (key) => network.writers.find(({ nodeKey }) => nodeKey === key)?.index,
  };
}

/** What evidence is judged by in a network. */
export function courtOf(network: Network, verifier: Verifier): Court {
  return { network, dag: dagConfigOf(network), verifier };
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
