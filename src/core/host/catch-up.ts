import { type Author, defined, type Prng } from "../base/index.ts";

/** Time a peer has to answer a commit-sync request, milliseconds. */
const answerMs = 3000;
/** Lag up to which live blocks are expected to close the gap by themselves. */
const patientCommits = 30;
/** Time after which even a small lag is synced, milliseconds. */
const patienceMs = 500;
/** Questions that a peer leaves unanswered before what it said of itself is forgotten. */
const patienceTimes = 3;
/** Least time until the next question, milliseconds. */
const leastWaitMs = 50;

/** Decides when to ask whom for certified commits (`dag.md` §11). */
export class CatchUp {
  readonly #random: Prng;
  readonly #hints = new Map<Author, number>();
  readonly #unanswered = new Map<Author, number>();
  #laggingSinceMs: number | undefined;
  #asked: { readonly peer: Author; readonly untilMs: number } | undefined;

  constructor(random: Prng) {
    this.#random = random;
  }

  /** A peer said how far it is; a lie costs one request. */
  hint(peer: Author, lastCommit: number): void {
    this.#hints.set(peer, lastCommit);
  }

  /** True while some peer says that the order is far beyond what is here, and has not been found to lie. */
  isFarBehind(lastIndex: number): boolean {
    return Math.max(0, ...this.#hints.values()) - lastIndex > patientCommits;
  }

  forget(peer: Author): void {
    this.#hints.delete(peer);
    if (this.#asked?.peer === peer) this.#asked = undefined;
  }

  /** Whether `peer` owes an answer; from now on it does not. */
  answered(peer: Author): boolean {
    if (this.#asked?.peer !== peer) return false;
    this.#asked = undefined;
    this.#unanswered.delete(peer);
    return true;
  }

  /** The answer was of no use: do not believe the peer's hint again. */
  disappointed(peer: Author): void {
    this.#hints.delete(peer);
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
    if (this.#asked !== undefined && nowMs >= this.#asked.untilMs) this.#gaveUp(this.#asked.peer);
    const ahead = Math.max(state.endorsedIndex, ...this.#hints.values());
    if (ahead <= state.lastIndex) {
      this.#laggingSinceMs = undefined;
      return undefined;
    }
    this.#laggingSinceMs ??= nowMs;
    if (this.#asked !== undefined) return undefined;
    const isUrgent =
      ahead - state.lastIndex > patientCommits || nowMs >= this.#laggingSinceMs + patienceMs;
    const peers = [...state.reachable];
    if (!isUrgent || peers.length === 0) return undefined;
    const peer = defined(peers[this.#random.below(peers.length)], "a reachable peer");
    this.#asked = { peer, untilMs: nowMs + answerMs };
    return peer;
  }

  #gaveUp(peer: Author): void {
    this.#asked = undefined;
    const times = (this.#unanswered.get(peer) ?? 0) + 1;
    this.#unanswered.set(peer, times);
    if (times >= patienceTimes) this.#hints.delete(peer);
  }

  /** When {@link next} should be asked again. */
  wakeAtMs(nowMs: number): number | undefined {
    if (this.#laggingSinceMs === undefined) return undefined;
    // Never in the past: with nobody to ask, the loop would spin.
    return Math.max(nowMs + leastWaitMs, this.#asked?.untilMs ?? this.#laggingSinceMs + patienceMs);
  }
}
