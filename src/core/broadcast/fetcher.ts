import { type Author, limits, type Prng } from "../base/index.ts";

/** Something that is missing, by name; lower `rank` is asked for first. */
export interface Wanted {
  readonly key: string;
  readonly rank: number;
  /** Who named it and so must have it. */
  readonly hint: Author | undefined;
}

/** Whom to ask for what, now. */
export interface FetchRequest {
  readonly peer: Author;
  readonly keys: readonly string[];
}

interface Attempt {
  readonly asked: Set<Author>;
  nextAtMs: number;
  attempts: number;
}

/** Time until another peer is asked for the same thing; it doubles with every attempt, milliseconds. */
const retryMs = { first: 400, longest: 30_000 };

/**
 * Decides whom to ask for missing blocks (`dag.md` §10): first whoever named them, then random others, one peer
 * at a time, the most urgent first. It never decides anything about the blocks themselves.
 */
export class Fetcher {
  readonly #random: Prng;
  readonly #attempts = new Map<string, Attempt>();

  constructor(random: Prng) {
    this.#random = random;
  }

  /** Requests that are due for `wanted`, the full list of what is missing. */
  requests(
    wanted: readonly Wanted[],
    reachable: ReadonlySet<Author>,
    nowMs: number,
  ): readonly FetchRequest[] {
    this.#forgetFound(wanted);
    const byPeer = new Map<Author, string[]>();
    for (const item of wanted.toSorted((a, b) => a.rank - b.rank)) {
      const attempt = this.#attempts.get(item.key) ?? {
        asked: new Set<Author>(),
        nextAtMs: 0,
        attempts: 0,
      };
      this.#attempts.set(item.key, attempt);
      if (attempt.nextAtMs > nowMs) continue;
      const peer = this.#choose(item, attempt, reachable);
      if (peer === undefined) continue;
      const keys = byPeer.get(peer) ?? [];
      if (keys.length >= limits.fetchRefsMax) continue;
      byPeer.set(peer, [...keys, item.key]);
      attempt.asked.add(peer);
      // Everybody is asked once soon; what nobody has is asked for ever more rarely.
      const rounds = Math.floor(attempt.attempts++ / Math.max(1, reachable.size));
      attempt.nextAtMs = nowMs + Math.min(retryMs.first * 2 ** rounds, retryMs.longest);
    }
    return [...byPeer].map(([peer, keys]) => ({ peer, keys }));
  }

  /** When something is due again, or `undefined` if nothing is missing. */
  get nextAtMs(): number | undefined {
    let next: number | undefined;
    for (const { nextAtMs } of this.#attempts.values()) next = Math.min(next ?? nextAtMs, nextAtMs);
    return next;
  }

  #forgetFound(wanted: readonly Wanted[]): void {
    const keys = new Set(wanted.map((item) => item.key));
    for (const key of this.#attempts.keys()) if (!keys.has(key)) this.#attempts.delete(key);
  }

  #choose(item: Wanted, attempt: Attempt, reachable: ReadonlySet<Author>): Author | undefined {
    if (item.hint !== undefined && reachable.has(item.hint) && !attempt.asked.has(item.hint))
      return item.hint;
    let others = [...reachable].filter((peer) => !attempt.asked.has(peer));
    if (others.length === 0) {
      attempt.asked.clear();
      others = [...reachable];
    }
    return others[this.#random.below(others.length)];
  }
}
