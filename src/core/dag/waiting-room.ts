import { type Author, limits } from "../base/index.ts";
import { type Ref, refKey, type VerifiedBlock } from "./block.ts";
import { Inventories } from "./inventories.ts";
import { type Waiting, WaitingShares } from "./waiting-shares.ts";

/** A block that was refused: a twin, or `upon` one of its author that was refused. */
export interface Refused {
  readonly ref: Ref;
  readonly upon: Ref | undefined;
}

/** Missing parents that are asked for at once, for the sake of one author. */
const missingMax = 4 * limits.fetchRefsMax;

/**
 * Blocks whose parents are not here yet (`dag.md` §5). Bounded per cause (pitfalls 1, 4, 29, 37c): who sends a block
 * that nobody asked for pays for it, and for all that is fetched for its sake. What an honest writer's block needs is
 * charged to that writer, whoever made it; junk of its maker can take no room from it, and is nobody's need. Of one
 * cause, low rounds stay: they are what the others wait for, so whatever room there is, the history of an honest writer
 * gets through it from below.
 */
export class WaitingRoom {
  readonly #waiting = new Map<string, Waiting>();
  /** parent key → the blocks that wait for it */
  readonly #waiters = new Map<string, { readonly ref: Ref; readonly keys: Set<string> }>();
  readonly #inventories = new Inventories();
  readonly #shares: WaitingShares;
  readonly #slots = new Map<string, Set<Waiting>>();
  /** By author, what was refused, and what stood upon it; the oldest is forgotten when there is much. */
  readonly #refused = new Map<Author, Map<string, Refused>>();
  readonly #noRoomFor: (ref: Ref) => void;

  /**
   * For a committee of `n`: eight rounds of all fit for each cause, whatever its size. `noRoomFor` is told of blocks that
   * had to leave: nobody pushes them again.
   */
  constructor(n: number, noRoomFor: (ref: Ref) => void) {
    this.#noRoomFor = noRoomFor;
    this.#shares = new WaitingShares({
      blocks: limits.suspendedBlocksMax + 8 * n,
      bytes: limits.suspendedBytesMax + n * limits.payloadBytesMax,
    });
  }

  get size(): number {
    return this.#waiting.size;
  }

  has(key: string): boolean {
    return this.#waiting.has(key);
  }

  blockAtSlot(round: number, author: Author): VerifiedBlock | undefined {
    const [first] = this.#slots.get(`${round}:${author}`) ?? [];
    return first?.block;
  }

  /** The fullest share, of the room that each cause has: 1 is full. For metrics and for the checks of the bound. */
  get fullness(): number {
    return this.#shares.fullness;
  }

  /** True while some block waits for `ref`, or a peer named it, and nobody has brought it. */
  isWanted(ref: Ref): boolean {
    const key = refKey(ref);
    return this.#waiters.has(key) || this.#inventories.namers(key).length > 0;
  }

  /**
   * A peer has these, and this host has not: they are brought for the peer's sake, so many at most. What it named before
   * and nobody brought is forgotten.
   */
  name(refs: readonly Ref[], peer: Author): void {
    for (const ref of this.#inventories.name(refs, peer)) {
      const waiting = this.#waiting.get(refKey(ref));
      if (waiting !== undefined) this.#charge(waiting, new Set([peer]));
    }
    this.#bound(peer);
  }

  /**
   * `block` if a block of another author waits for `ref`, or for a block that waits for it; `name` if another writer
   * only says that it has one of these. An author's own blocks cannot vouch for its twins.
   */
  wantedByOthers(ref: Ref): "block" | "name" | undefined {
    const isOther = (author: Author | undefined): boolean => author !== ref.author;
    const chain = this.#waitersAbove(refKey(ref));
    if (chain.some(({ block }) => isOther(block.ref.author))) return "block";
    const keys = [refKey(ref), ...chain.map(({ key }) => key)];
    return keys.some((key) => this.#inventories.namers(key).some(isOther)) ? "name" : undefined;
  }

  /** All that wait for a block, and for those that wait for it. */
  #waitersAbove(first: string): Waiting[] {
    const seen = new Map<string, Waiting>();
    const stack = [first];
    for (let key = stack.pop(); key !== undefined; key = stack.pop()) {
      for (const waiter of this.#waiters.get(key)?.keys ?? []) {
        const waiting = this.#waiting.get(waiter);
        if (waiting === undefined || seen.has(waiter)) continue;
        seen.set(waiter, waiting);
        stack.push(waiter);
      }
    }
    return [...seen.values()];
  }

  /**
   * A block was refused, for itself or since it stands upon a refused one: all that waits for it can never be complete and
   * leaves. If only the nearest left, those that wait for them would have them fetched again, at once and for ever.
   */
  refuse(block: Refused): void {
    const refused = [block];
    for (let next = refused.pop(); next !== undefined; next = refused.pop()) {
      const { ref } = next;
      this.#noteRefused(next);
      for (const key of [...(this.#waiters.get(refKey(ref))?.keys ?? [])]) {
        const waiting = this.#waiting.get(key);
        if (waiting === undefined) continue;
        this.#evict(waiting);
        refused.push({ ref: waiting.block.ref, upon: ref });
      }
    }
  }

  #noteRefused(block: Refused): void {
    const { ref } = block;
    const refused = this.#refused.get(ref.author) ?? new Map<string, Refused>();
    this.#refused.set(ref.author, refused.set(refKey(ref), block));
    if (refused.size <= limits.suspendedBlocksMax) return;
    for (const oldest of refused.keys()) return void refused.delete(oldest);
  }

  /**
   * Refused before, and for a reason that still stands: what it rests on did not come after all, for another author's
   * sake. It is fetched again only where another author's block needs it.
   */
  isRefused(ref: Ref, lacks: (ref: Ref) => boolean): boolean {
    const refused = this.#refused.get(ref.author);
    let block = refused?.get(refKey(ref));
    if (block === undefined) return false;
    while (block?.upon !== undefined) {
      if (!lacks(block.upon)) return false;
      block = refused?.get(refKey(block.upon));
    }
    return true;
  }

  /** Parks a block, unless none of its causes has room for it; returns parents nothing waited for before. */
  park(block: VerifiedBlock, missing: readonly Ref[]): Ref[] {
    const key = refKey(block.ref);
    const waiting = { block, key, lacks: new Set(missing.map(refKey)), causes: new Set<Author>() };
    this.#waiting.set(key, waiting);
    const slot = `${block.ref.round}:${block.ref.author}`;
    this.#slots.set(slot, (this.#slots.get(slot) ?? new Set<Waiting>()).add(waiting));
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
    const causes = this.#causesOf(key);
    if (causes.size === 0) causes.add(block.ref.author);
    this.#charge(waiting, causes);
    for (const cause of causes) this.#bound(cause);
    return this.#waiting.has(key) ? fresh : [];
  }

  /** For whose sake something is here, or is to be brought: all for whose sake others wait for it. */
  #causesOf(key: string): Set<Author> {
    const causes = new Set<Author>(this.#inventories.namers(key));
    for (const waiter of this.#waiters.get(key)?.keys ?? [])
      for (const cause of this.#waiting.get(waiter)?.causes ?? []) causes.add(cause);
    return causes;
  }

  /** What a block waits for is needed for the sake of the same. */
  #charge(first: Waiting, causes: ReadonlySet<Author>): void {
    const stack = [first];
    for (let waiting = stack.pop(); waiting !== undefined; waiting = stack.pop()) {
      if (!this.#shares.charge(waiting, causes)) continue;
      for (const parentKey of waiting.lacks) {
        const parent = this.#waiting.get(parentKey);
        if (parent !== undefined) stack.push(parent);
      }
    }
  }

  /** The highest rounds leave the share of a cause that has more than its room. */
  #bound(cause: Author): void {
    for (
      let leaving = this.#shares.leaving(cause);
      leaving !== undefined;
      leaving = this.#shares.leaving(cause)
    ) {
      this.#shares.uncharge(leaving, cause);
      if (leaving.causes.size > 0) continue;
      this.#evict(leaving);
      this.#noRoomFor(leaving.block.ref);
    }
  }

  /** `key` has arrived (or counts as present): the blocks that now have all their parents. */
  arrived(key: string): VerifiedBlock[] {
    const ready: VerifiedBlock[] = [];
    this.#inventories.arrived(key);
    for (const waiterKey of this.#waiters.get(key)?.keys ?? []) {
      const waiting = this.#waiting.get(waiterKey);
      waiting?.lacks.delete(key);
      if (waiting === undefined || waiting.lacks.size > 0) continue;
      this.#forget(waiting);
      ready.push(waiting.block);
    }
    this.#waiters.delete(key);
    return ready;
  }

  /** The horizon moved: blocks at or below it leave, and parents at or below it count as present. */
  onHorizon(horizon: number): VerifiedBlock[] {
    this.#inventories.onHorizon(horizon);
    for (const refused of this.#refused.values())
      for (const [key, { ref }] of refused) if (ref.round <= horizon) refused.delete(key);
    for (const waiting of [...this.#waiting.values()]) {
      if (waiting.block.ref.round <= horizon) this.#evict(waiting);
    }
    const released: VerifiedBlock[] = [];
    for (const [key, { ref }] of [...this.#waiters]) {
      if (ref.round <= horizon) released.push(...this.arrived(key));
    }
    return released;
  }

  /**
   * Parents that are neither here nor waiting themselves: what must be fetched. For the sake of each cause in turn, its
   * lowest rounds first, and of each no more than can be asked for at once.
   */
  missing(): Ref[] {
    const lists = this.#missingByCause();
    for (const list of lists) list.sort((a, b) => a.round - b.round);
    const refs = new Map<string, Ref>();
    for (let i = 0; i < missingMax; i++)
      for (const list of lists) {
        const ref = list[i];
        if (ref !== undefined) refs.set(refKey(ref), ref);
      }
    return [...refs.values()];
  }

  #missingByCause(): Ref[][] {
    const lists = new Map<Author, Ref[]>();
    const miss = (cause: Author, ref: Ref): void => {
      const list = lists.get(cause);
      if (list === undefined) lists.set(cause, [ref]);
      else list.push(ref);
    };
    for (const [key, { ref }] of this.#waiters)
      if (!this.#waiting.has(key)) for (const cause of this.#causesOf(key)) miss(cause, ref);
    for (const { peer, key, ref } of this.#inventories.entries())
      if (!this.#waiting.has(key) && !this.#waiters.has(key)) miss(peer, ref);
    return [...lists.values()];
  }

  remove(key: string): void {
    const waiting = this.#waiting.get(key);
    if (waiting !== undefined) this.#evict(waiting);
  }

  #evict(waiting: Waiting): void {
    this.#forget(waiting);
    for (const parentKey of waiting.lacks) {
      const waiters = this.#waiters.get(parentKey);
      waiters?.keys.delete(waiting.key);
      if (waiters?.keys.size === 0) this.#waiters.delete(parentKey);
    }
  }

  #forget(waiting: Waiting): void {
    this.#waiting.delete(waiting.key);
    const { round, author } = waiting.block.ref;
    const slot = this.#slots.get(`${round}:${author}`);
    slot?.delete(waiting);
    if (slot?.size === 0) this.#slots.delete(`${round}:${author}`);
    for (const cause of [...waiting.causes]) this.#shares.uncharge(waiting, cause);
  }
}
