/** A clock that never goes back: jumps of the caller's clock into the past are taken out. */
export class MonotonicClock {
  #lastMs = Number.NEGATIVE_INFINITY;
  #takenOutMs = 0;

  read(nowMs: number): number {
    if (nowMs < this.#lastMs) this.#takenOutMs += this.#lastMs - nowMs;
    this.#lastMs = nowMs;
    return nowMs + this.#takenOutMs;
  }

  /** What was read last. */
  get latestMs(): number {
    return this.#lastMs + this.#takenOutMs;
  }

  /** A time of this clock as the caller's clock will show it. */
  toCaller(paceMs: number): number {
    return paceMs - this.#takenOutMs;
  }
}
