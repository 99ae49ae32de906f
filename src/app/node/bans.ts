import type { Author } from "../../core/base/index.ts";

const firstMs = 5_000;
const longestMs = 300_000;
/** So long after a ban all of it is forgotten, milliseconds. */
const forgottenMs = 3_600_000;

/** For how long a peer that misbehaves is avoided: twice as long each time, and as at first when it was well for long. */
export class Bans {
  readonly #last = new Map<Author, { readonly forMs: number; readonly endMs: number }>();

  next(peer: Author, nowMs: number): number {
    const last = this.#last.get(peer);
    const isForgotten = last === undefined || nowMs >= last.endMs + forgottenMs;
    const forMs = isForgotten ? firstMs : Math.min(2 * last.forMs, longestMs);
    this.#last.set(peer, { forMs, endMs: nowMs + forMs });
    return forMs;
  }
}
