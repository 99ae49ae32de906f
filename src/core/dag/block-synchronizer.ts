import type { Author, Prng } from "../base/index.ts";
import { Fetcher } from "../broadcast/index.ts";
import { type Ref, refKey } from "./block.ts";

/** Least time until missing blocks are thought of again, milliseconds. */
const leastWaitMs = 20;

/** Answers that a peer may owe at a time: older questions it need not answer any more. */
const owedMax = 64;

/** Brings the blocks that others named and this host lacks: remembers who named them, asks, asks others. */
export class BlockSynchronizer {
  readonly #fetcher: Fetcher;
  readonly #namedBy = new Map<string, Author>();
  /** Answers that peers owe. */
  readonly #owed = new Map<Author, number>();
  /** Questions to all: each peer may answer each once. */
  #askedOfAll = 0;
  readonly #answeredOfAll = new Map<Author, number>();
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
    const requests = this.#fetcher.requests(wanted, reachable, nowMs);
    for (const { peer } of requests)
      this.#owed.set(peer, Math.min((this.#owed.get(peer) ?? 0) + 1, owedMax));
    return requests.map(({ peer, keys }) => ({
      peer,
      refs: keys.flatMap((key) => refs.get(key) ?? []),
    }));
  }

  /** Something was asked of all peers. */
  askedAll(): void {
    this.#askedOfAll++;
  }

  /** The link to a peer is gone, and with it what was asked over it. */
  forget(peer: Author): void {
    this.#owed.delete(peer);
    this.#answeredOfAll.set(peer, this.#askedOfAll);
  }

  /** Whether `peer` owes an answer; it owes one less now. */
  takeOwed(peer: Author): boolean {
    const owed = this.#owed.get(peer) ?? 0;
    if (owed > 0) this.#owed.set(peer, owed - 1);
    if (owed > 0) return true;
    const answered = Math.max(this.#answeredOfAll.get(peer) ?? 0, this.#askedOfAll - owedMax);
    if (answered >= this.#askedOfAll) return false;
    this.#answeredOfAll.set(peer, answered + 1);
    return true;
  }

  /** When {@link requests} should be asked again, if anything is missing. */
  wakeAtMs(nowMs: number): number | undefined {
    const at = this.#fetcher.nextAtMs;
    return at === undefined ? undefined : Math.max(at, nowMs + leastWaitMs);
  }
}
