import { compareText, type Digest } from "../../core/base/index.ts";
import type { DirectoryStore, NamedEntry } from "../../core/mirror/index.ts";
import { FewAtOnce, inTurns } from "../pace/index.ts";

/** Entries of all directories that are kept, and how many a page shows. */
const keptMax = 500_000;
export const pageEntriesMax = 10_000;
/** Shorter ones cost nothing to make. */
const shortMax = 1000;

export interface ListingPage {
  readonly entries: readonly NamedEntry[];
  readonly total: number;
  /** The last name on this page, if there are more behind it. */
  readonly more: string | undefined;
}

/** Directories in name order, page by page. Those that were looked at lately are kept: what has a digest never changes. */
export class Listings {
  readonly #made = new Map<Digest, Promise<readonly NamedEntry[]>>();
  /** One at a time: each takes as much memory as its directory is long. */
  readonly #making = new FewAtOnce(1);
  #kept = 0;

  /** What stands behind `after` in name order, as much as a page shows. Throws as `DirectoryStore.list`. */
  async page(
    directories: DirectoryStore,
    root: Digest | undefined,
    after: string,
  ): Promise<ListingPage> {
    const all = root === undefined ? [] : await this.#of(directories, root);
    const first = after === "" ? 0 : firstBehind(all, after);
    const entries = all.slice(first, first + pageEntriesMax);
    const isLast = first + entries.length >= all.length;
    return { entries, total: all.length, more: isLast ? undefined : entries.at(-1)?.name };
  }

  async #of(directories: DirectoryStore, root: Digest): Promise<readonly NamedEntry[]> {
    const known = this.#made.get(root);
    if (known !== undefined) return known;
    if (directories.count(root) <= shortMax) return directories.list(root);
    const made = this.#making.run(() => inTurns(directories.listing(root)));
    this.#made.set(root, made);
    made.then(
      ({ length }) => this.#keep(length),
      // What cannot be read now may be read later.
      () => this.#made.delete(root),
    );
    return made;
  }

  #keep(entries: number): void {
    this.#kept += entries;
    if (this.#kept <= keptMax) return;
    this.#made.clear();
    this.#kept = 0;
  }
}

/** The place of the first entry whose name stands behind `after`. */
function firstBehind(entries: readonly NamedEntry[], after: string): number {
  let [low, high] = [0, entries.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (compareText(entries[middle]?.name ?? "", after) <= 0) low = middle + 1;
    else high = middle;
  }
  return low;
}
