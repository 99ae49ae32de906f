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

  /** Parks a block; returns the parents that nothing waited for before. */
  park(block: VerifiedBlock, missing: readonly Ref[]): Ref[] {
    this.#makeRoom(block.ref.author, block.ref.round);
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

  #makeRoom(author: Author, round: number): void {
    const own = [...this.#waiting.values()].filter(({ block }) => block.ref.author === author);
    if (own.length < limits.suspendedBlocksMax) return;
    const farthest = own.reduce((a, b) => (a.block.ref.round >= b.block.ref.round ? a : b));
    if (farthest.block.ref.round >= round) this.#evict(farthest);
    else this.#evict(own.reduce((a, b) => (a.block.ref.round <= b.block.ref.round ? a : b)));
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
