import { type Author, limits } from "../../base/index.ts";
import { type Ref, refKey, type VerifiedBlock } from "./block.ts";

interface Waiting {
  readonly block: VerifiedBlock;
  readonly key: string;
  /** Keys of the parents it still waits for. */
  readonly lacks: Set<string>;
}

/**
 * Blocks whose parents are not here yet (`dag.md` §5). Bounded per author, so that invented parents of one
 * cheater cannot crowd out an honest writer's blocks (pitfalls 1, 4, 29).
 */
export class WaitingRoom {
  readonly #waiting = new Map<string, Waiting>();
  /** parent key → the blocks that wait for it */
  readonly #waiters = new Map<string, { readonly ref: Ref; readonly keys: Set<string> }>();
  /** By author, what was refused, and what stood upon it; the oldest is forgotten when there is much. */
  readonly #refused = new Map<Author, Map<string, Ref>>();
  readonly #noRoomFor: (ref: Ref) => void;

  /** `noRoomFor` is told of blocks that had to leave: nobody pushes them again. */
  constructor(noRoomFor: (ref: Ref) => void) {
    this.#noRoomFor = noRoomFor;
  }

  get size(): number {
    return this.#waiting.size;
  }

  has(key: string): boolean {
    return this.#waiting.has(key);
  }

  blockAtSlot(round: number, author: Author): VerifiedBlock | undefined {
    for (const { block } of this.#waiting.values()) {
      if (block.ref.round === round && block.ref.author === author) return block;
    }
    return undefined;
  }

  /** True while some block waits for `ref` and nobody has brought it. */
  isWanted(ref: Ref): boolean {
    return this.#waiters.has(refKey(ref));
  }

  /**
   * True if a block of another author waits for `ref`, or for a block that waits for it: an author's own blocks
   * cannot vouch for its twins.
   */
  isWantedByOthers(ref: Ref): boolean {
    const stack = [refKey(ref)];
    const seen = new Set(stack);
    for (let key = stack.pop(); key !== undefined; key = stack.pop()) {
      for (const waiter of this.#waiters.get(key)?.keys ?? []) {
        if (this.#waiting.get(waiter)?.block.ref.author !== ref.author) return true;
        if (!seen.has(waiter)) stack.push(waiter);
        seen.add(waiter);
      }
    }
    return false;
  }

  /**
   * A block was refused: all that waits for it can never be complete and leaves. If only the nearest left, those that
   * wait for them would have them fetched again, at once and for ever.
   */
  refuse(ref: Ref): void {
    const refused = [ref];
    for (let next = refused.pop(); next !== undefined; next = refused.pop()) {
      this.#noteRefused(next);
      for (const key of [...(this.#waiters.get(refKey(next))?.keys ?? [])]) {
        const waiting = this.#waiting.get(key);
        if (waiting === undefined) continue;
        this.#evict(waiting);
        refused.push(waiting.block.ref);
      }
    }
  }

  #noteRefused(ref: Ref): void {
    const refused = this.#refused.get(ref.author) ?? new Map<string, Ref>();
    this.#refused.set(ref.author, refused.set(refKey(ref), ref));
    if (refused.size <= limits.suspendedBlocksMax) return;
    for (const oldest of refused.keys()) return void refused.delete(oldest);
  }

  /** Refused before; it is fetched again only where another author's block needs it. */
  isRefused(ref: Ref): boolean {
    return this.#refused.get(ref.author)?.has(refKey(ref)) === true;
  }

  /** Parks a block, or refuses it if it is the farthest and there is no room; returns parents nothing waited for before. */
  park(block: VerifiedBlock, missing: readonly Ref[]): Ref[] {
    if (!this.#makeRoom(block)) {
      this.#noRoomFor(block.ref);
      return [];
    }
    const key = refKey(block.ref);
    this.#waiting.set(key, { block, key, lacks: new Set(missing.map(refKey)) });
    const fresh: Ref[] = [];
    for (const ref of missing) {
      const parentKey = refKey(ref);
      const waiters = this.#waiters.get(parentKey);
      if (waiters !== undefined) waiters.keys.add(key);
      else {
        this.#waiters.set(parentKey, { ref, keys: new Set([key]) });
        if (!this.#waiting.has(parentKey)) fresh.push(ref);
      }
    }
    return fresh;
  }

  /** `key` has arrived (or counts as present): the blocks that now have all their parents. */
  arrived(key: string): VerifiedBlock[] {
    const ready: VerifiedBlock[] = [];
    for (const waiterKey of this.#waiters.get(key)?.keys ?? []) {
      const waiting = this.#waiting.get(waiterKey);
      waiting?.lacks.delete(key);
      if (waiting === undefined || waiting.lacks.size > 0) continue;
      this.#waiting.delete(waiterKey);
      ready.push(waiting.block);
    }
    this.#waiters.delete(key);
    return ready;
  }

  /** The horizon moved: blocks at or below it leave, and parents at or below it count as present. */
  onHorizon(horizon: number): VerifiedBlock[] {
    for (const refused of this.#refused.values())
      for (const [key, ref] of refused) if (ref.round <= horizon) refused.delete(key);
    for (const waiting of [...this.#waiting.values()]) {
      if (waiting.block.ref.round <= horizon) this.#evict(waiting);
    }
    const released: VerifiedBlock[] = [];
    for (const [key, { ref }] of [...this.#waiters]) {
      if (ref.round <= horizon) released.push(...this.arrived(key));
    }
    return released;
  }

  /** Parents that are neither here nor waiting themselves: what must be fetched. */
  missing(): Ref[] {
    const refs: Ref[] = [];
    for (const [key, { ref }] of this.#waiters) if (!this.#waiting.has(key)) refs.push(ref);
    return refs;
  }

  remove(key: string): void {
    const waiting = this.#waiting.get(key);
    if (waiting !== undefined) this.#evict(waiting);
  }

  /** Evicts the author's blocks that are farther from the clock than `block`; false if that is not enough. */
  #makeRoom(block: VerifiedBlock): boolean {
    const own = [...this.#waiting.values()].filter(
      (waiting) => waiting.block.ref.author === block.ref.author,
    );
    own.sort((a, b) => a.block.ref.round - b.block.ref.round);
    let bytes = own.reduce(
      (sum, waiting) => sum + waiting.block.payload.length,
      block.payload.length,
    );
    for (
      let count = own.length + 1;
      count > limits.suspendedBlocksMax || bytes > limits.suspendedBytesMax;
      count--
    ) {
      const farthest = own.pop();
      if (farthest === undefined || farthest.block.ref.round <= block.ref.round)
        return own.length === 0 && count === 1;
      bytes -= farthest.block.payload.length;
      this.#evict(farthest);
      this.#noRoomFor(farthest.block.ref);
    }
    return true;
  }

  #evict(waiting: Waiting): void {
    this.#waiting.delete(waiting.key);
    for (const parentKey of waiting.lacks) {
      const waiters = this.#waiters.get(parentKey);
      waiters?.keys.delete(waiting.key);
      if (waiters?.keys.size === 0) this.#waiters.delete(parentKey);
    }
  }
}
