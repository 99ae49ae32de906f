import { type Ref, refKey } from "../acceptance/index.ts";
import type { Author, Prng } from "../base/index.ts";
import { Fetcher } from "../broadcast/index.ts";

/** Least time until missing blocks are thought of again, milliseconds. */
const leastWaitMs = 20;

/** Brings the blocks that others named and this host lacks: remembers who named them, asks, asks others. */
export class GapFiller {
  readonly #fetcher: Fetcher;
  readonly #namedBy = new Map<string, Author>();
  #isNews = false;

  constructor(random: Prng) {
    this.#fetcher = new Fetcher(random);
  }

  /** Blocks of which it is known who named them. */
  get size(): number {
    return this.#namedBy.size;
  }

  /** Whether {@link requests} has anything to do: something new is missing, or a peer has kept us waiting. */
  isDue(nowMs: number): boolean {
    return this.#isNews || (this.#fetcher.nextAtMs ?? Number.POSITIVE_INFINITY) <= nowMs;
  }

  /** Something else may be missing now, though nobody named it: look again. */
  lookAgain(): void {
    this.#isNews = true;
  }

  named(refs: readonly Ref[], by: Author): void {
    this.#isNews = true;
    for (const ref of refs) this.#namedBy.set(refKey(ref), by);
  }

  /** Whom to ask for which of the `missing` blocks now; the first ones are the most urgent. */
  requests(
    missing: readonly Ref[],
    reachable: ReadonlySet<Author>,
    nowMs: number,
  ): readonly { readonly peer: Author; readonly refs: readonly Ref[] }[] {
    this.#isNews = false;
    if (missing.length === 0) {
      this.#namedBy.clear();
      this.#fetcher.requests([], reachable, nowMs);
      return [];
    }
    const refs = new Map(missing.map((ref) => [refKey(ref), ref]));
    for (const key of this.#namedBy.keys()) if (!refs.has(key)) this.#namedBy.delete(key);
    const wanted = [...refs.keys()].map((key, rank) => ({
      key,
      rank,
      hint: this.#namedBy.get(key),
    }));
    return this.#fetcher
      .requests(wanted, reachable, nowMs)
      .map(({ peer, keys }) => ({ peer, refs: keys.flatMap((key) => refs.get(key) ?? []) }));
  }

  /** When {@link requests} should be asked again, if anything is missing. */
  wakeAtMs(nowMs: number): number | undefined {
    const at = this.#fetcher.nextAtMs;
    return at === undefined ? undefined : Math.max(at, nowMs + leastWaitMs);
  }
}
