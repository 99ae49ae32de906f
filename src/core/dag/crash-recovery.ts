import type { Author } from "../base/index.ts";
import { assert } from "../base/index.ts";
import type { Ref } from "./block.ts";

/** What one peer knows about the rounds that this host may have signed. */
interface Claim {
  /** The newest block of this host that the peer has. */
  readonly mine: Ref | undefined;
  /** The peer's own newest block. */
  readonly theirs: Ref | undefined;
}

/**
 * A host that lost its disk or its guard, or came back from an old copy, may have signed rounds it does not
 * remember. It follows until a parent quorum of others told what they have, and signs again two rounds above
 * all of it (`dag.md` §12: a correct one among them has produced a parent of anything this host released).
 */
export class CrashRecovery {
  readonly #needed: number;
  readonly #claims = new Map<Author, Claim>();
  #isOpen: boolean;

  constructor(needed: number, isOpen: boolean) {
    this.#needed = needed;
    this.#isOpen = isOpen;
  }

  /** True while the host must not sign. */
  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** How many peers have answered, of how many that are needed. */
  get progress(): { readonly answers: number; readonly needed: number } {
    return { answers: this.#claims.size, needed: this.#needed };
  }

  reopen(): void {
    this.#isOpen = true;
  }

  claim(peer: Author, claim: Claim): void {
    this.#claims.set(peer, claim);
  }

  /**
   * The round from which signing is safe, once enough peers answered whose own newest blocks this host has seen. A
   * peer that names a block that never comes (an invented round) does not count. What a peer shows of this host's own
   * blocks is signed by this host, so it counts at once: nobody but this host can have made it up.
   */
  resume(hasSeen: (ref: Ref) => boolean): number | undefined {
    if (!this.#isOpen) return undefined;
    const claims = [...this.#claims.values()];
    const seen = claims.filter(({ theirs }) => theirs === undefined || hasSeen(theirs));
    if (seen.length < this.#needed) return undefined;
    assert(seen.length <= this.#claims.size, "a peer answers once");
    this.#isOpen = false;
    const own = claims.map(({ mine }) => mine?.round ?? 0);
    return Math.max(0, ...own, ...seen.map(({ theirs }) => theirs?.round ?? 0)) + 2;
  }
}
