import { Allowance, type Author, defined } from "../base/index.ts";
import { Stall } from "../consensus/index.ts";

/** Time without a commit after which peers are asked what they have, and the time between two questions, milliseconds. */
const stalledMs = 1000;
/** A peer is told so often what is here. */
const answers = { everyMs: 500, atOnce: 2 };

/**
 * Anti-entropy of blocks (`dag.md` §10). What a block names is fetched by its name; but a cheater can show one honest
 * host a block that decides something, and then make it build upon another one. The others never learn the name, and
 * wait. Whoever stands still asks the others in turn what they have, so all that one honest host has reaches all.
 */
export class AntiEntropy {
  readonly #stall = new Stall();
  readonly #answers = new Allowance<Author>(answers);
  #askedMs = Number.NEGATIVE_INFINITY;
  #asked: Author | undefined;
  /** Peers that were asked and have not answered. */
  readonly #owed = new Set<Author>();

  /** After every input; the peer to be asked now, if any. */
  next(
    state: {
      readonly lastCommit: number;
      readonly isWanted: boolean;
      readonly reachable: ReadonlySet<Author>;
    },
    atMs: number,
  ): Author | undefined {
    this.#stall.see(state, atMs);
    if (this.#dueMs(atMs) > atMs) return undefined;
    // With nobody to ask too: it would wake without a pause.
    this.#askedMs = atMs;
    if (state.reachable.size === 0) return undefined;
    const peers = [...state.reachable].sort((a, b) => a - b);
    const last = this.#asked ?? -1;
    this.#asked = peers.find((peer) => peer > last) ?? defined(peers[0], "a reachable peer");
    this.#owed.add(this.#asked);
    return this.#asked;
  }

  #dueMs(atMs: number): number {
    const { sinceMs } = this.#stall;
    if (sinceMs === undefined) return Number.POSITIVE_INFINITY;
    return Math.max(sinceMs, Math.min(this.#askedMs, atMs)) + stalledMs;
  }

  /** When {@link next} should be asked again; infinite while nothing stands still. */
  wakeAtMs(atMs: number): number {
    return this.#dueMs(atMs);
  }

  /** Whether `peer` owes an answer; from now on it does not. */
  answered(peer: Author): boolean {
    return this.#owed.delete(peer);
  }

  forget(peer: Author): void {
    this.#owed.delete(peer);
  }

  /** Whether a peer is told now what is here. */
  mayTell(peer: Author, atMs: number): boolean {
    return this.#answers.take(peer, atMs);
  }
}
