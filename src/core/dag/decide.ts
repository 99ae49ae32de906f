import { compareText, defined } from "../base/index.ts";
import { refKey } from "./block.ts";
import {
  authorCount,
  type GraphReader,
  leadersOf,
  type Slot,
  type SlotPlace,
  type Vertex,
} from "./graph.ts";
import type { CommitRule } from "./rows.ts";

/** What the rule says of one leader slot. A violation means that more than f writers cheat. */
export type Decision<V extends Vertex = Vertex> =
  | {
      readonly kind: "commit";
      readonly slot: Slot;
      readonly block: V;
      readonly by: "direct" | "indirect";
    }
  | { readonly kind: "skip"; readonly slot: Slot; readonly by: "direct" | "indirect" }
  | { readonly kind: "undecided"; readonly slot: Slot }
  | { readonly kind: "violation"; readonly slot: Slot; readonly blocks: readonly V[] };

export interface RuleView<V extends Vertex = Vertex> {
  readonly graph: GraphReader<V>;
  readonly rule: CommitRule;
  readonly leadersPerRound: number;
}

/**
 * The decided slots after `cursor`, in slot order, up to the first undecided one (`dag.md` §8).
 * A pure function of the graph: a larger graph only extends the answer.
 */
export function decideFrom<V extends Vertex>(view: RuleView<V>, cursor: SlotPlace): Decision<V>[] {
  const decisions: Decision<V>[] = [];
  for (let round = highestDecidable(view); round >= cursor.round; round--) {
    const slots = leadersOf(round, view.rule.n, view.leadersPerRound);
    for (const slot of slots.toReversed()) {
      if (slot.round === cursor.round && slot.rank <= cursor.rank) continue;
      decisions.unshift(decideSlot(view, slot, decisions));
    }
  }
  const open = decisions.findIndex((decision) => decision.kind === "undecided");
  return open < 0 ? decisions : decisions.slice(0, open);
}

/**
 * The highest round of which some slot may be decided: there are enough blocks in the round above it. Slots above
 * it are undecided, and an anchor that is not there decides as little as one that is undecided.
 */
function highestDecidable<V extends Vertex>({ graph, rule }: RuleView<V>): number {
  let round = graph.highestRound - 1;
  while (round > 0 && graph.atRound(round + 1).length < leastQuorum(rule)) round--;
  return round;
}

/** Decides one slot, given the decisions of all later slots in slot order. */
function decideSlot<V extends Vertex>(
  view: RuleView<V>,
  slot: Slot,
  later: readonly Decision<V>[],
): Decision<V> {
  return (
    decideDirect(view, slot) ?? decideIndirect(view, slot, later) ?? { kind: "undecided", slot }
  );
}

/** x votes for B: B is a parent of x one round below. */
function votersFor<V extends Vertex>(voters: readonly V[], block: Vertex): V[] {
  return voters.filter((voter) => voter.votes.has(block.key));
}

function nonVoteCount(voters: readonly Vertex[], block: Vertex): number {
  return authorCount(voters.filter((voter) => !voter.votes.has(block.key)));
}

/** x at r+2 certifies B: its parents hold `quorum` votes for B, of all `votes` for B at r+1. */
function certifies(x: Vertex, votes: readonly Vertex[], quorum: number): boolean {
  return authorCount(votes.filter((vote) => x.votes.has(vote.key))) >= quorum;
}

function decideDirect<V extends Vertex>(
  { graph, rule }: RuleView<V>,
  slot: Slot,
): Decision<V> | undefined {
  const voters = graph.atRound(slot.round + 1);
  const candidates = graph.atSlot(slot.round, slot.author);
  if (
    authorCount(voters) >= rule.skipQuorum &&
    candidates.every((block) => nonVoteCount(voters, block) >= rule.skipQuorum)
  ) {
    return { kind: "skip", slot, by: "direct" };
  }
  const committed = candidates.filter(
    (block) => isFastCommitted(voters, block, rule) || isSlowCommitted(graph, block, rule),
  );
  const [block] = committed;
  if (block === undefined) return undefined;
  if (committed.length > 1) return { kind: "violation", slot, blocks: committed };
  return { kind: "commit", slot, block, by: "direct" };
}

function isFastCommitted(
  voters: readonly Vertex[],
  block: Vertex,
  { fastQuorum }: CommitRule,
): boolean {
  return fastQuorum !== undefined && authorCount(votersFor(voters, block)) >= fastQuorum;
}

/** Every way to decide needs so many votes, or blocks without one. */
function leastQuorum({ skipQuorum, fastQuorum, certificateQuorum }: CommitRule): number {
  return Math.min(skipQuorum, fastQuorum ?? skipQuorum, certificateQuorum ?? skipQuorum);
}

function isSlowCommitted(graph: GraphReader, block: Vertex, rule: CommitRule): boolean {
  const { certificateQuorum, commitQuorum } = rule;
  if (certificateQuorum === undefined || commitQuorum === undefined) return false;
  const upper = graph.atRound(block.ref.round + 2);
  if (upper.length < commitQuorum) return false;
  const votes = votersFor(graph.atRound(block.ref.round + 1), block);
  const certificates = upper.filter((x) => certifies(x, votes, certificateQuorum));
  return authorCount(certificates) >= commitQuorum;
}

/** The first later slot, far enough away, that is not skipped: its history decides; only that may be read. */
function decideIndirect<V extends Vertex>(
  view: RuleView<V>,
  slot: Slot,
  later: readonly Decision<V>[],
): Decision<V> | undefined {
  const anchor = later.find(
    ({ kind, slot: { round } }) => round >= slot.round + view.rule.depth && kind !== "skip",
  );
  if (anchor?.kind !== "commit") return undefined;
  const past = historyOf(view.graph, anchor.block, slot.round + 1);
  const inPast = (round: number): V[] => view.graph.atRound(round).filter((x) => past.has(x.key));
  const block = chooseFromPast(view, slot, inPast);
  return block === undefined
    ? { kind: "skip", slot, by: "indirect" }
    : { kind: "commit", slot, block, by: "indirect" };
}

/** Rung 1 (a certificate) comes before rung 2 (a weak quorum of votes); an ambiguous rung is settled by digest. */
function chooseFromPast<V extends Vertex>(
  { graph, rule }: RuleView<V>,
  slot: Slot,
  inPast: (round: number) => V[],
): V | undefined {
  const candidates = graph.atSlot(slot.round, slot.author);
  const { certificateQuorum, weakQuorum } = rule;
  if (certificateQuorum !== undefined) {
    const upper = inPast(slot.round + 2);
    const certified = candidates.filter((block) => {
      const votes = votersFor(graph.atRound(slot.round + 1), block);
      return upper.some((x) => certifies(x, votes, certificateQuorum));
    });
    if (certified.length > 0) return smallestDigest(certified);
  }
  if (weakQuorum === undefined) return undefined;
  const voters = inPast(slot.round + 1);
  const weak = candidates.filter((block) => authorCount(votersFor(voters, block)) >= weakQuorum);
  // Several candidates are possible with one cheating leader: none of them was committed directly (A3),
  // so any choice is safe as long as all hosts make the same one. A uniqueness assert would be a remote crash.
  return weak.length > 0 ? smallestDigest(weak) : undefined;
}

function smallestDigest<V extends Vertex>(blocks: readonly V[]): V {
  const sorted = blocks.toSorted((a, b) => compareText(a.ref.digest, b.ref.digest));
  return defined(sorted[0], "a candidate");
}

/** Keys of the causal history of `block`, itself included, down to `lowestRound`. */
function historyOf(graph: GraphReader, block: Vertex, lowestRound: number): ReadonlySet<string> {
  const past = new Set([block.key]);
  const stack: Vertex[] = [block];
  for (let vertex = stack.pop(); vertex !== undefined; vertex = stack.pop()) {
    for (const parent of vertex.parents) {
      if (parent.round < lowestRound) continue;
      const known = graph.get(refKey(parent));
      if (known === undefined || past.has(known.key)) continue;
      past.add(known.key);
      stack.push(known);
    }
  }
  return past;
}
