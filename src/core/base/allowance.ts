/** So much at once, and one more every so often, of each cause: what one uses up, the others keep. */
export class Allowance<Cause> {
  readonly #everyMs: number;
  readonly #atOnce: number;
  /** Cause → until when its share is used up, but for what it may have at once. */
  readonly #usedMs = new Map<Cause, number>();

  constructor(share: { readonly everyMs: number; readonly atOnce: number }) {
    this.#everyMs = share.everyMs;
    this.#atOnce = share.atOnce;
  }

  /** When the cause may have another one. */
  readyMs(cause: Cause): number {
    const usedMs = this.#usedMs.get(cause);
    if (usedMs === undefined) return Number.NEGATIVE_INFINITY;
    return usedMs - (this.#atOnce - 1) * this.#everyMs;
  }

  /** Takes one for the cause, if it may have one now. */
  take(cause: Cause, atMs: number): boolean {
    if (atMs < this.readyMs(cause)) return false;
    const usedMs = Math.max(atMs, this.#usedMs.get(cause) ?? atMs);
    this.#usedMs.set(cause, usedMs + this.#everyMs);
    return true;
  }
}
