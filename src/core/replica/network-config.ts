import { evidenceId, evidenceKinds, judge, misbehavioursOf } from "../accountability/index.ts";
import { type Digest, fail, ok, type Result } from "../base/index.ts";
import type { Network } from "../committee/index.ts";
import type { Verifier } from "../crypto/index.ts";
import { genesisState, type MirrorConfig, type MirrorState } from "../mirror/index.ts";
import { readStatement } from "../opinion/index.ts";
import { groupsOf, readGroup } from "../split/index.ts";

/** What the mirror knows of a network. */
export function mirrorConfigOf(network: Network, verifier: Verifier): MirrorConfig {
  const kinds = [...evidenceKinds(misbehavioursOf(network))];
  const court = { network, verifier };
  const codeOf = (kind: string): number => kinds.find(([, name]) => name === kind)?.[0] ?? -1;
  return {
    group: network.group,
    groups: groupsOf(network),
    verifier,
    heldQuorum: network.quorum,
    court: {
      idOf: evidenceId,
      statement: (wire) => readStatement(wire, network, verifier),
      judge: (wire) => {
        const verdict = judge(wire, court);
        return verdict.ok ? ok({ ...verdict.value, of: codeOf(verdict.value.kind) }) : verdict;
      },
      sibling: (wire) => siblingOf(wire, network, verifier),
    },
    authorOf: (key) => network.writers.find(({ nodeKey }) => nodeKey === key)?.index,
  };
}

/** The replicated state before the first commit. */
export function initialState(network: Network): MirrorState {
  const { administrators, publishers, timeMs } = network.genesis;
  return genesisState({
    policy: { version: 0, administrators, publishers },
    commit: network.consensus.genesisDigest,
    timeMs,
  });
}

/** The other group of a split that this network came from. Faults: of {@link readGroup}, NO_SIBLING. */
function siblingOf(
  wire: Uint8Array,
  { parent, group }: Network,
  verifier: Verifier,
): Result<Digest> {
  if (parent === undefined) return fail("NO_SIBLING", "this network came from no split");
  const split = readGroup(wire, { network: parent.network, verifier });
  if (!split.ok) return split;
  const isSibling = split.value.group !== group;
  return isSibling ? ok(split.value.group) : fail("NO_SIBLING", "this is the group itself");
}
