import type { Author } from "../../base/index.ts";

/** How a writer paces its rounds; local, and never of influence on the order (`dag.md` §6). */
export interface Pacing {
  /** How long an awaited leader may hold up the next round, milliseconds. */
  readonly leaderTimeoutMs: number;
  /** Least time between two own blocks, milliseconds. */
  readonly minRoundMs: number;
}

/** The round clock: a round begins when a parent quorum of distinct authors has blocks in the one before. */
export class RoundClock {
  readonly #quorum: number;
  #round = 1;
  #authors = new Map<number, Set<Author>>();
  #advancedAtMs = 0;

  constructor(quorum: number) {
    this.#quorum = quorum;
  }

  /** The round to propose in. */
  get round(): number {
    return this.#round;
  }

  get advancedAtMs(): number {
    return this.#advancedAtMs;
  }

  observe(round: number, author: Author, nowMs: number): void {
    if (round < this.#round) return;
    const authors = this.#authors.get(round) ?? new Set<Author>();
    authors.add(author);
    this.#authors.set(round, authors);
    if (authors.size < this.#quorum) return;
    this.#round = round + 1;
    this.#advancedAtMs = nowMs;
    for (const past of this.#authors.keys()) if (past <= round) this.#authors.delete(past);
  }

  /** True if another host already proposed in the current round or beyond: a round begun is joined by all. */
  get isBegun(): boolean {
    return this.#authors.size > 0;
  }
}

/**
 * Writers that are not waited for: the unreachable ones, at most `most` of them, the longest absent first.
 * The bound keeps liveness: after the network calms down some leader is awaited by all correct hosts.
 */
export class Absence {
  readonly #most: number;
  /** Absent authors, the longest absent first. */
  #absent: Author[] = [];

  constructor(most: number) {
    this.#most = most;
  }

  update(reachable: ReadonlySet<Author>, others: readonly Author[]): void {
    this.#absent = this.#absent.filter((author) => !reachable.has(author));
    for (const author of others) {
      if (!reachable.has(author) && !this.#absent.includes(author)) this.#absent.push(author);
    }
  }

  isAwaited(author: Author): boolean {
    const place = this.#absent.indexOf(author);
    return place < 0 || place >= this.#most;
  }
}

/** Joins that are made at once in a row, when nothing but a begun round asks for them. */
const joinsMax = 16;
/** Joins earned by ordering payload: real work may need some rounds more to settle. */
const joinsPerWork = 4;
/** Time that earns one join, milliseconds: the pace at which one cheater can drive an idle network. */
const joinEveryMs = 1000;

/**
 * Pays for joining rounds that others began without need: joined at once while there is credit, so that no
 * leader is missed; at heartbeat pace once somebody abuses that.
 */
export class JoinBudget {
  #credit = joinsMax;
  #filledAtMs = 0;

  earn(): void {
    this.#credit = Math.min(joinsMax, this.#credit + joinsPerWork);
  }

  /** Takes one join, or says when there will be one. */
  take(nowMs: number): { readonly ok: true } | { readonly ok: false; readonly atMs: number } {
    const earned = Math.floor((nowMs - this.#filledAtMs) / joinEveryMs);
    if (earned > 0) {
      this.#credit = Math.min(joinsMax, this.#credit + earned);
      this.#filledAtMs = nowMs;
    }
    if (this.#credit < 1) return { ok: false, atMs: this.#filledAtMs + joinEveryMs };
    this.#credit--;
    return { ok: true };
  }
}
