import { Author, type Digest, type Result } from "../base/index.ts";
import { genesisCommitDigest } from "../consensus/index.ts";
import { append } from "../crypto/index.ts";
import { cosignerName, lineageOf, type Network } from "../membership/index.ts";
import { encodeLeaf, type MirrorState, stateKeys } from "../mirror/index.ts";
import { defaultLeaders, fractionRule } from "../quorum/index.ts";
import type { SplitGroup } from "./split-document.ts";

/**
 * The network that a group is after a split: its members alone, with the guarantees of their own number; the past up to
 * the common checkpoint is the parent's, for ever.
 */
export function fractionOf(parent: Network, split: SplitGroup): Result<Network> {
  const members = split.members.flatMap((author) => parent.writers[author] ?? []);
  const rule = fractionRule(members.length);
  if (!rule.ok) return rule;
  const { group } = split;
  const writers = members.map((writer, i) => ({ ...writer, index: Author(i) }));
  return {
    ok: true,
    value: {
      genesis: parent.genesis,
      group,
      epoch: 0,
      startMs: split.plan.parent.tsMs,
      rule: rule.value,
      leadersPerRound: defaultLeaders(members.length),
      writers,
      quorum: rule.value.parentQuorum,
      origin: `smalti/${group.slice(0, 16)}/0`,
      cosigners: writers.map((writer) => ({
        name: cosignerName(group, writer.name),
        key: writer.cosignKey,
      })),
      parent: { network: parent, at: split.plan.parent },
    },
  };
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
      commit: { index: commit, digest: genesisCommitDigest(network.group, network.epoch) },
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
