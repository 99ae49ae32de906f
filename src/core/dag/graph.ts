import { type Author, assert, Round } from "../base/index.ts";
import { type Ref, refKey } from "./block.ts";

/** What the commit rule needs of a block: its place, its parents, and which of them it votes for. */
export interface Vertex {
  readonly ref: Ref;
  readonly key: string;
  readonly parents: readonly Ref[];
  /** Keys of the parents at round − 1: a reference to a parent one round below is a vote for it. */
  readonly votes: ReadonlySet<string>;
  readonly tsMs: number;
}

/** Keys of the parents one round below. */
export function votesOf(ref: Ref, parents: readonly Ref[]): ReadonlySet<string> {
  const votes = new Set<string>();
  for (const parent of parents) if (parent.round === ref.round - 1) votes.add(refKey(parent));
  return votes;
}

/** The read side of the DAG, all that rules may see. */
export interface GraphReader<V extends Vertex = Vertex> {
  readonly highestRound: Round;
  get(key: string): V | undefined;
  /** Blocks of a round, in the order of their arrival. */
  atRound(round: number): readonly V[];
  atSlot(round: number, author: Author): readonly V[];
}

/** Number of distinct authors: every quorum counts these, so twins never count twice. */
export function authorCount(vertices: Iterable<Vertex>): number {
  const authors = new Set<Author>();
  for (const vertex of vertices) authors.add(vertex.ref.author);
  return authors.size;
}

/** The causally closed set of blocks above the horizon. */
export class Graph<V extends Vertex> implements GraphReader<V> {
  readonly #byKey = new Map<string, V>();
  readonly #rounds = new Map<number, V[]>();
  #highest: Round = Round(0);
  #lowest = 1;

  get highestRound(): Round {
    return this.#highest;
  }

  get size(): number {
    return this.#byKey.size;
  }

  get(key: string): V | undefined {
    return this.#byKey.get(key);
  }

  atRound(round: number): readonly V[] {
    return this.#rounds.get(round) ?? [];
  }

  atSlot(round: number, author: Author): readonly V[] {
    return this.atRound(round).filter((vertex) => vertex.ref.author === author);
  }

  /** The author's newest block; of twins, the one that came first. */
  newestOf(author: Author, belowRound: number): V | undefined {
    for (let round = Math.min(belowRound - 1, this.#highest); round >= this.#lowest; round--) {
      const [first] = this.atSlot(round, author);
      if (first !== undefined) return first;
    }
    return undefined;
  }

  *vertices(): Generator<V> {
    for (let round = this.#lowest; round <= this.#highest; round++) yield* this.atRound(round);
  }

  /** Blocks of the rounds between the two that are here, however far apart the two are. */
  between(above: number, below: number): V[] {
    const found: V[] = [];
    const last = Math.min(below - 1, this.#highest);
    for (let round = Math.max(above + 1, this.#lowest); round <= last; round++)
      found.push(...this.atRound(round));
    return found;
  }

  add(vertex: V): void {
    assert(!this.#byKey.has(vertex.key), "a block enters the graph once");
    this.#byKey.set(vertex.key, vertex);
    const { round } = vertex.ref;
    const peers = this.#rounds.get(round);
    if (peers === undefined) this.#rounds.set(round, [vertex]);
    else peers.push(vertex);
    if (round > this.#highest) this.#highest = round;
    if (round < this.#lowest) this.#lowest = round;
  }

  /** Forgets the rounds up to `horizon` and returns their blocks. */
  prune(horizon: number): V[] {
    const gone: V[] = [];
    if (horizon < this.#lowest) return gone;
    const past = [...this.#rounds.keys()].filter((round) => round <= horizon);
    for (const round of past.sort((a, b) => a - b)) {
      for (const vertex of this.atRound(round)) {
        this.#byKey.delete(vertex.key);
        gone.push(vertex);
      }
      this.#rounds.delete(round);
    }
    this.#lowest = horizon + 1;
    return gone;
  }
}

/** A leader slot: `rank` is its place among the leaders of its round. */
export interface Slot {
  readonly round: number;
  readonly rank: number;
  readonly author: Author;
}

export interface SlotPlace {
  readonly round: number;
  readonly rank: number;
}

/** Leaders of a round in order (`dag.md` §7): the committee rotated by the round, the first `count`. */
export function leadersOf(round: number, n: number, count: number): readonly Slot[] {
  assert(count >= 1 && count <= n, "between one leader and all writers");
  return Array.from({ length: count }, (_, rank) => ({
    round,
    rank,
    author: ((round + rank) % n) as Author,
  }));
}
