import { genesisCommitDigest } from "../acceptance/index.ts";
import { ok } from "../base/index.ts";
import type { Verifier } from "../crypto/index.ts";
import { courtOf, evidenceId, evidenceKinds, judge } from "../evidence/index.ts";
import type { Network } from "../membership/index.ts";
import { genesisState, type MirrorConfig, type MirrorState } from "../mirror/index.ts";
import { readStatement } from "../opinion/index.ts";

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

/** The replicated state before the first commit. */
export function initialState(network: Network): MirrorState {
  const { administrators, publishers, timeMs } = network.genesis;
  return genesisState({
    policy: { version: 0, administrators, publishers },
    commit: genesisCommitDigest(network.group, network.epoch),
    timeMs,
  });
}
