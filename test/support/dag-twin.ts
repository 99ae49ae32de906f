import type { CommitRule } from "../../src/core/dag/index.ts";
import type { DrawnBlock } from "./dag-random.ts";

/**
 * The commit rule and the order once more, as dumb as can be: sets of blocks and the sentences of `dag.md` §8 and
 * §9, no caches, no horizon in the rule. The real one must agree with it.
 */
export interface TwinSlot {
  readonly round: number;
  readonly author: number;
  readonly kind: "commit" | "skip" | "undecided" | "violation";
  readonly block?: DrawnBlock;
}

type View = ReadonlySet<DrawnBlock>;

const authors = (blocks: readonly DrawnBlock[]): number =>
  new Set(blocks.map((block) => block.author)).size;

const votes = (x: DrawnBlock, block: DrawnBlock): boolean =>
  x.round === block.round + 1 && x.parents.includes(block);

function certifies(x: DrawnBlock, block: DrawnBlock, quorum: number): boolean {
  return (
    x.round === block.round + 2 &&
    authors(x.parents.filter((parent) => votes(parent, block))) >= quorum
  );
}

/** A block and everything below it. */
export function pastOf(block: DrawnBlock): Set<DrawnBlock> {
  const past = new Set([block]);
  for (const x of past) for (const parent of x.parents) past.add(parent);
  return past;
}

function smallest(blocks: readonly DrawnBlock[]): DrawnBlock | undefined {
  return [...blocks].sort((a, b) => (a.digest < b.digest ? -1 : 1))[0];
}

class Twin {
  readonly #byRound = new Map<number, DrawnBlock[]>();
  readonly #rule: CommitRule;
  readonly #leaders: number;
  readonly #highest: number;
  readonly #memo = new Map<string, TwinSlot>();

  constructor(view: View, rule: CommitRule, leadersPerRound: number) {
    this.#rule = rule;
    this.#leaders = leadersPerRound;
    for (const block of view) this.#byRound.set(block.round, [...this.#at(block.round), block]);
    this.#highest = Math.max(0, ...this.#byRound.keys());
  }

  #at(round: number): DrawnBlock[] {
    return this.#byRound.get(round) ?? [];
  }

  *slotsFrom(round: number): Generator<TwinSlot> {
    for (let r = round; r <= this.#highest; r++) {
      for (let rank = 0; rank < this.#leaders; rank++)
        yield this.decide(r, (r + rank) % this.#rule.n);
    }
  }

  decide(round: number, author: number): TwinSlot {
    const name = `${round}/${author}`;
    const known = this.#memo.get(name);
    if (known !== undefined) return known;
    const slot = {
      round,
      author,
      ...(this.#direct(round, author) ?? this.#indirect(round, author)),
    };
    this.#memo.set(name, slot);
    return slot;
  }

  #direct(round: number, author: number): Pick<TwinSlot, "kind" | "block"> | undefined {
    const { fastQuorum, commitQuorum, certificateQuorum, skipQuorum } = this.#rule;
    const slot = this.#at(round).filter((block) => block.author === author);
    const next = this.#at(round + 1);
    const against = (block: DrawnBlock): number => authors(next.filter((x) => !votes(x, block)));
    if (authors(next) >= skipQuorum && slot.every((block) => against(block) >= skipQuorum))
      return { kind: "skip" };
    const sure = slot.filter((block) => {
      const fast =
        fastQuorum !== undefined && authors(next.filter((x) => votes(x, block))) >= fastQuorum;
      if (fast || commitQuorum === undefined || certificateQuorum === undefined) return fast;
      return (
        authors(this.#at(round + 2).filter((x) => certifies(x, block, certificateQuorum))) >=
        commitQuorum
      );
    });
    if (sure.length > 1) return { kind: "violation" };
    return sure[0] && { kind: "commit", block: sure[0] };
  }

  #indirect(round: number, author: number): Pick<TwinSlot, "kind" | "block"> {
    const anchor = [...this.slotsFrom(round + this.#rule.depth)].find(
      (slot) => slot.kind !== "skip",
    );
    if (anchor?.block === undefined) return { kind: "undecided" };
    const { certificateQuorum, weakQuorum } = this.#rule;
    const past = [...pastOf(anchor.block)];
    const slot = this.#at(round).filter((block) => block.author === author);
    const certified = slot.filter((block) =>
      past.some((x) => certifies(x, block, certificateQuorum ?? Infinity)),
    );
    const weak = slot.filter(
      (block) => authors(past.filter((x) => votes(x, block))) >= (weakQuorum ?? Infinity),
    );
    const block = smallest(certified) ?? smallest(weak);
    return block === undefined ? { kind: "skip" } : { kind: "commit", block };
  }
}

/** Every slot up to the first undecided one, in order. */
export function twinDecisions(view: View, rule: CommitRule, leadersPerRound: number): TwinSlot[] {
  const decided: TwinSlot[] = [];
  for (const slot of new Twin(view, rule, leadersPerRound).slotsFrom(1)) {
    if (slot.kind === "undecided") break;
    decided.push(slot);
  }
  return decided;
}

/** For each commit the blocks it newly orders: what stands below the leader, above the horizon, and is new. */
export function twinOrder(
  decisions: readonly TwinSlot[],
  gcRounds: number,
  blocksMax?: number,
): DrawnBlock[][] {
  const ordered = new Set<DrawnBlock>();
  const commits: DrawnBlock[][] = [];
  let horizon = 0;
  for (const { block: leader } of decisions) {
    if (leader === undefined) continue;
    const fresh = [...pastOf(leader)].filter((x) => x.round > horizon && !ordered.has(x));
    fresh.sort(
      (a, b) => a.round - b.round || a.author - b.author || (a.digest < b.digest ? -1 : 1),
    );
    fresh.splice(blocksMax ?? fresh.length);
    for (const block of fresh) ordered.add(block);
    commits.push(fresh);
    horizon = Math.max(0, leader.round - gcRounds);
  }
  return commits;
}
