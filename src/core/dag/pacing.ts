import type { Author } from "../base/index.ts";

/** Rounds of which it is remembered when they had their quorums. */
const completeKept = 256;

/** The round clock: a round begins when a parent quorum of distinct authors has blocks in the one before. */
export class RoundClock {
  readonly #quorum: number;
  #round = 1;
  #authors = new Map<number, Set<Author>>();
  #advancedAtMs = 0;
  /** When the last rounds had their quorums. */
  readonly #completeAtMs = new Map<number, number>();

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
    this.#completeAtMs.set(round, nowMs);
    this.#completeAtMs.delete(round - completeKept);
    for (const past of this.#authors.keys()) if (past <= round) this.#authors.delete(past);
  }

  /** How long a round had its quorum already, milliseconds; 0 if it has none, or had it too long ago to say. */
  lateness(round: number, nowMs: number): number {
    return Math.max(0, nowMs - (this.#completeAtMs.get(round) ?? nowMs));
  }

  /** True if another host already proposed in the current round or beyond: a round begun is joined by all. */
  get isBegun(): boolean {
    return this.#authors.size > 0;
  }
}

/** Rounds for which a leader that kept others waiting is not awaited again. */
const truancyRounds = { least: 256, most: 8192 };

/**
 * Leaders that did not come though they were awaited: whoever leaves out a round now and then, punctual otherwise, would
 * else cost everybody the whole patience each time. Each time in a row the author is not awaited for twice as long; as long
 * as it is awaited and comes, that halves again.
 */
class Truants {
  readonly #terms = new Map<Author, { readonly rounds: number; readonly endRound: number }>();

  missed(author: Author, round: number): void {
    const last = this.#terms.get(author);
    if (last !== undefined && round < last.endRound) return;
    const halvings = last === undefined ? 0 : Math.floor((round - last.endRound) / last.rounds);
    const rounds = last === undefined ? 0 : (2 * last.rounds) / 2 ** halvings;
    const term = Math.max(truancyRounds.least, Math.min(Math.round(rounds), truancyRounds.most));
    this.#terms.set(author, { rounds: term, endRound: round + term });
  }

  /** Who is not awaited in a round, the most persistent first. */
  at(round: number): Author[] {
    const terms = [...this.#terms].filter(([, { endRound }]) => round < endRound);
    return terms.sort(([, a], [, b]) => b.rounds - a.rounds).map(([author]) => author);
  }
}

/** Weight of the newest block in the average of how late a writer's blocks come. */
const newest = 1 / 8;
const lateMostMs = 1000;
/** So much later than the others, and so many milliseconds more, is too late to be waited for. */
const lateTimes = 4;
const lateSpareMs = 40;

/**
 * Writers that are not waited for: those that are proven to cheat, the unreachable ones, the longest absent first, then those that did not come when they
 * were awaited, then those that the host holds dead or suspects, then those whose blocks come much later than the others',
 * once rounds have their quorums. At most `most` of them, unless more are proven to cheat: the bound keeps liveness, after
 * the network calms down some leader is awaited by all correct hosts. Where `most` cheat, all others are awaited.
 */
export class Absence {
  readonly #most: number;
  /** Place in the order of lateness of the last writer that cannot be among the late ones. */
  readonly #punctual: number;
  /** Absent authors, the longest absent first. */
  #absent: Author[] = [];
  /** Of whom the host thinks that they failed, the likeliest first. */
  #shunned: readonly Author[] = [];
  readonly #lateMs = new Map<Author, number>();
  readonly #truants = new Truants();
  #corrupt: ReadonlySet<Author> = new Set();
  #ignored: ReadonlySet<Author> | undefined;
  /** The round for which {@link #ignored} was made. */
  #ignoredIn = 0;

  /** Of `n` writers, this host among them. */
  constructor(n: number, most: number) {
    this.#most = most;
    this.#punctual = n - 2 - most;
  }

  update(reachable: ReadonlySet<Author>, others: readonly Author[]): void {
    this.#ignored = undefined;
    this.#absent = this.#absent.filter((author) => !reachable.has(author));
    for (const author of others) {
      if (!reachable.has(author) && !this.#absent.includes(author)) this.#absent.push(author);
    }
    for (const author of others) if (!this.#lateMs.has(author)) this.#lateMs.set(author, 0);
  }

  convict(authors: ReadonlySet<Author>): void {
    this.#ignored = undefined;
    this.#corrupt = authors;
  }

  /** Opinion of this host: whom it takes for failed. */
  shun(authors: readonly Author[]): void {
    this.#ignored = undefined;
    this.#shunned = authors;
  }

  /** A block came so long after its round had a quorum. */
  came(author: Author, lateMs: number): void {
    const before = this.#lateMs.get(author);
    if (before === undefined) return;
    this.#ignored = undefined;
    this.#lateMs.set(author, before + newest * (Math.min(lateMs, lateMostMs) - before));
  }

  /** An awaited leader of a round had not come when patience was at its end. */
  missed(author: Author, round: number): void {
    this.#ignored = undefined;
    this.#truants.missed(author, round);
  }

  isAwaited(author: Author, round: number): boolean {
    if (this.#ignored === undefined || this.#ignoredIn !== round) {
      const ways = [this.#absent, this.#truants.at(round), this.#shunned, this.#late()];
      const others = [...new Set(ways.flat())].filter((one) => !this.#corrupt.has(one));
      const left = Math.max(0, this.#most - this.#corrupt.size);
      this.#ignored = new Set([...this.#corrupt, ...others.slice(0, left)]);
      this.#ignoredIn = round;
    }
    return !this.#ignored.has(author);
  }

  /** The latest first. */
  #late(): Author[] {
    const byLateness = [...this.#lateMs].sort(([, a], [, b]) => a - b);
    const limitMs = lateTimes * (byLateness[this.#punctual]?.[1] ?? 0) + lateSpareMs;
    const late = byLateness.filter(
      ([author, ms]) => ms > limitMs && !this.#absent.includes(author),
    );
    return late.map(([author]) => author).reverse();
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
