import { type Author, defined, type Prng } from "../base/index.ts";

/** Time a peer has to answer a commit-sync request, milliseconds. */
const answerMs = 3000;
/** Lag up to which live blocks are expected to close the gap by themselves. */
const patientCommits = 30;
/** Time after which even a small lag is synced, milliseconds. */
const patienceMs = 500;
/** Questions without use before what a peer says of itself is believed no more. */
const strikesMax = 3;
/** An answer that takes longer than this and brings no more than a few commits is no help to who is far behind. */
const promptMs = 1000;
/** Least time until the next question, milliseconds. */
const leastWaitMs = 50;

interface Asked {
  readonly peer: Author;
  readonly after: number;
  readonly untilMs: number;
  /** The others were far beyond. */
  readonly isFar: boolean;
}

/**
 * Decides when to ask whom for certified commits (`dag.md` §11). What f+1 writers voted for exists; what a single peer
 * says of itself in its hello is believed until it was asked for it a few times in vain. That outlives its links, so a
 * liar costs `strikesMax` questions in the life of this process, however often it comes back.
 */
export class StateTransfer {
  readonly #random: Prng;
  readonly #hints = new Map<Author, number>();
  /** Questions that brought nothing, since the last one that did. */
  readonly #strikes = new Map<Author, number>();
  #laggingSinceMs: number | undefined;
  #asked: Asked | undefined;
  /** Answers that peers owe, late ones too: a slow peer is not at fault. */
  readonly #owed = new Map<Author, number>();

  constructor(random: Prng) {
    this.#random = random;
  }

  /** A peer said how far it is. */
  hint(peer: Author, lastCommit: number): void {
    this.#hints.set(peer, lastCommit);
  }

  /** Peers that say that they are beyond `lastIndex`, and are believed. */
  #ahead(lastIndex: number): Author[] {
    const peers: Author[] = [];
    for (const [peer, hint] of this.#hints)
      if (hint > lastIndex && this.#strikesOf(peer) < strikesMax) peers.push(peer);
    return peers;
  }

  #strikesOf(peer: Author): number {
    return this.#strikes.get(peer) ?? 0;
  }

  /** True while some peer says that the order is far beyond what is here, and has not been found to lie. */
  isFarBehind(lastIndex: number): boolean {
    return this.#ahead(lastIndex + patientCommits).length > 0;
  }

  forget(peer: Author): void {
    this.#hints.delete(peer);
    this.#owed.delete(peer);
    if (this.#asked?.peer === peer) this.#strike();
  }

  /** Whether `peer` owes an answer; it owes one less now. */
  takeOwed(peer: Author): boolean {
    const owed = this.#owed.get(peer) ?? 0;
    if (owed <= 1) this.#owed.delete(peer);
    else this.#owed.set(peer, owed - 1);
    return owed > 0;
  }

  /** An answer that was owed came, and with it (or meanwhile) this host came to `lastIndex`. */
  answered(peer: Author, lastIndex: number, nowMs?: number): void {
    const asked = this.#asked;
    if (asked?.peer !== peer) return;
    const isSlow = nowMs !== undefined && nowMs > asked.untilMs - answerMs + promptMs;
    const isDrip = isSlow && asked.isFar && lastIndex <= asked.after + patientCommits;
    if (lastIndex <= asked.after || isDrip) return this.#strike();
    this.#asked = undefined;
    this.#strikes.delete(peer);
  }

  #strike(): void {
    const { peer } = defined(this.#asked, "a question is open");
    this.#asked = undefined;
    this.#strikes.set(peer, this.#strikesOf(peer) + 1);
  }

  /** The peer to ask now, if any. */
  next(
    state: {
      readonly lastIndex: number;
      readonly endorsedIndex: number;
      readonly reachable: ReadonlySet<Author>;
    },
    nowMs: number,
  ): Author | undefined {
    if (this.#asked !== undefined && nowMs >= this.#asked.untilMs) this.#strike();
    const { lastIndex, endorsedIndex, reachable } = state;
    const claiming = this.#ahead(lastIndex);
    if (endorsedIndex <= lastIndex && claiming.length === 0) {
      this.#laggingSinceMs = undefined;
      return undefined;
    }
    this.#laggingSinceMs ??= nowMs;
    if (this.#asked !== undefined) return undefined;
    const isFar = endorsedIndex > lastIndex + patientCommits || this.isFarBehind(lastIndex);
    const isUrgent = isFar || nowMs >= this.#laggingSinceMs + patienceMs;
    // Where only some say that there is more, they have it or lie.
    const able = endorsedIndex > lastIndex ? [...reachable] : claiming;
    const peer = this.#choose(able.filter((one) => reachable.has(one)));
    if (!isUrgent || peer === undefined) return undefined;
    this.#asked = { peer, after: lastIndex, untilMs: nowMs + answerMs, isFar };
    this.#owed.set(peer, (this.#owed.get(peer) ?? 0) + 1);
    return peer;
  }

  /** One of those that were asked in vain the least. */
  #choose(peers: readonly Author[]): Author | undefined {
    const least = Math.min(...peers.map((peer) => this.#strikesOf(peer)));
    const best = peers.filter((peer) => this.#strikesOf(peer) === least);
    return best[this.#random.below(Math.max(1, best.length))];
  }

  /** When {@link next} should be asked again. */
  wakeAtMs(nowMs: number): number | undefined {
    if (this.#laggingSinceMs === undefined) return undefined;
    // Never in the past: with nobody to ask, the loop would spin.
    return Math.max(nowMs + leastWaitMs, this.#asked?.untilMs ?? this.#laggingSinceMs + patienceMs);
  }
}
