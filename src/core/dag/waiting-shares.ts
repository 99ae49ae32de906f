import type { Author } from "../base/index.ts";
import type { VerifiedBlock } from "./block.ts";

/** A block that waits for its parents. */
export interface Waiting {
  readonly block: VerifiedBlock;
  readonly key: string;
  /** Keys of the parents it still waits for. */
  readonly lacks: Set<string>;
  /** For whose sake it waits: it stays while one of them has room for it. */
  readonly causes: Set<Author>;
}

/** What waits for the sake of one author. */
interface Share {
  readonly blocks: Set<Waiting>;
  bytes: number;
}

/** The room that each cause has in the waiting room, and what is in it. */
export class WaitingShares {
  readonly #shares = new Map<Author, Share>();
  readonly #most: { readonly blocks: number; readonly bytes: number };

  constructor(most: { readonly blocks: number; readonly bytes: number }) {
    this.#most = most;
  }

  /** The fullest share: 1 is full. */
  get fullness(): number {
    let most = 0;
    for (const { blocks, bytes } of this.#shares.values())
      most = Math.max(most, blocks.size / this.#most.blocks, bytes / this.#most.bytes);
    return most;
  }

  /** Puts a block into the shares of those causes that do not have it; true if there was one. */
  charge(waiting: Waiting, causes: ReadonlySet<Author>): boolean {
    const fresh = [...causes].filter((cause) => !waiting.causes.has(cause));
    for (const cause of fresh) {
      const share = this.#shares.get(cause) ?? { blocks: new Set<Waiting>(), bytes: 0 };
      share.blocks.add(waiting);
      share.bytes += waiting.block.wire.length;
      waiting.causes.add(cause);
      this.#shares.set(cause, share);
    }
    return fresh.length > 0;
  }

  uncharge(waiting: Waiting, cause: Author): void {
    const share = this.#shares.get(cause);
    if (share === undefined || !waiting.causes.delete(cause)) return;
    share.blocks.delete(waiting);
    share.bytes -= waiting.block.wire.length;
    if (share.blocks.size === 0) this.#shares.delete(cause);
  }

  /** The block of the highest round in a share that has more than its room. */
  leaving(cause: Author): Waiting | undefined {
    const share = this.#shares.get(cause);
    const isFull =
      share !== undefined &&
      (share.blocks.size > this.#most.blocks || share.bytes > this.#most.bytes);
    if (!isFull) return undefined;
    let highest: Waiting | undefined;
    for (const waiting of share.blocks)
      if (highest === undefined || waiting.block.ref.round >= highest.block.ref.round)
        highest = waiting;
    return highest;
  }
}
