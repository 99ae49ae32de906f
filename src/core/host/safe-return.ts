import type { Author } from "../base/index.ts";
import type { Ref } from "../acceptance/index.ts";

/** What one peer knows about the rounds that this host may have signed. */
interface Claim {
  /** The newest block of this host that the peer has. */
  readonly mine: Ref | undefined;
  /** Largest verified round in the claim: of this host's block or of the peer's own newest. */
  readonly round: number;
}

/**
 * A host that lost its disk or its guard, or came back from an old copy, may have signed rounds it does not
 * remember. It follows until a parent quorum of others told what they have, and signs again two rounds above
 * all of it (`dag.md` §12: a correct one among them has produced a parent of anything this host released).
 */
export class SafeReturn {
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

  /** Where signing may go on, once enough peers answered and the host has seen all that they named. */
  resume(clockRound: number): { readonly minRound: number; readonly own: Ref | undefined } | undefined {
    if (!this.#isOpen || this.#claims.size < this.#needed) return undefined;
    const claims = [...this.#claims.values()];
    const highest = Math.max(0, ...claims.map((claim) => claim.round));
    if (clockRound < highest) return undefined;
    this.#isOpen = false;
    let own: Ref | undefined;
    for (const { mine } of claims) if (mine !== undefined && mine.round > (own?.round ?? 0)) own = mine;
    return { minRound: highest + 2, own };
  }
}
