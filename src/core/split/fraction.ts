import { Author, type Digest, ok, type Result } from "../base/index.ts";
import { groupOf, lineageOf, type Network } from "../committee/index.ts";
import { faultsTolerated } from "../consensus/index.ts";
import { append } from "../crypto/index.ts";
import { encodeLeaf, type MirrorState, stateKeys } from "../mirror/index.ts";
import type { SplitGroup } from "./split-document.ts";

/**
 * The network that a group is after a split: its members alone, with the guarantees of their own number; the past up to
 * the common checkpoint is the parent's, for ever.
 */
export function fractionOf(parent: Network, split: SplitGroup): Result<Network> {
  const members = split.members
    .flatMap((author) => parent.writers[author] ?? [])
    .map((writer, i) => ({ ...writer, index: Author(i) }));
  const n = members.length;
  const faults = { n, f: faultsTolerated(n), c: 0, k: 0 };
  const configured = parent.consensus.configured.algorithm.configureFraction(faults);
  if (!configured.ok) return configured;
  const { genesis } = parent;
  const { group, plan } = split;
  const startMs = plan.parent.tsMs;
  const from = { network: parent, at: plan.parent };
  return ok(groupOf({ genesis, group, startMs, faults, members, parent: from }, configured.value));
}

/** Groups whose publishers' records count here: its own, and those it comes from. */
export function groupsOf(network: Network): ReadonlySet<Digest> {
  return new Set(lineageOf(network).map(({ group }) => group));
}

/**
 * The replicated state with which a fraction begins: that of the common checkpoint, and a leaf that says who goes on.
 * What was accepted and not published stays open, and is held anew.
 */
export function fractionState(
  state: MirrorState,
  network: Network,
): { readonly state: MirrorState; readonly writes: ReadonlyMap<string, Uint8Array> } {
  const leaf = encodeLeaf({
    kind: "split",
    group: network.group,
    members: network.writers.map(({ nodeKey }) => nodeKey),
  });
  const index = state.log.size;
  const { frontier, stored } = append(state.log, leaf);
  const writes = new Map<string, Uint8Array>([[stateKeys.leaf(index), leaf]]);
  for (const { level, index: place, hash } of stored)
    writes.set(stateKeys.hash(level, place), hash);
  const pending = new Map(
    [...state.pending].map(([id, update]) => [id, { ...update, heldBy: new Set<Author>() }]),
  );
  const { index: commit } = state.commit;
  return {
    writes,
    state: {
      ...state,
      commit: { index: commit, digest: network.consensus.genesisDigest },
      log: frontier,
      pending,
      opinions: new Map(),
      convicted: new Set(),
      readerProofs: new Map(),
      // What members remember of clients may differ beyond the checkpoint: the new group begins with nothing.
      appends: 0,
    },
  };
}
