import { type Author, limits } from "../base/index.ts";
import { type Ref, refKey, type VerifiedBlock } from "./block.ts";
import type { Entry } from "./entry.ts";
import type { Graph } from "./graph.ts";
import type { Ordering } from "./ordering.ts";
import type { WaitingRoom } from "./waiting-room.ts";

/** What others ask of the blocks that are in memory. */
export class KnownBlocks {
  readonly #self: Author | undefined;
  readonly #graph: Graph<Entry>;
  readonly #waiting: WaitingRoom;
  readonly #ordering: Ordering;

  constructor(parts: {
    readonly self: Author | undefined;
    readonly graph: Graph<Entry>;
    readonly waiting: WaitingRoom;
    readonly ordering: Ordering;
  }) {
    this.#self = parts.self;
    this.#graph = parts.graph;
    this.#waiting = parts.waiting;
    this.#ordering = parts.ordering;
  }

  /** Blocks of a round. */
  at(round: number): readonly VerifiedBlock[] {
    return this.#graph.atRound(round).map(({ block }) => block);
  }

  /** The newest block of `author`, of which a returning host is told. */
  newestOf(author: Author): VerifiedBlock | undefined {
    return this.#graph.newestOf(author, Number.POSITIVE_INFINITY)?.block;
  }

  /**
   * Own blocks above `round`, oldest first: what a subscriber lacks. The newest ones, as many as an answer holds: what they
   * stand upon is fetched by name.
   */
  ownAbove(round: number): VerifiedBlock[] {
    const own = [...this.#graph.vertices()]
      .filter(({ ref }) => ref.author === this.#self && ref.round > round)
      .map(({ block }) => block);
    let bytes = 0;
    const last = own.findLastIndex(({ wire }) => {
      bytes += wire.length;
      return bytes > limits.fetchBytesMax;
    });
    return own.slice(last + 1);
  }

  /**
   * What is here from a round on, the lowest rounds first, as much as one message may say: for a host that stands still,
   * and may lack some of it.
   */
  inventory(fromRound: number): Ref[] {
    return this.#graph
      .between(Math.max(fromRound, this.#ordering.horizon) - 1, Number.POSITIVE_INFINITY)
      .slice(0, limits.inventoryRefsMax)
      .map(({ ref }) => ref);
  }

  /** Another block of the same slot. */
  rivalOf({ round, author, digest }: Ref): VerifiedBlock | undefined {
    return this.#graph.atSlot(round, author).find(({ ref }) => ref.digest !== digest)?.block;
  }

  /**
   * Blocks of the author that its later block leaves out, though it should stand upon them. A block that was not
   * admitted says nothing, and rounds are those that are here, never those that it names.
   */
  passedOver({ ref, header }: VerifiedBlock): Ref[] {
    const key = refKey(ref);
    if (this.#graph.get(key) === undefined && !this.#waiting.has(key)) return [];
    return this.#graph
      .between(header.parents[0]?.round ?? 0, ref.round)
      .filter((entry) => entry.ref.author === ref.author)
      .map((entry) => entry.ref);
  }
}
