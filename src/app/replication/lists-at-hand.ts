import { type Digest, limits } from "../../core/base/index.ts";
import { RecentBlobs } from "../../io/storage/index.ts";

/** As much as one commit publishes, and the longest list more. */
const bytesMax = 3 * limits.changeListBytesMax;

/** Change lists of updates that wait to be published, for execution. What is not at hand is read again. */
export class ListsAtHand {
  readonly #lists = new RecentBlobs(bytesMax, limits.changeListBytesMax);
  readonly #listOf = new Map<Digest, Digest>();

  get(list: Digest): Uint8Array | undefined {
    return this.#lists.get(list);
  }

  keep(update: Digest, list: Digest, bytes: Uint8Array): void {
    this.#lists.keep(list, bytes);
    this.#listOf.set(update, list);
  }

  /** An update is finished. */
  forget(update: Digest): void {
    const list = this.#listOf.get(update);
    this.#listOf.delete(update);
    if (list !== undefined && ![...this.#listOf.values()].includes(list)) this.#lists.forget(list);
  }
}
